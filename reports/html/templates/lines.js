// Lines over an axis, one for each configuration, with a legend that shows and hides them. With the keyboard: arrows
// left and right along a line, up and down from one line to the next.

const AT_FIRST = 8; // lines that are shown before anything is chosen

function linePlot(section, note, choices, values, build) {
  const hidden = new Set();
  const box = el("div", {class: "plot"}), legend = el("ul", {class: "legend"});
  const redraw = drawn(box, width => {
    const plan = build(values);
    box.replaceChildren(picture(plan, width, plan.series.filter(({row}) => !hidden.has(row.id))));
      });
  const {series} = build(values);
  for (const {row} of series.slice(AT_FIRST)) hidden.add(row.id);
  legend.append(...series.map(({row}) => el("li", {}, toggle(row, hidden, box, redraw))));
  const more = series.length > AT_FIRST ? ` The best ${AT_FIRST} are shown at first; the names show and hide lines.` : "";
  section.append(chooser(choices, values, redraw), box, legend, el("p", {class: "notes"}, note + more));
  section.hidden = false;
  redraw();
}

// Where there are several models, two configurations of one look alike: their ranks stand in the legend and at the ends
// of their lines.
function named(row) {
  return `${row.rank ?? "–"} · ${row.label}`;
}

function toggle(row, hidden, box, redraw) {
  const button = el("button", {type: "button", "aria-pressed": String(!hidden.has(row.id)), onclick: () => {
    if (!hidden.delete(row.id)) hidden.add(row.id);
    button.setAttribute("aria-pressed", String(!hidden.has(row.id)));
    redraw();
  }}, mark(row.look), named(row));
  const only = on => box.querySelectorAll(".series").forEach(each => each.classList.toggle("faint", on && each.dataset.id !== row.id));
  for (const event of ["pointerenter", "focus"]) button.addEventListener(event, () => only(true));
  for (const event of ["pointerleave", "blur"]) button.addEventListener(event, () => only(false));
  return button;
}

function picture(plan, width, series) {
  const all = series.flatMap(each => [...each.points, ...(each.band || [])]);
  const domain = axis => place => axis.domain || extent(all.map(point => point[place]).concat(all.length ? [] : [0, 1]));
  const plot = frame(width, plan.label, {...plan.x, domain: domain(plan.x)(0)}, {...plan.y, domain: domain(plan.y)(1)});
  const place = ([x, y]) => [plot.x(x), plot.y(y)];
  if (plan.diagonal) plot.picture.append(svg("path", {class: "diagonal", d: path(plan.diagonal.map(place))}));
  for (const each of [...series].reverse()) plot.picture.append(line(each, place));
  if (plan.ends) plot.picture.append(...ends(series, place));
  if (!all.length) plot.picture.append(svg("text", {x: width / 2, y: 80, "text-anchor": "middle"}, "nothing to show"));
  explorable(plot, series, place);
  return plot.picture;
}

function line(each, place) {
  const group = svg("g", {class: `series m${each.row.look}`, "data-id": each.row.id});
  if (each.band) group.append(svg("path", {class: "band", d: `${path(each.band.map(place))}Z`}));
  group.append(svg("path", {class: "line", d: path(each.points.map(place)), "stroke-dasharray": dashes(each.row.look)}));
  if (each.points.length <= 16) {
    for (const [x, y] of each.points.map(place)) {
      group.append(svg("g", {class: "dot", transform: `translate(${x} ${y}) scale(0.8)`}, shape(each.row.look)));
    }
  }
  return group;
}

// The ranks at the ends of the lines, moved down where two would meet.
function ends(series, place) {
  const wanted = series.map(each => [String(each.row.rank), ...place(each.points.at(-1))]).sort((a, b) => a[2] - b[2]);
  return wanted.map(([rank, x, y], n) => {
    for (const [, otherX, otherY] of wanted.slice(0, n)) {
      if (Math.abs(otherX - x) < 16 && y < otherY + 12) y = otherY + 12;
    }
    wanted[n][2] = y;
    return svg("text", {class: "name", x: x + 9, y: y + 4, "aria-hidden": "true"}, rank);
  });
}

function path(places) {
  return places.map(([x, y], n) => `${n ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");
}

function explorable(plot, series, place) {
  if (!series.length) return;
  const cursor = svg("circle", {class: "cursor", r: 7, visibility: "hidden"});
  const {picture: root} = plot;
  let which = 0, point = series[0].points.length - 1;
  const show = () => {
    const each = series[which];
    point = Math.max(0, Math.min(point, each.points.length - 1));
    const [cx, cy] = place(each.points[point]);
    for (const [name, value] of Object.entries({cx, cy, visibility: "visible"})) cursor.setAttribute(name, value);
    tell([each.row.label, ...each.says(point)], cursor);
  };
  const away = () => {
    cursor.setAttribute("visibility", "hidden");
    hush();
  };
  root.append(cursor);
  root.setAttribute("tabindex", "0");
  root.addEventListener("focus", show);
  for (const event of ["blur", "pointerleave"]) root.addEventListener(event, away);
  root.addEventListener("keydown", event => {
    const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    if (!step) return;
    event.preventDefault();
    which = (which + step[0] + series.length) % series.length;
    point += step[1];
    show();
  });
  root.addEventListener("pointermove", event => {
    const box = root.getBoundingClientRect(), scale = root.viewBox.baseVal.width / box.width;
    [which, point] = nearest(series, place, (event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
    show();
  });
}

function nearest(series, place, x, y) {
  let best = [0, 0], least = Infinity;
  series.forEach((each, which) => each.points.forEach((value, point) => {
    const [px, py] = place(value), distance = Math.hypot(px - x, py - y);
    if (distance < least) [best, least] = [[which, point], distance];
  }));
  return best;
}
