// One modality: controls, views and the readout, all of one state.

class Explorer {
  constructor(values, overlays, moved) {
    this.values = values;
    this.overlays = overlays;
    this.moved = moved;
    const {header} = values;
    this.state = {at: header.start.slice(), on: header.components.map(() => true), base: values.count ? 0.4 : 1, density: 1, mode: 0, region: null, changed: true};
    this.stale = true;
    this.slices = new Slices(values, this.state, overlays, at => this.go(at));
    this.volume = header.shape[0] > 1 ? new VolumeView(values, this.state, overlays, at => this.go(at)) : null;
    this.views = tag("div", {class: "views"}, ...(this.volume ? [this.volume.element] : []), this.slices.element);
    this.readout = tag("output", {class: "readout", "aria-live": "polite"});
    this.plotBox = tag("div", {class: "spectrum"});
    this.plot = header.signal ? new SpectrumPlot(this.plotBox, header) : null;
    this.element = tag("div", {}, this.heading(), this.legend(), this.controls(), this.views, this.readout, this.plotBox);
    this.element.addEventListener("keydown", event => this.key(event));
  }

  heading() {
    const {title, about} = this.values.header;
    return tag("header", {}, tag("h1", {}, tag("bdi", {}, title)), tag("p", {class: "about"}, `${about.join(". ")}.`));
  }

  legend() {
    const {components} = this.values.header;
    this.buttons = components.map((component, k) => this.button(component, `${k + 1} `, () => this.toggle(k)));
    const over = this.overlays.map(overlay => {
      const button = this.button(overlay.header, "", () => {
        overlay.shown = !overlay.shown;
        button.setAttribute("aria-pressed", overlay.shown);
        this.redraw();
      });
      return button;
    });
    return tag("div", {class: "row", role: "group", "aria-label": "components"}, ...this.buttons, ...over);
  }

  button({color, name}, key, press) {
    const swatch = tag("span", {class: "swatch"});
    swatch.style.background = color;
    const button = tag("button", {type: "button", "aria-pressed": "true"}, swatch, key, tag("bdi", {}, name));
    button.onclick = press;
    return button;
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
    if (header.signal) row.append(saving("spectrum as CSV", "spectrum.csv", () => new Blob([this.csv()], {type: "text/csv"})));
    return row;
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
    const {values, state} = this, {header} = values, unit = header.unit === "um" ? "µm" : header.unit;
    const named = p => ["z", "y", "x"].map((dim, d) => `${dim} ${+p[d].toPrecision(6)}`).join(", ");
    const lines = [`${named(values.position(state.at))} ${unit}`, `voxel ${state.at.join(", ")}`];
    const placed = values.inFrame(state.at);
    if (state.region) lines.push(`region of ${state.region.map(([low, high]) => high - low + 1).join(" × ")} voxels`);
    if (placed) lines.push(`in frame ${header.frame}: ${named(placed)} µm`);
    this.readout.replaceChildren(tag("span", {}, lines.join("  ·  ")), ...amounts(values, state.at));
    this.moved(state.at);
  }
}

// how much of each component a voxel has, and how bright it is
function amounts(values, at) {
  const {header} = values, i = values.index(at);
  if (values.count && !values.covered(i)) return ["no map covers this place"];
  const found = header.components.map((component, k) => {
    const value = values.value(k, i).toPrecision(4), error = header.errors ? ` ± ${values.error(k, i).toPrecision(2)}` : "";
    return tag("span", {class: "amount"}, tag("bdi", {}, component.name), ` ${value}${error} ${header.valueUnit}`);
  });
  if (header.base.length === 1) {
    const value = header.baseLow + values.planes.grey[i] / 255 * (header.baseHigh - header.baseLow);
    found.push(tag("span", {class: "amount"}, tag("bdi", {}, header.baseName), ` about ${value.toPrecision(3)} ${header.baseUnit === "1" ? "" : header.baseUnit}`));
  }
  return found;
}
