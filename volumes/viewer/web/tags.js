// Elements of a page and lengths in words. Text reaches the page as text only.

function tag(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// a link that saves what the page holds; nothing leaves the machine
function saving(label, name, content) {
  const button = tag("button", {type: "button"}, label);
  button.onclick = () => {
    const link = tag("a", {download: name, href: URL.createObjectURL(content())});
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return button;
}

function lengthText(um, unit) {
  if (unit !== "um") return `${+um.toPrecision(3)} ${unit}`;
  const [factor, name] = um < 1 ? [1e3, "nm"] : um < 1e3 ? [1, "µm"] : [1e-3, "mm"];
  return `${+(um * factor).toPrecision(3)} ${name}`;
}
