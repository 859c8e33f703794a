// The page of runs: a table, the settings that differ, and a chart for every field of the metrics. Each chart is an SVG
// with one path per run; a value that is not finite is a gap.

const known = [
  // also: a second field in the same chart; factor: on the values; zero: the axis begins there
  {field: "loss", title: "loss", unit: "nats per token", wide: true, also: "val_loss"},
  {field: "val_loss", title: "validation loss", unit: "nats per token"},
  {field: "lr", title: "learning rate", unit: ""},
  {field: "grad_norm", title: "gradient norm", unit: "before clipping"},
  {field: "tokens_per_s", title: "throughput", unit: "tokens per second", zero: true},
  {field: "mfu", title: "MFU", unit: "% of the peak", factor: 100, zero: true},
  {field: "memory_bytes", title: "memory", unit: "GiB, peak of process 0", factor: 1 / 2 ** 30, zero: true},
  {field: "device_bytes", title: "GPU memory", unit: "GiB, of process 0", factor: 1 / 2 ** 30, zero: true},
  {field: "step_s", title: "time of a step", unit: "seconds", zero: true},
  {field: "skipped", title: "steps left out", unit: "since the last line"}
];
const axes = ["tokens", "elapsed_s", "time"];  // drawn along, not up
const hidden = new Set(axes);

const short = (x) => x === null || x === undefined ? "–" :
    x === 0                                         ? "0" :
    Math.abs(x) >= 1e6 || Math.abs(x) < 1e-3        ? x.toExponential(2).replace("e+", "e") :
    Math.abs(x) >= 1000                             ? thousands(x) :
                                                      String(Number(x.toPrecision(5)));
const duration = (s) => s < 100 ? Number(s.toPrecision(3)) + " s" :
    s < 6000                    ? Math.round(s / 60) + " min" :
    s < 172800                  ? Math.floor(s / 3600) + " h " + Math.round(s % 3600 / 60) + " min" :
                                  Math.floor(s / 86400) + " d " + Math.round(s % 86400 / 3600) + " h";
const color = (i) => "var(--c" + i % 8 + ")";
const last = (run, field) => {
  const s = run.series[field];
  return s ? s.value[s.value.length - 1] : null;
};

// ---- points ----

// The value of an axis at a step: by the line with that step or, where lines were thinned, between two.
function along(run, axis, step) {
  if (axis === "step") return step;
  const s = run.series[axis];
  if (!s) return null;
  let low = 0, high = s.step.length - 1;
  while (high - low > 1) {
    const middle = low + high >> 1;
    if (s.step[middle] <= step) low = middle;
    else high = middle;
  }
  if (step <= s.step[low]) return s.value[low];
  if (step >= s.step[high]) return s.value[high];
  return s.value[low] + (s.value[high] - s.value[low]) * (step - s.step[low]) / (s.step[high] - s.step[low]);
}

// [x, y, step]; y null: not finite.
function pointsOf(run, field, axis, factor) {
  const s = run.series[field];
  if (!s) return [];
  return s.step.map((step, i) => [along(run, axis, step), s.value[i] === null ? null : s.value[i] * factor, step])
      .filter((p) => p[0] !== null);
}

// A running mean without bias; gaps stay.
function smoothed(points, weight) {
  let sum = 0, total = 0;
  return points.map(([x, y, step]) => {
    if (y === null) return [x, y, step];
    sum = weight * sum + (1 - weight) * y;
    total = weight * total + (1 - weight);
    return [x, sum / total, step];
  });
}

// ---- axes ----

function ticks(low, high, most) {
  const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw)), lead = raw / power;
  const step = power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10), list = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) list.push(Number((i * step).toPrecision(12)));
  return list;
}
function logTicks(low, high) {
  const list = [];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high) + 1e-9; e++)
    for (const m of high / low > 1000 ? [1] : [1, 2, 5])
      if (m * 10 ** e >= low * 0.999 && m * 10 ** e <= high * 1.001) list.push(Number((m * 10 ** e).toPrecision(6)));
  return list.length > 1 ? list : [low, high];
}

function rangeOf(values, log) {
  let low = Infinity, high = -Infinity;
  for (const v of values) {
    if (v === null || (log && v <= 0)) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (low > high) return log ? [0.1, 1] : [0, 1];
  if (log) return low === high ? [low / 2, high * 2] : [low, high];
  const pad = high > low ? (high - low) * 0.04 : Math.abs(high) * 0.1 || 0.5;
  return [low >= 0 && low < pad * 3 ? 0 : low - pad, high + pad];
}

const axisText = {
  step: (x) => thousands(x),
  tokens: (x) => count(x).replace(" ", ""),
  elapsed_s: duration
};
const axisTitle = {step: "step", tokens: "tokens", elapsed_s: "time of the run"};

// ---- a chart ----

const inset = {left: 56, right: 12, top: 8, bottom: 34};  // of the drawing in its chart

function pathOf(points, x, y) {
  let d = "", pen = false;
  for (const p of points) {
    const at = p[1] === null ? NaN : y(p[1]);
    if (Number.isFinite(at)) d += (pen ? "L" : "M") + x(p[0]).toFixed(2) + " " + at.toFixed(2);
    pen = Number.isFinite(at);
  }
  return d;
}

// Lines that are one point long would not be seen.
function dotsOf(points, x, y, paint) {
  const lone = points.filter((p, i) => p[1] !== null && (!points[i - 1] || points[i - 1][1] === null) &&
                                       (!points[i + 1] || points[i + 1][1] === null));
  return lone.filter((p) => Number.isFinite(y(p[1])))
      .map((p) => svg("circle", {cx: x(p[0]).toFixed(2), cy: y(p[1]).toFixed(2), r: 2.5, fill: paint}));
}

function frame(g, w, h, xs, ys, log, axis, x, y) {
  for (const t of log ? logTicks(...ys) : ticks(ys[0], ys[1], 5)) {
    g.append(svg("line", {class: "grid", x1: inset.left, x2: w - inset.right, y1: y(t), y2: y(t)}));
    g.append(svg("text", {x: inset.left - 7, y: y(t) + 4, "text-anchor": "end"}, short(t)));
  }
  for (const t of ticks(xs[0], xs[1], Math.max(2, Math.floor(w / 110)))) {
    g.append(svg("line", {class: "grid", x1: x(t), x2: x(t), y1: inset.top, y2: h - inset.bottom}));
    g.append(svg("text", {x: x(t), y: h - inset.bottom + 15, "text-anchor": "middle"}, axisText[axis](t)));
  }
  g.append(svg("text", {x: (inset.left + w - inset.right) / 2, y: h - 3, "text-anchor": "middle"}, axisTitle[axis]));
}

// What the chart shows: per run and field [run, index, points, kind].
function linesOf(chart, view) {
  const list = [];
  view.runs.forEach((run, i) => {
    if (view.off.has(i)) return;
    const points = pointsOf(run, chart.field, view.axis, chart.factor || 1);
    const smooth = view.smooth > 0 && (chart.field === "loss" || chart.field === "grad_norm");
    if (points.length && smooth) list.push({run, i, points, kind: "raw"});
    if (points.length)
      list.push({run, i, points: smooth ? smoothed(points, view.smooth) : points, kind: "series", field: chart.field});
    const more = chart.also ? pointsOf(run, chart.also, view.axis, 1) : [];
    if (more.length) list.push({run, i, points: more, kind: "valid", field: chart.also});
  });
  return list.sort((a, b) => (a.kind === "valid") - (b.kind === "valid"));  // those on top
}

function draw(chart, view, g) {
  const w = Math.max(280, g.clientWidth || 600), h = chart.wide ? 340 : 230, lines = linesOf(chart, view);
  const all = lines.flatMap((l) => l.points), log = view.log.has(chart.field);
  const xs = rangeOf(all.map((p) => p[0]), false), ys = rangeOf(all.map((p) => p[1]), log);
  if (chart.zero && !log) ys[0] = 0;
  xs[0] = Math.max(0, xs[0]), xs[1] = all.reduce((m, p) => Math.max(m, p[0]), 0) || 1;
  const up = log ? Math.log : (v) => v;
  const x = (v) => inset.left + (v - xs[0]) / (xs[1] - xs[0]) * (w - inset.left - inset.right);
  const y = (v) => h - inset.bottom - (up(v) - up(ys[0])) / (up(ys[1]) - up(ys[0])) * (h - inset.top - inset.bottom);
  g.setAttribute("viewBox", "0 0 " + w + " " + h);
  g.setAttribute("height", h);
  g.replaceChildren();
  frame(g, w, h, xs, ys, log, view.axis, x, y);
  for (const l of lines) {
    const path = svg("path", {class: l.kind, d: pathOf(l.points, x, y), stroke: color(l.i)});
    g.append(path, ...dotsOf(l.points, x, y, color(l.i)));
  }
  const marks = svg("g", {});
  g.append(marks);
  chart.drawn = {lines: lines.filter((l) => l.kind !== "raw"), x, y, w, h, xs, marks};
}

// ---- the mouse ----

function nearest(points, at) {
  let low = 0, high = points.length - 1;
  while (high - low > 1) {
    const middle = low + high >> 1;
    if (points[middle][0] <= at) low = middle;
    else high = middle;
  }
  return Math.abs(points[high][0] - at) < Math.abs(points[low][0] - at) ? points[high] : points[low];
}

function hover(chart, view, g, event) {
  const d = chart.drawn, scale = d.w / (g.getBoundingClientRect().width || d.w);
  const px = (event.offsetX || 0) * scale, at = d.xs[0] + (px - inset.left) / (d.w - inset.left - inset.right) * (d.xs[1] - d.xs[0]);
  d.marks.replaceChildren();
  if (!d.lines.length || at < d.xs[0] - 1e-9 || at > d.xs[1] + 1e-9) return hideTip();
  const rows = d.lines.map((l) => [l, nearest(l.points, at)]);
  const close = rows.reduce((a, b) => Math.abs(b[1][0] - at) < Math.abs(a[1][0] - at) ? b : a)[1][0];
  d.marks.append(svg("line", {class: "cursor", x1: d.x(close), x2: d.x(close), y1: inset.top, y2: d.h - inset.bottom}));
  for (const [l, p] of rows)
    if (p[1] !== null && Number.isFinite(d.y(p[1])))
      d.marks.append(svg("circle", {cx: d.x(p[0]), cy: d.y(p[1]), r: 3.5, fill: color(l.i)}));
  const cells = rows.map(
      ([l, p]) => el("tr", {}, el("td", {}, el("i", {style: "background:" + color(l.i)}), l.run.name),
                     el("td", {}, l.field === "val_loss" && chart.also ? "validation" : ""),
                     el("td", {class: "n"}, p[1] === null ? "not finite" : short(p[1])),
                     el("td", {class: "n soft"}, "step " + thousands(p[2]))));
  showTip(event, el("table", {}, ...cells));
}

function chartOf(chart, view) {
  const g = svg("svg", {height: chart.wide ? 340 : 230});
  const redraw = () => draw(chart, view, g), on = () => view.log.has(chart.field) ? "on" : "";
  const log = el("button", {class: on()}, "log");
  log.addEventListener("click", () => {
    if (!view.log.delete(chart.field)) view.log.add(chart.field);
    log.setAttribute("class", on());
    redraw();
  });
  g.addEventListener("mousemove", (e) => hover(chart, view, g, e));
  g.addEventListener("mouseleave", () => {
    hideTip();
    chart.drawn.marks.replaceChildren();
  });
  new ResizeObserver(redraw).observe(g);
  view.redraw.push(redraw);
  return el("div", {class: "chart" + (chart.wide ? " wide" : ""), id: "chart-" + chart.field},
            el("div", {class: "title"}, el("h2", {}, chart.title), el("p", {}, chart.unit), el("div", {class: "tabs"}, log)), g);
}

// The known fields that some run has, then the models' own metrics.
function chartsOf(runs) {
  const fields = [...new Set(runs.flatMap((r) => Object.keys(r.series)))];
  const own = fields.filter((f) => !hidden.has(f) && !known.some((k) => k.field === f));
  return [
    ...known.filter((k) => fields.includes(k.field)).map(
      (k) => ({...k, unit: k.unit + (k.also && fields.includes(k.also) ? "; dashed: validation" : "")})),
    ...own.map((f) => ({field: f, title: f.replace(/_/g, " "), unit: f === "expert_load_max" ? "most chosen expert over the mean" : "of the model"}))
  ];
}

// ---- tables ----

function runTable(runs) {
  const head = ["run", "model", "parameters", "layout", "step", "state", "loss", "best validation", "tokens/s", "time", "memory"];
  const numbers = new Set([2, 4, 6, 7, 8, 9, 10]);
  const cell = (text, k) => el("td", {class: numbers.has(k) ? "n" : ""}, ...(Array.isArray(text) ? text : [text]));
  const rows = runs.map((r, i) => {
    const best = r.bestStep ? short(r.bestLoss) + " at " + thousands(r.bestStep) : "–";
    const done = thousands(r.step) + (r.maxSteps ? " / " + thousands(r.maxSteps) : "");
    const time = last(r, "elapsed_s"), memory = last(r, "memory_bytes");
    return [
      [el("i", {style: "background:" + color(i)}), r.name], (r.model + " " + r.preset).trim() || "–",
      r.parameters ? count(r.parameters) : "–", r.layout || "–", done, r.state || "–", short(last(r, "loss")), best,
      short(last(r, "tokens_per_s")), time === null ? "–" : duration(time), memory === null ? "–" : bytes(memory)
    ].map(cell);
  });
  return el("div", {class: "scroll"},
            el("table", {}, el("thead", {}, el("tr", {}, ...head.map((t, k) => el("th", {class: numbers.has(k) ? "n" : ""}, t)))),
               el("tbody", {}, ...rows.map((r) => el("tr", {}, ...r)))));
}

function settingTable(runs, keys) {
  const value = (r, k) => r.settings[k] === undefined ? "–" : r.settings[k].replace(/\n/g, ", ");
  return el("div", {class: "scroll"},
            el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "setting"), ...runs.map((r) => el("th", {}, r.name)))),
               el("tbody", {}, ...keys.map((k) => el("tr", {}, el("td", {class: "key"}, k), ...runs.map((r) => el("td", {}, value(r, k))))))));
}

function around(e, children) {
  e.append(...children);
  return e;
}

// Where a run writes is no part of what it computes.
function settingSections(runs) {
  const keys = [...new Set(runs.flatMap((r) => Object.keys(r.settings)))].filter((k) => k !== "output.dir");
  const differ = keys.filter((k) => new Set(runs.map((r) => r.settings[k])).size > 1);
  const rest = keys.filter((k) => !differ.includes(k)), list = [];
  if (runs.length > 1)
    list.push(around(section("differ", "Settings that differ", differ.length ? "" : "none"), differ.length ? [settingTable(runs, differ)] : []));
  if (rest.length)
    list.push(el("section", {id: "settings"}, el("details", {}, el("summary", {}, runs.length > 1 ? "settings that all have" : "all settings"),
                                                settingTable(runs.slice(0, 1), rest))));
  return list;
}

// ---- the page ----

function keysOf(view) {
  return el("div", {class: "keys"}, ...view.runs.map((run, i) => {
    const b = el("button", {}, el("i", {style: "background:" + color(i)}), run.name);
    b.addEventListener("click", () => {
      if (!view.off.delete(i)) view.off.add(i);
      b.setAttribute("class", view.off.has(i) ? "off" : "");
      view.redraw.forEach((f) => f());
    });
    return b;
  }));
}

function controls(view) {
  const usable = ["step", "tokens", "elapsed_s"].filter((a) => a === "step" || view.runs.every((r) => r.series[a] || !r.step));
  const slider = el("input", {type: "range", min: 0, max: 0.99, step: 0.01, value: 0});
  slider.addEventListener("input", () => {
    view.smooth = Number(slider.value);
    view.redraw.forEach((f) => f());
  });
  const choose = (i) => {
    view.axis = usable[i];
    view.redraw.forEach((f) => f());
  };
  return el("div", {class: "bar"}, tabs(usable.map((a) => axisTitle[a]), 0, choose), el("label", {}, "smooth loss and norm", slider));
}

function showRuns(d) {
  const view = {runs: d.runs, axis: "step", smooth: 0, off: new Set(), log: new Set(), redraw: []};
  const ignored = d.runs.reduce((n, r) => n + r.ignored, 0), charts = chartsOf(d.runs);
  const page = el("main", {}, el("h1", {}, d.title), around(section("runs", plural(d.runs.length, "run"), ""), [runTable(d.runs)]));
  if (ignored) page.append(el("p", {class: "soft"}, plural(ignored, "line") + " of the metrics could not be read."));
  if (charts.length) page.append(controls(view));
  else page.append(el("p", {class: "soft"}, "There are no metrics yet."));
  if (d.runs.length > 1) page.append(keysOf(view));
  page.append(el("div", {class: "charts"}, ...charts.map((c) => chartOf(c, view)), ...groupsOf(d.runs).map((g) => mapOf(g, view))));
  if (d.runs.some((r) => r.samples.length)) page.append(sampleSection(view));
  page.append(...settingSections(d.runs));
  document.body.append(page);
  view.redraw.forEach((f) => f());
}
