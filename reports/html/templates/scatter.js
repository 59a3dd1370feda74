// Quality against cost: a point for each configuration, and the line of those that nothing beats in both.

function scatter(section, table) {
  const costs = table.costs, qualities = table.qualities;
  const drawable = costs.filter(cost => table.rows.filter(row => cost in row.values).length > 1);
  if (!drawable.length) return;
  const names = keys => keys.map(key => [key, table.metrics[key].words]);
  const values = {x: drawable[0], y: table.primary};
  const ys = [...new Set([table.primary, ...qualities])];
  const choices = [
    {key: "x", label: "Cost", options: names(drawable)},
    {key: "y", label: "Quality", options: names(ys)},
  ];
  const box = el("div", {class: "plot"}), under = el("p", {class: "notes"});
  const redraw = drawn(box, width => {
    box.replaceChildren(scatterPicture(table, values, width));
    under.textContent = scatterNote(table, values);
  });
  section.append(chooser(choices, values, redraw), box, modelLegend(table), under);
  section.hidden = false;
  redraw();
}

function scatterNote(table, {x, y}) {
  const split = isMeasured(x) && groups(table, x).length > 1;
  const bars = y !== table.primary ? "" : table.rows.some(row => row.interval)
    ? " Bars are 95% intervals." : table.rows.some(row => row.sd !== null) ? " Bars are ± the standard deviation over seeds." : "";
  return `The line: nothing is better for the same or less${split ? ", of those measured alike" : ""}.${bars}`;
}

function modelLegend(table) {
  const seen = new Map(table.rows.map(row => [row.look, row.alike]));
  return el("ul", {class: "legend", "aria-label": "Legend"}, ...[...seen].map(([look, name]) =>
    el("li", {}, el("span", {class: "key"}, mark(look), name))));
}

function scatterPicture(table, {x, y}, width) {
  const metrics = [table.metrics[x], table.metrics[y]];
  const rows = table.rows.filter(row => x in row.values && y in row.values);
  const at = row => [scaled(metrics[0], row.values[x]), scaled(metrics[1], row.values[y])];
  const bar = row => (y === table.primary ? bars(row).map(value => scaled(metrics[1], value)) : []);
  const xs = rows.map(row => at(row)[0]), ys = rows.flatMap(row => [at(row)[1], ...bar(row)]);
  const log = Math.min(...xs) > 0 && Math.max(...xs) / Math.min(...xs) >= LOG_FROM;
  const label = `${metrics[1].words} against ${metrics[0].words}; arrow keys go from point to point`;
  const plot = frame(width, label, {domain: extent(xs), log, title: axisTitle(metrics[0])},
    {domain: extent(ys), title: axisTitle(metrics[1]), around: 0.1});
  for (const group of groups(table, x)) {
    plot.picture.append(steps(front(rows.filter(row => group.has(row.id)).map(at), metrics), plot));
  }
  const marks = rows.map(row => pointOf(row, at(row), bar(row), plot, [x, y], table));
  plot.picture.append(...[...marks].reverse());
  nameThem(plot, rows, at);
  roving(marks, rows.map(at));
  return plot.picture;
}

function bars(row) {
  if (row.interval) return row.interval;
  const middle = row.values[row.primary];
  return row.sd === null || middle === undefined ? [] : [middle - row.sd, middle + row.sd];
}

function isMeasured(x) {
  return x.startsWith("speed/") || x.startsWith("cost/");
}

// Speed and cost are compared only between what was measured alike.
function groups(table, x) {
  const found = new Map();
  for (const row of table.rows) {
    const group = isMeasured(x) ? row.group : 0;
    found.set(group, (found.get(group) || new Set()).add(row.id));
  }
  return [...found.values()];
}

function front(places, [cost, quality]) {
  const cheap = cost.better === "higher" ? -1 : 1, good = quality.better === "lower" ? -1 : 1;
  const sorted = [...places].sort((a, b) => cheap * (a[0] - b[0]) || good * (b[1] - a[1]));
  const kept = [];
  for (const place of sorted) {
    if (!kept.length || good * place[1] > good * kept.at(-1)[1]) kept.push(place);
  }
  return kept;
}

function steps(places, plot) {
  const d = places.map(([x, y], n) => (n ? `H${plot.x(x)}V${plot.y(y)}` : `M${plot.x(x)},${plot.y(y)}`)).join("");
  return svg("path", {class: "front", d});
}

function pointOf(row, [x, y], bar, plot, names, table) {
  const lines = [row.label, ...names.map(name => `${table.metrics[name].words}: ${row.texts[name] || "–"}`), ...row.says];
  const group = svg("g", {
    class: `point m${row.look}`, role: "img", "aria-label": lines.join("; "), "data-id": row.id,
    onpointerenter: () => tell(lines, group), onpointerleave: hush, onfocus: () => tell(lines, group), onblur: hush,
  });
  if (bar.length) group.append(svg("path", {class: "bar", d: `M${plot.x(x)},${plot.y(bar[0])}V${plot.y(bar[1])}`}));
  group.append(svg("g", {transform: `translate(${plot.x(x)} ${plot.y(y)}) scale(1.25)`}, shape(row.look)));
  return group;
}

// One stop of the tabulator; arrows go to the next point, from left to right.
function roving(marks, places) {
  const order = marks.map((_, n) => n).sort((a, b) => places[a][0] - places[b][0]);
  order.forEach((n, place) => {
    marks[n].setAttribute("tabindex", place ? "-1" : "0");
    marks[n].addEventListener("keydown", event => {
      const step = {ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1}[event.key];
      if (!step) return;
      event.preventDefault();
      const next = marks[order[(place + step + order.length) % order.length]];
      marks[n].setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  });
}

// Names where there is room, the best first.
function nameThem(plot, rows, at) {
  const taken = rows.map(row => around(plot, at(row), 7));
  for (const row of rows.slice(0, 40)) {
    const name = row.label.length > 40 ? `${row.label.slice(0, 39)}…` : row.label;
    const [px, py] = [plot.x(at(row)[0]), plot.y(at(row)[1])], width = name.length * 6.4 + 4;
    const spots = [[px + 9, py + 2], [px - 9 - width, py - 16], [px - width / 2, py - 23], [px - width / 2, py + 9]];
    const free = spots.map(([x, y]) => ({x0: x, y0: y, x1: x + width, y1: y + 14}))
      .find(box => box.x0 > plot.area.left && box.x1 < plot.area.right + 10 && box.y0 > 0 && box.y1 < plot.area.bottom &&
        !taken.some(other => box.x0 < other.x1 && other.x0 < box.x1 && box.y0 < other.y1 && other.y0 < box.y1));
    if (!free) continue;
    taken.push(free);
    plot.picture.append(svg("text", {x: free.x0 + 2, y: free.y0 + 11, class: "name", "aria-hidden": "true"}, name));
  }
}

function around(plot, [x, y], room) {
  const px = plot.x(x), py = plot.y(y);
  return {x0: px - room, x1: px + room, y0: py - room, y1: py + room};
}
