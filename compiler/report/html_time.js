// Views over time: the pipeline as a Gantt chart, and memory along the instructions of one step.

const hueOf = (m) => (205 + m * 47) % 360;
function runColor(kind, microbatch) {
  if (kind === "step" || kind === "prologue") return "#5b6675";
  if (kind === "eval") return "#9fc2ec";
  const light = {F: [62, 80], B: [48, 58], W: [40, 70]}[kind];
  return `hsl(${hueOf(microbatch)} ${light[0]}% ${light[1]}%)`;
}
const runName = (segment, run) => segmentNames[segment.kind] +
    (segment.chunk > 0 ? " of part " + segment.chunk : "") +
    (run.microbatch >= 0 ? ", microbatch " + run.microbatch : "");

// What a stage runs, in order; a plan without a training step has no times.
function runsOf(d, s) {
  return d.stages[s].runs.map(([segment, microbatch, ...slots], i) => {
    const [start, end] = d.times ? d.times[s][i] : [0, 0];
    return {segment, microbatch, slots, start, end};
  });
}

// ---- Gantt ----

function niceStep(span, most) {
  const raw = span / most, power = Math.pow(10, Math.floor(Math.log10(raw)));
  return [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw);
}

function timeAxis(g, from, to, w, y, height, label) {
  const step = niceStep(to - from, Math.max(2, w / 90));
  g.font = "10.5px " + SANS;
  g.textAlign = "center";
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
    const x = (t - from) / (to - from) * w;
    g.fillStyle = "#e8ecf1";
    g.fillRect(Math.round(x), 0, 1, y);
    g.fillStyle = "#8a94a3";
    g.fillText(label(t), Math.min(w - 12, Math.max(10, x)), y + height - 3);
  }
}

function drawRun(g, view, stage, run, y, h, w) {
  const {from, to} = view, seg = stage.segments[run.segment], scale = w / (to - from);
  const x1 = (run.start - from) * scale,
        x2 = run.end > run.start ? (run.end - from) * scale : x1 + Math.max(5, 0.006 * w);
  if (x2 < 0 || x1 > w) return;
  const gap = x2 - x1 > 4 ? 0.75 : 0;
  g.fillStyle = runColor(seg.kind, run.microbatch);
  g.fillRect(x1 + gap, y, x2 - x1 - gap, h);
  if (seg.kind === "W") {
    g.fillStyle = "rgba(255,255,255,0.45)";
    g.fillRect(x1 + gap, y + h - 5, x2 - x1 - gap, 2);
  }
  if (seg.chunk > 0) {
    g.fillStyle = "rgba(27,36,48,0.55)";
    g.fillRect(x1 + gap, y, x2 - x1 - gap, 2 * seg.chunk);
  }
  const text = run.microbatch < 0 ? "" : seg.kind + run.microbatch, short = String(run.microbatch);
  const label = textWidth(text, fonts.small) < x2 - x1 - 4 ? text :
      textWidth(short, fonts.small) < x2 - x1 - 3          ? short :
                                                             "";
  if (!label || run.microbatch < 0) return;
  g.fillStyle = seg.kind === "B" ? "#fff" : "#24303f";
  g.font = fonts.small;
  g.textAlign = "center";
  g.fillText(label, Math.max(x1, 0) / 2 + Math.min(x2, w) / 2, y + h / 2 + 4);
}

function ganttSection(d) {
  const stages = d.stages.map((_, s) => runsOf(d, s)), ROWH = 26, AXIS = 18, tail = 1.012;
  const inTime = (t) => d.stepSeconds ? seconds(t) : t.toFixed(2);
  const whole = {from: 0, to: Math.max(d.length, 1e-9) * tail}, view = {...whole};
  const height = stages.length * ROWH + AXIS;
  const c = surface(height, (g, w, h) => {
    g.clearRect(0, 0, w, h);
    timeAxis(
        g, view.from, view.to, w, h - AXIS, AXIS,
        (t) => d.stepSeconds ? seconds(t) : String(Number(t.toPrecision(6))));
    stages.forEach((runs, s) => {
      g.fillStyle = "rgba(226,231,237,0.55)";
      g.fillRect(0, s * ROWH + 3, w, ROWH - 6);
      for (const run of runs) drawRun(g, view, d.stages[s], run, s * ROWH + 3, ROWH - 6, w);
    });
  });
  const at = (e) => view.from + (e.offsetX / c.clientWidth) * (view.to - view.from);
  c.addEventListener("mousemove", (e) => {
    if (e.buttons === 1) {
      move(view.from - e.movementX / c.clientWidth * (view.to - view.from));
      return;
    }
    const s = Math.floor(e.offsetY / ROWH), t = at(e), runs = stages[s];
    const slack = 0.006 * (view.to - view.from);
    const run = runs &&
        (runs.find((r) => t >= r.start && t < r.end) ||
         runs.find((r) => r.end === r.start && t >= r.start && t < r.start + slack));
    if (!run) return hideTip();
    const seg = d.stages[s].segments[run.segment];
    const parts = [el("b", {}, "stage " + s + ": " + runName(seg, run)), el("br", {})];
    if (run.end > run.start)
      parts.push(
          `from ${inTime(run.start)} to ${inTime(run.end)}: ${inTime(run.end - run.start)}`, el("br", {}));
    parts.push(
        plural(seg.n, "instruction") +
        (run.microbatch >= 0 && run.slots[0] >= 0 ?
             ", activations in slot " + run.slots[0] + " of " + d.classes[d.stages[s].class].slots[0] :
             ""));
        showTip(e, ...parts);
  });
  c.addEventListener("mouseleave", hideTip);
  const move = (from) => {
    const span = view.to - view.from;
    view.from = Math.max(0, Math.min(from, whole.to - span));
    view.to = view.from + span;
    c.redraw();
  };
  const zoom = (factor) => {
    const middle = (view.from + view.to) / 2, span = Math.min(whole.to, (view.to - view.from) / factor);
    view.from = middle - span / 2;
    view.to = view.from + span;
    move(view.from);
  };
  const labels =
      el("div", {},
         ...stages.map(
             (_, s) =>
                 el("div", {style: `height:${ROWH}px;line-height:${ROWH}px`, class: "soft"}, "stage " + s)));
  const bubble =
      d.stages.length > 1 ? `Idle (the bubble): ${(100 * d.bubble).toFixed(1)} % of all stages' time. ` : "";
  const title = section(
      "pipeline", "Pipeline",
      bubble +
          "Colour is the microbatch: F forward, light; B backward, dark; W gradients of weights, underlined. " +
          (d.stepSeconds ? "Times are estimated for " + d.cluster + "." :
                           "Lengths by FLOPs; the unit is the forward of an average part."),
      el("span", {class: "buttons"}, el("button", {onclick: () => zoom(2)}, "zoom in"), " ",
         el("button", {onclick: () => zoom(0.5)}, "zoom out")));
  return [title, el("div", {style: "display:grid;grid-template-columns:70px minmax(0,1fr)"}, labels, c)];
}

// ---- memory ----

const aligned = (n) => Math.ceil(n / 64) * 64;

const isSlotted = (x) => x.area >= 2 && x.area <= 4;

// Replays one step: which tensors become live and dead at each instruction, in which slot. visit(position,
// run, instruction, bytes per class, live) is called after each instruction's results exist and before its
// operands die.
function replay(d, stage, runs, visit) {
  const n = stage.tensors.length;
  const keyOf = (run, x, t) => (isSlotted(x) ? (run.slots[x.area - 2] + 1) * n : 0) + t;
  if (!stage.begin) {
    stage.begin = stage.ops.map(() => []);
    stage.die = stage.ops.map(() => []);
    stage.tensors.forEach((t, i) => {
      if (!t || t.view || t.first < 0) return;
      stage.begin[t.first].push(i);
      if (t.last >= 0) stage.die[t.last].push(i);
    });
  }
  const sums = new Float64Array(d.classNames.length), live = new Map();
  stage.tensors.forEach((t) => {
    if (t && !t.view && t.first < 0) sums[t.class] += aligned(t.bytes);
  });
  let position = 0;
  for (const run of runs) {
    const seg = stage.segments[run.segment];
    for (let i = seg.first; i < seg.first + seg.n; i++) {
      for (const t of stage.begin[i]) {
        const x = stage.tensors[t], key = keyOf(run, x, t);
        if (!live.has(key)) {
          live.set(key, run.microbatch);
          sums[x.class] += aligned(x.bytes);
        }
      }
      sums[6] += aligned(stage.ops[i].work);
      if (visit(position++, run, i, sums, live) === false) return position;
      sums[6] -= aligned(stage.ops[i].work);
      for (const t of stage.die[i]) {
        const x = stage.tensors[t];
        if (live.delete(keyOf(run, x, t))) sums[x.class] -= aligned(x.bytes);
      }
    }
  }
  return position;
}

// As many columns as can be drawn; each shows its maximum.
function memoryColumns(d, stage, runs, columns) {
  const total = runs.reduce((s, r) => s + stage.segments[r.segment].n, 0), list = [], marks = [];
  const per = Math.max(1, total / columns);
  let lastRun = null;
  replay(d, stage, runs, (position, run, instruction, sums) => {
    if (run !== lastRun) marks.push({at: position, run});
    lastRun = run;
    const k = Math.floor(position / per);
    let sum = 0;
    for (const v of sums) sum += v;
    if (!list[k] || sum > list[k].sum)
      list[k] = {sum, position, run, instruction, parts: Float64Array.from(sums)};
  });
  return {list, marks, total, peak: Math.max(0, ...list.map((x) => x ? x.sum : 0))};
}

const stackOrder = [0, 2, 1, 3, 7, 5, 4, 6];  // permanent memory at the bottom, varying memory at the top

function drawMemory(g, w, h, d, stage, m, top) {
  const STRIP = 9, base = h - STRIP - 3, y = (v) => base - v / top * (base - 6),
        used = stackOrder.filter((k) => m.list.some((c) => c.parts[k]));
  const columnW = w / m.list.length, floor = new Float64Array(m.list.length);
  g.clearRect(0, 0, w, h);
  for (const k of used) {
    g.fillStyle = classColors[k];
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
  const arena = d.classes[stage.class].arena;
  g.strokeStyle = "#475569";
  g.setLineDash([5, 4]);
  g.beginPath();
  g.moveTo(0, Math.round(y(arena)) + 0.5);
  g.lineTo(w, Math.round(y(arena)) + 0.5);
  g.stroke();
  g.setLineDash([]);
  m.marks.forEach((mark, i) => {  // the running segment
    const x1 = mark.at / m.total * w,
          x2 = (i + 1 < m.marks.length ? m.marks[i + 1].at : m.total) / m.total * w;
    g.fillStyle = runColor(stage.segments[mark.run.segment].kind, mark.run.microbatch);
    g.fillRect(x1, h - STRIP, Math.max(x2 - x1 - (x2 - x1 > 4 ? 1 : 0), 0.5), STRIP);
  });
}

function largestLive(d, stage, runs, column) {
  let found = [];
  replay(d, stage, runs, (position, run, instruction, sums, live) => {
    if (position < column.position) return true;
    const n = stage.tensors.length;
    found = [...live]
                .map(([key, microbatch]) => [stage.tensors[key % n], microbatch])
                .sort((a, b) => b[0].bytes - a[0].bytes)
                .slice(0, 5);
    return false;
  });
  return found;
}

function memoryTip(d, stage, runs, column) {
  const op = stage.ops[column.instruction], rows = largestLive(d, stage, runs, column);
  const parts =
      stackOrder.slice()
          .reverse()
          .filter((k) => column.parts[k])
          .map(
              (k) =>
                  el("tr", {},
                     el("td", {}, el("span", {
                          style: `display:inline-block;width:9px;height:9px;border-radius:2px;background:${
                              classColors[k]}`
                        })),
                     el("td", {}, d.classNames[k]), el("td", {class: "n"}, bytes(column.parts[k]))));
  return [
    el("b", {}, bytes(column.sum)), " in use at ", el("b", {}, nameOf(op)), op.scope ? " of " + op.scope : "",
    el("br", {}),
    el("span", {class: "soft"},
       runName(stage.segments[column.run.segment], column.run) + ", instruction " +
           thousands(column.position)),
    el("br", {}), op.line ? el("code", {}, place(d, op.line) + "  " + modelLine(d, op.line)) : "",
    el("table", {}, ...parts),
    rows.length ? el("div", {class: "soft", style: "margin-top:6px"}, "largest tensors in use") : "",
    el("table", {},
       ...rows.map(
           ([t, microbatch]) =>
               el("tr", {}, el("td", {class: "n"}, bytes(t.bytes)), el("td", {}, el("code", {}, t.type)),
                  el("td", {},
                     t.name + (microbatch >= 0 && d.microbatches > 1 ? " (" + microbatch + ")" : "")))))
  ];
}

function memoryChart(d, s, top) {
  const stage = d.stages[s], runs = runsOf(d, s), H = d.stages.length > 4 ? 112 : 168;
  let m = null, width = 0;
  const c = surface(H, (g, w, h) => {
    if (width !== w) m = memoryColumns(d, stage, runs, Math.min(w, 1400));
    width = w;
    note.textContent = "peak " + bytes(m.peak);
    drawMemory(g, w, h, d, stage, m, top);
  });
  const note = el("span", {});
  let shown = null;
  c.addEventListener("mousemove", (e) => {
    const column = m.list[Math.min(
        m.list.length - 1, Math.max(0, Math.floor(e.offsetX / c.clientWidth * m.list.length)))];
    if (column !== shown) shown = column, shown.tip = shown.tip || memoryTip(d, stage, runs, column);
    showTip(e, ...shown.tip);
  });
  c.addEventListener("mouseleave", hideTip);
  return el(
      "div", {class: "row"},
      el("div", {class: "label"}, el("b", {}, "stage " + s), note, el("br", {}),
         "arena " + bytes(d.classes[stage.class].arena)),
      c);
}

function memorySection(d) {
  const top = Math.max(...d.stages.map((s) => d.classes[s.class].arena)) * 1.04;
  const used = stackOrder.filter((k) => d.classes.some((c) => c.bytes[k]));
  const legend = el(
      "div", {class: "legend"},
      ...used.map((k) => el("span", {}, el("i", {style: "background:" + classColors[k]}), d.classNames[k])),
      el("span", {}, "┄ arena"));
  return [
    section(
        "time", "Memory over one step",
        "What is in use after each instruction of the fullest rank of a stage; the strip below shows which microbatch runs. Slots and gaps are reserved throughout, so the arena lies above.",
        legend),
    ...d.stages.map((_, s) => memoryChart(d, s, top))
  ];
}

// ---- the page ----

function show_plan(d) {
  unpack(d);
  const main = el("main", {}), parts = [
    ["Memory", partitionSection], ["Parameters", parameterSection], ["Updates", updateSection],
    [
      "Graph",
      (x) =>
          [section(
               "graph", "Graph",
               "What one rank of a stage runs, fused as it is executed. Colours are layouts: the axes a result is split over. Hexagons are communication."),
           graphView(x)]
    ],
    ["Pipeline", ganttSection], ["Memory over time", memorySection], ["Communication", trafficSection]
  ];
  const nav = el("nav", {}, el("div", {}, el("b", {}, d.model + (d.preset ? " " + d.preset : ""))));
  document.body.append(nav, main);
  main.append(pageHead(d));
  for (const [name, make] of parts) {
    const [box, ...content] = make(d);
    box.append(...content);
    main.append(box);
    nav.firstChild.append(el("a", {href: "#" + box.id}, name));
  }
}
