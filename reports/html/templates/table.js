// Sorting by every column and filtering of a table that stands in the page.

function sortable(table) {
  for (const [place, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = el("button", {type: "button", onclick: () => sortBy(table, place)}, ...head.childNodes);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
  }
}

function sortBy(table, place) {
  const heads = [...table.tHead.rows[0].cells], head = heads[place];
  const other = {ascending: "descending", descending: "ascending"};
  const order = other[head.getAttribute("aria-sort")] || head.dataset.first || "ascending";
  for (const each of heads) each.setAttribute("aria-sort", each === head ? order : "none");
  const rows = [...table.tBodies[0].rows];
  const keys = new Map(rows.map(row => [row, key(row.cells[place])]));
  const sign = order === "ascending" ? 1 : -1;
  rows.sort((a, b) => compared(keys.get(a), keys.get(b), sign) || original(a) - original(b));
  table.tBodies[0].append(...rows);
}

function key(cell) {
  const text = cell.dataset.sort;
  if (text === undefined) return cell.classList.contains("runs") ? cell.textContent : null;
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

// Numbers before words; what has no value comes last in both orders.
function compared(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", {numeric: true}));
}

function original(row) {
  return Number(row.dataset.row);
}

const STATUSES = [
  ["", "all"], ["whole", "all seeds done"], ["partial", "fewer seeds than planned"],
  ["first", "best, or tied with it"], ["front", "★ Pareto front"],
];

function filterable(form, table) {
  const rows = [...table.tBodies[0].rows];
  const there = new Set(rows.flatMap(row => row.dataset.status.split(" ")));
  const models = [...new Set(rows.map(row => row.dataset.model))];
  const wanted = {text: "", model: "", status: ""};
  const count = el("span", {class: "count", "aria-live": "polite"});
  const show = () => {
    const hits = rows.filter(row => (row.hidden = !matches(row, wanted)) === false);
    count.textContent = `${hits.length} of ${rows.length} shown`;
  };
  const change = name => value => {
    wanted[name] = value;
    show();
  };
  const input = el("input", {type: "search", placeholder: "any word of a row", oninput: () => change("text")(input.value)});
  const statuses = STATUSES.filter(([status]) => !status || there.has(status));
  form.append(el("label", {}, "Filter", input));
  form.append(choice("Model", [["", "all"], ...models.map(model => [model, model])], "", change("model")));
  form.append(choice("Status", statuses, "", change("status")), count);
  form.addEventListener("submit", event => event.preventDefault());
  form.hidden = false;
  show();
}

function matches(row, {text, model, status}) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const cells = [...row.cells].filter(cell => !cell.classList.contains("pareto")); // it names other rows
  const content = cells.map(cell => cell.textContent).join(" ").toLowerCase();
  if (model && row.dataset.model !== model) return false;
  return (!status || row.dataset.status.split(" ").includes(status)) && words.every(word => content.includes(word));
}
