// Each model's marker, the same in every plot.

const SHAPES = {
  "o": "M0,-5A5,5 0 1 1 0,5A5,5 0 1 1 0,-5Z",
  "s": "M-4.5,-4.5H4.5V4.5H-4.5Z",
  "^": "M0,-5.5L5.5,4.5H-5.5Z",
  "D": "M0,-6L6,0L0,6L-6,0Z",
  "v": "M0,5.5L5.5,-4.5H-5.5Z",
  "P": "M-2,-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z",
  "X": "M0,-2.5L3,-5.5L5.5,-3L2.5,0L5.5,3L3,5.5L0,2.5L-3,5.5L-5.5,3L-2.5,0L-5.5,-3L-3,-5.5Z",
  "<": "M-5.5,0L4.5,-5.5V5.5Z",
  ">": "M5.5,0L-4.5,-5.5V5.5Z",
};

function shape(look) {
  return svg("path", {d: SHAPES[PAGE.looks[look].marker]});
}

function mark(look) {
  return svg("svg", {class: `mark m${look}`, viewBox: "-7 -7 14 14", "aria-hidden": "true"}, shape(look));
}

function dashes(look) {
  return PAGE.looks[look].dash.map(length => length * 2).join(" ") || null;
}

function fillMarks() {
  for (const place of document.querySelectorAll("svg.mark[data-look]")) place.replaceWith(mark(place.dataset.look));
}
