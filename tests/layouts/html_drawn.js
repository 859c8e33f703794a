// node html_drawn.js PAGE.html [TRACE.json]: what a plan's page draws is what the plan says. The bars of the
// pipeline and of the strip below the memory are held against the trace of the same planned step; without one
// (a plan without a cluster) against the page's own data, read here once more; in light and in dark. Exit 1: they
// differ.
"use strict";
const fs = require("fs"), {openPage, WIDTH} = require("./fake_page.js");
const {graphChecks} = require("./html_drawn_graph.js");

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

const paint = (name) => page.colors[page.root.dataset.theme]["--" + name];
const colorOf = (run) => paint({F: "F", B: "B", W: "W"}[run.kind] ? run.kind + (run.microbatch % 2 ? "-2" : "") : "once");
const isBar = (r) => ["F", "F-2", "B", "B-2", "W", "W-2", "once"].some((name) => paint(name) === r.color) && r.h > 8;
const button = (id, name) => section(id).all((e) => e.tag === "button" && e.textContent === name)[0];

function checkBars(stages, canvas, scale, from, what) {
  const rects = canvas.context.rects.filter(isBar), rows = [...new Set(rects.map((r) => r.y))].sort((a, b) => a - b);
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
      check(r.color === colorOf(run), name, "has the colour", r.color);
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
    check(near(t.x, inSeconds(t.text) * scale, 14.5), "the axis says", t.text, "at", t.x, "not", inSeconds(t.text) * scale);
  checkTips(stages, canvas, scale, rows);
  button("pipeline", "zoom in").fire("click", {});
  const from = d.length * 1.012 / 4;
  checkBars(stages, canvas, 2 * scale, from, "zoomed");
  canvas.fire("keydown", {key: "0"});
  checkBars(stages, canvas, scale, 0, "whole again");
  checkKeys(stages, canvas);
}

// The arrow keys go through the runs of a stage in order, and to the next stage.
function checkKeys(stages, canvas) {
  const tip = () => page.body.all((e) => e.className === "tip").map((e) => e.textContent).join();
  stages[0].forEach((run, i) => {
    canvas.fire("keydown", {key: i ? "ArrowRight" : "Home"});
    check(tip().startsWith("stage 0: ") && (run.microbatch < 0 || new RegExp("microbatch " + run.microbatch + "\\D").test(tip())),
          "the key went to", tip().slice(0, 60), "not to microbatch", run.microbatch);
  });
  canvas.fire("keydown", {key: "ArrowDown"});
  check(tip().startsWith("stage " + Math.min(1, stages.length - 1) + ":"), "the key down went to", tip().slice(0, 30));
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

// byTime: along the step's time, which the canvas shows with a little to spare; or else by instruction.
function checkMemory(stages, byTime) {
  canvases("time").forEach((canvas, s) => {
    const c = canvas.context, stage = d.stages[s], own = d.classes[stage.class];
    const name = "memory of stage " + s + (byTime ? " by time" : "");
    const segment = (run) => stage.segments.find((g) => d.texts[g[0]] === run.kind && (run.kind === "step" || g[1] === run.chunk));
    const total = stages[s].reduce((sum, run) => sum + segment(run)[3], 0);
    check(c.rects.length === stages[s].length, name, "has", c.rects.length, "parts in its strip, not", stages[s].length);
    let at = 0;
    stages[s].forEach((run, i) => {
      const begin = byTime ? run.begin / (d.length * 1.012) : at / total;
      check(near(c.rects[i].x, begin * WIDTH, 1.5), name, "strip: part", i, "begins at", c.rects[i].x, "not", begin * WIDTH);
      check(c.rects[i].color === colorOf(run), name, "strip: part", i, "has the colour", c.rects[i].color);
      at += segment(run)[3];
    });
    // Layers lie on each other, and the highest is the peak that stands beside them.
    const floor = Math.max(...c.polygons[0].points.map((p) => p[1])), arena = c.lines[0][0][1],
          unit = own.arena / (floor - arena);
    const order = [0, 2, 1, 3, 4, 8, 6, 5, 7].map((k) => paint("class-" + k)), drawn = c.polygons.filter((p) => order.includes(p.color));
    check(drawn.every((p, i) => !i || order.indexOf(drawn[i - 1].color) < order.indexOf(p.color)), name, "has its layers out of order");
    const layers = drawn.map(columns), stood = layers[0].map(() => floor);
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
    checkPeak(c, canvas, stood, floor, said, name, stage);
  });
}

// The tensors of a tip are tensors of the stage, largest sum first, each with a line of the model.
function checkTensors(stage, tip, name) {
  const list = (tip.split("largest temporary tensors").pop().match(/(?:\d+ × )?[\d.]+ [KMG]?i?B(?= ?\D)/g) || []);
  const sums = list.map((x) => amount(x.replace(/^\d+ × /, "")) * (/^(\d+) × /.exec(x) || [0, 1])[1]);
  check(sums.length > 0 && sums.every((v, i) => !i || v <= sums[i - 1] * 1.001), name, "the tensors at the peak are", list.join(", "));
  for (const x of list)
    check(stage.tensors.some((t) => t.length && near(t[4], amount(x.replace(/^\d+ × /, "")), 0.006 * t[4])), name, "there is no tensor of", x);
  check(/\.xlm:\d+/.test(tip), name, "the tip has no line of the model");
}

// The mark stands on a highest column and names the instruction that is there.
function checkPeak(c, canvas, stood, floor, said, name, stage) {
  const mark = c.polygons.find((p) => p.color === paint("mark")), [x, y] = mark ? mark.points[0] : [0, 0];
  const column = Math.min(stood.length - 1, Math.floor(x / WIDTH * stood.length)), label = c.texts.find((t) => t.text.startsWith("peak "));
  check(mark && near(y, stood[column] - 1, 1) && near(stood[column], Math.min(...stood), 0.01), name, "its mark is at", x, y);
  check(label && amount(label.text) === said, name, "the mark says", label && label.text);
  canvas.fire("keydown", {key: "p"});
  const tip = page.body.all((e) => e.className === "tip").map((e) => e.textContent).join();
  check(amount(tip) === said, name, "the tip at the peak says", tip.slice(0, 60));
  const named = label.text.split(": ")[1].replace(/…$/, "");
  check(tip.includes(" in use at " + named), name, "the tip at the peak is not of", named);
  checkTensors(stage, tip, name);
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

// ---- kernels and communication ----

const rowsOf = (id, table) => section(id).all((e) => e.tag === "tbody")[table].children.map((r) => r.children.map((c) => c.textContent));
const number = (text) => Number(text.replace(/,/g, ""));
const scaledBy = (text, units) => {
  const [n, unit] = text.split(" ");
  return Number(n) * (units[unit || ""] || 1);
};
const counted = (text) => scaledBy(text, {"": 1, K: 1e3, M: 1e6, B: 1e9, T: 1e12, P: 1e15});

// The table of the first stage has every instruction of the step once per run, and on a cluster all of its time.
function checkKernels(stages) {
  const stage = d.stages[0], rows = rowsOf("kernels", 0), calls = new Map(), runs = (k) => stage.runs.filter((r) => r[0] === k).length;
  let flops = 0;
  stage.segments.forEach((g, k) => {
    for (const op of stage.ops.slice(g[2], g[2] + g[3])) {
      if (op[10]) continue;
      const name = d.texts[op[0]];
      calls.set(name, (calls.get(name) || 0) + runs(k));
      flops += op[6] * runs(k);
    }
  });
  const said = new Map();
  for (const [name, n] of rows) said.set(name.split(" ")[0], (said.get(name.split(" ")[0]) || 0) + number(n));
  // The first microbatch, or the last, may run a variant of a segment that has other kernels: sums are compared.
  const all = (m) => [...m.values()].reduce((a, b) => a + b, 0);
  check(near(all(said), all(calls), 0.02 * all(calls)), "calls in the table:", all(said), "of", all(calls));
  const total = rows.reduce((sum, r) => sum + counted(r[2]), 0);
  check(near(total, flops, 0.02 * flops), "FLOPs in the table:", total, "of", flops);
  if (!d.stepSeconds) return;
  const time = rows.reduce((sum, r) => sum + inSeconds(r[6]), 0), idle = d.stepSeconds - time;
  const busy = stages[0].reduce((sum, r) => sum + r.end - r.begin, 0);
  check(time <= busy * 1.001, "kernels take", time, "in", busy);
  const bar = section("kernels").all((e) => e.className === "bar thick")[0].children.map((i) => parseFloat(i.style.cssText.match(/width:([\d.]+)/)[1]));
  check(near(bar.reduce((a, b) => a + b, 0), 100, 0.01), "the parts of the step are", bar.join(" + "), "%");
  check(near(bar[0], 100 * time / d.stepSeconds, 0.5), "kernels are", bar[0], "% of the step, not", 100 * (1 - idle / d.stepSeconds));
  const exposed = d.traffic[0].reduce((sum, r) => sum + Math.max(0, r[8]), 0);
  check(!exposed || near(bar[1], 100 * exposed / d.stepSeconds, 0.01), "exposed communication is", bar[1], "% of the step");
  checkExposed(busy, time);
}

// Kernels and exposed communication fill the time in which the stage runs. (The rank whose times the schedule has is the
// slowest of its stage, and may be another.)
function checkExposed(busy, kernels) {
  const exposed = d.traffic[0].reduce((sum, r) => sum + Math.max(0, r[8]), 0);
  check(near(kernels + exposed, busy, 0.05 * busy), "kernels", kernels, "and exposed", exposed, "are not", busy);
  for (const r of d.traffic[0]) check(r[8] <= r[7] * 1.0001, "more is exposed than takes time:", r.join());
  if (!d.traffic[0].length) return;
  const totals = rowsOf("communication", 0), rows = rowsOf("communication", 1);
  check(rows.length === d.traffic[0].length, "rows of communication:", rows.length);
  const time = (table, k) => table.reduce((sum, r) => sum + inSeconds(r[k]), 0);
  check(near(time(totals, 2), time(rows, 7), 0.01 * time(rows, 7) + 1e-6 * rows.length), "times of axes", time(totals, 2), "of rows", time(rows, 7));
}

// What the lists of the page point to must be there: an op lies in its segment.
function checkData() {
  d.stages.forEach((stage, s) => stage.segments.forEach((g, k) => {
    for (let i = g[2]; i < g[2] + g[3]; i++)
      check(stage.ops[i] && stage.ops[i][9] === k, "stage", s, "op", i, "is not of segment", k);
  }));
}

const stages = process.argv[3] ? fromTrace(process.argv[3]) : fromPage();

// All pictures along a step, in the present colours.
function checkTimes() {
  checkPipeline(stages);
  if (d.stepSeconds) {
    checkMemory(stages, true);
    button("time", "by instruction").fire("click", {});
  }
  checkMemory(stages, false);
  if (d.stepSeconds) button("time", "by time").fire("click", {});
}

checkData();
checkTimes();
const mode = page.body.all((e) => e.className === "mode")[0];
check(page.root.dataset.theme === "light", "the page begins", page.root.dataset.theme);
for (let i = 0; i < 2; i++) mode.fire("click", {});
check(page.root.dataset.theme === "dark" && paint("ink") !== page.colors.light["--ink"], "the switch does not make it dark");
checkTimes();
checkBarsOfClasses();
checkUpdates();
checkKernels(stages);
graphChecks({d, check, near, section, button});
console.log(failed ? failed + " differences" : "ok: " + stages.flat().length + " runs in " + stages.length + " stages");
process.exit(failed ? 1 : 0);
