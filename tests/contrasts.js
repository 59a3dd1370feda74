// Contrast (WCAG 2) of every visible text against what it stands on; those below 4.5, and how many were looked at.

const parse = colour => {
  const parts = colour.match(/[\d.]+/g).map(Number);
  return colour.startsWith("color(") ? [...parts.slice(0, 3).map(part => part * 255), parts[3] ?? 1] : [...parts.slice(0, 3), parts[3] ?? 1];
};
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(v => v / 255).map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ground = element => {
  for (let each = element; each; each = each.parentElement) {
    const colour = parse(getComputedStyle(each).backgroundColor);
    if (colour[3] === 1) return colour;
  }
  return [255, 255, 255, 1];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), low = [];
let checked = 0;
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.textContent.trim() || element.closest("script, noscript, option, [hidden]")) continue;
  const style = getComputedStyle(element), drawn = element instanceof SVGElement;
  const colour = parse(drawn ? style.fill : style.color), below = ground(element);
  const [dark, light] = [luminance(colour), luminance(below)].sort((a, b) => a - b);
  const ratio = (light + 0.05) / (dark + 0.05);
  checked += 1;
  if (ratio < 4.5) low.push([node.textContent.trim().slice(0, 40), style.color, below.join(","), ratio.toFixed(2)]);
}
return {checked, low};
