// The volume is drawn by one triangle that fills the canvas: each of its pixels follows a ray through the box.

const VERTEX = `#version 300 es
out vec2 at;
void main() {
  at = vec2[3](vec2(-1, -1), vec2(3, -1), vec2(-1, 3))[gl_VertexID];
  gl_Position = vec4(at, 0, 1);
}`;

// Parallel rays, lengths in units of the box's diagonal. Along a ray the light of each step is added with the weight
// that what lies before it lets through (emission and absorption; Max, IEEE Trans. Vis. Comput. Graph. 1, 99, 1995):
// alpha = 1 - exp(-density h), C += open alpha c, open *= 1 - alpha. The step h drops out as it becomes small, so that
// coarse and fine pictures agree. Codes are square roots of values, hence q * q. Blocks of 8 voxels in which nothing is
// drawn are crossed in one step.
function fragment(count) {
  const second = count > 4 ? "v = texture(second, p); w[4] = v.r; w[5] = v.g; w[6] = v.b; w[7] = v.a;" : "";
  return `#version 300 es
precision highp float; precision highp sampler3D;
in vec2 at;
out vec4 color;
uniform sampler3D first, second, base, occupied;
uniform mat3 turn;
uniform vec3 span, size;
uniform vec2 view;
uniform vec3 rgb[8];
uniform float gain[8];
uniform float structure, density, steps;
uniform int mode;
const vec3 back = vec3(0.055, 0.067, 0.086);

float crossing(vec3 p, vec3 along) {
  vec3 block = p * size / 8.0;
  vec3 rate = along / span * size / 8.0;
  vec3 edge = floor(block) + step(0.0, rate);
  vec3 t = (edge - block) / rate;
  return min(min(t.x, t.y), t.z);
}

void main() {
  vec3 from = turn * vec3(at * view, 2.0), along = turn * vec3(0, 0, -1);
  along += vec3(1e-7) * (1.0 - step(1e-7, abs(along)));
  vec3 a = (-span * 0.5 - from) / along, b = (span * 0.5 - from) / along, low = min(a, b), high = max(a, b);
  float near = max(max(low.x, low.y), low.z), far = min(min(high.x, high.y), high.z);
  if (near >= far) { color = vec4(back, 1); return; }
  float h = min(1.0 / steps, (far - near) / 4.0); // a ray through an edge of the box has four steps as well
  float noise = fract(sin(dot(gl_FragCoord.xy, vec2(12.9898, 78.233))) * 43758.5453);
  vec3 sum = vec3(0);
  float open = 1.0, topBase = 0.0, top[8];
  for (int k = 0; k < 8; k++) top[k] = 0.0;
  for (float t = near + h * noise; t < far && open > 0.01; t += h) {
    vec3 p = (from + along * t) / span + 0.5;
    if (texelFetch(occupied, min(ivec3(p * size / 8.0), textureSize(occupied, 0) - 1), 0).r == 0.0) {
      t += max(0.0, ceil(crossing(p, along) / h) - 1.0) * h;
      continue;
    }
    float w[8];
    vec4 v = texture(first, p); w[0] = v.r; w[1] = v.g; w[2] = v.b; w[3] = v.a;
    ${second}
    float s = texture(base, p).r;
    vec3 light = vec3(0);
    float weight = 0.0;
    for (int k = 0; k < ${count}; k++) {
      float q = clamp((w[k] * 255.0 - 1.0) * gain[k], 0.0, 1.0);
      top[k] = max(top[k], q);
      light += rgb[k] * q * q;
      weight += q * q;
    }
    topBase = max(topBase, s);
    if (mode == 1) continue;
    float grey = 6.0 * s * s * structure, total = grey + 14.0 * weight;
    if (total <= 0.0) continue;
    float alpha = 1.0 - exp(-total * density * h * 2.0);
    sum += open * alpha * (s * structure * grey + 14.0 * light) / total;
    open *= 1.0 - alpha;
  }
  if (mode == 1) {
    float weight = 0.0;
    for (int k = 0; k < ${count}; k++) { sum += rgb[k] * top[k] * top[k]; weight += top[k] * top[k]; }
    sum = sum / max(1.0, weight) + vec3(topBase * structure * 0.5) * (1.0 - min(1.0, weight));
    open = 0.0;
  }
  vec3 entry = abs((from + along * near) / span), edge = step(0.495, entry);
  if (edge.x + edge.y + edge.z > 1.5) sum += 0.35 * open;
  color = vec4(min(sum + back * open, 1.0), 1);
}`;
}
