// Runs inside a page, in a browser: what only a browser knows. In both modes every text has a contrast of 4.5 to 1 or
// more on what it stands on, what has the focus shows it, no text is cut off and the page is no wider than the window.
// Writes its findings into an element with the id "probe".
"use strict";
setTimeout(() => {
  const found = new Map();
  const fail = (what, ...words) => found.set(what + words.join(" "), what + ": " + words.join(" "));

  // Any CSS colour as [red, green, blue, alpha], 0 to 1, by the browser's own drawing.
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const known = new Map();
  function parts(color) {
    if (!known.has(color)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      known.set(color, [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255));
    }
    return known.get(color);
  }
  const over = (top, below) => top.slice(0, 3).map((v, k) => v * top[3] + below[k] * (1 - top[3]));
  const light = (c) => c.map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, k) => s + v * [0.2126, 0.7152, 0.0722][k], 0);
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);

  function background(e) {
    if (!e || e === document) return [1, 1, 1];
    const style = getComputedStyle(e), frame = e.tagName === "g" && [...e.children].find((c) => c.classList.contains("frame"));
    if (!frame) return over(parts(style.backgroundColor), background(e.parentElement));
    const fill = [...parts(getComputedStyle(frame).fill)];
    fill[3] *= Number(getComputedStyle(frame).fillOpacity);
    return over(fill, background(e.parentElement));
  }

  function checkContrast(mode) {
    let n = 0;
    for (const e of document.body.querySelectorAll("*")) {
      const text = [...e.childNodes].filter((c) => c.nodeType === 3 && c.data.trim()).map((c) => c.data.trim()).join(" ");
      if (!text || ["SCRIPT", "NOSCRIPT", "STYLE", "title", "OPTION"].includes(e.tagName) || !e.getClientRects().length) continue;
      const style = getComputedStyle(e), below = background(e.parentElement && e instanceof SVGElement ? e.parentElement : e);
      const ink = over(parts(e instanceof SVGElement ? style.fill : style.color), below);
      n++;
      if (contrast(ink, below) < 4.5) fail(mode, e.tagName, JSON.stringify(text.slice(0, 40)), "has a contrast of", contrast(ink, below).toFixed(2));
    }
    if (n < 20) fail(mode, "only", n, "texts");
    // Canvases: their texts are --ink, --soft and --run-ink.
    const color = (name) => parts(getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim());
    const on = [["ink", "card"], ["soft", "card"], ["run-ink", "F"], ["run-ink", "F-2"], ["run-ink", "B"], ["run-ink", "B-2"], ["run-ink", "W"], ["run-ink", "W-2"],
                ["tip-ink", "tip"], ["tip-soft", "tip"], ["tip-code", "tip"]];
    for (const [ink, below] of on)
      if (contrast(color(ink), color(below)) < 4.5) fail(mode, ink, "on", below, "has a contrast of", contrast(color(ink), color(below)).toFixed(2));
    for (let k = 0; k < 9; k++)
      if (contrast(color("class-" + k), color("card")) < 3) fail(mode, "the mark of category", k, "has a contrast of", contrast(color("class-" + k), color("card")).toFixed(2));
  }

  function checkFocus(mode) {
    for (const e of document.querySelectorAll("button, a, select, input, [tabindex]")) {
      if (!e.getClientRects().length) continue;
      e.focus({preventScroll: true});
      const frame = e.tagName === "g" && [...e.children].find((c) => c.classList.contains("frame"));
      const shown = frame ? parseFloat(getComputedStyle(frame).strokeWidth) >= 2 : getComputedStyle(e).outlineStyle !== "none";
      if (document.activeElement !== e || !shown) fail(mode, "the focus is not seen on", e.tagName, (e.textContent || "").slice(0, 30));
      if (e.tagName === "g" && !e.getAttribute("aria-label")) fail(mode, "a box without a name");
    }
  }

  function checkWidth() {
    const wide = document.documentElement.scrollWidth;
    if (wide > innerWidth) fail("width", "the page is", wide, "wide in a window of", innerWidth);
    for (const e of document.querySelectorAll("td, th, dd, pre, .facts b, .title p"))
      if (e.clientWidth && e.scrollWidth > e.clientWidth + 1) fail("width", e.tagName, e.textContent.slice(0, 40), "is cut off");
    for (const e of document.querySelectorAll(".scroll"))  // a phone may scroll tables
      if (innerWidth >= 1280 && e.scrollWidth > e.clientWidth + 1) fail("width", "the table of", e.parentElement.id, "is", e.scrollWidth, "wide in", e.clientWidth);
  }

  // The wheel, a drag and the keys of the graph, with the browser's own events; the end of a drag is no click.
  function checkWindow() {
    const view = document.querySelector(".view"), box = view.getBoundingClientRect(), middle = {clientX: box.left + box.width / 2, clientY: box.top + 60};
    const pan = () => view.querySelector("svg > g").transform.baseVal.consolidate().matrix, leaves = () => view.querySelectorAll("svg .box").length;
    const before = pan(), boxes = leaves(), point = (m) => [(middle.clientX - box.left - m.e) / m.a, (60 - m.f) / m.a];
    view.dispatchEvent(new WheelEvent("wheel", {deltaY: -48, cancelable: true, ...middle}));
    const after = pan();
    if (after.a <= before.a * 1.1) fail("the wheel does not zoom:", before.a, after.a);
    if (Math.hypot(point(before)[0] - point(after)[0], point(before)[1] - point(after)[1]) > 1) fail("the wheel moves the point below the mouse");
    view.setPointerCapture = () => {};  // events made by a script have no pointer
    const target = view.querySelector("svg .box .box") || view.querySelector("svg .box");
    for (const [type, dx] of [["pointerdown", 0], ["pointermove", 40], ["pointermove", 80], ["pointerup", 80]])
      target.dispatchEvent(new PointerEvent(type, {bubbles: true, pointerType: "mouse", buttons: type === "pointerup" ? 0 : 1, clientX: middle.clientX + dx, clientY: middle.clientY}));
    target.dispatchEvent(new MouseEvent("click", {bubbles: true}));
    if (Math.abs(pan().e - after.e - 80) > 1) fail("a drag of 80 moves the graph by", pan().e - after.e);
    if (leaves() !== boxes) fail("the end of a drag opens or closes a block");
    view.dispatchEvent(new KeyboardEvent("keydown", {key: "0"}));
    const drawn = view.querySelector("svg > g").getBoundingClientRect();
    if (drawn.top < box.top - 2 || drawn.bottom > box.bottom + 2) fail("the key 0 does not show all of the graph");
  }

  const button = document.querySelector(".mode"), picked = [...document.querySelectorAll("svg .box")].pop();
  if (picked) picked.dispatchEvent(new MouseEvent("click", {bubbles: true}));
  const open = [...document.querySelectorAll("button")].find((b) => b.textContent === "open one layer");
  if (open) open.click();
  for (const mode of ["light", "dark"]) {
    for (let i = 0; i < 3 && !button.textContent.includes(mode); i++) button.click();
    if (document.documentElement.dataset.theme !== mode) fail("the switch does not go to", mode);
    checkContrast(mode);
    checkFocus(mode);
  }
  checkWidth();
  checkWindow();
  document.body.append(Object.assign(document.createElement("pre"), {id: "probe", textContent: [...found.values()].slice(0, 30).join("\n") || "probe: ok"}));
}, 300);
