// The pipeline as a Gantt chart: a row per stage, a bar per run of a segment. Colour is the kind of work; a bar and
// its neighbour of the next microbatch differ in lightness.

const HATCH = 5;  // below a bar of W: a line, so that kinds differ without colour

function runPaint(kind, microbatch) {
  if (["F", "eval", "prefill", "decode"].includes(kind)) return paint(microbatch % 2 ? "F-2" : "F");
  if (kind === "B" || kind === "W") return paint(kind + (microbatch % 2 ? "-2" : ""));
  return paint("once");
}
const runName = (segment, run) => segmentNames[segment.kind] + (segment.chunk > 0 ? " of part " + segment.chunk : "") +
    (run.microbatch >= 0 ? ", microbatch " + run.microbatch : "");

// What a stage runs, in order; a plan without a training step has no times.
function runsOf(d, s) {
  return d.stages[s].runs.map(([segment, microbatch, ...slots], i) => {
    const [start, end] = d.times ? d.times[s][i] : [0, 0];
    return {segment, microbatch, slots, start, end};
  });
}

function niceStep(span, most) {
  const raw = span / most, power = Math.pow(10, Math.floor(Math.log10(raw)));
  return [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
}

function timeAxis(g, from, to, w, y, height, label) {
  const step = niceStep(to - from, Math.max(2, w / 90));
  g.font = "10.5px " + SANS;
  g.textAlign = "center";
  for (let k = Math.ceil(from / step); k * step <= to; k++) {
    const t = k * step, x = (t - from) / (to - from) * w;
    g.fillStyle = paint("grid");
    g.fillRect(Math.round(x), 0, 1, y);
    g.fillStyle = paint("soft");
    g.fillText(label(t), Math.min(w - 14, Math.max(14, x)), y + height - 4);
  }
}

function drawRun(g, chart, stage, run, y, h, w) {
  const {from, to} = chart.view, seg = stage.segments[run.segment], scale = w / (to - from);
  const x1 = (run.start - from) * scale,
        x2 = run.end > run.start ? (run.end - from) * scale : x1 + Math.max(5, 0.006 * w);
  if (x2 < 0 || x1 > w) return;
  const gap = x2 - x1 > 4 ? 0.75 : 0;
  g.globalAlpha = chart.lit < 0 || run.microbatch === chart.lit ? 1 : 0.3;
  g.fillStyle = runPaint(seg.kind, run.microbatch);
  g.fillRect(x1 + gap, y, x2 - x1 - gap, h);
  g.fillStyle = paint("run-ink");
  if (seg.kind === "W" && h > 12) g.fillRect(x1 + gap, y + h - HATCH, x2 - x1 - gap, 1.5);
  if (seg.chunk > 0) g.fillRect(x1 + gap, y + 1.5, x2 - x1 - gap, Math.min(1.5 * seg.chunk, h / 4));
  const text = run.microbatch < 0 ? "" : seg.kind + run.microbatch, short = String(run.microbatch);
  const label = h < 13                                     ? "" :
      textWidth(text, fonts.small) < x2 - x1 - 4 ? text :
      textWidth(short, fonts.small) < x2 - x1 - 3          ? short :
                                                             "";
  if (label && run.microbatch >= 0) {
    g.font = fonts.small;
    g.textAlign = "center";
    g.fillText(label, Math.max(x1, 0) / 2 + Math.min(x2, w) / 2, y + h / 2 + 4);
  }
  g.globalAlpha = 1;
}

// d's runs, the part of the time in view, the microbatch that is lit (-1: all).
function newChart(d) {
  const rows = d.stages.map((_, s) => runsOf(d, s)), whole = Math.max(d.length, 1e-9) * 1.012;
  const rowHeight = Math.max(12, Math.min(26, Math.floor(680 / rows.length)));
  return {d, rows, whole, view: {from: 0, to: whole}, lit: -1, rowHeight, axis: 20};
}

function drawChart(chart, g, w, h) {
  const {d, rows, view, rowHeight, axis} = chart, gap = rowHeight > 20 ? 3 : 1;
  g.clearRect(0, 0, w, h);
  timeAxis(g, view.from, view.to, w, h - axis, axis, (t) => d.stepSeconds ? seconds(t) : String(Number(t.toPrecision(6))));
  rows.forEach((runs, s) => {
    g.globalAlpha = 0.6;
    g.fillStyle = paint("idle");
    g.fillRect(0, s * rowHeight + gap, w, rowHeight - 2 * gap);
    g.globalAlpha = 1;
    for (const run of runs) drawRun(g, chart, d.stages[s], run, s * rowHeight + gap, rowHeight - 2 * gap, w);
  });
}

function runTip(chart, s, run) {
  const {d} = chart, stage = d.stages[s], seg = stage.segments[run.segment],
        inTime = (t) => d.stepSeconds ? seconds(t) : t.toFixed(2);
  const parts = [el("b", {}, "stage " + s + ": " + runName(seg, run)), el("br", {})];
  if (run.end > run.start)
    parts.push(`from ${inTime(run.start)} to ${inTime(run.end)}: ${inTime(run.end - run.start)}`, el("br", {}));
  parts.push(
      plural(seg.n, "instruction") +
      (run.microbatch >= 0 && run.slots[0] >= 0 ?
           ", activations in slot " + run.slots[0] + " of " + d.classes[stage.class].slots[0] :
           ""));
  return parts;
}

function moveChart(chart, c, from, span = chart.view.to - chart.view.from) {
  chart.view.from = Math.max(0, Math.min(from, chart.whole - span));
  chart.view.to = chart.view.from + span;
  c.redraw();
}

function zoomChart(chart, c, factor, at = 0.5) {
  const {from, to} = chart.view, span = Math.min(chart.whole, (to - from) / factor);
  moveChart(chart, c, from + at * (to - from - span), span);
}

function light(chart, c, microbatch) {
  if (chart.lit === microbatch) return;
  chart.lit = microbatch;
  c.redraw();
}

function pointAtRuns(chart, c) {
  const runAt = (s, t) => {
    const runs = chart.rows[s] || [], slack = 0.006 * (chart.view.to - chart.view.from);
    return runs.find((r) => t >= r.start && t < r.end) ||
        runs.find((r) => r.end === r.start && t >= r.start && t < r.start + slack);
  };
  c.addEventListener("mousemove", (e) => {
    const {from, to} = chart.view;
    if (e.buttons === 1) return moveChart(chart, c, from - e.movementX / c.clientWidth * (to - from));
    const s = Math.floor(e.offsetY / chart.rowHeight), run = runAt(s, from + (e.offsetX / c.clientWidth) * (to - from));
    light(chart, c, run ? run.microbatch : -1);
    if (run)
      showTip(e, ...runTip(chart, s, run));
    else
      hideTip();
  });
  c.addEventListener("mouseleave", () => {
    light(chart, c, -1);
    hideTip();
  });
  c.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && !e.metaKey) return;
    e.preventDefault();
    zoomChart(chart, c, e.deltaY < 0 ? 1.25 : 0.8, e.offsetX / c.clientWidth);
  }, {passive: false});
}

// Arrows go from run to run and from stage to stage, Home to the first; + and - zoom, 0 shows the whole step.
function stepThroughRuns(chart, c) {
  let s = 0, i = -1;
  const near = (t) => chart.rows[s].reduce(
      (best, r, k) => Math.abs(r.start - t) < Math.abs(chart.rows[s][best].start - t) ? k : best, 0);
  const show = () => {
    const run = chart.rows[s][i], span = chart.view.to - chart.view.from;
    if (run.start < chart.view.from || run.end > chart.view.to) moveChart(chart, c, (run.start + run.end - span) / 2);
    light(chart, c, run.microbatch);
    const box = c.getBoundingClientRect(), x = (run.start - chart.view.from) / (chart.view.to - chart.view.from);
    showTip({clientX: box.left + x * box.width, clientY: box.top + (s + 1) * chart.rowHeight}, ...runTip(chart, s, run));
  };
  c.addEventListener("keydown", (e) => {
    const along = {ArrowLeft: -1, ArrowRight: 1}[e.key], across = {ArrowUp: -1, ArrowDown: 1}[e.key],
          zoom = {"+": 2, "=": 2, "-": 0.5, "0": 1e-9}[e.key];
    if (zoom) zoomChart(chart, c, zoom);
    const t = i < 0 ? 0 : chart.rows[s][i].start;
    if (e.key === "Home") s = i = 0;
    if (along) i = Math.max(0, Math.min(chart.rows[s].length - 1, i + along));
    if (across) s = Math.max(0, Math.min(chart.rows.length - 1, s + across)), i = near(t);
    if (along || across || e.key === "Home") show();
    if (zoom || along || across || e.key === "Home") e.preventDefault();
  });
  c.addEventListener("blur", () => {
    light(chart, c, -1);
    hideTip();
  });
}

function pipelineLegend(d) {
  const kinds = new Set(d.stages.flatMap((s) => s.runs.map(([segment]) => s.segments[segment].kind)));
  const entry = (color, name, more) =>
      el("span", {}, el("i", {style: "background:var(--" + color + ")" + (more || "")}), name);
  return el(
      "div", {class: "legend"}, ...["F", "B", "W"].filter((k) => kinds.has(k)).map((k) => entry(k, segmentNames[k])),
      kinds.has("prologue") ? entry("once", "prologue, step") : entry("once", "step"),
      entry("idle", "idle", ";outline:1px solid var(--border)"),
      d.stages.some((s) => s.segments.some((g) => g.chunk > 0)) ? el("span", {}, "▔ a later part of the stage") : "");
}

function stageLabels(d, height) {
  const ranks = (s) => sum(d.classes.filter((c) => c.stage === s), (c) => c.ranks);
  return el(
      "div", {class: "stages"},
      ...d.stages.map((_, s) => el(
                          "div", {style: `height:${height}px;line-height:${height}px`}, "stage " + s,
                          el("span", {class: "soft"}, d.ranks > 1 ? " " + plural(ranks(s), "rank") : ""))));
}

function ganttSection(d) {
  const chart = newChart(d), c = surface(chart.rows.length * chart.rowHeight + chart.axis, (g, w, h) => drawChart(chart, g, w, h));
  c.setAttribute("tabindex", "0");
  c.setAttribute("role", "img");
  c.setAttribute("aria-label", "pipeline: " + plural(d.stages.length, "stage") + "; arrows go from run to run");
  pointAtRuns(chart, c);
  stepThroughRuns(chart, c);
  const bubble = d.stages.length > 1 ? `Idle (the bubble): ${(100 * d.bubble).toFixed(1)} % of all stages' time. ` : "";
  const title = section(
      "pipeline", "Pipeline",
      bubble + "What a rank of each stage runs; the number is the microbatch. " +
          (d.stepSeconds ? "Times are estimated for " + d.cluster + "." :
                           "Lengths by FLOPs; the unit is the forward of an average part."),
      pipelineLegend(d),
      el("span", {class: "buttons"}, el("button", {onclick: () => zoomChart(chart, c, 2)}, "zoom in"),
         el("button", {onclick: () => zoomChart(chart, c, 0.5)}, "zoom out"),
         el("button", {onclick: () => moveChart(chart, c, 0, chart.whole)}, "whole step")));
  return [title, el("div", {class: "gantt"}, stageLabels(d, chart.rowHeight), c)];
}
