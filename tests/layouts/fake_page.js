// A page without a browser: enough of the DOM for the scripts of xlmc's HTML pages to run under node, with
// canvases that write down what is drawn on them.
"use strict";
const fs = require("fs"), vm = require("vm");

const WIDTH = 1200;  // of every canvas, in CSS pixels

class Element {
  constructor(tag) {
    Object.assign(this, {tag, children: [], attributes: {}, listeners: {}, className: "", style: {}});
    Object.assign(this, {clientWidth: WIDTH, isConnected: false, text: ""});
    if (tag === "canvas") this.context = newContext();
  }
  append(...list) {
    for (const c of list) this.children.push(c instanceof Element ? c : Object.assign(new Element("#text"), {text: String(c)}));
  }
  replaceChildren(...list) {
    this.children = [];
    this.append(...list);
  }
  setAttribute(k, v) {
    this.attributes[k] = String(v);
    if (k === "class") this.className = String(v);
  }
  addEventListener(name, f) { (this.listeners[name] = this.listeners[name] || []).push(f); }
  fire(name, event) {
    for (const f of this.listeners[name] || []) f({stopPropagation() {}, clientX: 0, clientY: 0, buttons: 0, ...event});
  }
  get classList() { return {toggle() {}}; }
  get firstChild() { return this.children[0]; }
  get id() { return this.attributes.id || ""; }
  get textContent() { return this.text + this.children.map((c) => c.textContent).join(""); }
  set textContent(s) { this.replaceChildren(s); }
  getContext() { return this.context; }
  getBoundingClientRect() { return {width: 100, height: 50}; }
  // Depth first; this element, too.
  all(wanted) { return [...(wanted(this) ? [this] : []), ...this.children.flatMap((c) => c.all(wanted))]; }
}
class TableCell extends Element {}

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

// Runs the page's own scripts; gives its body and its data as it was before a script changed it.
function openPage(file) {
  const html = fs.readFileSync(file, "utf8"), parts = html.split("<script");
  const data = parts[1].slice(parts[1].indexOf(">") + 1, parts[1].indexOf("</script>"));
  const script = parts[2].slice(parts[2].indexOf(">") + 1, parts[2].indexOf("</script>"));
  const body = new Element("body"), source = new Element("script");
  source.text = data;
  const make = (tag) => tag === "td" || tag === "th" ? new TableCell(tag) : new Element(tag);
  const document = {body, createElement: make, createElementNS: (space, tag) => make(tag), getElementById: () => source};
  const world = {document, console, HTMLTableCellElement: TableCell, innerWidth: 1400, innerHeight: 900, requestAnimationFrame() {}};
  world.window = {devicePixelRatio: 2};
  world.ResizeObserver = class {
    constructor(f) { this.f = f; }
    observe(e) { waiting.push(this.f); }
  };
  const waiting = [];
  vm.runInNewContext(script, world);
  for (const f of waiting) f();
  return {body, data: JSON.parse(data)};
}

module.exports = {openPage, WIDTH};
