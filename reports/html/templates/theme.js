// Light or dark: the reader's system decides until the button is pressed; print is light.

const NEXT = {auto: "light", light: "dark", dark: "auto"};
const preference = window.matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return !window.matchMedia("print").matches && (chosen ? chosen === "dark" : preference.matches);
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  themeButton.textContent = `Theme: ${theme}`;
  repaint.forEach(paint => paint());
}

// A page that is opened in a sandbox may keep nothing.
function kept(theme) {
  try {
    if (theme) localStorage.setItem("leaderboard-theme", theme);
    return localStorage.getItem("leaderboard-theme");
  } catch {
    return null;
  }
}

const themeButton = document.getElementById("theme");

function themes() {
  let theme = kept();
  if (!(theme in NEXT)) theme = "auto";
  themeButton.addEventListener("click", () => {
    setTheme((theme = NEXT[theme]));
    kept(theme);
  });
  themeButton.hidden = false;
  setTheme(theme);
  preference.addEventListener("change", () => setTheme(theme));
  for (const event of ["beforeprint", "afterprint"]) window.addEventListener(event, () => repaint.forEach(paint => paint()));
}
