// Points and surfaces over the modalities of their frame: drawn in slices where they lie in the plane, and in the
// volume without being hidden by it.

const RADIUS = 3;
const MESH = 8; // of a surface, every eighth row and column is drawn in the volume

class Overlay {
  // vertices as positions of the frame become positions in voxels, (z, y, x) one after the other
  constructor(values, header, vertices) {
    const {origin, step, inverse} = values.header;
    this.header = header;
    this.shown = true;
    this.at = new Float64Array(vertices.length);
    for (let i = 0; i < vertices.length; i += 3) {
      const p = [0, 1, 2].map(d => vertices[i + d] + header.origin[d]), own = inverse ? mapped(inverse, p) : p;
      for (let d = 0; d < 3; d++) this.at[i + d] = (own[d] - origin[d]) / step[d];
    }
  }

  // ---- in a plane: `place` takes a position in voxels to the screen

  drawInPlane(context, panel, index, flat, place) {
    if (!this.shown) return;
    context.strokeStyle = context.fillStyle = this.header.color;
    if (this.header.kind === "points") this.dots(context, place, i => flat || Math.abs(this.at[i + panel.across] - index) <= 0.5);
    else if (!flat) this.cut(context, panel.across, index, place);
  }

  dots(context, place, seen) {
    for (let i = 0; i < this.at.length; i += 3) {
      if (!seen(i)) continue;
      const [x, y] = place(this.at.subarray(i, i + 3));
      context.beginPath();
      context.arc(x, y, RADIUS, 0, 2 * Math.PI);
      context.fill();
    }
  }

  // Where a surface meets a plane: each cell of its grid is two triangles, and a triangle meets the plane in a line
  // between the two edges whose ends lie on different sides. Comparisons with NaN are false: holes draw nothing.
  cut(context, across, index, place) {
    context.lineWidth = 1.5;
    context.beginPath();
    this.triangles((a, b, c) => {
      const ends = [[a, b], [b, c], [c, a]].filter(([p, q]) => (p[across] - index) * (q[across] - index) < 0);
      if (ends.length !== 2 || [a, b, c].some(p => Number.isNaN(p[across]))) return;
      const [from, to] = ends.map(([p, q]) => {
        const share = (index - p[across]) / (q[across] - p[across]);
        return place([0, 1, 2].map(d => p[d] + share * (q[d] - p[d])));
      });
      context.moveTo(...from);
      context.lineTo(...to);
    });
    context.stroke();
  }

  triangles(draw) {
    const [rows, columns] = this.header.shape, vertex = (r, c) => this.at.subarray(3 * (r * columns + c), 3 * (r * columns + c) + 3);
    for (let r = 0; r + 1 < rows; r++) for (let c = 0; c + 1 < columns; c++) {
      draw(vertex(r, c), vertex(r, c + 1), vertex(r + 1, c));
      draw(vertex(r + 1, c + 1), vertex(r, c + 1), vertex(r + 1, c));
    }
  }

  // ---- in the volume

  drawInVolume(context, place) {
    if (!this.shown) return;
    context.strokeStyle = context.fillStyle = this.header.color;
    context.globalAlpha = 0.7;
    if (this.header.kind === "points") this.dots(context, place, () => true);
    else this.mesh(context, place);
    context.globalAlpha = 1;
  }

  mesh(context, place) {
    const [rows, columns] = this.header.shape;
    context.lineWidth = 0.7;
    context.beginPath();
    const line = (count, vertex) => {
      let drawing = false;
      for (let i = 0; i < count; i++) {
        const [x, y] = place(vertex(i));
        if (Number.isNaN(x)) drawing = false;
        else { context[drawing ? "lineTo" : "moveTo"](x, y); drawing = true; }
      }
    };
    const vertex = (r, c) => this.at.subarray(3 * (r * columns + c), 3 * (r * columns + c) + 3);
    for (let r = 0; r < rows; r += MESH) line(columns, c => vertex(r, c));
    for (let c = 0; c < columns; c += MESH) line(rows, r => vertex(r, c));
    context.stroke();
  }
}
