// The volume: textures, camera, and the voxel under a click.

const BLOCK = 8;
const TURNING = 120; // milliseconds that a picture may take while the volume turns

class VolumeView {
  constructor(values, state, overlays, go) {
    this.values = values;
    this.state = state;
    this.overlays = overlays;
    this.share = 0.5; // of the canvas that is drawn while it turns
    const {shape, step, stretch, yUp} = values.header;
    this.size = [shape[2], shape[1], shape[0]];
    const long = [0, 1, 2].map(d => shape[2 - d] * step[2 - d] * stretch[2 - d]), reach = Math.hypot(...long);
    this.span = long.map(length => length / reach);
    this.up = yUp ? 1 : -1; // z of the frame up the page where y is, else down it, as slices follow each other
    Object.assign(state, {yaw: 0.5 * this.up, pitch: 0.55, zoom: 1});
    this.canvas = tag("canvas", {class: "volume", tabindex: "0", role: "img", "aria-label": "volume; drag to turn, click to choose a voxel"});
    this.gl = this.canvas.getContext("webgl2", {antialias: false, preserveDrawingBuffer: true});
    this.sheet = overlays.length ? tag("canvas", {class: "sheet", "aria-hidden": "true"}) : null;
    if (this.gl) this.prepare();
    this.listen(go);
  }

  get element() {
    return this.gl ? tag("div", {class: "stack"}, this.canvas, ...(this.sheet ? [this.sheet] : [])) : tag("p", {class: "note"}, "This browser has no WebGL 2: slices and spectra work, the volume is not drawn.");
  }

  // ---- textures

  prepare() {
    const {gl, values} = this, {planes, count} = values;
    const program = gl.createProgram();
    for (const [type, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment(count)]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.uniform = name => gl.getUniformLocation(program, name);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1); // rows need not be multiples of 4 bytes
    this.texture(0, gl.RGBA8, gl.RGBA, this.size, this.interleaved(0), gl.LINEAR);
    this.texture(1, gl.RGBA8, gl.RGBA, this.size, this.interleaved(4), gl.LINEAR);
    this.base = planes.grey ?? this.luminance();
    this.texture(2, gl.R8, gl.RED, this.size, this.base, gl.LINEAR);
    this.blocks = this.size.map(n => Math.ceil(n / BLOCK));
    this.brightest = [this.base, ...Array.from({length: count}, (_, k) => planes[`a${k}`])].map(p => p && this.maxima(p));
    ["first", "second", "base", "occupied"].forEach((name, unit) => gl.uniform1i(this.uniform(name), unit));
  }

  texture(unit, inner, format, size, data, filter) {
    const {gl} = this;
    this.textures = this.textures ?? [];
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_3D, this.textures[unit] ??= gl.createTexture());
    const [nx, ny, nz] = data ? size : [1, 1, 1];
    gl.texImage3D(gl.TEXTURE_3D, 0, inner, nx, ny, nz, 0, format, gl.UNSIGNED_BYTE, data ?? new Uint8Array(4));
    for (const which of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_3D, which, filter);
    for (const axis of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) gl.texParameteri(gl.TEXTURE_3D, axis, gl.CLAMP_TO_EDGE);
  }

  interleaved(start) {
    const {planes, count} = this.values, voxels = this.size[0] * this.size[1] * this.size[2];
    if (start >= count) return null;
    const out = new Uint8Array(4 * voxels);
    for (let k = start; k < Math.min(start + 4, count); k++) {
      const plane = planes[`a${k}`];
      for (let i = 0, o = k - start; i < voxels; i++, o += 4) out[o] = plane[i];
    }
    return out;
  }

  luminance() {
    const {red, green, blue} = this.values.planes;
    return red ? red.map((r, i) => (r + green[i] + blue[i]) / 3) : null;
  }

  // the highest code of each block and of its neighbours' nearest voxels, which interpolation reaches
  maxima(plane) {
    const [nx, ny, nz] = this.size, [bx, by, bz] = this.blocks, out = new Uint8Array(bx * by * bz);
    const ends = (b, n) => [Math.max(0, b * BLOCK - 1), Math.min(n, (b + 1) * BLOCK + 1)];
    for (let z = 0, o = 0; z < bz; z++) for (let y = 0; y < by; y++) for (let x = 0; x < bx; x++, o++) {
      const [z0, z1] = ends(z, nz), [y0, y1] = ends(y, ny), [x0, x1] = ends(x, nx);
      let top = 0;
      for (let k = z0; k < z1; k++) for (let j = y0; j < y1; j++) for (let i = (k * ny + j) * nx + x0, e = i + x1 - x0; i < e; i++) {
        if (plane[i] > top) top = plane[i];
      }
      out[o] = top;
    }
    return out;
  }

  occupied() {
    const {gl, values, state} = this, [base, ...bands] = this.brightest, out = new Uint8Array(this.blocks[0] * this.blocks[1] * this.blocks[2]);
    if (base && state.base > 0) base.forEach((top, i) => { if (top > 0) out[i] = 255; });
    bands.forEach((band, k) => { if (state.on[k] && values.gain[k]) band.forEach((top, i) => { if (top > 1) out[i] = 255; }); });
    this.texture(3, gl.R8, gl.RED, this.blocks, out, gl.NEAREST);
  }

  // ---- camera

  // columns: right, up, towards the eye, in the volume's own axes x, y, z. The camera turns about the vertical of the
  // frame; the transpose of the pose's rotation takes its directions to the volume.
  turn() {
    const {yaw, pitch} = this.state, s = Math.sin(yaw), c = Math.cos(yaw), sp = Math.sin(pitch), cp = Math.cos(pitch);
    const right = [c, s, 0], flat = [this.up * s, -this.up * c, 0], vertical = [0, 0, this.up];
    const eye = flat.map((f, d) => cp * f + sp * vertical[d]), up = flat.map((f, d) => cp * vertical[d] - sp * f);
    const r = this.values.header.rotation;
    const own = v => (r ? [0, 1, 2].map(d => r[d] * v[0] + r[3 + d] * v[1] + r[6 + d] * v[2]) : v);
    return [right, up, eye].map(own);
  }

  view() {
    const half = 0.55 / this.state.zoom;
    return [half * this.canvas.clientWidth / this.canvas.clientHeight, half];
  }

  draw(fine = true) {
    const {gl, state, values} = this, started = performance.now();
    if (!gl) return;
    const share = fine ? 1 : this.share;
    this.canvas.width = Math.max(2, Math.round(this.canvas.clientWidth * share));
    this.canvas.height = Math.max(2, Math.round(this.canvas.clientHeight * share));
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    if (state.changed) this.occupied();
    state.changed = false;
    gl.uniformMatrix3fv(this.uniform("turn"), false, this.turn().flat());
    gl.uniform3fv(this.uniform("span"), this.span);
    gl.uniform3fv(this.uniform("size"), this.size);
    gl.uniform2fv(this.uniform("view"), this.view());
    gl.uniform3fv(this.uniform("rgb"), [...values.colors.flat().map(v => v / 255), ...Array(24).fill(0)].slice(0, 24));
    gl.uniform1fv(this.uniform("gain"), Array.from({length: 8}, (_, k) => (state.on[k] ? values.gain[k] : 0)));
    gl.uniform1f(this.uniform("structure"), this.base ? state.base : 0);
    gl.uniform1f(this.uniform("density"), state.density * 10);
    gl.uniform1f(this.uniform("steps"), (fine ? 1.5 : 0.7) * Math.max(...this.size));
    gl.uniform1i(this.uniform("mode"), state.mode);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    this.drawOverlays();
    this.measure(started, fine);
  }

  drawOverlays() {
    if (!this.sheet) return;
    this.sheet.width = this.canvas.clientWidth;
    this.sheet.height = this.canvas.clientHeight;
    const context = this.sheet.getContext("2d"), place = this.projection();
    this.overlays.forEach(overlay => overlay.drawInVolume(context, place));
  }

  // the way from a position in voxels (z, y, x) to the canvas
  projection() {
    const [vx, vy] = this.view(), [right, up] = this.turn(), {clientWidth, clientHeight} = this.canvas;
    return at => {
      const p = [0, 1, 2].map(d => ((at[2 - d] + 0.5) / this.size[d] - 0.5) * this.span[d]);
      const along = axis => axis[0] * p[0] + axis[1] * p[1] + axis[2] * p[2];
      return [(along(right) / vx + 1) / 2 * clientWidth, (1 - along(up) / vy) / 2 * clientHeight];
    };
  }

  // While it turns, as many pixels are drawn as the last picture had time for.
  measure(started, fine) {
    const {gl} = this, fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    const done = () => {
      if (gl.clientWaitSync(fence, 0, 0) === gl.TIMEOUT_EXPIRED) { setTimeout(done, 2); return; }
      this.spent = performance.now() - started;
      if (!fine) this.share = Math.min(1, Math.max(0.15, this.share * Math.sqrt(TURNING / Math.max(8, this.spent))));
      this.finished?.(fine);
    };
    setTimeout(done, 0);
  }

  coarse() {
    if (!this.waiting) { this.waiting = true; requestAnimationFrame(() => { this.waiting = false; this.draw(false); }); }
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.draw(true), 250);
  }

  // ---- pointer

  listen(go) {
    const {canvas, state} = this;
    let held = null;
    canvas.onpointerdown = event => { held = {x: event.clientX, y: event.clientY, moved: 0}; canvas.setPointerCapture(event.pointerId); };
    canvas.onpointermove = event => {
      if (!held) return;
      const dx = event.clientX - held.x, dy = event.clientY - held.y;
      held = {x: event.clientX, y: event.clientY, moved: held.moved + Math.abs(dx) + Math.abs(dy)};
      state.yaw -= this.up * 0.01 * dx;
      state.pitch = Math.min(1.57, Math.max(-1.57, state.pitch + 0.01 * dy));
      this.coarse();
    };
    canvas.onpointerup = event => {
      const box = canvas.getBoundingClientRect();
      if (held && held.moved < 4) { const at = this.picked(event.clientX - box.left, event.clientY - box.top); if (at) go(at); }
      held = null;
    };
    canvas.onwheel = event => { event.preventDefault(); state.zoom *= Math.exp(-0.001 * event.deltaY); this.coarse(); };
  }

  // The voxel that contributes most to a pixel: the sum of the shader, over the voxels themselves.
  picked(px, py) {
    const {values, state, size} = this, [vx, vy] = this.view(), [right, up, eye] = this.turn();
    const x = (2 * px / this.canvas.clientWidth - 1) * vx, y = (1 - 2 * py / this.canvas.clientHeight) * vy;
    const h = 1 / (2 * Math.max(...size));
    let open = 1, best = 0, found = null;
    for (let t = 1; t > -1 && open > 0.01; t -= h) {
      const p = [0, 1, 2].map(d => (right[d] * x + up[d] * y + eye[d] * t) / this.span[d] + 0.5);
      if (p.some(share => share < 0 || share >= 1)) continue;
      const at = [2, 1, 0].map(d => Math.floor(p[d] * size[d])), i = values.index(at);
      const alpha = 1 - Math.exp(-this.thickness(i) * state.density * 10 * h * 2);
      if (open * alpha > best) { best = open * alpha; found = at; }
      open *= 1 - alpha;
    }
    return found;
  }

  thickness(i) {
    const {values, state} = this;
    let total = this.base ? 6 * (this.base[i] / 255) ** 2 * state.base : 0;
    for (let k = 0; k < values.count; k++) if (state.on[k]) total += 14 * values.weight(k, i);
    return total;
  }
}
