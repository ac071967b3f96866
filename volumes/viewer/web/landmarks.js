// The transform that pairs of landmarks say, its error anywhere, and the pair that disagrees. Positions are [y, x] in
// um. The same as fusion.register_landmarks within a plane, for pairs of equal, unknown error.

const LEAST = {rigid: 2, similarity: 2, affine: 3};
const ACCUSED = 0.002; // probability that any pair of a right set is accused

// Least squares in closed form (Umeyama, IEEE Trans. Pattern Anal. 13, 376, 1991), about the centroids.
function closedForm(pairs, model) {
  const mean = side => [0, 1].map(d => pairs.reduce((sum, pair) => sum + pair[side][d], 0) / pairs.length);
  const from = mean("moving"), to = mean("fixed");
  const p = pairs.map(pair => [0, 1].map(d => pair.moving[d] - from[d])), q = pairs.map(pair => [0, 1].map(d => pair.fixed[d] - to[d]));
  const sum = of => p.reduce((total, _, i) => total + of(p[i], q[i]), 0);
  const square = sum(a => a[0] ** 2 + a[1] ** 2);
  if (model === "affine") {
    const moments = [0, 1].map(i => [0, 1].map(j => sum(a => a[i] * a[j])));
    const rows = [0, 1].map(i => solved(moments, [0, 1].map(j => sum((a, b) => b[i] * a[j]))));
    return {matrix: rows, from, to};
  }
  const dot = sum((a, b) => a[0] * b[0] + a[1] * b[1]), cross = sum((a, b) => a[0] * b[1] - a[1] * b[0]);
  const scale = model === "rigid" ? 1 : Math.hypot(dot, cross) / square, turn = Math.atan2(cross, dot);
  const c = scale * Math.cos(turn), s = scale * Math.sin(turn);
  return {matrix: [[c, -s], [s, c]], from, to};
}

// Gaussian elimination with pivots
function solved(matrix, right) {
  const n = right.length, rows = matrix.map((row, i) => [...row, right[i]]);
  for (let k = 0; k < n; k++) {
    const pivot = rows.slice(k).reduce((best, row, i) => (Math.abs(row[k]) > Math.abs(rows[best][k]) ? i + k : best), k);
    [rows[k], rows[pivot]] = [rows[pivot], rows[k]];
    for (let i = k + 1; i < n; i++) {
      const share = rows[i][k] / rows[k][k];
      for (let j = k; j <= n; j++) rows[i][j] -= share * rows[k][j];
    }
  }
  for (let k = n - 1; k >= 0; k--) {
    for (let j = k + 1; j < n; j++) rows[k][n] -= rows[k][j] * rows[j][n];
    rows[k][n] /= rows[k][k];
  }
  return rows.map(row => row[n]);
}

// How the mapped position changes with each parameter of the model: two shifts, then a turn, a stretch, or the four
// entries of an affine matrix. Columns of [dy, dx].
function design([y, x], {matrix}, model) {
  const shifts = [[1, 0], [0, 1]];
  if (model === "affine") return [...shifts, [y, 0], [x, 0], [0, y], [0, x]];
  const along = matrix.map(([a, b]) => a * y + b * x), turned = [-along[1], along[0]];
  return model === "rigid" ? [...shifts, turned] : [...shifts, turned, along];
}

class Fit {
  constructor(pairs, model) {
    this.model = model;
    Object.assign(this, closedForm(pairs, model));
    this.designs = pairs.map(pair => this.columns(pair.moving));
    const count = this.designs[0].length, indices = [...Array(count).keys()];
    this.normal = indices.map(i => indices.map(j => this.designs.reduce((sum, c) => sum + c[i][0] * c[j][0] + c[i][1] * c[j][1], 0)));
    this.dof = 2 * pairs.length - count;
    this.residuals = pairs.map(pair => this.map(pair.moving).map((at, d) => pair.fixed[d] - at));
    this.squares = this.residuals.reduce((sum, [y, x]) => sum + y * y + x * x, 0);
    this.variance = this.dof > 0 ? this.squares / this.dof : NaN;
    this.pairs = this.residuals.map((residual, i) => this.compared(residual, this.designs[i], pairs.length));
  }

  columns(at) {
    return design(at.map((v, d) => v - this.from[d]), this, this.model);
  }

  map([y, x]) {
    return this.matrix.map(([a, b], d) => this.to[d] + a * (y - this.from[0]) + b * (x - this.from[1]));
  }

  back(at) {
    const [dy, dx] = solved(this.matrix, at.map((v, d) => v - this.to[d]));
    return [this.from[0] + dy, this.from[1] + dx];
  }

  // D N^-1 D', of a position with the columns D, where the variance of the pairs is 1
  spread(columns) {
    const solvedFor = [0, 1].map(d => solved(this.normal, columns.map(c => c[d])));
    return [0, 1].map(i => [0, 1].map(j => columns.reduce((sum, c, k) => sum + c[i] * solvedFor[j][k], 0)));
  }

  // root mean square distance between where a position lands and where it belongs
  error(at) {
    const s = this.spread(this.columns(at));
    return Math.sqrt(this.variance * (s[0][0] + s[1][1]));
  }

  // How far a pair lies from where the others place it, and the probability of more by chance. With the block H of
  // the hat matrix the deleted residual is (I - H)^-1 e, T = e' (I - H)^-1 e, and (T / 2) / ((Q - T) / (dof - 2)) is
  // F(2, dof - 2), whose upper tail has a closed form (Cook and Weisberg, Residuals and Influence in Regression, 1982).
  compared(residual, columns, count) {
    const h = this.spread(columns), rest = [[1 - h[0][0], -h[0][1]], [-h[1][0], 1 - h[1][1]]];
    const free = this.dof - 2, determinant = rest[0][0] * rest[1][1] - rest[0][1] * rest[1][0];
    if (determinant < 1e-6) return {residual, distance: NaN, p: NaN, accused: false};
    const deleted = solved(rest, residual), t = residual[0] * deleted[0] + residual[1] * deleted[1];
    const p = free > 0 ? (1 + t / Math.max(this.squares - t, 1e-30)) ** (-free / 2) : NaN;
    return {residual, distance: Math.hypot(...deleted), p, accused: p < ACCUSED / count};
  }
}

function fitted(pairs, model) {
  if (pairs.length < LEAST[model]) return null;
  const fit = new Fit(pairs, model);
  return fit.matrix.flat().every(Number.isFinite) ? fit : null;
}
