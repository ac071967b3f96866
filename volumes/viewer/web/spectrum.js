// The spectrum as SVG: axes with round ticks, the line, its band of one standard error, and the names of peaks.

const MARGIN = {left: 70, right: 14, top: 34, bottom: 42};

function ticks(low, high, most) {
  const power = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = [1, 2, 5, 10].map(f => f * power).find(s => (high - low) / s <= most);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(+(i * step).toPrecision(12));
  return found;
}

class SpectrumPlot {
  constructor(box, header) {
    this.box = box;
    this.header = header;
    this.height = 250;
  }

  draw(spectrum) {
    const {signal} = this.header, width = Math.max(300, this.box.clientWidth || 800);
    const root = svg("svg", {width, height: this.height, role: "img", "aria-label": this.words(spectrum)});
    this.box.replaceChildren(root);
    if (!spectrum) {
      root.append(svg("text", {x: width / 2, y: this.height / 2, class: "none"}, "no map covers this place"));
      return;
    }
    const x = this.scale(signal.values[0], signal.values.at(-1), MARGIN.left, width - MARGIN.right);
    const [low, high] = this.range(spectrum);
    const y = this.scale(low, high, this.height - MARGIN.bottom, MARGIN.top);
    this.axes(root, x, y, width);
    if (spectrum.errors) root.append(svg("path", {class: "band", d: this.band(spectrum, x, y)}));
    root.append(svg("path", {class: "line", d: this.line(spectrum.values, x, y)}));
    this.peaks(root, x);
  }

  scale(low, high, from, to) {
    const span = high - low || 1;
    return Object.assign(value => from + (value - low) / span * (to - from), {low, high});
  }

  range({values, errors}) {
    let low = 0, high = 0;
    values.forEach((v, j) => {
      const e = errors && Number.isFinite(errors[j]) ? errors[j] : 0;
      low = Math.min(low, v - e); high = Math.max(high, v + e);
    });
    return [low, high > low ? high + 0.05 * (high - low) : low + 1];
  }

  line(values, x, y) {
    const {signal} = this.header;
    return Array.from(values, (v, j) => `${j ? "L" : "M"}${x(signal.values[j]).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  }

  // there and back again, in stretches where the error is known and finite
  band({values, errors}, x, y) {
    const {signal} = this.header, pieces = [];
    let piece = [];
    const close = () => { if (piece.length > 1) pieces.push(piece); piece = []; };
    values.forEach((v, j) => { if (Number.isFinite(errors[j])) piece.push(j); else close(); });
    close();
    const point = (j, sign) => `${x(signal.values[j]).toFixed(1)} ${y(values[j] + sign * errors[j]).toFixed(1)}`;
    return pieces.map(p => `M${[...p.map(j => point(j, 1)), ...p.reverse().map(j => point(j, -1))].join("L")}Z`).join("");
  }

  axes(root, x, y, width) {
    const bottom = this.height - MARGIN.bottom;
    for (const at of ticks(x.low, x.high, width / 90)) {
      root.append(svg("path", {class: "grid", d: `M${x(at)} ${MARGIN.top}V${bottom}`}),
        svg("text", {class: "tick", x: x(at), y: bottom + 16, "text-anchor": "middle"}, String(at)));
    }
    for (const at of ticks(y.low, y.high, 5)) {
      root.append(svg("path", {class: "grid", d: `M${MARGIN.left} ${y(at)}H${width - MARGIN.right}`}),
        svg("text", {class: "tick", x: MARGIN.left - 6, y: y(at) + 4, "text-anchor": "end"}, String(at)));
    }
    root.append(svg("text", {class: "label", x: (MARGIN.left + width) / 2, y: this.height - 6}, this.header.signal.label),
      svg("text", {class: "label", transform: `translate(14 ${this.height / 2}) rotate(-90)`}, this.header.valueUnit));
  }

  peaks(root, x) {
    for (const [name, at] of this.header.signal.peaks) {
      if (at < x.low || at > x.high) continue;
      root.append(svg("path", {class: "peak", d: `M${x(at)} ${MARGIN.top - 6}V${this.height - MARGIN.bottom}`}),
        svg("text", {class: "name", x: x(at), y: MARGIN.top - 10, "text-anchor": "middle"}, name));
    }
  }

  // the same in words, for readers of the screen: the highest channel
  words(spectrum) {
    if (!spectrum) return "no map covers this place";
    const best = spectrum.values.reduce((top, v, j) => (v > spectrum.values[top] ? j : top), 0);
    return `spectrum; highest value ${spectrum.values[best].toPrecision(3)} at ${this.header.signal.values[best]}`;
  }
}
