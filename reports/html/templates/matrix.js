// Confusion matrices of two models side by side, and their difference. Up to 20 classes a table with numbers, beyond a
// picture, where from 250 classes on neighbours share a cell that shows the largest of them.

const NUMBERED = 20, CELLS = 250, GAMMA = 0.6, NAMED = 60;

function matrices(section, table) {
  const rows = table.rows.filter(row => row.id in table.confusions);
  if (!rows.length) return;
  const options = rows.map(row => [row.id, row.label]);
  const values = {a: rows[0].id, b: (rows[1] || rows[0]).id, order: "alike"};
  const choices = [{key: "a", label: "First", options}, {key: "b", label: "Second", options}];
  if (table.order.length) {
    choices.push({key: "order", label: "Classes", options: [["alike", "those that are confused together"], ["given", "in their own order"]]});
  }
  const panels = el("div", {class: "matrices"}), lists = el("div", {class: "pairs"});
  const show = () => {
    const [a, b] = [values.a, values.b].map(id => ratesOf(table, id));
    const order = table.order.length && values.order === "alike" ? table.order : table.classes.map((_, n) => n);
    const label = id => rows.find(row => row.id === id).label;
    const list = [panel(label(values.a), a, table, order, false)];
    if (values.a !== values.b) {
      list.push(panel(label(values.b), b, table, order, false));
      list.push(panel(`Difference: ${label(values.b)} less ${label(values.a)}`, minus(b, a), table, order, true));
    }
    panels.replaceChildren(...list);
    lists.replaceChildren(...pairLists(table, a, b, label(values.a), label(values.b), values.a !== values.b));
  };
  const more = Object.keys(table.confusions).length < table.rows.length ? ` The best ${rows.length} configurations can be chosen.` : "";
  const how = `Rows are the true classes, in % of their images, all seeds together; columns what was answered. In the difference, blue: the second answers so more often; orange: the first.${more}`;
  section.append(chooser(choices, values, show), panels, lists, el("p", {class: "notes"}, how));
  section.hidden = false;
  show();
  repaint.push(() => table.classes.length > NUMBERED && show());
}

const repaint = []; // what has to be drawn again when the theme changes

// Shares of each true class (k × k, row by row); a class without images is a row of NaN.
function ratesOf(table, id) {
  const k = table.classes.length, counts = new Float64Array(k * k), numbers = table.confusions[id];
  for (let n = 0, place = 0; n < numbers.length; n += 2) counts[(place += numbers[n])] = numbers[n + 1];
  for (let row = 0; row < k; row += 1) {
    const own = counts.subarray(row * k, (row + 1) * k), sum = own.reduce((a, b) => a + b, 0);
    own.forEach((count, n) => (own[n] = count / sum));
  }
  return counts;
}

function minus(a, b) {
  return a.map((value, n) => value - b[n]);
}

function panel(title, rates, table, order, difference) {
  const k = table.classes.length;
  const body = k <= NUMBERED ? numbered(rates, table, order, difference) : pixels(rates, table, order, difference);
  return el("div", {class: "matrix"}, el("h4", {}, title), body);
}

function numbered(rates, table, order, difference) {
  const k = table.classes.length;
  const head = el("tr", {}, el("td", {}), ...order.map(n => el("th", {scope: "col", title: table.classes[n]}, table.classes[n])));
  const rows = order.map(i => el("tr", {}, el("th", {scope: "row", title: table.classes[i]}, table.classes[i]),
    ...order.map(j => numberCell(rates[i * k + j], i === j, difference))));
  const content = el("table", {class: k <= 5 ? "few" : null}, el("thead", {}, head), el("tbody", {}, ...rows));
  return el("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix"}, content);
}

function numberCell(rate, diagonal, difference) {
  const cell = el("td", diagonal ? {class: "right"} : {});
  if (Number.isNaN(rate)) return cell;
  const whole = Math.round(Math.abs(rate) * 100);
  cell.textContent = whole ? `${difference ? (rate > 0 ? "+" : "−") : ""}${whole}` : rate ? "·" : "";
  const grounds = ["light", "dark"].map(theme => colour(rate, difference, theme));
  cell.style.backgroundColor = `light-dark(${grounds.map(rgb).join(", ")})`;
  cell.style.color = `light-dark(${grounds.map(readable).join(", ")})`;
  return cell;
}

function colour(rate, difference, theme) {
  const share = Math.abs(rate) ** GAMMA;
  const along = difference ? 0.5 + (Math.sign(rate) * Math.min(1, 1.4 * share)) / 2 : share;
  const stops = (difference ? PAGE.diverging : PAGE.scale)[theme], place = Math.min(along, 1) * (stops.length - 1);
  const below = Math.min(Math.floor(place), stops.length - 2), rest = place - below;
  const [a, b] = [stops[below], stops[below + 1]].map(hex => [1, 3, 5].map(n => parseInt(hex.slice(n, n + 2), 16)));
  return a.map((value, n) => Math.round(value + (b[n] - value) * rest));
}

function rgb(parts) {
  return `rgb(${parts.join(" ")})`;
}

function readable(parts) {
  const [r, g, b] = parts.map(value => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

function pixels(rates, table, order, difference) {
  const k = table.classes.length, block = Math.ceil(k / CELLS), cells = Math.ceil(k / block);
  const canvas = el("canvas", {width: cells, height: cells}), context = canvas.getContext("2d");
  const image = context.createImageData(cells, cells), theme = isDark() ? "dark" : "light";
  for (let i = 0; i < cells; i += 1) {
    for (let j = 0; j < cells; j += 1) {
      const rate = largest(rates, order, k, block, i, j);
      const parts = Number.isNaN(rate) ? [128, 128, 128] : colour(rate, difference, theme);
      image.data.set([...parts, 255], 4 * (i * cells + j));
    }
  }
  context.putImageData(image, 0, 0);
  return framed(canvas.toDataURL(), rates, table, order, block, cells, difference);
}

function largest(rates, order, k, block, i, j) {
  let found = NaN;
  for (let a = i * block; a < Math.min(k, (i + 1) * block); a += 1) {
    for (let b = j * block; b < Math.min(k, (j + 1) * block); b += 1) {
      const rate = rates[order[a] * k + order[b]];
      if (Number.isNaN(found) || Math.abs(rate) > Math.abs(found)) found = rate;
    }
  }
  return found;
}

// The picture with names of up to 60 classes beside it, and what is under the pointer.
function framed(url, rates, table, order, block, cells, difference) {
  const k = table.classes.length, withNames = k <= NAMED, left = withNames ? 118 : 46, side = 420;
  const root = svg("svg", {viewBox: `0 0 ${left + side + 4} ${side + (withNames ? 118 : 26)}`, role: "img",
    "aria-label": `${difference ? "Difference of two confusion matrices" : "Confusion matrix"} of ${k} classes; the largest values are listed below`});
  const shown = svg("image", {href: url, x: left, y: 0, width: side, height: side, preserveAspectRatio: "none"});
  root.append(shown, ...(withNames ? classNames(table, order, left, side) : classNumbers(k, left, side)));
  shown.addEventListener("pointermove", event => {
    const box = shown.getBoundingClientRect();
    const [i, j] = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width].map(part => Math.min(k - 1, Math.floor(part * cells) * block));
    const rate = rates[order[i] * k + order[j]];
    const at = new DOMRect(event.clientX, event.clientY, 0, 0);
    const text = Number.isNaN(rate) ? "no images" : difference ? `${points(rate)} points` : percent(rate);
    tell([`${table.classes[order[i]]} → ${table.classes[order[j]]}`, block > 1 ? `${text} (first of ${block} × ${block} in the cell)` : text], {getBoundingClientRect: () => at});
  });
  shown.addEventListener("pointerleave", hush);
  return root;
}

function classNames(table, order, left, side) {
  const step = side / order.length, size = Math.min(12, Math.max(6, step));
  return order.flatMap((n, place) => {
    const text = table.classes[n].length > 18 ? `${table.classes[n].slice(0, 17)}…` : table.classes[n], at = (place + 0.5) * step;
    const beside = svg("text", {x: left - 4, y: at + size / 3, "text-anchor": "end"}, text);
    const below = svg("text", {transform: `translate(${left + at + size / 3} ${side + 4}) rotate(-90)`, "text-anchor": "end"}, text);
    for (const each of [beside, below]) each.style.fontSize = `${size}px`;
    return [beside, below];
  });
}

function classNumbers(k, left, side) {
  const at = n => ((n + 0.5) / k) * side;
  return even(0, k - 1, 6).flatMap(n => [
    svg("text", {x: left - 6, y: at(n) + 4, "text-anchor": "end"}, String(n)),
    svg("text", {x: left + at(n), y: side + 18, "text-anchor": "middle"}, String(n)),
  ]);
}
