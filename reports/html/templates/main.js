// Puts everything in its place.

const PAGE = JSON.parse(document.getElementById("data").textContent);
const PLOTS = {scatter, curves, matrices, gallery, reliability, roc, classes};

function start() {
  fillMarks();
  for (const part of document.querySelectorAll("[data-table]")) {
    const table = PAGE.tables[part.dataset.table], ranking = part.querySelector(".ranking table");
    for (const row of table.rows) row.primary = table.primary;
    sortable(ranking);
    ranking.tHead.rows[0].cells[0].setAttribute("aria-sort", "ascending");
    filterable(part.querySelector("[data-filter]"), ranking);
    for (const section of part.querySelectorAll("[data-plot]")) PLOTS[section.dataset.plot](section, table);
  }
  contents();
  themes();
}

function contents() {
  const nav = document.querySelector("nav");
  for (const section of document.querySelectorAll("section[id]:not([hidden])")) {
    nav.append(el("a", {href: `#${section.id}`}, section.querySelector("h2, h3").textContent));
  }
  nav.hidden = false;
}

start();
