// The page: controls, views and the readout, all of one state. Text reaches the page as text only.

function tag(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

class Explorer {
  constructor(root, values) {
    this.values = values;
    const {header} = values;
    this.state = {at: header.start.slice(), on: header.components.map(() => true), base: values.count ? 0.4 : 1, density: 1, mode: 0, changed: true};
    this.stale = true;
    this.slices = new Slices(values, this.state, at => this.go(at));
    this.volume = header.shape[0] > 1 ? new VolumeView(values, this.state, at => this.go(at)) : null;
    this.views = tag("div", {class: "views"}, ...(this.volume ? [this.volume.element] : []), this.slices.element);
    this.readout = tag("output", {class: "readout", "aria-live": "polite"});
    this.plotBox = tag("div", {class: "spectrum"});
    this.plot = header.signal ? new SpectrumPlot(this.plotBox, header) : null;
    root.append(this.heading(), this.legend(), this.controls(), this.views, this.readout, this.plotBox);
    root.addEventListener("keydown", event => this.key(event));
    addEventListener("resize", () => this.redraw());
  }

  heading() {
    const {title, about} = this.values.header;
    return tag("header", {}, tag("h1", {}, tag("bdi", {}, title)), tag("p", {class: "about"}, `${about.join(". ")}.`));
  }

  legend() {
    const {components} = this.values.header;
    this.buttons = components.map((component, k) => {
      const swatch = tag("span", {class: "swatch"});
      swatch.style.background = component.color;
      const button = tag("button", {type: "button", "aria-pressed": "true"}, swatch, `${k + 1} `, tag("bdi", {}, component.name));
      button.onclick = () => this.toggle(k);
      return button;
    });
    return tag("div", {class: "row", role: "group", "aria-label": "components"}, ...this.buttons);
  }

  controls() {
    const {header} = this.values, row = tag("div", {class: "row"});
    const slider = (name, key, max) => {
      const input = tag("input", {type: "range", min: 0, max, step: 0.05, value: this.state[key], "aria-label": name});
      input.oninput = () => { this.state[key] = +input.value; this.state.changed = true; this.redraw(); };
      row.append(tag("label", {}, name, input));
    };
    if (header.base.length) slider(`brightness of ${header.baseName}`, "base", 1);
    if (this.volume) {
      slider("density", "density", 3);
      const mode = tag("select", {"aria-label": "how the volume is drawn"}, tag("option", {value: 0}, "blended"), tag("option", {value: 1}, "maximum"));
      mode.onchange = () => { this.state.mode = +mode.value; this.redraw(); };
      row.append(mode);
    }
    if (header.signal) row.append(this.saving("spectrum as CSV", "spectrum.csv", () => new Blob([this.csv()], {type: "text/csv"})));
    return row;
  }

  saving(label, name, content) {
    const button = tag("button", {type: "button"}, label);
    button.onclick = () => {
      const link = tag("a", {download: name, href: URL.createObjectURL(content())});
      link.click();
      URL.revokeObjectURL(link.href);
    };
    return button;
  }

  csv() {
    const spectrum = this.spectrum(), {signal} = this.values.header;
    if (!spectrum) return "";
    const rows = Array.from(spectrum.values, (v, j) => [signal.values[j], v, spectrum.errors ? spectrum.errors[j] : ""].join(","));
    return [`"${signal.label.replaceAll('"', "'")}",value,standard error`, ...rows].join("\n");
  }

  // ---- what the user does

  toggle(k) {
    this.state.on[k] = !this.state.on[k];
    this.state.changed = true;
    this.buttons[k].setAttribute("aria-pressed", this.state.on[k]);
    this.redraw();
  }

  go(at) {
    const {shape} = this.values.header;
    this.state.at = at.map((i, d) => Math.min(shape[d] - 1, Math.max(0, i)));
    this.redraw(false);
  }

  key(event) {
    if (event.target.matches("input, select")) return;
    const down = this.values.header.yUp ? -1 : 1;
    const moves = {ArrowLeft: [2, -1], ArrowRight: [2, 1], ArrowUp: [1, -down], ArrowDown: [1, down], PageUp: [0, -1], PageDown: [0, 1]};
    const move = moves[event.key];
    if (move) {
      const at = this.state.at.slice();
      at[move[0]] += move[1] * (event.shiftKey ? 10 : 1);
      this.go(at);
      event.preventDefault();
    } else if (+event.key >= 1 && +event.key <= this.values.count) this.toggle(+event.key - 1);
  }

  // ---- what is shown

  spectrum() {
    return this.values.spectrum(this.values.index(this.state.at));
  }

  // drawn on demand: a picture of the volume may take a second without a graphics card
  redraw(volume = true) {
    this.stale = this.stale || volume;
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    const half = this.volume ? (this.views.clientWidth - 12) / 2 : this.views.clientWidth;
    this.slices.draw(half, 440);
    this.plot?.draw(this.spectrum());
    this.tell();
    if (this.stale) this.volume?.draw(true);
    this.stale = false;
  }

  tell() {
    const {values, state} = this, {header} = values, i = values.index(state.at), unit = header.unit === "um" ? "µm" : header.unit;
    const named = p => ["z", "y", "x"].map((dim, d) => `${dim} ${+p[d].toPrecision(6)}`).join(", ");
    const lines = [`${named(values.position(state.at))} ${unit}`, `voxel ${state.at.join(", ")}`];
    const placed = values.inFrame(state.at);
    if (placed) lines.push(`in frame ${header.frame}: ${named(placed)} µm`);
    const amounts = header.components.map((component, k) => {
      const value = values.value(k, i).toPrecision(4), error = header.errors ? ` ± ${values.error(k, i).toPrecision(2)}` : "";
      return tag("span", {class: "amount"}, tag("bdi", {}, component.name), ` ${value}${error} ${header.valueUnit}`);
    });
    if (header.base.length === 1) {
      const value = header.baseLow + values.planes.grey[i] / 255 * (header.baseHigh - header.baseLow);
      amounts.push(tag("span", {class: "amount"}, tag("bdi", {}, header.baseName), ` about ${value.toPrecision(3)}`));
    }
    const shown = values.count && !values.covered(i) ? ["no map covers this place"] : amounts;
    this.readout.replaceChildren(tag("span", {}, lines.join("  ·  ")), ...shown);
  }
}

async function start() {
  const root = document.getElementById("explorer");
  try {
    const header = JSON.parse(document.getElementById("header").textContent), planes = {};
    await Promise.all(Object.entries(header.planes).map(async ([name, back]) => { planes[name] = await unpacked(name, back); }));
    globalThis.conspectus = new Explorer(root, new Values(header, planes));
    globalThis.conspectus.draw();
    root.dataset.ready = Math.round(performance.now());
  } catch (error) {
    root.append(tag("p", {class: "note"}, `This page could not be drawn: ${error.message}`));
    throw error;
  }
}
