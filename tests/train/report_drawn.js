// node report_drawn.js PAGE.html NAME=METRICS.jsonl...: what the page of runs draws is what the metrics say. The files are
// read here once more; every point of every path is put back into the units of its axes, whose scale is taken from the
// ticks, and counted. Exit 1: they differ.
"use strict";
const fs = require("fs"), {openPage} = require("../layouts/fake_page.js");

const page = openPage(process.argv[2]);
let failed = 0, compared = 0;
function check(ok, ...words) {
  if (!ok && ++failed < 20) console.log("FAILED:", ...words);
}

// ---- what should be drawn: per run and field [step, value], value null if it is not finite ----

function readMetrics(file) {
  const series = {}, lines = fs.readFileSync(file, "utf8").split("\n");
  let last = 0;
  lines.pop();  // what follows the last end of line: nothing, or a line that is being written
  for (const line of lines) {
    let o = {};
    try {
      o = JSON.parse(line);
    } catch (e) {
    }
    if (!Number.isInteger(o.step)) continue;
    if (o.step <= last)
      for (const f in series) series[f] = series[f].filter((p) => p[0] < o.step);  // a resumed run
    last = o.step;
    for (const f in o)
      if (f !== "step") (series[f] = series[f] || []).push([o.step, o[f]]);
  }
  return series;
}
// Numbers, lists of numbers (true) and samples (false) apart.
function ofKind(fields, kind) {
  const list = (v) => Array.isArray(v) ? typeof v[0] === "number" : null;
  return Object.fromEntries(Object.entries(fields).filter(([, points]) => list(points.length ? points[0][1] : 0) === kind));
}
const runs = process.argv.slice(3).map((arg) => {
  const fields = readMetrics(arg.split("=")[1]);
  return {name: arg.split("=")[0], series: ofKind(fields, null), lists: ofKind(fields, true), samples: ofKind(fields, false).samples || []};
});
const POINTS = 8000;  // longer series are thinned
const factors = {mfu: 100, memory_bytes: 1 / 2 ** 30, device_bytes: 1 / 2 ** 30};

// ---- reading a chart back ----

const charts = page.body.all((e) => e.className.split(" ")[0] === "chart");
const drawing = (chart) => chart.all((e) => e.tag === "svg")[0];
const paths = (chart, kind) => drawing(chart).all((e) => e.tag === "path" && e.className === kind);
const inUnits = (text) => {
  const [, n, unit] = /^(-?[\d.,]+(?:e-?\d+)?) ?(.*)$/.exec(text) || [];
  const scale = {"": 1, K: 1e3, M: 1e6, s: 1, min: 60}[unit];
  return scale ? Number(n.replace(/,/g, "")) * scale : NaN;
};

// From the ticks: [the function from pixels to units, units of a pixel].
function scaleOf(ticks, along, log) {
  const list = ticks.map((t) => [Number(t.attributes[along]) - (along === "y" ? 4 : 0), inUnits(t.textContent)]).filter((t) => !isNaN(t[1]));
  const up = log ? Math.log : (v) => v, down = log ? Math.exp : (v) => v;
  const a = list[0], b = list[list.length - 1];
  if (list.length < 2) return null;
  const unit = (up(b[1]) - up(a[1])) / (b[0] - a[0]);
  return [(px) => down(up(a[1]) + (px - a[0]) * unit), Math.abs(unit)];
}
function scales(chart, log) {
  const texts = drawing(chart).all((e) => e.tag === "text");
  return {
    x: scaleOf(texts.filter((t) => t.attributes["text-anchor"] === "middle"), "x", false),
    y: scaleOf(texts.filter((t) => t.attributes["text-anchor"] === "end"), "y", log)
  };
}

// [[x, y, begins a new piece]]
const pointsOf = (path) => [...path.attributes.d.matchAll(/([ML])(-?[\d.]+) (-?[\d.]+)/g)].map((m) => [Number(m[2]), Number(m[3]), m[1] === "M"]);

// The steps at which lines were thinned are not known here: then each drawn point must be one of the file's, and the
// highest, the lowest, the first and the last must be there.
function checkPath(chart, path, expected, field, axisOf, what, log) {
  const drawn = pointsOf(path), s = scales(chart, log), factor = factors[field] || 1;
  const finite = expected.filter((p) => p[1] !== null && !(log && p[1] <= 0));
  check(s.x && s.y, what, "has no two ticks to read it by");
  if (!s.x || !s.y) return;
  const near = (a, b, unit) => Math.abs(a - b) <= unit * 1.1 + 1e-9;  // a tick's text and place are rounded
  const same = (d, p) => near(s.x[0](d[0]), axisOf(p[0]), s.x[1]) &&
      (log ? near(Math.log(s.y[0](d[1])), Math.log(p[1] * factor), s.y[1]) : near(s.y[0](d[1]), p[1] * factor, s.y[1]));
  if (expected.length <= POINTS) {
    check(drawn.length === finite.length, what, "has", drawn.length, "points, not", finite.length);
    drawn.forEach((d, i) => finite[i] && check(same(d, finite[i]), what, "point", i, "is", s.x[0](d[0]), s.y[0](d[1]), "not", finite[i]));
    let pieces = 0;
    expected.forEach((p, i) => pieces += p[1] !== null && (!i || expected[i - 1][1] === null));
    if (!log) check(drawn.filter((d) => d[2]).length === pieces, what, "is in", drawn.filter((d) => d[2]).length, "pieces, not", pieces);
  } else {
    check(drawn.length <= POINTS + 4 && drawn.length > POINTS / 3, what, "is thinned to", drawn.length);
    const by = (f) => finite.reduce((a, b) => f(b[1], a[1]) ? b : a);
    for (const p of [finite[0], finite[finite.length - 1], by((a, b) => a > b), by((a, b) => a < b)])
      check(drawn.some((d) => same(d, p)), what, "lacks", p);
    for (let i = 1; i < drawn.length; i++) check(drawn[i][0] >= drawn[i - 1][0] - 0.01, what, "goes back at", i);
  }
  compared += drawn.length;
}

function checkChart(chart, axis, log, off) {
  const field = chart.id.replace("chart-", ""), lines = paths(chart, "series");
  const shown = runs.filter((r) => r.series[field] && r.series[field].length && !off.includes(r.name));
  check(lines.length === shown.length, field, "has", lines.length, "lines, not", shown.length);
  shown.forEach((run, i) => {
    const at = new Map((run.series[axis] || []).map((p) => p)), axisOf = (step) => axis === "step" ? step : at.get(step);
    if (lines[i]) checkPath(chart, lines[i], run.series[field], field, axisOf, `${run.name}: ${field} by ${axis}${log ? ", log" : ""}`, log);
    const valid = field === "loss" && run.series.val_loss;
    const dashed = paths(chart, "valid").filter((p) => p.attributes.stroke === lines[i].attributes.stroke);
    check(dashed.length === (valid ? 1 : 0), run.name, "validation in the chart of losses:", dashed.length);
    if (valid) checkPath(chart, dashed[0], run.series.val_loss, "val_loss", axisOf, run.name + ": validation by " + axis, log);
  });
}

function checkAll(axis, log, off) {
  charts.forEach((chart) => checkChart(chart, axis, log, off));
}

// ---- the page ----

const button = (parent, text) => parent.all((e) => e.tag === "button" && e.textContent === text)[0];
const fieldsOf = new Set(runs.flatMap((r) => Object.keys(r.series)).filter((f) => !["tokens", "elapsed_s", "time"].includes(f)));
check(charts.length === fieldsOf.size, "there are", charts.length, "charts for", [...fieldsOf].join(" "));
checkAll("step", false, []);

const positive = (field) => runs.every((r) => (r.series[field] || []).every((p) => p[1] === null || p[1] > 0));
for (const chart of charts)
  if (["loss", "grad_norm"].includes(chart.id.replace("chart-", "")) && positive(chart.id.replace("chart-", ""))) {
    button(chart, "log").fire("click", {});
    checkChart(chart, "step", true, []);
    button(chart, "log").fire("click", {});
  }
button(page.body, "tokens").fire("click", {});
if (runs.every((r) => Object.values(r.series).every((s) => s.length <= POINTS))) checkAll("tokens", false, []);
button(page.body, "step").fire("click", {});
if (runs.length > 1) {
  button(page.body.all((e) => e.className === "keys")[0], runs[0].name).fire("click", {});
  checkAll("step", false, [runs[0].name]);
  button(page.body.all((e) => e.className === "keys")[0], runs[0].name).fire("click", {});
}

// The mouse at a step: each run's nearest value.
const losses = charts.find((c) => c.id === "chart-loss"), svg = drawing(losses), width = Number(svg.attributes.viewBox.split(" ")[2]);
const run = runs[runs.length - 1], wanted = run.series.loss[Math.floor(run.series.loss.length / 3)];
const path = paths(losses, "series")[runs.filter((r) => r.series.loss).indexOf(run)], s = scales(losses, false);
if (wanted[1] !== null && run.series.loss.length <= POINTS) {
  const d = pointsOf(path).find((p) => Math.abs(s.x[0](p[0]) - wanted[0]) <= s.x[1]);
  svg.fire("mousemove", {offsetX: d[0] * 100 / width});  // an element of the fake page is 100 wide
  const rows = page.body.all((e) => e.className === "tip").flatMap((e) => e.all((c) => c.tag === "tr")).map((e) => e.textContent);
  const text = rows.find((t) => t.startsWith(run.name) && !t.includes("validation")) || "";
  const seen = run.series.loss.some((p) => p[1] !== null && text.includes(String(Number(p[1].toPrecision(5)))) &&
                                           text.includes("step " + String(p[0]).replace(/\B(?=(\d{3})+$)/g, ",")) && Math.abs(p[0] - wanted[0]) <= 2 * s.x[1]);
  check(seen, "the tip says", rows.join(" | "), "at step", wanted[0], "loss", wanted[1]);
}
// ---- lists of numbers ----

const maps = page.body.all((e) => e.className.split(" ")[0] === "map");
const patternOf = (name) => name.replace(/\d+/, "N");
const patterns = new Set(runs.flatMap((r) => Object.keys(r.lists)).map(patternOf));
check(maps.length === patterns.size, "there are", maps.length, "maps for", [...patterns].join(" "));

// [[value, ..] of each row], by place and colour; the scale's end is written beside the map.
function cellsOf(map) {
  const high = Number(map.all((e) => e.className === "bar")[0].all((e) => e.tag === "span").pop().textContent.slice(1).replace(/,/g, ""));
  const rows = new Map();
  for (const e of drawing(map).all((c) => c.tag === "rect")) {
    const part = /high\) ([\d.]+)%, var\(--low/.exec(e.attributes.fill);
    if (!rows.has(e.attributes.y)) rows.set(e.attributes.y, []);
    rows.get(e.attributes.y).push({x: Number(e.attributes.x), y: Number(e.attributes.y), value: Number(part[1]) * high / 100, unit: high * 1e-4});
  }
  return [...rows.keys()].sort((a, b) => a - b).map((y) => rows.get(y).sort((a, b) => a.x - b.x));
}
function checkCells(map, expected, what) {
  const drawn = cellsOf(map);
  check(drawn.length === expected.length, what, "has", drawn.length, "rows, not", expected.length);
  drawn.forEach((row, r) => {
    const wanted = expected[r] || [];
    check(row.length === wanted.length, what, "row", r, "has", row.length, "cells, not", wanted.length);
    row.forEach((cell, c) => check(Math.abs(cell.value - wanted[c]) <= cell.unit, what, "row", r, "cell", c, "is", cell.value, "not", wanted[c]));
    compared += row.length;
  });
}
function checkMap(map) {
  const chooser = (label) => map.all((e) => e.tag === "select" && e.attributes["aria-label"] === label)[0];
  const owners = runs.filter((r) => Object.keys(r.lists).some((f) => "map-" + patternOf(f) === map.id)), slider = map.all((e) => e.tag === "input")[0];
  owners.forEach((run, k) => {
    const fields = Object.keys(run.lists).filter((f) => "map-" + patternOf(f) === map.id).sort((a, b) => /\d+/.exec(a) - /\d+/.exec(b));
    const set = (e, name, value) => {
      e.value = value;
      e.fire(name, {});
    };
    if (owners.length > 1) set(chooser("run"), "change", k);
    const steps = run.lists[fields[0]].map((p) => p[0]);
    check(Number(slider.attributes.max) === steps.length - 1, map.id, "has steps up to", slider.attributes.max, "not", steps.length - 1);
    const atStep = (i) => fields.map((f) => run.lists[f][i][1]);
    checkCells(map, atStep(steps.length - 1), run.name + ": the last step of " + map.id);
    for (const i of [0, Math.floor(steps.length / 2)]) {
      set(slider, "input", i);
      checkCells(map, atStep(i), run.name + ": step " + steps[i] + " of " + map.id);
    }
    const cell = cellsOf(map)[0][1], wanted = run.lists[fields[0]][Math.floor(steps.length / 2)][1][1];
    const width = Number(drawing(map).attributes.viewBox.split(" ")[2]);
    drawing(map).fire("mousemove", {offsetX: (cell.x + 1) * 100 / width, offsetY: (cell.y + 1) * 100 / width});
    const text = page.body.all((e) => e.className === "tip").map((e) => e.textContent).join("");
    check(text.includes("expert 1") && text.includes(Number(wanted.toPrecision(5)) + " = "), "the tip over a cell of", wanted, "says", text);
    button(map, "over the steps").fire("click", {});
    fields.forEach((f, i) => {
      if (fields.length > 1) set(chooser("layer"), "change", i);
      const lists = run.lists[f].map((p) => p[1]);
      checkCells(map, lists[0].map((_, c) => lists.map((l) => l[c])), run.name + ": " + f + " over the steps");
    });
    button(map, "one step").fire("click", {});
  });
}
maps.forEach(checkMap);

// ---- samples ----

const samples = page.body.all((e) => e.id === "samples");
check(samples.length === (runs.some((r) => r.samples.length) ? 1 : 0), "sections of samples:", samples.length);
if (samples.length) {
  const slider = samples[0].all((e) => e.tag === "input")[0], steps = [...new Set(runs.flatMap((r) => r.samples.map((p) => p[0])))].sort((a, b) => a - b);
  steps.forEach((step, i) => {
    slider.value = i;
    slider.fire("input", {});
    const wanted = runs.flatMap((r) => (r.samples.filter((p) => p[0] <= step).pop() || [0, []])[1].map((s) => s.prompt + s.text));
    const shown = samples[0].all((e) => e.tag === "pre").map((e) => e.textContent);
    check(JSON.stringify(shown) === JSON.stringify(wanted), "samples at step", step, "are", JSON.stringify(shown), "not", JSON.stringify(wanted));
  });
  check(samples[0].all((e) => e.tag === "script").length === 0, "a sample made an element");
}
check(compared > 100, "only", compared, "points were compared");
if (failed) console.log(failed, "differences");
process.exit(failed ? 1 : 0);
