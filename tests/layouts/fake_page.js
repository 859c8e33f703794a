// A page without a browser: enough of the DOM for the scripts of xlmc's HTML pages to run under node, with
// canvases that write down what is drawn on them.
"use strict";
const fs = require("fs"), vm = require("vm");

const WIDTH = 1200, HEIGHT = 640;  // of every canvas and element, in CSS pixels

class Element {
  constructor(tag) {
    Object.assign(this, {tag, children: [], attributes: {}, listeners: {}, className: "", style: {}});
    Object.assign(this, {clientWidth: WIDTH, clientHeight: HEIGHT, isConnected: false, text: "", dataset: {}, value: "", parentNode: null});
    if (tag === "canvas") this.context = newContext();
  }
  append(...list) {
    for (const c of list) this.children.push(c instanceof Element ? c : Object.assign(new Element("#text"), {text: String(c)}));
    for (const c of this.children) c.parentNode = this;
  }
  remove() { this.parentNode.children = this.parentNode.children.filter((c) => c !== this); }
  replaceChildren(...list) {
    this.children = [];
    this.append(...list);
  }
  setAttribute(k, v) {
    this.attributes[k] = String(v);
    if (k === "class") this.className = String(v);
  }
  getAttribute(k) { return k in this.attributes ? this.attributes[k] : null; }
  focus() { focused = this; }
  addEventListener(name, f) { (this.listeners[name] = this.listeners[name] || []).push(f); }
  fire(name, event) {
    const given = {stopPropagation() {}, preventDefault() {}, clientX: 0, clientY: 0, buttons: 0, ...event};
    for (const f of this.listeners[name] || []) f(given);
  }
  get classList() {
    return {toggle: (name, on) => {
      const rest = this.className.split(" ").filter((c) => c && c !== name);
      this.className = [...rest, ...(on ? [name] : [])].join(" ");
    }};
  }
  get firstChild() { return this.children[0]; }
  get id() { return this.attributes.id || ""; }
  get textContent() { return this.text + this.children.map((c) => c.textContent).join(""); }
  set textContent(s) { this.replaceChildren(s); }
  getContext() { return this.context; }
  getBoundingClientRect() { return {left: 0, top: 0, width: 100, height: 50}; }
  // Depth first; this element, too.
  all(wanted) { return [...(wanted(this) ? [this] : []), ...this.children.flatMap((c) => c.all(wanted))]; }
}
class TableCell extends Element {}
let focused = null;

// rects: what fillRect drew since the last clearRect; texts and polygons likewise.
function newContext() {
  let path = [];
  return {
    rects: [], texts: [], polygons: [], lines: [], fillStyle: "", strokeStyle: "", font: "", textAlign: "",
    clearRect() { this.rects = [], this.texts = [], this.polygons = [], this.lines = []; },
    fillRect(x, y, w, h) { this.rects.push({x, y, w, h, color: this.fillStyle}); },
    fillText(text, x, y) { this.texts.push({text, x, y}); },
    beginPath() { path = []; },
    moveTo(x, y) { path.push([x, y]); },
    lineTo(x, y) { path.push([x, y]); },
    fill() { this.polygons.push({color: this.fillStyle, points: path}); },
    stroke() { this.lines.push(path); },
    measureText(s) { return {width: 6 * s.length}; },
    setLineDash() {}, scale() {}
  };
}

// The colours of the page's style: {light: {"--ink": "#1b2430", ..}, dark: ..}.
function palettes(html) {
  const style = html.slice(html.indexOf("<style>"), html.indexOf("</style>")), found = {light: {}, dark: {}};
  for (const [, dark, block] of style.matchAll(/:root(\[data-theme="dark"\])? *\{([^}]*)\}/g))
    for (const [, name, value] of block.matchAll(/(--[\w-]+): *([^;]+);/g)) found[dark ? "dark" : "light"][name] = value;
  return {light: found.light, dark: {...found.light, ...found.dark}};
}

// Runs the page's own scripts; gives its body, its colours, and its data as it was before a script changed it.
function openPage(file) {
  const html = fs.readFileSync(file, "utf8"), parts = html.split("<script"), colors = palettes(html);
  const data = parts[1].slice(parts[1].indexOf(">") + 1, parts[1].indexOf("</script>"));
  const script = parts[2].slice(parts[2].indexOf(">") + 1, parts[2].indexOf("</script>"));
  const body = new Element("body"), source = new Element("script");
  source.text = data;
  const make = (tag) => tag === "td" || tag === "th" ? new TableCell(tag) : new Element(tag);
  const root = new Element("html");
  const document = {body, documentElement: root, createElement: make, createElementNS: (space, tag) => make(tag), getElementById: () => source};
  const world = {document, console, HTMLTableCellElement: TableCell, innerWidth: 1400, innerHeight: 900};
  world.getComputedStyle = () => ({getPropertyValue: (name) => colors[root.dataset.theme][name] || ""});
  world.matchMedia = () => ({matches: false, addEventListener() {}});
  world.window = {devicePixelRatio: 2};
  world.ResizeObserver = class {
    constructor(f) { this.f = f; }
    observe(e) { waiting.push(this.f); }
  };
  const waiting = [];
  vm.runInNewContext(script, world);
  for (const f of waiting) f();
  return {body, colors, root, focused: () => focused, data: JSON.parse(data)};
}

module.exports = {openPage, WIDTH, HEIGHT};
