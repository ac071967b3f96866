// A page in a frame that can reach neither the notebook nor the network. What it reports goes to Python, which takes
// of it what it expects; what Python asks for goes to the page.
function render({model, el}) {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-downloads");
  frame.srcdoc = model.get("page");
  frame.style.cssText = `width: 100%; height: ${model.get("height")}px; border: 0`;
  const heard = event => {
    if (event.source !== frame.contentWindow) return;
    model.set("report", event.data);
    model.save_changes();
  };
  const asked = () => frame.contentWindow.postMessage(model.get("request"), "*");
  addEventListener("message", heard);
  model.on("change:request", asked);
  el.append(frame);
  return () => {
    removeEventListener("message", heard);
    model.off("change:request", asked);
  };
}
export default { render };
