// Learning curves against epochs, seconds and dollars.

const X_TITLES = {epoch: "epoch", seconds: "seconds of training", usd: "dollars"};

function curves(section, table) {
  const rows = table.rows.filter(row => row.id in table.curves);
  const has = (part, name) => rows.some(row => name in table.curves[row.id][part]);
  const metrics = Object.keys(table.metrics).filter(name => has("y", name));
  if (!metrics.length) return;
  const first = `val/${table.primary.split("/")[1]}`;
  const values = {x: "epoch", y: metrics.includes(first) ? first : metrics[0]};
  const choices = [
    {key: "y", label: "Metric", options: metrics.map(name => [name, table.metrics[name].words])},
    {key: "x", label: "Against", options: Object.entries(X_TITLES).filter(([name]) => has("x", name))},
  ];
  const note = rows.some(row => Object.values(table.curves[row.id].y).some(each => each.low))
    ? "Lines are means over the seeds, bands their lowest and highest." : "";
  linePlot(section, note, choices, values, ({x, y}) => curvePlan(table, rows, x, y));
}

function curvePlan(table, rows, x, y) {
  const metric = table.metrics[y];
  return {
    label: `${metric.words} against ${X_TITLES[x]}; arrow keys go along a line and from line to line`,
    x: {title: X_TITLES[x], whole: x === "epoch"},
    y: {title: axisTitle(metric)},
    series: rows.map(row => curveOf(row, table.curves[row.id], x, y, metric)).filter(each => each.points.length),
    ends: true,
  };
}

function curveOf(row, curve, x, y, metric) {
  const xs = curve.x[x] || [], ys = curve.y[y] || {mean: []};
  const there = xs.map((_, n) => n).filter(n => ys.mean[n] !== null && ys.mean[n] !== undefined);
  const at = (list, n) => [xs[n], scaled(metric, list[n])];
  const band = ys.low && there.length > 1
    ? [...there.map(n => at(ys.high, n)), ...[...there].reverse().map(n => at(ys.low, n))] : null;
  const says = place => {
    const n = there[place], spent = ["seconds", "usd"].filter(name => name in curve.x);
    const of = {seconds: value => `${short(value)} s`, usd: value => `$${short(value)}`};
    return [`epoch ${curve.x.epoch[n]}: ${written(metric, ys.mean[n])}`, ...spent.map(name => of[name](curve.x[name][n]))];
  };
  return {row, points: there.map(n => at(ys.mean, n)), band, says};
}
