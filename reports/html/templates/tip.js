// What is told of the thing under the pointer or in focus, to eyes and to screen readers.

const tip = document.getElementById("tip");

function tell(lines, target) {
  tip.replaceChildren(...lines.map(line => el("div", {}, line)));
  tip.hidden = false;
  const place = target.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const right = place.right + 12 + size.width < document.documentElement.clientWidth;
  const left = right ? place.right + 12 : Math.max(4, place.left - size.width - 12);
  tip.style.left = `${left + window.scrollX}px`;
  tip.style.top = `${Math.max(4, place.top - size.height / 2) + window.scrollY}px`;
}

function hush() {
  tip.hidden = true;
}

document.addEventListener("keydown", event => {
  if (event.key === "Escape") hush();
});
