// Utilities of the pages: elements, formatting of numbers, colours, tooltips.

function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const k in props || {}) {
    if (k === "style")
      e.style.cssText = props[k];
    else if (k.startsWith("on"))
      e.addEventListener(k.slice(2), props[k]);
    else
      e.setAttribute(k, props[k]);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

function svg(tag, props, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const k in props || {}) e.setAttribute(k, props[k]);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

function scaled(x, step, units) {
  let i = 0;
  while (Math.abs(x) >= step && i < units.length - 1) {
    x /= step;
    i++;
  }
  const digits = i === 0 ? 0 : x >= 100 ? 0 : x >= 10 ? 1 : 2;
  return x.toFixed(digits) + (units[i] ? " " + units[i] : "");
}
const bytes = (n) => scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
const count = (n) => scaled(n, 1000, ["", "K", "M", "B", "T", "P", "E"]);
const thousands = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
const seconds = (t) => t === 0 ? "0" :
    t < 1e-3                   ? scaled(t * 1e6, 1e9, ["µs"]) :
    t < 1                      ? Number((t * 1e3).toPrecision(4)) + " ms" :
                                 Number(t.toPrecision(4)) + " s";
const plural = (n, word) => thousands(n) + " " + word + (n === 1 ? "" : /[xs]$|ch$/.test(word) ? "es" : "s");

// ---- colours ----

const axisColor = (i) => "var(--axis-" + i + ")";
const classColor = (k) => "var(--class-" + k + ")";
function axesOf(mesh, mask) {
  const list = [];
  for (let i = 0; i < 8; i++)
    if (mask >> i & 1) list.push(i);
  return list;
}
const axesText = (mesh, mask) => axesOf(mesh, mask).map((i) => mesh[i] ? mesh[i][0] : "axis " + i).join(", ");

// The mean of the axes' colours, thinned over the page's own.
function layoutFill(mesh, mask) {
  const list = axesOf(mesh, mask).map(axisColor);
  if (!list.length) return "var(--whole)";
  const mean = list.reduce((sum, c, k) => `color-mix(in srgb, ${sum} ${100 * k / (k + 1)}%, ${c})`);
  return `color-mix(in srgb, ${mean} 16%, var(--card))`;
}

function axisPills(mesh, mask) {
  return axesOf(mesh, mask)
      .map((i) => el("span", {class: "axis", style: "background:" + axisColor(i)}, mesh[i] ? mesh[i][0] : String(i)));
}

// ---- tooltips ----

const tip = el("div", {class: "tip"});

function showTip(event, ...content) {
  if (!tip.isConnected) document.body.append(tip);
  tip.replaceChildren(...content);
  tip.style.display = "block";
  const r = tip.getBoundingClientRect(), x = event.clientX + 16, y = event.clientY + 16;
  tip.style.left = Math.max(4, x + r.width > innerWidth - 8 ? event.clientX - r.width - 12 : x) + "px";
  tip.style.top = Math.max(4, y + r.height > innerHeight - 8 ? event.clientY - r.height - 12 : y) + "px";
}
function hideTip() { tip.style.display = "none"; }

// ---- parts of a page ----

function section(id, title, about, ...more) {
  return el("section", {id}, el("div", {class: "title"}, el("h2", {}, title), el("p", {}, about), ...more));
}

function tabs(names, chosen, choose) {
  const box = el("div", {class: "tabs", role: "group"});
  names.forEach((name, i) => {
    const b = el("button", {class: i === chosen ? "on" : "", "aria-pressed": i === chosen}, name);
    b.addEventListener("click", () => {
      for (const other of box.children) {
        other.className = other === b ? "on" : "";
        other.setAttribute("aria-pressed", other === b);
      }
      choose(i);
    });
    box.append(b);
  });
  return box;
}

// Few stages as tabs, many as a list.
function stageChooser(n, choose) {
  const names = Array.from({length: n}, (_, i) => "stage " + i);
  if (n <= 8) return n > 1 ? tabs(names, 0, choose) : null;
  const s = el("select", {"aria-label": "stage"}, ...names.map((name, i) => el("option", {value: i}, name)));
  s.addEventListener("change", () => choose(Number(s.value)));
  return s;
}

function modelLine(d, line) {
  return line && d.source.length >= line ? d.source[line - 1].replace(/#.*$/, "").replace(/\s+/g, " ").trim() : "";
}
// d.files: [path, lines before its first] of each file of the model.
function place(d, line) {
  if (!line) return "";
  const [path, before] = d.files.filter((f, k) => !k || f[1] < line).pop();
  return (path || d.path).replace(/^.*\//, "") + ":" + (line - before);
}

// A canvas at the screen's resolution, redrawn when the width changes.
function surface(height, draw) {
  const c = el("canvas", {style: "width:100%;height:" + height + "px"});
  const again = () => {
    const w = c.clientWidth, ratio = window.devicePixelRatio || 1;
    if (!w) return;
    c.width = Math.round(w * ratio);
    c.height = Math.round(height * ratio);
    const g = c.getContext("2d");
    g.scale(ratio, ratio);
    draw(g, w, height);
  };
  new ResizeObserver(again).observe(c);
  c.redraw = again;
  painted.push(c);
  return c;
}

const fields = {
  tensor: ["name", "type", "class", "area", "bytes", "first", "last", "line", "view", "axes", "partial"],
  op: [
    "op", "label", "scope", "line", "in", "out", "flops", "bytes", "work", "segment", "kind", "seconds", "attrs",
    "over", "wire"
  ],
  segment: ["kind", "chunk", "first", "n"]
};

// Turns lists into objects and indices into the table of texts into texts.
function unpack(d) {
  const named = (kind, texts) => (row) => {
    const o = {};
    fields[kind].forEach((f, i) => {
      o[f] = texts.includes(f) ? d.texts[row[i]] : row[i];
    });
    return o;
  };
  for (const s of d.stages) {
    s.tensors = s.tensors.map((t) => t.length ? named("tensor", ["name", "type"])(t) : null);
    s.ops = s.ops.map(named("op", ["op", "label", "scope", "attrs"]));
    s.segments = s.segments.map(named("segment", ["kind"]));
  }
  return d;
}
