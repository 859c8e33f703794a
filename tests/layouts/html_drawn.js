// node html_drawn.js PAGE.html [TRACE.json]: what a plan's page draws is what the plan says. The bars of the
// pipeline and of the strip below the memory are held against the trace of the same planned step; without one
// (a plan without a cluster) against the page's own data, read here once more. Exit 1: they differ.
"use strict";
const fs = require("fs"), {openPage, WIDTH} = require("./fake_page.js");

const page = openPage(process.argv[2]), d = page.data;
let failed = 0;
function check(ok, ...words) {
  if (!ok && ++failed < 20) console.log("FAILED:", ...words);
}
const near = (a, b, slack) => Math.abs(a - b) <= slack;
const section = (id) => page.body.all((e) => e.id === id)[0];
const canvases = (id) => section(id).all((e) => e.tag === "canvas");

// ---- what should be drawn: per stage the runs in order, {kind, chunk, microbatch, begin, end} ----

function fromTrace(file) {
  const events = JSON.parse(fs.readFileSync(file)).traceEvents, stages = d.stages.map(() => []);
  for (const e of events)
    if (e.ph === "X" && e.cat !== "op")
      stages[e.args.stage].push({
        kind: e.cat,
        chunk: e.args.chunk,
        microbatch: e.cat === "step" ? -1 : e.args.microbatch,
        begin: e.ts / 1e6,
        end: (e.ts + e.dur) / 1e6
      });
  return stages;
}

function fromPage() {
  return d.stages.map((stage, s) => stage.runs.map(([segment, microbatch], i) => ({
    kind: d.texts[stage.segments[segment][0]],
    chunk: stage.segments[segment][1],
    microbatch,
    begin: d.times[s][i][0],
    end: d.times[s][i][1]
  })));
}

// ---- the pipeline ----

const isBar = (r) => /^hsl|^#5b6675/.test(r.color) && r.h > 8;

function checkBars(stages, canvas, scale, from, what) {
  const rects = canvas.context.rects.filter(isBar), rows = [...new Set(rects.map((r) => r.y))].sort((a, b) => a - b);
  const colors = new Map();
  check(rows.length === stages.length, what, "rows:", rows.length, "of", stages.length);
  stages.forEach((runs, s) => {
    const row = rects.filter((r) => r.y === rows[s]),
          seen = runs.filter((r) => r.end >= from && (r.begin - from) * scale <= WIDTH);
    check(row.length === seen.length, what, "stage", s, "has", row.length, "bars of", seen.length);
    seen.forEach((run, i) => {
      const r = row[i] || {}, name = `${what}: stage ${s}, ${run.kind} ${run.microbatch}`;
      check(near(r.x, (run.begin - from) * scale, 1.5), name, "begins at", r.x, "not", (run.begin - from) * scale);
      if (run.end > run.begin)
        check(near(r.x + r.w, (run.end - from) * scale, 1.5), name, "ends at", r.x + r.w, "not", (run.end - from) * scale);
      const key = run.kind + run.microbatch;
      check(!colors.has(r.color) || colors.get(r.color) === key, name, "has the colour of", colors.get(r.color));
      colors.set(r.color, key);
      const inside = canvas.context.texts.filter((t) => t.x > r.x && t.x < r.x + r.w && t.y > r.y && t.y < r.y + r.h);
      for (const t of inside)
        check([run.kind + run.microbatch, String(run.microbatch)].includes(t.text), name, "is labelled", t.text);
    });
  });
  return rows;
}

const inSeconds = (text) => {
  const [, n, unit] = text.match(/^([\d.]+)(?: (µs|ms|s))?$/) || [];
  return Number(n) * ({"µs": 1e-6, ms: 1e-3}[unit] || 1);
};

// The page's scale: a little more than the whole step is as wide as the canvas.
function checkPipeline(stages) {
  const [canvas] = canvases("pipeline");
  const begin = (r) => r.x, bars = canvas.context.rects.filter(isBar);
  const end = Math.max(...stages.flat().map((r) => r.end)), last = Math.max(...bars.map((r) => r.x + r.w));
  const scale = d.stepSeconds ? last / end : WIDTH / (d.length * 1.012);
  check(near(end, d.length, 1e-4 * end), "the step ends at", end, "not", d.length);
  check(last > 0.9 * WIDTH && last <= WIDTH, "the step is", last, "wide");
  check(Math.min(...bars.map(begin)) < 2, "the first bar begins late");
  const rows = checkBars(stages, canvas, scale, 0, "pipeline");
  for (const t of canvas.context.texts.filter((t) => t.y > rows[rows.length - 1] + 26))
    check(near(t.x, inSeconds(t.text) * scale, 12), "the axis says", t.text, "at", t.x, "not", inSeconds(t.text) * scale);
  checkTips(stages, canvas, scale, rows);
  section("pipeline").all((e) => e.tag === "button" && e.textContent === "zoom in")[0].fire("click", {});
  const from = d.length * 1.012 / 4;
  checkBars(stages, canvas, 2 * scale, from, "zoomed");
}

// Half a unit of the last digit that the page shows of a time (4 digits, whole microseconds, or two decimals of
// the page's own unit), and of the last one in the page's data (6 digits) and in the trace (nanoseconds).
const digit = (x, n) => x > 0 ? 0.5 * 10 ** (Math.floor(Math.log10(x)) + 1 - n) : 0;
function rounded(x) {
  const shown = !d.stepSeconds ? 0.005 : x < 1e-3 ? 0.5e-6 : digit(x, 4);
  return 1.0001 * shown + digit(x, 6) + 1e-9;
}

// The mouse on a bar: its name and its times.
function checkTips(stages, canvas, scale, rows) {
  const names = {F: "forward", B: "backward", W: "gradients of weights", step: "step"};
  stages.forEach((runs, s) => runs.forEach((run) => {
    if ((run.end - run.begin) * scale < 2) return;
    canvas.fire("mousemove", {offsetX: (run.begin + run.end) / 2 * scale, offsetY: rows[s] + 5});
    const text = page.body.all((e) => e.className === "tip").map((e) => e.textContent).join();
    const name = "stage " + s + ": " + names[run.kind];
    check(text.startsWith(name), "the tip says", text.slice(0, 60), "on", name);
    check(run.microbatch < 0 || new RegExp("microbatch " + run.microbatch + "\\D").test(text), "tip of another microbatch:", text);
    const [, a, b] = text.match(/from (\S+(?: \D\S*)?) to (\S+(?: [µm]?s)?):/) || [];
    check(a && near(inSeconds(a), run.begin, rounded(run.begin)), "tip:", text, "; begins at", run.begin);
    check(b && near(inSeconds(b), run.end, rounded(run.end)), "tip:", text, "; ends at", run.end);
  }));
}

// ---- memory ----

const amount = (text) => {
  const [, n, unit] = text.match(/([\d.]+) (B|KiB|MiB|GiB)/);
  return Number(n) * 1024 ** ["B", "KiB", "MiB", "GiB"].indexOf(unit);
};

// How high the polygon stands in each column: [bottom, top] in pixels from above.
function columns(polygon) {
  const n = (polygon.points.length - 1) / 4, list = [];
  for (let i = 0; i < n; i++) list.push([polygon.points[polygon.points.length - 1 - 2 * i][1], polygon.points[1 + 2 * i][1]]);
  return list;
}

function checkMemory(stages) {
  canvases("time").forEach((canvas, s) => {
    const c = canvas.context, stage = d.stages[s], own = d.classes[stage.class], name = "memory of stage " + s;
    const segment = (run) => stage.segments.find((g) => d.texts[g[0]] === run.kind && (run.kind === "step" || g[1] === run.chunk));
    const total = stages[s].reduce((sum, run) => sum + segment(run)[3], 0);
    check(c.rects.length === stages[s].length, name, "has", c.rects.length, "parts in its strip, not", stages[s].length);
    let at = 0;
    stages[s].forEach((run, i) => {
      check(near(c.rects[i].x, at / total * WIDTH, 1.5), name, "strip: part", i, "begins at", c.rects[i].x);
      at += segment(run)[3];
    });
    // Lines lie on each other, and the highest is the peak that stands beside them.
    const floor = Math.max(...c.polygons[0].points.map((p) => p[1])), arena = c.lines[0][0][1],
          unit = own.arena / (floor - arena);
    const layers = c.polygons.map(columns), stood = layers[0].map(() => floor);
    for (const layer of layers)
      layer.forEach(([bottom, top], i) => {
        check(near(bottom, stood[i], 0.01) && top <= bottom + 0.01, name, "a layer does not stand on the one below");
        stood[i] = top;
      });
    const peak = (floor - Math.min(...stood)) * unit,
          said = amount(page.body.all((e) => /^stage \d+peak/.test(e.textContent) && e.className === "label")[s].textContent);
    check(near(peak, said, 0.01 * own.arena), name, "is", said, "at its peak, drawn", peak);
    check(peak <= own.arena * 1.01, name, "is drawn above its arena");
    const parameters = (layers[0][0][0] - layers[0][0][1]) * unit;
    check(near(parameters, own.bytes[0], 0.02 * own.arena), name, "parameters are", own.bytes[0], "drawn", parameters);
  });
}

// ---- the graph ----

// Rectangles of the leaves, in pixels of the drawing.
function leaves(e, x, y) {
  const [, dx, dy] = /translate\(([-\d.]+) ([-\d.]+)\)/.exec(e.attributes.transform || "translate(0 0)");
  x += Number(dx), y += Number(dy);
  if (e.className !== "box") return e.children.flatMap((c) => leaves(c, x, y));
  const {d: hexagon, width, height} = e.children.find((c) => c.className === "frame").attributes;
  const [, w, h] = hexagon ? /L([\d.]+) [\d.]+L[\d.]+ ([\d.]+)H/.exec(hexagon).map(Number) : [0, Number(width), Number(height)];
  return [{x, y, w, h, text: e.children.map((c) => c.textContent).join("\n")}];
}

// With every block open, each op of the segment is in one box (or one of several "× n"), and no box covers another.
function checkGraph() {
  const graph = section("graph");
  graph.all((e) => e.tag === "button" && e.textContent === "open all")[0].fire("click", {});
  const drawing = graph.all((e) => e.tag === "svg")[0], boxes = leaves(drawing, 0, 0);
  const copies = (b) => Number((/  × (\d+)/.exec(b.text) || [0, 1])[1]);
  const wanted = d.stages[0].segments[0][3], drawn = boxes.reduce((sum, b) => sum + copies(b), 0);
  check(drawn === wanted, "the graph has", drawn, "ops, not", wanted);
  for (const b of boxes) {
    check(b.x >= 0 && b.y >= 0 && b.x + b.w <= Number(drawing.attributes.width) + 1 && b.y + b.h <= Number(drawing.attributes.height) + 1,
          "outside of the drawing:", b.text);
    for (const o of boxes)
      check(o === b || o.x >= b.x + b.w - 1 || b.x >= o.x + o.w - 1 || o.y >= b.y + b.h - 1 || b.y >= o.y + o.h - 1, b.text, "covers", o.text);
  }
}

// ---- bars made of elements ----

function checkBarsOfClasses() {
  const most = Math.max(d.limit && d.limit < 4 * d.classes[0].arena ? d.limit : 0, ...d.classes.map((c) => c.arena));
  const bars = section("memory").all((e) => e.className === "bar");
  const sums = bars.map((b) => b.children.reduce((sum, i) => sum + parseFloat(i.style.cssText.match(/width:([\d.]+)/)[1]), 0));
  const wanted = d.classes.map((c) => 100 * c.bytes.reduce((a, b) => a + b, 0) / most);
  check(bars.length === wanted.length, "bars of memory:", bars.length);
  const sorted = (list) => [...list].sort((a, b) => a - b);
  sorted(sums).forEach((sum, i) => check(near(sum, sorted(wanted)[i], 0.01), "a bar of memory is", sum, "% wide"));
}

// ---- updates ----

// Each group in a row with its numbers, all parameters in one of them, and in a plan of one stage every byte of the
// optimizer's states.
function checkUpdates() {
  const rows = section("updates").all((e) => e.tag === "tbody")[0].children.map((r) => r.children.map((c) => c.textContent));
  const sum = (f) => d.updates.reduce((s, u) => s + f(u), 0), kept = (u) => u[6].reduce((s, k) => s + k[2], 0);
  check(rows.length === d.updates.length && rows.length > 0, "rows of updates:", rows.length);
  check(near(sum((u) => u[3]), d.parameterCount, 1e-5 * d.parameterCount), "parameters that are updated:", sum((u) => u[3]));
  d.updates.forEach((u, i) => {
    const [group, optimizer, tensors, , lr, decay, states] = rows[i];
    check(group === d.texts[u[0]] && optimizer === d.texts[u[1]], "update", i, "is of", group, optimizer);
    check(Number(tensors.replace(/,/g, "")) === u[2] && lr === "× " + u[4] && Number(decay) === u[5], "update", i, "says", rows[i].join(" | "));
    for (const [kind, , size] of u[6]) {
      const [, said] = states.match(new RegExp(d.texts[kind].replace(".", "\\.") + " ([\\d.]+ [KMG]?i?B)")) || [];
      check(said && near(amount(said), size, 0.006 * size), "update", i, d.texts[kind], "is", size, "and the page says", states);
    }
  });
  const optimizer = d.classNames.indexOf("optimizer"), most = Math.max(...d.classes.map((c) => c.bytes[optimizer]));
  const all = sum(kept);
  if (d.stages.length === 1) check(near(all, most, 0.02 * most), "states of the optimizer:", all, "of", most);
}

// What the lists of the page point to must be there: an op lies in its segment.
function checkData() {
  d.stages.forEach((stage, s) => stage.segments.forEach((g, k) => {
    for (let i = g[2]; i < g[2] + g[3]; i++)
      check(stage.ops[i] && stage.ops[i][9] === k, "stage", s, "op", i, "is not of segment", k);
  }));
}

const stages = process.argv[3] ? fromTrace(process.argv[3]) : fromPage();
checkData();
checkPipeline(stages);
checkMemory(stages);
checkBarsOfClasses();
checkUpdates();
checkGraph();
console.log(failed ? failed + " differences" : "ok: " + stages.flat().length + " runs in " + stages.length + " stages");
process.exit(failed ? 1 : 0);
