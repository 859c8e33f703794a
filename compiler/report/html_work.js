// What a rank does in a step: kernels, communication, and on a cluster where the estimated time goes.

const share = (x, all) => all > 0 ? (100 * x / all).toFixed(1) + " %" : "–";
const sum = (rows, f) => rows.reduce((s, r) => s + f(r), 0);

function shareBar(x, all, color) {
  return el(
      "td", {class: "share"},
      el("div", {class: "bar"}, el("i", {style: `width:${all > 0 ? 100 * x / all : 0}%;background:${color}`})));
}

// A stage's step: kernels one after the other, communication during which no kernel runs, and the rest.
function timeParts(d, s) {
  const kernels = sum(d.kernels[s], (r) => r[4]),
        exposed = sum(d.traffic[s], (r) => Math.max(0, r[8]));
  return [
    ["kernels", kernels, "class-0"], ["exposed communication", exposed, "class-5"],
    ["idle: waits for other stages", Math.max(0, d.stepSeconds - kernels - exposed), "once"]
  ];
}

function timeBar(d, s) {
  const parts = timeParts(d, s).filter(([, t]) => t > 0);
  return el(
      "div", {class: "shares"},
      el("div", {class: "bar thick", role: "img", "aria-label": "where the time of a step goes"},
         ...parts.map(([name, t, color]) => el("i", {
                        style: `width:${100 * t / d.stepSeconds}%;background:var(--${color})`,
                        title: name + ": " + seconds(t)
                      }))),
      el("div", {class: "legend"},
         ...parts.map(
             ([name, t, color]) =>
                 el("span", {}, el("i", {style: "background:var(--" + color + ")"}), name + ", ",
                    el("b", {}, seconds(t)), share(t, d.stepSeconds)))));
}

function kernelTable(d, s) {
  const rows = d.kernels[s], flops = sum(rows, (r) => r[2]), moved = sum(rows, (r) => r[3]),
        timed = sum(rows, (r) => r[4]) > 0, key = timed ? 4 : 2, all = timed ? d.stepSeconds : flops;
  const columns = [
    ["kernel", false], ["calls", true], ["FLOPs", true], ["of all", true], ["bytes", true], ["of all", true],
    ["estimated time", true], ["of the step", true], ["", false]
  ];
  const cells = [...rows].sort((a, b) => b[key] - a[key]).map((r) => [
    el("code", {}, d.texts[r[0]]), thousands(r[1]), count(r[2]), share(r[2], flops), bytes(r[3]), share(r[3], moved),
    seconds(r[4]), share(r[4], all), shareBar(r[key], all, "var(--class-0)")
  ]);
  if (!timed) drop(columns, cells, 7), drop(columns, cells, 6);
  return makeTable(columns, cells);
}

function kernelSection(d) {
  const holder = el("div", {});
  const draw = (s) => holder.replaceChildren(d.stepSeconds ? timeBar(d, s) : "", kernelTable(d, s));
  draw(0);
  return [
    section(
        "kernels", "Kernels",
        "Calls of one " + d.run + " on a rank of the stage, by kernel, with the FLOPs and bytes of all of them." +
            (d.stepSeconds ? " Times are estimated for " + d.cluster + "." :
                             " Give --cluster for estimated times."),
        stageChooser(d.stages.length, draw)),
    holder
  ];
}

// ---- communication ----

// Per axis: bytes, time, and what of the time is exposed (messages along pp: waits are the pipeline's idle time).
function axisTotals(d, rows) {
  const by = new Map();
  for (const r of rows) {
    const x = by.get(r[0]) || by.set(r[0], {bytes: 0, seconds: 0, exposed: 0, messages: false}).get(r[0]);
    x.bytes += r[6];
    x.seconds += r[7];
    x.exposed += Math.max(0, r[8]);
    x.messages = x.messages || r[8] < 0;
  }
  const timed = d.stepSeconds > 0, most = Math.max(1e-12, ...[...by.values()].map((x) => timed ? x.seconds : x.bytes));
  const row = ([mask, x]) => {
    const color = axisColor(axesOf(d.mesh, mask)[0] || 0), width = (part) => 100 * part / most;
    const shown = !timed ? [[x.bytes, 1, ""]] :
        x.messages       ? [[x.seconds, 0.45, "in the pipeline: "]] :
                           [[x.exposed, 1, "exposed: "], [x.seconds - x.exposed, 0.45, "hidden: "]];
    return [
      axisPills(d.mesh, mask), bytes(x.bytes),
      timed ? seconds(x.seconds) : "", timed ? (x.messages ? "in the pipeline" : seconds(x.exposed)) : "",
      el("td", {class: "share wide"},
         el("div", {class: "bar"}, ...shown.map(([part, opacity, name]) => el("i", {
                                                  style: `width:${width(part)}%;background:${color};opacity:${opacity}`,
                                                  title: name + (timed ? seconds(part) : bytes(part))
                                                }))))
    ];
  };
  const columns = [["axis", false], ["sent per step", true], ["time", true], ["of it exposed", true], ["", false]];
  const cells = [...by].map(row);
  if (!timed) drop(columns, cells, 3), drop(columns, cells, 2);
  return el("div", {class: "totals"}, makeTable(columns, cells));
}

function trafficTable(d, rows) {
  const phase = {F: "forward", B: "backward", W: "weights", step: "step", eval: "evaluation", prologue: "prologue"};
  const columns = [
    ["axis", false], ["collective", false], ["in", false], ["block", false], ["calls", true], ["each", true],
    ["sent per step", true], ["time", true], ["exposed", true], ["hidden", true], ["model line", false]
  ];
  const cells = rows.map(([mask, op, kind, scope, line, calls, size, time, exposed]) => [
    axisPills(d.mesh, mask), el("td", {class: "nowrap"}, commNames[d.texts[op]]),
    phase[d.texts[kind]] || d.texts[kind], el("code", {}, d.texts[scope] || "model"), thousands(calls),
    calls ? bytes(size / calls) : "", bytes(size), seconds(time), exposed < 0 ? "pipeline" : seconds(exposed),
    exposed < 0 ? "–" : share(time - exposed, time), source(d, line)
  ]);
  if (!d.stepSeconds)
    for (const i of [9, 8, 7]) drop(columns, cells, i);
  return makeTable(columns, cells);
}

function trafficSection(d) {
  const holder = el("div", {});
  const draw = (s) => {
    const rows = d.traffic[s];
    holder.replaceChildren(
        ...rows.length ?
            [axisTotals(d, rows), trafficTable(d, rows)] :
            [el("p", {class: "soft"}, d.ranks > 1 ? "This stage sends nothing." : "One rank: nothing is sent.")]);
  };
  draw(0);
  return [
    section(
        "communication", "Communication",
        "Per " + d.run + ", as the first rank of the stage sends it. Every row was derived from a difference of layouts at the model line beside it." +
            (d.stepSeconds ?
                 " Exposed is the time during which no kernel of the rank runs; what a message delays is in the pipeline's idle time." :
                 ""),
        stageChooser(d.stages.length, draw)),
    holder
  ];
}
