// Test images on which the models disagree, and those on which they are sure and wrong.

function gallery(section, table) {
  const found = table.gallery;
  if (!found || !(found.disagreed.length || found.wrong.length)) return;
  const rows = found.models.map(({id}) => table.rows.find(row => row.id === id));
  const legend = el("ul", {class: "legend", "aria-label": "Models asked"}, ...rows.map((row, n) =>
    el("li", {}, el("span", {class: "key"}, mark(row.look), `${named(row)}, seed ${found.models[n].seed}`))));
  section.append(legend);
  const parts = [["The models disagree most", found.disagreed], ["Most sure, and wrong", found.wrong]];
  for (const [title, items] of parts) {
    if (items.length) section.append(el("h4", {}, title), el("div", {class: "images"}, ...items.map(item => card(item, rows, table))));
  }
  const missing = [...found.disagreed, ...found.wrong].some(item => !item.png);
  const why = "Disagreement is the Jensen-Shannon divergence of the models' probabilities; sure and wrong: the mean probability of a wrong answer.";
  section.append(el("p", {class: "notes"}, missing ? `${why} Images that are not on this machine are shown by their ids.` : why));
  section.hidden = false;
}

function card(item, rows, table) {
  const name = n => table.classes[n] ?? `class ${n}`;
  const alt = `test image ${item.id}, ${name(item.true)}`;
  const image = item.png ? el("img", {src: `data:image/png;base64,${item.png}`, alt}) : null;
  if (image) image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth <= 64));
  const answers = item.answers.map(([answer, sure], n) => {
    const right = answer === item.true;
    return el("li", {}, mark(rows[n].look), el("span", {class: "vh"}, `${rows[n].label}: `),
      el("span", {class: `answer ${right ? "right-answer" : "wrong-answer"}`}, `${right ? "✓" : "✗"} ${name(answer)}`), percent(sure));
  });
  const head = el("div", {class: "picture"}, image, el("div", {}, el("strong", {}, name(item.true)), el("br"), el("small", {class: "id"}, item.id)));
  return el("figure", {}, head, el("ul", {}, ...answers));
}
