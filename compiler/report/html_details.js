// Beside the graph: the details of one op, and what the colours mean.

function copiesText(view, i) {
  let n = 0;
  for (const op of view.standIn.keys()) n += op !== standIn(view, i) && standIn(view, op) === standIn(view, i);
  return n ? "drawn once for " + thousands(n + 1) + " equal ones" : "";
}

function describeOp(view, i) {
  const op = view.stage.ops[i], d = view.d, list = el("dl", {});
  const row = (name, ...value) => {
    list.append(el("dt", {}, name), ...value.map((v) => el("dd", {}, v)));
  };
  const tensor = (t) => {
    const x = view.stage.tensors[t];
    return el(
        "span", {}, x && x.name ? x.name + " " : "", el("code", {}, x ? x.type : "?"),
        x && x.partial ? " partial over " + axesText(d.mesh, x.partial) : "");
  };
  if (op.scope) row("block", op.scope);
  if (op.line) row("model", el("span", {}, place(d, op.line), el("pre", {}, modelLine(d, op.line))));
  if (op.attrs) row(op.attrs.startsWith("code ") ? "program" : "with", el("code", {}, op.attrs.replace(/^code /, "")));
  if (op.kind === 1) row("over", el("span", {}, ...axisPills(d.mesh, op.over)));
  if (op.kind) row("bytes sent by this rank", bytes(op.wire || 0));
  if (op.in.length) row("reads", ...op.in.map(tensor));
  if (op.out.length) row("writes", ...op.out.map(tensor));
  if (op.seconds) row("estimated time", seconds(op.seconds));
  if (op.flops) row("FLOPs", count(op.flops));
  row("bytes read and written", bytes(op.bytes));
  if (op.work) row("workspace", bytes(op.work));
  return [el("h3", {}, nameOf(op) + (op.kind ? "" : parameterOf(view, op))), el("p", {class: "soft"}, op.op === op.label ? "" : op.op, op.op === op.label ? "" : el("br", {}), copiesText(view, i)),
          list];
}

// Of a fold: what it stands for, and a way to see each block.
function describeFold(view, group, redraw) {
  const {groups, copies, period} = group.fold;
  const each = el("button", {class: "plain"}, "show each of " + thousands(groups.length));
  each.addEventListener("click", () => {
    view.apart.add(group.path);
    redraw();
  });
  return [
    el("h3", {}, group.name),
    el("p", {class: "soft"},
       period === 1 ? thousands(copies) + " blocks with equal contents; the first is drawn for all." :
                      thousands(copies) + " times the same " + period + " blocks; the first " + period + " are drawn for all."),
    each
  ];
}

function layoutLegend(view) {
  const masks = new Set();
  for (const op of view.stage.ops)
    if (op.segment === view.segment && op.out.length && view.stage.tensors[op.out[0]])
      masks.add(view.stage.tensors[op.out[0]].axes);
  const box = el("div", {class: "legend"});
  if (masks.size < 2 && masks.has(0)) return box;
  for (const m of [...masks].sort((a, b) => a - b)) {
    const color = axesOf(view.d.mesh, m).map(axisColor);
    const fill = color.length ? "linear-gradient(" +
            color.map((c, k) => c + " " + 100 * k / color.length + "% " + 100 * (k + 1) / color.length + "%")
                .join(",") +
            ")" :
                                "var(--border)";
    box.append(
        el("span", {}, el("i", {style: "background:" + fill}),
           m ? "split over " + axesText(view.d.mesh, m) : "whole on every rank"));
  }
  if (view.stage.ops.some((op) => op.segment === view.segment && op.kind))
    box.append(el("span", {}, "⬣ communication"));
  return box;
}

const segmentNames = {
  F: "forward",
  B: "backward",
  W: "gradients of weights",
  step: "step",
  eval: "evaluation",
  prefill: "prefill",
  decode: "decoding",
  prologue: "prologue",
  "B, last": "backward of the last microbatch"
};

