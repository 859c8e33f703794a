// The graph of a plan's page, as html_drawn.js reads it: every op is in a box, boxes do not cover each other, and zoom,
// search and folds do what they say, by buttons and by keys.
"use strict";
const {WIDTH, HEIGHT} = require("./fake_page.js");

function graphChecks({d, check, near, section, button}) {
  // Rectangles of the leaves, in pixels of the drawing, each with how many ops it stands for.
  function leaves(e, x, y, times) {
    const [, dx, dy] = /^translate\(([-\d.]+) ([-\d.]+)\)$/.exec(e.attributes.transform || "") || [0, 0, 0];
    x += Number(dx), y += Number(dy);
    if (!/^box( picked)?$/.test(e.className)) {
      const heading = e.children.find((c) => c.className === "name"), [, n] = (heading && /  × (\d+)/.exec(heading.textContent)) || [0, 1];
      return e.children.flatMap((c) => leaves(c, x, y, times * n));
    }
    const {d: hexagon, width, height} = e.children.find((c) => c.className === "frame").attributes;
    const [, w, h] = hexagon ? /L([\d.]+) [\d.]+L[\d.]+ ([\d.]+)H/.exec(hexagon).map(Number) : [0, Number(width), Number(height)];
    const [, copies] = /  × (\d+)/.exec(e.children.map((c) => c.textContent).join("\n")) || [0, 1];
    return [{element: e, x, y, w, h, ops: times * copies, text: e.children.map((c) => c.textContent).join("\n")}];
  }

  const view = () => section("graph").all((e) => e.className === "view")[0];
  const boxesDrawn = () => leaves(view().all((e) => e.tag === "svg")[0], 0, 0, 1);
  function placed() {
    const pan = view().all((e) => /scale/.test(e.attributes.transform || ""))[0];
    const [, x, y, k] = /translate\(([-\d.]+) ([-\d.]+)\) scale\(([\d.]+)\)/.exec(pan.attributes.transform).map(Number);
    return {x, y, k};
  }

  // With every block open, each op of the segment is in one box (or one of several "× n"), and no box covers another;
  // after "fit" all are in view.
  function checkGraph() {
    const wanted = d.stages[0].segments[0][3];
    button("graph", "open all").fire("click", {});
    button("graph", "fit").fire("click", {});
    const boxes = boxesDrawn(), drawn = boxes.reduce((sum, b) => sum + b.ops, 0), p = placed();
    check(drawn === wanted, "the graph has", drawn, "ops, not", wanted);
    for (const b of boxes) {
      const left = b.x * p.k + p.x, top = b.y * p.k + p.y;
      check(left >= -1 && top >= -1 && left + b.w * p.k <= WIDTH + 1 && top + b.h * p.k <= HEIGHT + 1, "not in view:", b.text);
      for (const o of boxes)
        check(o === b || o.x >= b.x + b.w - 1 || b.x >= o.x + o.w - 1 || o.y >= b.y + b.h - 1 || b.y >= o.y + o.h - 1, b.text, "covers", o.text);
    }
    for (const b of boxes) check(!/ (d\/)?$/m.test(b.text), "a box has half a name:", b.text);
    checkZoom();
    checkSearch();
    checkFold(wanted);
  }

  function checkZoom() {
    const steps = [
      ["+", () => button("graph", "+").fire("click", {}), 1.25], ["−", () => button("graph", "−").fire("click", {}), 0.8],
      ["the key +", () => view().fire("keydown", {key: "+"}), 1.25], ["the key -", () => view().fire("keydown", {key: "-"}), 0.8],
      ["the wheel", () => view().fire("wheel", {deltaY: -24, clientX: 300, clientY: 200}), Math.exp(0.1)]
    ];
    for (const [name, act, factor] of steps) {
      const before = placed(), at = name === "the wheel" ? [300, 200] : [WIDTH / 2, HEIGHT / 2];
      act();
      const after = placed(), point = (p) => [(at[0] - p.x) / p.k, (at[1] - p.y) / p.k];
      check(near(after.k / before.k, factor, 0.001), name, "zooms by", after.k / before.k);
      check(near(point(before)[0], point(after)[0], 0.5) && near(point(before)[1], point(after)[1], 0.5), name, "moves its point");
    }
    const before = placed();
    view().fire("keydown", {key: "ArrowDown"});
    check(placed().y < before.y, "the key down does not move the graph up");
    button("graph", "1:1").fire("click", {});
    check(placed().k === 1, "1:1 is", placed().k);
    view().fire("keydown", {key: "0"});
    check(boxesDrawn().every((b) => b.y * placed().k + placed().y >= -1), "the key 0 does not fit");
  }

  // A weight is found, its block opened, its box chosen, in the middle of the view and described.
  function checkSearch() {
    button("graph", "close all").fire("click", {});
    const weight = "wo", input = section("graph").all((e) => e.tag === "input")[0];
    const searched = (value) => {
      input.value = value;
      input.fire("keydown", {key: "Enter"});
      return boxesDrawn().filter((b) => b.element.className === "box picked");
    };
    const stage0 = d.stages[0].ops.some((op) => op[9] === 0 && op[4].some((t) => d.texts[(d.stages[0].tensors[t] || [])[0]] === "layers.0.attention." + weight));
    const [box, ...more] = searched(weight), p = placed();
    if (stage0) {
      check(box && !more.length && (box.ops > 1 || box.text.includes(" " + weight)), "the search for", weight, "chose", box && box.text);
      check(box && near((box.x + box.w / 2) * p.k + p.x, WIDTH / 2, 1) && near((box.y + box.h / 2) * p.k + p.y, HEIGHT / 2, 1), "the box found is not in the middle");
      const aside = section("graph").all((e) => e.tag === "aside")[0].textContent;
      check(aside.includes("attention." + weight), "the details are not of", weight);
    }
    check(!searched("no such thing").some((b) => b.text.includes("no such")) && section("graph").all((e) => e.attributes.role === "status")[0].textContent === "not in this phase",
          "the search found what is not there");
  }

  // By keyboard: a fold opens, says what it stands for, and is taken apart into its blocks.
  function checkFold(wanted) {
    button("graph", "close all").fire("click", {});
    const fold = boxesDrawn().find((b) => /^\+ \S+  × /m.test(b.text) || /\+ layers\.\d+–\d+  × \d+/.test(b.text));
    const layers0 = new Set(d.stages[0].ops.map((op) => (d.texts[op[2]].match(/^layers\.\d+/) || [])[0]).filter((x) => x));
    check(fold || layers0.size < 5, "of", layers0.size, "layers none are folded");
    if (!fold) return;
    const [, low, high, times] = /layers\.(\d+)–(\d+)  × (\d+)/.exec(fold.text).map(Number);
    check(high - low + 1 === times, "the fold", fold.text, "stands for", times);
    fold.element.fire("keydown", {key: "Enter"});
    check(boxesDrawn().length > 3 && !boxesDrawn().some((b) => b.text === fold.text), "Enter does not open", fold.text);
    const aside = section("graph").all((e) => e.tag === "aside")[0];
    aside.all((e) => e.tag === "button")[0].fire("click", {});
    const layers = boxesDrawn().filter((b) => /^\+ layers\.\d+$/m.test(b.text));
    check(layers.length >= times, "taken apart, the fold is", layers.length, "blocks of", times);
    button("graph", "open all").fire("click", {});
    check(boxesDrawn().reduce((sum, b) => sum + b.ops, 0) === wanted, "taken apart, ops are missing");
  }

  checkGraph();
}

module.exports = {graphChecks};
