// One of two images in which landmarks are picked: it can be moved and enlarged, and shows marks where they are.

const NEAR = 10; // pixels of the screen within which a mark is taken hold of

class Picture {
  constructor(header, planes, side, owner) {
    Object.assign(this, {header, side, owner});
    const {shape, step, origin} = header;
    this.canvas = tag("canvas", {class: "picked", tabindex: "0", role: "img", "aria-label": `${header.name}: click to set a landmark, drag to move one`});
    this.voxels = new OffscreenCanvas(shape[1], shape[0]);
    const image = new ImageData(shape[1], shape[0]), [red, green, blue] = planes.length === 3 ? planes : [planes[0], planes[0], planes[0]];
    for (let i = 0; i < red.length; i++) image.data.set([red[i], green[i], blue[i], 255], 4 * i);
    this.voxels.getContext("2d").putImageData(image, 0, 0);
    this.up = header.yUp ? -1 : 1;
    this.low = origin.map((o, d) => o - step[d] / 2);
    this.size = shape.map((n, d) => n * step[d]);
    this.middle = this.low.map((low, d) => low + this.size[d] / 2);
    this.zoom = 1;
    this.listen();
  }

  get scale() {
    const {clientWidth, clientHeight} = this.canvas;
    return this.zoom * Math.min(clientWidth / this.size[1], clientHeight / this.size[0]);
  }

  toScreen([y, x]) {
    const {clientWidth, clientHeight} = this.canvas;
    return [clientWidth / 2 + (x - this.middle[1]) * this.scale, clientHeight / 2 + this.up * (y - this.middle[0]) * this.scale];
  }

  toPlace([px, py]) {
    const {clientWidth, clientHeight} = this.canvas;
    return [this.middle[0] + this.up * (py - clientHeight / 2) / this.scale, this.middle[1] + (px - clientWidth / 2) / this.scale];
  }

  inside(at) {
    return at.every((v, d) => v >= this.low[d] && v <= this.low[d] + this.size[d]);
  }

  // ---- pointer

  listen() {
    const {canvas, owner, side} = this, where = event => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let held = null;
    canvas.onpointerdown = event => {
      const at = where(event);
      held = {at, moved: 0, mark: this.markAt(at), middle: this.middle};
      if (held.mark !== null) owner.select(held.mark);
      canvas.setPointerCapture(event.pointerId);
    };
    canvas.onpointermove = event => {
      const at = where(event);
      if (!held) { owner.hover(side, this.toPlace(at)); return; }
      held.moved = Math.max(held.moved, Math.hypot(at[0] - held.at[0], at[1] - held.at[1]));
      if (held.moved < 3) return;
      if (held.mark !== null) owner.drag(held.mark, side, this.toPlace(at));
      else {
        this.middle = [held.middle[0] - this.up * (at[1] - held.at[1]) / this.scale, held.middle[1] - (at[0] - held.at[0]) / this.scale];
        owner.redraw();
      }
    };
    canvas.onpointerup = event => {
      const place = this.toPlace(where(event));
      if (held && held.moved < 3 && held.mark === null && this.inside(place)) owner.add(side, place);
      held = null;
    };
    canvas.onpointerleave = () => owner.hover(side, null);
    canvas.onwheel = event => { event.preventDefault(); this.enlarge(where(event), Math.exp(-0.002 * event.deltaY)); };
  }

  // what lies under the pointer stays there
  enlarge(at, factor) {
    const before = this.toPlace(at);
    this.zoom = Math.min(200, Math.max(0.5, this.zoom * factor));
    const after = this.toPlace(at);
    this.middle = this.middle.map((v, d) => v + before[d] - after[d]);
    this.owner.redraw();
  }

  markAt(at) {
    let best = null, nearest = NEAR;
    this.owner.pairs.forEach((pair, n) => {
      const [x, y] = this.toScreen(pair[this.side]), away = Math.hypot(x - at[0], y - at[1]);
      if (away <= nearest) { best = n; nearest = away; }
    });
    return best;
  }

  // ---- drawing

  draw() {
    const {canvas, owner, side} = this, context = canvas.getContext("2d");
    canvas.width = canvas.clientWidth;
    canvas.height = canvas.clientHeight;
    context.imageSmoothingEnabled = false;
    const [left, top] = this.toScreen([this.low[0], this.low[1]]), s = this.scale;
    context.save();
    context.translate(left, top);
    context.scale(1, this.up);
    context.drawImage(this.voxels, 0, 0, this.size[1] * s, this.size[0] * s);
    context.restore();
    if (side === "moving" && owner.fieldShown) this.field(context);
    owner.pairs.forEach((pair, n) => this.mark(context, pair[side], `${n + 1}`, owner.colorOf(n), owner.selected === n));
    if (owner.pending?.side === side) this.mark(context, owner.pending.at, "?", "#e8eaed", true);
    this.arrows(context);
    this.linked(context);
  }

  mark(context, at, label, color, selected) {
    const [x, y] = this.toScreen(at), reach = selected ? 9 : 7;
    for (const [width, shade] of [[4, "#0e1116"], [selected ? 2.5 : 1.5, color]]) {
      context.lineWidth = width;
      context.strokeStyle = shade;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [0, 1]]) { context.moveTo(x - reach * dx, y - reach * dy); context.lineTo(x + reach * dx, y + reach * dy); }
      context.stroke();
    }
    context.font = "13px system-ui, sans-serif";
    context.lineWidth = 3;
    context.strokeStyle = "#0e1116";
    context.fillStyle = color;
    context.strokeText(label, x + 8, y - 8);
    context.fillText(label, x + 8, y - 8);
  }

  // residuals in the fixed image, from where a landmark is mapped to where it was set, ten times as long
  arrows(context) {
    const {fit, pairs} = this.owner;
    if (!fit || this.side !== "fixed") return;
    context.lineWidth = 1.5;
    pairs.forEach((pair, n) => {
      const {residual} = fit.pairs[n], [x, y] = this.toScreen(pair.fixed), far = this.toScreen(pair.fixed.map((v, d) => v - 10 * residual[d]));
      context.strokeStyle = this.owner.colorOf(n);
      context.beginPath();
      context.moveTo(...far);
      context.lineTo(x, y);
      context.stroke();
    });
  }

  // where the pointer is in the other image, with the circle of the error expected there
  linked(context) {
    const {hovered, fit} = this.owner;
    if (!fit || !hovered || hovered.side === this.side) return;
    const at = this.side === "fixed" ? fit.map(hovered.at) : fit.back(hovered.at), [x, y] = this.toScreen(at);
    const error = fit.error(this.side === "fixed" ? hovered.at : at) * this.scale;
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x - 6, y); context.lineTo(x + 6, y); context.moveTo(x, y - 6); context.lineTo(x, y + 6);
    if (Number.isFinite(error)) { context.moveTo(x + error, y); context.arc(x, y, error, 0, 2 * Math.PI); }
    context.stroke();
  }

  // the expected error over the image, from clear where it is least to red at four times that
  field(context) {
    const {fit} = this.owner, cell = 12;
    if (!fit || !(fit.variance > 0)) return;
    const least = Math.sqrt(2 * fit.variance / fit.pairs.length);
    for (let py = 0; py < this.canvas.height; py += cell) for (let px = 0; px < this.canvas.width; px += cell) {
      const at = this.toPlace([px + cell / 2, py + cell / 2]);
      if (!this.inside(at)) continue;
      context.fillStyle = `rgba(213, 94, 0, ${Math.min(0.75, Math.max(0, (fit.error(at) / least - 1) / 4))})`;
      context.fillRect(px, py, cell, cell);
    }
  }
}
