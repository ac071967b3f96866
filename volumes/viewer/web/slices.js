// Three linked planes through one voxel, all on one physical scale: y-z beside y-x, and z-x below it.

const PANELS = [{row: 1, column: 2, across: 0}, {row: 1, column: 0, across: 2}, {row: 0, column: 2, across: 1}];
const NAMES = ["z", "y", "x"];

class Slices {
  constructor(values, state, overlays, go) {
    this.values = values;
    this.state = state;
    this.overlays = overlays;
    this.flat = values.header.shape[0] === 1;
    this.panels = this.flat ? PANELS.slice(0, 1) : PANELS;
    this.canvases = this.panels.map(panel => this.canvas(panel, go));
    this.element = tag("div", {class: "slices"}, ...this.canvases);
  }

  canvas(panel, go) {
    const label = `plane of ${NAMES[panel.row]} and ${NAMES[panel.column]}; arrow keys move by a voxel`;
    const canvas = tag("canvas", {class: "slice", tabindex: "0", role: "img", "aria-label": label});
    let corner = null;
    canvas.onpointerdown = event => {
      const at = this.picked(canvas, panel, event);
      canvas.setPointerCapture(event.pointerId);
      corner = event.shiftKey ? at : null;
      if (corner) this.state.region = null;
      go(at);
    };
    canvas.onpointermove = event => {
      if (!event.buttons) return;
      const at = this.picked(canvas, panel, event);
      if (corner) this.state.region = this.box(panel, corner, at);
      go(at);
    };
    canvas.onwheel = event => {
      event.preventDefault();
      const at = this.state.at.slice();
      at[panel.across] += Math.sign(event.deltaY);
      go(at);
    };
    return canvas;
  }

  // the voxels between two corners of a plane, and all of what lies across it
  box(panel, from, to) {
    const {shape} = this.values.header;
    return shape.map((n, d) => (d === panel.across ? [0, n - 1] : [from[d], to[d]].map(i => Math.min(n - 1, Math.max(0, i))).sort((a, b) => a - b)));
  }

  // y runs down as rows do, unless the frame has it upwards
  upwards(panel) {
    return panel.row === 1 && this.values.header.yUp;
  }

  picked(canvas, panel, event) {
    const {shape} = this.values.header, box = canvas.getBoundingClientRect(), at = this.state.at.slice();
    const row = Math.floor((event.clientY - box.top) / box.height * shape[panel.row]);
    at[panel.row] = this.upwards(panel) ? shape[panel.row] - 1 - row : row;
    at[panel.column] = Math.floor((event.clientX - box.left) / box.width * shape[panel.column]);
    return at;
  }

  // pixels of the screen per unit of length, so that all panels fit into the room there is
  scale(width, height) {
    const {shape, step, stretch} = this.values.header;
    const long = shape.map((n, d) => n * step[d] * stretch[d]);
    const wide = long[2] + (this.flat ? 0 : long[0]), high = long[1] + (this.flat ? 0 : long[0]);
    return {long, scale: Math.min((width - 10) / wide, (height - 10) / high)};
  }

  draw(width, height) {
    const {long, scale} = this.scale(width, height);
    this.element.style.gridTemplateColumns = this.flat ? "auto" : `${scale * long[2]}px ${scale * long[0]}px`;
    this.panels.forEach((panel, n) => this.drawPanel(this.canvases[n], panel, scale * long[panel.column], scale * long[panel.row]));
  }

  drawPanel(canvas, panel, width, height) {
    const {shape} = this.values.header, rows = shape[panel.row], columns = shape[panel.column];
    canvas.width = Math.max(1, Math.round(width));
    canvas.height = Math.max(1, Math.round(height));
    canvas.style.width = `${canvas.width}px`;
    canvas.style.height = `${canvas.height}px`;
    const image = new ImageData(columns, rows), at = this.state.at.slice(), upwards = this.upwards(panel);
    for (let r = 0; r < rows; r++) {
      at[panel.row] = upwards ? rows - 1 - r : r;
      for (let c = 0; c < columns; c++) {
        at[panel.column] = c;
        this.values.color(this.values.index(at), this.state, image.data, 4 * (r * columns + c));
      }
    }
    const voxels = new OffscreenCanvas(columns, rows), context = canvas.getContext("2d");
    voxels.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(voxels, 0, 0, canvas.width, canvas.height);
    const place = at => [
      (at[panel.column] + 0.5) / columns * canvas.width,
      (upwards ? rows - 0.5 - at[panel.row] : at[panel.row] + 0.5) / rows * canvas.height,
    ];
    this.overlays.forEach(overlay => overlay.drawInPlane(context, panel, this.state.at[panel.across], this.flat, place));
    if (this.state.region) this.outline(context, place);
    this.cross(context, canvas, place(this.state.at));
    if (panel === PANELS[0]) this.bar(context, canvas.width / (columns * this.values.header.step[panel.column]), canvas);
  }

  outline(context, place) {
    const [low, high] = [0, 1].map(end => place(this.state.region.map(ends => ends[end] + (end ? 0.5 : -0.5))));
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1.5;
    context.strokeRect(low[0], low[1], high[0] - low[0], high[1] - low[1]);
  }

  cross(context, canvas, [x, y]) {
    context.fillStyle = "rgba(255, 255, 255, 0.6)";
    for (const [left, top, w, h] of [[0, y, x - 8, 1], [x + 8, y, canvas.width, 1], [x, 0, 1, y - 8], [x, y + 8, 1, canvas.height]]) {
      if (w > 0 && h > 0) context.fillRect(Math.round(left - (w === 1 ? 0.5 : 0)), Math.round(top - (h === 1 ? 0.5 : 0)), w, h);
    }
  }

  bar(context, perUnit, canvas) {
    const longest = 0.3 * canvas.width / perUnit, power = 10 ** Math.floor(Math.log10(longest));
    const length = [5, 2, 1].map(f => f * power).find(f => f <= longest * (1 + 1e-9));
    const x = 10, y = canvas.height - 12, text = lengthText(length, this.values.header.unit);
    context.font = "13px system-ui, sans-serif";
    context.lineWidth = 3;
    context.strokeStyle = "#0e1116";
    context.fillStyle = "#e8eaed";
    context.strokeRect(x, y, length * perUnit, 4);
    context.strokeText(text, x, y - 5);
    context.fillRect(x, y, length * perUnit, 4);
    context.fillText(text, x, y - 5);
  }
}
