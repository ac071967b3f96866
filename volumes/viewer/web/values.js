// Values as they were written: codes in planes of bytes, decoded as the header says.

class Values {
  constructor(header, planes) {
    this.header = header;
    this.planes = planes;
    this.count = header.components.length;
    this.colors = header.components.map(c => [1, 3, 5].map(i => parseInt(c.color.slice(i, i + 2), 16)));
    // a component that is zero everywhere has no code above 1, and no weight
    this.gain = header.components.map(c => (c.shown > 1 ? 1 / (c.shown - 1) : 0));
  }

  index([z, y, x]) {
    return (z * this.header.shape[1] + y) * this.header.shape[2] + x;
  }

  // a = bottom + top ((q - 1) / 254)^2, where q = 0 is no value
  value(k, i) {
    const {bottom, top} = this.header.components[k], code = this.planes[`a${k}`][i];
    if (code === 0) return NaN;
    const low = this.header.bits === 16 ? this.planes[`l${k}`][i] / 256 : 0;
    return bottom + top * ((code - 1 + low) / 254) ** 2;
  }

  error(k, i) {
    if (!this.header.errors) return NaN;
    const code = this.planes[`e${k}`][i], {errorLow, errorRatio} = this.header.components[k];
    if (code === 0) return 0;
    return code === 255 ? Infinity : code === 254 ? NaN : errorLow * errorRatio ** (code - 1);
  }

  covered(i) {
    for (let k = 0; k < this.count; k++) if (this.planes[`a${k}`][i] === 0) return false;
    return true;
  }

  // sum of a_k M_k, and the root of the sum of e_k^2 M_k^2: errors of components are taken as independent of each
  // other. Where M_k is 0 an error says nothing, even an infinite one.
  spectrum(i) {
    if (!this.header.signal || !this.covered(i)) return null;
    const n = this.header.signal.values.length, values = new Float64Array(n), errors = new Float64Array(n);
    for (let k = 0; k < this.count; k++) {
      const a = this.value(k, i), e = this.error(k, i), endmember = this.header.components[k].spectrum;
      for (let j = 0; j < n; j++) {
        values[j] += a * endmember[j];
        if (endmember[j] !== 0) errors[j] += (e * endmember[j]) ** 2;
      }
    }
    return {values, errors: this.header.errors ? errors.map(Math.sqrt) : null};
  }

  // how brightly a component is drawn, from 0 to 1: codes are square roots, so they are squared
  weight(k, i) {
    const share = (this.planes[`a${k}`][i] - 1) * this.gain[k];
    return share <= 0 ? 0 : Math.min(1, share) ** 2;
  }

  // Colours are mixed by share: their sum, divided by the total weight where that is above 1. Added up they would all
  // turn pale over grey, and white where three components meet.
  color(i, state, out, at) {
    const base = this.header.base.map(name => this.planes[name][i] * state.base);
    let total = 0, red = 0, green = 0, blue = 0;
    for (let k = 0; k < this.count; k++) {
      if (!state.on[k]) continue;
      const w = this.weight(k, i), [r, g, b] = this.colors[k];
      total += w; red += w * r; green += w * g; blue += w * b;
    }
    const through = 1 - Math.min(1, total), scale = 1 / Math.max(1, total);
    out[at] = red * scale + through * (base[0] ?? 0);
    out[at + 1] = green * scale + through * (base[1] ?? base[0] ?? 0);
    out[at + 2] = blue * scale + through * (base[2] ?? base[0] ?? 0);
    out[at + 3] = 255;
  }

  // position of a voxel in the dataset's own coordinates, and in its frame
  position(at) {
    return at.map((i, d) => this.header.origin[d] + i * this.header.step[d]);
  }

  inFrame(at) {
    return this.header.matrix && mapped(this.header.matrix, this.position(at));
  }

  toFrame(at) {
    return this.inFrame(at) ?? this.position(at);
  }

  // The voxel at a position of the frame, and how far off its plane a dataset without depth lies; null outside. The
  // voxels of a volume reach half a step beyond their centres; a plane is as thick as the header says.
  voxelAt(position) {
    const {origin, step, shape, inverse, flat, stretch} = this.header, own = inverse ? mapped(inverse, position) : position;
    const at = own.map((p, d) => Math.round((p - origin[d]) / step[d]));
    const off = flat ? Math.abs(own[0] - origin[0]) * stretch[0] : 0;
    if (flat) at[0] = 0;
    return at.every((i, d) => i >= 0 && i < shape[d]) ? {at, off} : null;
  }
}

// a matrix of four rows, read row by row, applied to (z, y, x, 1)
function mapped(m, p) {
  return [0, 1, 2].map(r => m[4 * r] * p[0] + m[4 * r + 1] * p[1] + m[4 * r + 2] * p[2] + m[4 * r + 3]);
}
