// Light and dark. The page follows the system until a mode is chosen; the choice is kept by the browser where it
// permits that. Colours are properties of html.css: elements name them, canvases read them with `paint`.

const modes = ["auto", "light", "dark"];
const painted = [];  // canvases to draw again when the mode changes
const paints = new Map();

function paint(name) {
  if (!paints.has(name))
    paints.set(name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim());
  return paints.get(name);
}

function recall() {
  try {
    return localStorage.getItem("xlmc-mode");
  } catch {  // a browser may refuse storage to a file
    return null;
  }
}

function remember(mode) {
  try {
    localStorage.setItem("xlmc-mode", mode);
  } catch {
    return;
  }
}

const systemDark = matchMedia("(prefers-color-scheme: dark)");

function setMode(mode) {
  document.documentElement.dataset.theme = mode === "auto" ? (systemDark.matches ? "dark" : "light") : mode;
  paints.clear();
  for (const c of painted) c.redraw();
}

function modeSwitch() {
  let mode = modes.includes(recall()) ? recall() : "auto";
  const b = el("button", {class: "mode", title: "colours: as the system has them, light, dark"});
  const show = () => {
    b.textContent = {auto: "◐ auto", light: "☀ light", dark: "☾ dark"}[mode];
    b.setAttribute("aria-label", "colours: " + mode);
    setMode(mode);
  };
  b.addEventListener("click", () => {
    mode = modes[(modes.indexOf(mode) + 1) % modes.length];
    remember(mode);
    show();
  });
  systemDark.addEventListener("change", show);
  show();
  return b;
}
