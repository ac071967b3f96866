// Two images, the pairs of landmarks set in them, and what the pairs say, at once.

class Picker {
  constructor(root, page, planes) {
    this.root = root;
    this.page = page;
    this.model = page.model;
    this.pairs = page.pairs.map(([moving, fixed]) => ({moving, fixed}));
    Object.assign(this, {pending: null, selected: null, hovered: null, fieldShown: true});
    this.pictures = ["moving", "fixed"].map((side, n) => new Picture(page.images[n], planes[n], side, this));
    this.report = tag("output", {class: "readout", "aria-live": "polite"});
    this.table = tag("table", {class: "pairs"});
    const boxes = this.pictures.map(picture => tag("figure", {}, tag("figcaption", {}, `${picture.side}: `, tag("bdi", {}, picture.header.name)), picture.canvas));
    root.append(tag("header", {}, tag("h1", {}, tag("bdi", {}, page.title)), tag("p", {class: "about"}, page.about)),
      this.controls(), tag("div", {class: "pictures"}, ...boxes), this.report, this.table);
    root.addEventListener("keydown", event => this.key(event));
    addEventListener("resize", () => this.redraw());
    this.changed(false);
  }

  controls() {
    const model = tag("select", {"aria-label": "model"}, ...Object.keys(LEAST).map(name => tag("option", {value: name}, name)));
    model.value = this.model;
    model.onchange = () => { this.model = model.value; this.changed(); };
    const field = tag("input", {type: "checkbox", checked: ""});
    field.onchange = () => { this.fieldShown = field.checked; this.redraw(); };
    const remove = tag("button", {type: "button"}, "delete the selected pair");
    remove.onclick = () => this.remove(this.selected);
    return tag("div", {class: "row"}, model, tag("label", {}, field, "expected error over the moving image"), remove,
      saving("save landmarks as CSV", "landmarks.csv", () => new Blob([this.csv()], {type: "text/csv"})));
  }

  csv() {
    const rows = this.pairs.map(({moving, fixed}) => [...moving, ...fixed].map(v => +v.toPrecision(12)).join(","));
    const planes = this.page.images.map(image => image.z ?? "");
    return [`# um; plane z of moving ${planes[0]}; of fixed ${planes[1]}`, "moving_y,moving_x,fixed_y,fixed_x", ...rows, ""].join("\n");
  }

  // ---- what the user does

  add(side, at) {
    if (this.pending && this.pending.side !== side) {
      this.pairs.push({[side]: at, [this.pending.side]: this.pending.at});
      this.pending = null;
      this.selected = this.pairs.length - 1;
      this.changed();
    } else {
      this.pending = {side, at};
      this.selected = null;
      this.redraw();
    }
  }

  drag(n, side, at) {
    this.pairs[n][side] = at;
    this.changed();
  }

  select(n) {
    this.selected = n;
    this.redraw();
  }

  remove(n) {
    if (n === null || !this.pairs[n]) return;
    this.pairs.splice(n, 1);
    this.selected = null;
    this.changed();
  }

  hover(side, at) {
    this.hovered = at && {side, at};
    this.redraw();
  }

  key(event) {
    if (event.target.matches("input, select")) return;
    if (event.key === "Delete" || event.key === "Backspace") this.remove(this.selected);
    else if (event.key === "Escape") { this.pending = null; this.redraw(); }
  }

  // ---- what follows

  changed(tell = true) {
    this.fit = fitted(this.pairs, this.model);
    if (tell && parent !== window) parent.postMessage({pairs: this.pairs.map(({moving, fixed}) => [moving, fixed]), model: this.model}, "*");
    this.redraw();
  }

  colorOf(n) {
    return this.fit?.pairs[n]?.accused ? "#d55e00" : "#f0e442";
  }

  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    this.pictures.forEach(picture => picture.draw());
    this.report.replaceChildren(...this.sentences().map(text => tag("span", {}, text)));
    const head = ["pair", "moving y, x (µm)", "fixed y, x (µm)", "residual", "from where the others place it", "chance of more", ""];
    this.table.replaceChildren(tag("tr", {}, ...head.map(text => tag("th", {}, text))), ...this.pairs.map((_, n) => this.row(n)));
  }

  sentences() {
    const {fit, pairs, pending} = this, left = LEAST[this.model] - pairs.length;
    const next = pending ? `Now click the same place in the ${pending.side === "moving" ? "fixed" : "moving"} image.` : "Click a place in one image, then the same in the other.";
    if (!fit) return [left > 0 ? `${next} ${left} more pair${left > 1 ? "s" : ""} for a ${this.model} transform.` : "These pairs determine no transform."];
    const wrong = fit.pairs.flatMap((pair, n) => (pair.accused ? [n + 1] : []));
    const scatter = fit.dof > 0 ? `The pairs scatter by ${lengthText(Math.sqrt(fit.variance), "um")} along an axis, with ${fit.dof} degrees of freedom.` : "One pair more would tell how well they agree.";
    return [next, scatter, ...(wrong.length ? [`Pair ${wrong.join(", ")} disagrees with the others: move or delete it.`] : [])];
  }

  row(n) {
    const {fit, pairs} = this, of = fit?.pairs[n], place = at => at.map(v => +v.toPrecision(6)).join(", ");
    const known = (value, text) => (Number.isFinite(value) ? text(value) : "");
    const row = tag("tr", {"aria-selected": String(this.selected === n), class: of?.accused ? "accused" : ""},
      ...[n + 1, place(pairs[n].moving), place(pairs[n].fixed), of ? lengthText(Math.hypot(...of.residual), "um") : "",
        known(of?.distance, v => lengthText(v, "um")), known(of?.p, v => v.toPrecision(2))].map(text => tag("td", {}, String(text))));
    const button = tag("button", {type: "button", "aria-label": `delete pair ${n + 1}`}, "×");
    button.onclick = event => { event.stopPropagation(); this.remove(n); };
    row.append(tag("td", {}, button));
    row.onclick = () => this.select(n);
    return row;
  }
}

async function start() {
  const root = document.getElementById("explorer"), page = JSON.parse(document.getElementById("header").textContent);
  const planes = await Promise.all(page.images.map((image, n) => Promise.all(image.planes.map((back, k) => unpacked(`${n}-${k}`, back)))));
  globalThis.picker = new Picker(root, page, planes);
  globalThis.picker.draw();
  root.dataset.ready = Math.round(performance.now());
}
