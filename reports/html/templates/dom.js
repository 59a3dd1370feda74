// Elements. Text goes in as text, never as mark-up; nothing here sets a style attribute, which the policy forbids.

const SVG = "http://www.w3.org/2000/svg";

function el(name, attributes = {}, ...children) {
  return filledIn(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return filledIn(document.createElementNS(SVG, name), attributes, children);
}

function filledIn(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

// A function that draws into `box`, which happens by itself when its width has changed.
function drawn(box, draw) {
  let width = 0;
  const redraw = (always = true) => {
    const now = Math.round(box.clientWidth);
    if (now && (always || now !== width)) draw((width = now));
  };
  new ResizeObserver(() => redraw(false)).observe(box);
  return redraw;
}
