// Numbers as text.

function short(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e9) return `${digits(value / 1e9)} G`;
  if (size >= 1e6) return `${digits(value / 1e6)} M`;
  if (size >= 1e4) return `${digits(value / 1e3)} k`;
  return digits(value);
}

function digits(value) {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

function percent(rate) {
  const hundred = rate * 100;
  return rate > 0 && hundred < 0.5 ? "< 1%" : `${Math.round(hundred)}%`;
}

function points(difference) {
  const size = Math.abs(difference * 100);
  const text = size < 0.05 ? "0" : size < 10 ? size.toFixed(1) : size.toFixed(0);
  return `${difference > 0 ? "+" : difference < 0 ? "−" : ""}${text}`;
}

// The value of a metric as it is drawn: fractions in per cent.
function scaled(metric, value) {
  return metric.percent ? value * 100 : value;
}

function axisTitle(metric) {
  const better = metric.better ? ` (${metric.better === "higher" ? "more" : "less"} is better)` : "";
  return `${metric.words}${metric.percent ? ", %" : ""}${better}`;
}

function written(metric, value) {
  return metric.percent ? `${(value * 100).toFixed(1)}%` : short(value);
}
