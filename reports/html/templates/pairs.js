// The largest confusions of two models, and where they differ most, in words.

const LISTED = 10;

function pairLists(table, a, b, first, second, two) {
  const lists = [pairList(`Most confused: ${first}`, table, largestPairs(table, a), percent)];
  if (!two) return lists;
  lists.push(pairList(`Most confused: ${second}`, table, largestPairs(table, b), percent));
  lists.push(pairList(`Largest differences: ${second} less ${first}`, table, largestPairs(table, minus(b, a), true), points));
  return lists;
}

function largestPairs(table, rates, diagonal = false) {
  const k = table.classes.length, kept = [];
  rates.forEach((rate, n) => {
    const i = Math.floor(n / k), j = n % k, size = Math.abs(rate);
    if (!(size > 0) || (i === j && !diagonal)) return;
    if (kept.length === LISTED && size <= Math.abs(kept.at(-1).rate)) return;
    insert(kept, {i, j, rate});
  });
  return kept;
}

function insert(kept, pair) {
  const place = kept.findIndex(each => Math.abs(each.rate) < Math.abs(pair.rate));
  kept.splice(place < 0 ? kept.length : place, 0, pair);
  if (kept.length > LISTED) kept.pop();
}

function pairList(title, table, pairs, write) {
  const items = pairs.map(({i, j, rate}) => el("li", {}, el("b", {}, write(rate)),
    el("span", {}, i === j ? `${table.classes[i]}, rightly` : `${table.classes[i]} → ${table.classes[j]}`)));
  return el("div", {}, el("h4", {}, title), items.length ? el("ol", {}, ...items) : el("p", {}, "none"));
}
