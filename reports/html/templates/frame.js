// A plot's frame: axes, ticks, titles. Drawn in the box's own pixels, so that text keeps its size on a phone.

function frame(width, label, x, y) {
  const height = Math.round(Math.min(430, Math.max(250, width * 0.55)));
  const area = {left: 52, right: width - 14, top: 12, bottom: height - 44};
  const kind = axis => (axis.log ? logarithmic : linear);
  const across = kind(x)(x.domain, [area.left, area.right], x.around);
  const up = kind(y)(y.domain, [area.bottom, area.top], y.around);
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label});
  picture.append(...ticksAcross(across, area, x), ...ticksUp(up, area, y));
  picture.append(svg("path", {class: "axis", fill: "none", d: `M${area.left},${area.top}V${area.bottom}H${area.right}`}));
  return {picture, area, x: across.at, y: up.at};
}

function ticksAcross(scale, area, axis) {
  const parts = scale.ticks(Math.max(3, (area.right - area.left) / 90)).filter(tick => !axis.whole || tick % 1 === 0).flatMap(tick => {
    const x = scale.at(tick);
    return [
      svg("path", {class: "grid", d: `M${x},${area.top}V${area.bottom}`}),
      svg("text", {x, y: area.bottom + 17, "text-anchor": "middle"}, short(tick)),
    ];
  });
  const middle = (area.left + area.right) / 2;
  return [...parts, svg("text", {class: "title", x: middle, y: area.bottom + 37, "text-anchor": "middle"}, axis.title)];
}

function ticksUp(scale, area, axis) {
  const parts = scale.ticks(6).flatMap(tick => {
    const y = scale.at(tick);
    return [
      svg("path", {class: "grid", d: `M${area.left},${y}H${area.right}`}),
      svg("text", {x: area.left - 7, y: y + 4, "text-anchor": "end"}, short(tick)),
    ];
  });
  const middle = (area.top + area.bottom) / 2;
  const turned = `translate(13 ${middle}) rotate(-90)`;
  return [...parts, svg("text", {class: "title", transform: turned, "text-anchor": "middle"}, axis.title)];
}
