// Each class's numbers, of one model.

const CLASS_COLUMNS = ["precision %", "recall %", "F1 %", "AUC"];

function classes(section, table) {
  const rows = table.rows.filter(row => row.id in table.perClass);
  if (!rows.length) return;
  const values = {row: rows[0].id};
  const box = el("div", {class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Classes"});
  const show = () => {
    const content = classTable(table, table.perClass[values.row]);
    box.replaceChildren(content);
    sortable(content);
  };
  const options = rows.map(row => [row.id, row.label]);
  section.append(chooser([{key: "row", label: "Model", options}], values, show), box);
  section.append(el("p", {class: "notes"}, "One class against the rest; means over the seeds."));
  section.hidden = false;
  show();
}

function classTable(table, numbers) {
  const head = (title, first, n) => el("th", {scope: "col", class: n ? "n" : null, "data-first": first}, title);
  const heads = [head("class", "ascending"), head("images", "descending", true), ...CLASS_COLUMNS.map(title => head(title, "ascending", true))];
  const rows = table.classes.map((name, n) => el("tr", {"data-row": n},
    el("th", {scope: "row", "data-sort": name}, name), numberTd(table.support[n], value => value.toLocaleString("en")),
    ...numbers[n].map((value, place) => numberTd(value, each => (place < 3 ? (each * 100).toFixed(1) : each.toFixed(3))))));
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
}

function numberTd(value, write) {
  if (value === null || value === undefined) return el("td", {class: "n"}, "–");
  return el("td", {class: "n", "data-sort": value}, write(value));
}
