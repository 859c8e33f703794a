// Memory of a rank over one step, stacked by category: along the estimated time, or instruction by instruction.

const aligned = (n) => Math.ceil(n / 64) * 64;
const WORKSPACE = 7, PERMANENT_FIRST = [0, 2, 1, 3, 4, 8, 6, 5, 7];
const isSlotted = (x) => x.area >= 2 && x.area <= 4;

// Which tensors become live and dead at each instruction. Found once.
function livesOf(stage) {
  if (stage.begin) return;
  stage.begin = stage.ops.map(() => []);
  stage.die = stage.ops.map(() => []);
  stage.tensors.forEach((t, i) => {
    if (!t || t.view || t.first < 0) return;
    stage.begin[t.first].push(i);
    if (t.last >= 0) stage.die[t.last].push(i);
  });
}

// Replays one step. visit(position, run, instruction, bytes per category, live) is called after each instruction's
// results exist and before its operands die; rest(run, bytes per category) after each run.
function replay(d, stage, runs, visit, rest) {
  const n = stage.tensors.length, sums = new Float64Array(d.classNames.length), live = new Map();
  const keyOf = (run, x, t) => (isSlotted(x) ? (run.slots[x.area - 2] + 1) * n : 0) + t;
  livesOf(stage);
  for (const t of stage.tensors)
    if (t && !t.view && t.first < 0) sums[t.class] += aligned(t.bytes);
  let position = 0;
  for (const run of runs) {
    const seg = stage.segments[run.segment];
    for (let i = seg.first; i < seg.first + seg.n; i++) {
      for (const t of stage.begin[i]) {
        const x = stage.tensors[t], key = keyOf(run, x, t);
        if (live.has(key)) continue;
        live.set(key, run.microbatch);
        sums[x.class] += aligned(x.bytes);
      }
      sums[WORKSPACE] += aligned(stage.ops[i].work);
      if (visit(position++, run, i, sums, live) === false) return;
      sums[WORKSPACE] -= aligned(stage.ops[i].work);
      for (const t of stage.die[i]) {
        const x = stage.tensors[t];
        if (live.delete(keyOf(run, x, t))) sums[x.class] -= aligned(x.bytes);
      }
    }
    if (rest) rest(run, sums);
  }
}

// Where instructions lie along the chart, from 0 to 1: [position] => [begin, end]. In time, the instructions of a run
// share its time by their own estimates.
function placesOf(stage, runs, whole) {
  const all = sum(runs, (r) => stage.segments[r.segment].n);
  if (!whole) return (position) => [position / all, (position + 1) / all];
  const places = [];
  for (const run of runs) {
    const seg = stage.segments[run.segment], ops = stage.ops.slice(seg.first, seg.first + seg.n),
          total = sum(ops, (op) => op.seconds), length = run.end - run.start;
    let at = run.start;
    for (const op of ops) {
      const end = at + (total > 0 ? op.seconds / total : 1 / ops.length) * length;
      places.push([at / whole, end / whole]);
      at = end;
    }
  }
  return (position) => places[position];
}

// As many columns as can be drawn; each shows its maximum. A column between runs shows what rests.
function memoryColumns(d, stage, runs, n, whole) {
  const list = new Array(n), placeOf = placesOf(stage, runs, whole), rests = [];
  let peak = null, end = 0;
  const sumOf = (parts) => parts.reduce((a, b) => a + b, 0);
  replay(
      d, stage, runs,
      (position, run, instruction, sums) => {
        const [from, to] = placeOf(position), total = sumOf(sums);
        const first = Math.min(n - 1, Math.floor(from * n + 1e-6)), last = Math.max(first, Math.min(n, Math.ceil(to * n - 1e-6)) - 1);
        let column = null;
        for (let k = first; k <= last; k++)
          if (!list[k] || total > list[k].sum)
            list[k] = column = column || {sum: total, position, run, instruction, parts: Float64Array.from(sums)};
        if (!peak || total > peak.sum) peak = {sum: total, position, run, instruction, at: (from + to) / 2};
        end = Math.max(end, last + 1);
      },
      (run, sums) => rests.push([Math.floor((whole ? run.end / whole : 1) * n), {sum: sumOf(sums), run: null, parts: Float64Array.from(sums)}]));
  let rest = {sum: 0, run: null, parts: new Float64Array(d.classNames.length)};
  const before = replayedBefore(d, stage);
  for (let k = 0; k < n; k++) {
    while (rests.length && rests[0][0] <= k) rest = rests.shift()[1];
    if (!list[k]) list[k] = rest.sum ? rest : before;
  }
  return {list, peak, placeOf};
}

// Before the first run: what is permanent.
function replayedBefore(d, stage) {
  const parts = new Float64Array(d.classNames.length);
  for (const t of stage.tensors)
    if (t && !t.view && t.first < 0) parts[t.class] += aligned(t.bytes);
  return {sum: parts.reduce((a, b) => a + b, 0), run: null, parts};
}

const STRIP = 9, TOP = 20;

function drawLayers(g, w, y, m) {
  const used = PERMANENT_FIRST.filter((k) => m.list.some((c) => c.parts[k])), columnW = w / m.list.length;
  const floor = new Float64Array(m.list.length);
  for (const k of used) {
    g.fillStyle = paint("class-" + k);
    g.beginPath();
    g.moveTo(0, y(floor[0]));
    m.list.forEach((c, i) => {
      g.lineTo(i * columnW, y(floor[i] + c.parts[k]));
      g.lineTo((i + 1) * columnW, y(floor[i] + c.parts[k]));
    });
    for (let i = m.list.length - 1; i >= 0; i--) {
      g.lineTo((i + 1) * columnW, y(floor[i]));
      g.lineTo(i * columnW, y(floor[i]));
    }
    g.fill();
    m.list.forEach((c, i) => {
      floor[i] += c.parts[k];
    });
  }
}

function dashed(g, x1, y1, x2, y2) {
  g.strokeStyle = paint("mark");
  g.setLineDash([5, 4]);
  g.beginPath();
  g.moveTo(x1, y1);
  g.lineTo(x2, y2);
  g.stroke();
  g.setLineDash([]);
}

const peakName = (stage, at) => {
  const op = stage.ops[at.instruction];
  return nameOf(op) + (op.kind ? "" : parameterOf({stage}, op)) + (op.scope ? " of " + op.scope : "");
};

// A mark and the name of the instruction, above the layers.
function drawPeak(g, w, y, stage, m) {
  const x = m.peak.at * w, right = x < w / 2, amount = "peak " + bytes(m.peak.sum) + ": ";
  const room = (right ? w - x : x) - 14 - textWidth(amount, fonts.small);
  g.fillStyle = paint("mark");
  g.beginPath();
  g.moveTo(x, y(m.peak.sum) - 1);
  g.lineTo(x - 4, y(m.peak.sum) - 7);
  g.lineTo(x + 4, y(m.peak.sum) - 7);
  g.fill();
  g.fillStyle = paint("ink");
  g.font = fonts.small;
  g.textAlign = right ? "left" : "right";
  g.fillText(amount + shorten(peakName(stage, m.peak), fonts.small, room), x + (right ? 7 : -7), TOP - 9);
}

// The running segments, in a strip below.
function drawStrip(g, w, h, stage, runs, m) {
  let position = 0;
  for (const run of runs) {
    const seg = stage.segments[run.segment], [x1] = m.placeOf(position), [, x2] = m.placeOf(position + seg.n - 1);
    position += seg.n;
    g.fillStyle = runPaint(seg.kind, run.microbatch);
    g.fillRect(x1 * w, h - STRIP, Math.max((x2 - x1) * w - ((x2 - x1) * w > 4 ? 1 : 0), 0.5), STRIP);
  }
}

function drawMemory(g, w, h, d, stage, runs, m, most) {
  const base = h - STRIP - 3, y = (v) => base - v / most * (base - TOP), arena = d.classes[stage.class].arena;
  g.clearRect(0, 0, w, h);
  drawLayers(g, w, y, m);
  dashed(g, 0, Math.round(y(arena)) + 0.5, w, Math.round(y(arena)) + 0.5);
  drawPeak(g, w, y, stage, m);
  drawStrip(g, w, h, stage, runs, m);
}

// The temporary tensors that take most, those of one kind together.
function largestLive(d, stage, runs, column) {
  let found = [];
  replay(d, stage, runs, (position, run, instruction, sums, live) => {
    if (position < column.position) return true;
    const n = stage.tensors.length;
    const alike = new Map();
    for (const key of live.keys()) {
      const t = stage.tensors[key % n], kind = [t.bytes, t.type, t.name, t.line].join();
      alike.set(kind, {t, n: (alike.has(kind) ? alike.get(kind).n : 0) + 1});
    }
    found = [...alike.values()].sort((a, b) => b.t.bytes * b.n - a.t.bytes * a.n).slice(0, 5);
    return false;
  });
  return found;
}

function liveTable(d, rows) {
  return el(
      "table", {},
      ...rows.map(
          ({t, n}) => el(
              "tr", {}, el("td", {class: "n"}, (n > 1 ? n + " × " : "") + bytes(t.bytes)),
              el("td", {}, t.name ? t.name + " " : "", el("code", {}, t.type), el("br", {}),
                 el("span", {class: "soft"}, place(d, t.line) + "  " + modelLine(d, t.line))))));
}

function memoryTip(d, stage, runs, column) {
  const parts = PERMANENT_FIRST.slice().reverse().filter((k) => column.parts[k]).map(
      (k) => el("tr", {}, el("td", {}, el("i", {class: "swatch", style: "background:" + classColor(k)})),
                el("td", {}, d.classNames[k]), el("td", {class: "n"}, bytes(column.parts[k]))));
  if (!column.run) return [el("b", {}, bytes(column.sum)), " in use; the rank waits", el("table", {}, ...parts)];
  const op = stage.ops[column.instruction], rows = largestLive(d, stage, runs, column);
  return [
    el("b", {}, bytes(column.sum)), " in use at ", el("b", {}, peakName(stage, column)), el("br", {}),
    el("span", {class: "soft"},
       runName(stage.segments[column.run.segment], column.run) + ", instruction " + thousands(column.position)),
    el("br", {}), op.line ? el("code", {}, place(d, op.line) + "  " + modelLine(d, op.line)) : "",
    el("table", {}, ...parts),
    rows.length ? el("div", {class: "soft", style: "margin-top:6px"}, "largest temporary tensors") : "", liveTable(d, rows)
  ];
}

// Mouse and arrow keys say what is in use; P goes to the peak.
function pointAtMemory(c, chart) {
  let at = -1;
  const show = (e, k) => {
    at = Math.min(chart.m.list.length - 1, Math.max(0, k));
    const column = chart.m.list[at];
    column.tip = column.tip || chart.tip(column);
    showTip(e, ...column.tip);
  };
  c.addEventListener("mousemove", (e) => show(e, Math.floor(e.offsetX / c.clientWidth * chart.m.list.length)));
  c.addEventListener("mouseleave", hideTip);
  c.addEventListener("blur", hideTip);
  c.addEventListener("keydown", (e) => {
    const n = chart.m.list.length, step = Math.max(1, Math.round(n / 200));
    const to = {ArrowLeft: at - step, ArrowRight: at + step, Home: 0, End: n - 1, p: Math.floor(chart.m.peak.at * n + 1e-6)}[e.key];
    if (to === undefined) return;
    e.preventDefault();
    const box = c.getBoundingClientRect();
    show({clientX: box.left + Math.max(0, Math.min(n, to)) / n * box.width, clientY: box.top + 20}, to);
  });
}

function memoryChart(d, s, most, whole) {
  const stage = d.stages[s], runs = runsOf(d, s), height = d.stages.length > 4 ? 124 : 180;
  const chart = {m: null, width: 0, whole, tip: (column) => memoryTip(d, stage, runs, column)};
  const c = surface(height, (g, w, h) => {
    if (chart.width !== w) chart.m = memoryColumns(d, stage, runs, Math.min(w, 1400), chart.whole);
    chart.width = w;
    note.textContent = "peak " + bytes(chart.m.peak.sum);
    c.setAttribute("aria-label", "memory of stage " + s + ": peak " + bytes(chart.m.peak.sum) + " at " + peakName(stage, chart.m.peak));
    drawMemory(g, w, h, d, stage, runs, chart.m, most);
  });
  const note = el("span", {});
  c.setAttribute("tabindex", "0");
  c.setAttribute("role", "img");
  pointAtMemory(c, chart);
  const row = el(
      "div", {class: "row"},
      el("div", {class: "label"}, el("b", {}, "stage " + s), note, el("br", {}), "arena " + bytes(d.classes[stage.class].arena)),
      c);
  row.along = (length) => {
    Object.assign(chart, {whole: length, width: 0});
    c.redraw();
  };
  return row;
}

// Of many stages the first, the fullest and the last; a button shows all.
function shownStages(d) {
  const arena = (s) => d.classes[d.stages[s].class].arena, all = d.stages.map((_, s) => s);
  if (all.length <= 6) return all;
  const fullest = all.reduce((best, s) => arena(s) > arena(best) ? s : best, 0);
  return [...new Set([0, fullest, all.length - 1])].sort((a, b) => a - b);
}

function memorySection(d) {
  const most = Math.max(...d.stages.map((s) => d.classes[s.class].arena)) * 1.02, length = Math.max(d.length, 1e-9) * 1.012;
  const used = PERMANENT_FIRST.filter((k) => d.classes.some((c) => c.bytes[k])), first = shownStages(d);
  let whole = d.stepSeconds ? length : 0;
  const holder = el("div", {});
  const show = (stages) => holder.replaceChildren(...stages.map((s) => memoryChart(d, s, most, whole)));
  show(first);
  const legend = el(
      "div", {class: "legend"},
      ...used.map((k) => el("span", {}, el("i", {style: "background:" + classColor(k)}), d.classNames[k])),
      el("span", {}, "┄ arena"), el("span", {}, "▼ peak"));
  const along = tabs(["by time", "by instruction"], 0, (k) => {
    whole = k ? 0 : length;
    for (const row of holder.children) row.along(whole);
  });
  const all = el("button", {class: "plain"}, "show all " + d.stages.length + " stages");
  all.addEventListener("click", () => {
    show(d.stages.map((_, s) => s));
    all.remove();
  });
  return [
    section(
        "time", "Memory over one " + d.run,
        "What is in use on the fullest rank of a stage; the strip below shows which segment runs. Slots and gaps are reserved throughout, so the arena lies above.",
        legend, d.stepSeconds ? along : "", first.length < d.stages.length ? all : ""),
    holder
  ];
}
