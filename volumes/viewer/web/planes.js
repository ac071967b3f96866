// Planes of bytes, as they were written.

async function unpacked(name, back) {
  const text = atob(document.getElementById(`plane-${name}`).textContent.trim());
  const compressed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) compressed[i] = text.charCodeAt(i);
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const plane = new Uint8Array(await new Response(stream).arrayBuffer());
  // neighbours were subtracted from each other, modulo 256; the running sum undoes it
  if (back) for (let i = back; i < plane.length; i++) plane[i] += plane[i - back];
  return plane;
}
