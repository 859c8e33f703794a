// The graph: draws boxes and edges (html_layout.js computes positions), details of the selected op, and the
// widget around them. Used by the plan's page and by `xlmc graph`.

// Where the value of `op` leaves or enters a box, relative to the node's centre.
function portX(n, ports, op) {
  const p = n.box && n.box[ports] && n.box[ports].get(op);
  return p ? n.x - n.w / 2 + p.x : n.x;
}

function wirePath(w) {
  const points = [];
  w.path.forEach((n, k) => {
    const first = k === 0, final = k === w.path.length - 1;
    if (first)
      points.push([portX(n, "outs", w.op), n.top + n.h]);
    else if (final)
      points.push([portX(n, "ins", w.op), n.top]);
    else
      points.push([n.x, n.rowTop - 6], [n.x, n.rowBottom + 6]);
  });
  let s = "M" + points[0].map((v) => v.toFixed(1)).join(" ");
  for (let k = 1; k < points.length; k++) {
    const [x1, y1] = points[k - 1], [x2, y2] = points[k], m = ((y1 + y2) / 2).toFixed(1);
    s += x1 === x2 ? "L" + x2.toFixed(1) + " " + y2.toFixed(1) :
                     "C" + x1.toFixed(1) + " " + m + " " + x2.toFixed(1) + " " + m + " " + x2.toFixed(1) +
            " " + y2.toFixed(1);
  }
  return s;
}

function againstPath(a, b, w) {  // a value that flows up, around the right side
  const x = w - 4, y1 = a.top + a.h / 2, y2 = b.top + b.h / 2;
  return "M" + (a.x + a.w / 2) + " " + y1 + "C" + x + " " + y1 + " " + x + " " + y2 + " " + (b.x + b.w / 2) +
      " " + y2;
}

function drawOpen(view, box, x, y) {
  const g = svg("g", {class: "box open", transform: "translate(" + x.toFixed(1) + " " + y.toFixed(1) + ")"});
  if (box.group.path) {
    g.append(svg("rect", {class: "frame", width: box.w, height: box.h, rx: 7}));
    g.append(svg("text", {class: "name", x: 10, y: 17}, "− " + box.group.name));
    g.addEventListener("click", (e) => {
      e.stopPropagation();
      view.toggle(box.group);
    });
  }
  for (const w of box.wires) {
    const p = svg(
        "path",
        {class: "edge", d: wirePath(w), "marker-end": w.path[w.path.length - 1].box ? "url(#arrow)" : ""});
    view.wires.push([p, w.op]);
    g.append(p);
  }
  for (const [a, b] of box.against)
    g.append(
        svg("path",
            {class: "edge", "stroke-dasharray": "3 3", d: againstPath(box.nodes[a], box.nodes[b], box.w)}));
  for (const n of box.nodes) g.append((n.box.open ? drawOpen : drawLeaf)(view, n.box, n.x - n.w / 2, n.top));
  return g;
}

function stripe(view, mask, h) {
  const list = axesOf(view.d.mesh, mask);
  return list.map((a, k) => svg("rect", {
                    x: 0,
                    y: (k * h / list.length).toFixed(1),
                    width: 5,
                    height: (h / list.length).toFixed(1),
                    fill: axisColor(view.d.mesh, a)
                  }));
}

function drawLeaf(view, box, x, y) {
  const item = box.item, op = item.op !== undefined ? view.stage.ops[item.op] : null, mesh = view.d.mesh;
  const g = svg("g", {class: "box", transform: "translate(" + x.toFixed(1) + " " + y.toFixed(1) + ")"});
  if (op && op.kind) {
    const axis =
        op.kind === 1 ? (axesOf(mesh, op.over)[0] || 0) : Math.max(0, mesh.findIndex((m) => m[0] === "pp"));
    const c = 11, w = box.w, h = box.h;
    g.append(svg("path", {
      class: "frame",
      d: `M${c} 0H${w - c}L${w} ${h / 2}L${w - c} ${h}H${c}L0 ${h / 2}Z`,
      fill: axisColor(mesh, axis),
      stroke: axisColor(mesh, axis)
    }));
  } else {
    const mask = op ?
        (op.out.length && view.stage.tensors[op.out[0]] ? view.stage.tensors[op.out[0]].axes : 0) :
        item.group.axes;
    if (!op)
      g.append(
          svg("rect", {x: 3, y: 3, width: box.w, height: box.h, rx: 6, fill: "#fff", stroke: "#b8c2ce"}));
    g.append(
        svg("rect", {
          class: "frame",
          width: box.w,
          height: box.h,
          rx: op ? 4 : 6,
          fill: layoutFill(mesh, mask, 0.13),
          stroke: "#b8c2ce"
        }),
        ...stripe(view, mask, box.h));
  }
  box.lines.forEach(
      ([style, s], k) => g.append(
          svg("text", {
            class: style,
            x: box.w / 2 + (op && op.kind ? 0 : 2),
            y: 18 + 15 * k,
            "text-anchor": "middle",
            style: op && op.kind ? "fill:#fff" : ""
          },
              k === 0 && !op ? "+ " + s : s)));
  if (op) view.boxes.set(item.op, g);
  g.addEventListener("click", (e) => {
    e.stopPropagation();
    if (op)
      view.pick(item.op);
    else
      view.toggle(item.group);
  });
  return g;
}

// ---- details of one op ----

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
  if (op.kind === 1) row("over", el("span", {}, ...axisPills(d.mesh, op.over)));
  if (op.kind) row("bytes sent by this rank", bytes(op.wire || 0));
  if (op.in.length) row("reads", ...op.in.map(tensor));
  if (op.out.length) row("writes", ...op.out.map(tensor));
  if (op.flops) row("FLOPs", count(op.flops));
  row("bytes read and written", bytes(op.bytes));
  if (op.work) row("workspace", bytes(op.work));
  return [el("h3", {}, nameOf(op)), el("span", {class: "soft"}, op.op === op.label ? "" : op.op), list];
}

function layoutLegend(view) {
  const masks = new Set();
  for (const op of view.stage.ops)
    if (op.segment === view.segment && op.out.length && view.stage.tensors[op.out[0]])
      masks.add(view.stage.tensors[op.out[0]].axes);
  const box = el("div", {class: "legend"});
  if (masks.size < 2 && masks.has(0)) return box;
  for (const m of [...masks].sort((a, b) => a - b)) {
    const color = axesOf(view.d.mesh, m).map((a) => axisColor(view.d.mesh, a));
    const fill = color.length ? "linear-gradient(" +
            color.map((c, k) => c + " " + 100 * k / color.length + "% " + 100 * (k + 1) / color.length + "%")
                .join(",") +
            ")" :
                                "#dbe1e8";
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
  eval: "evaluation"
};

// The widget. d: the page's data; returns an element.
function graphView(d) {
  for (const s of d.stages) findProducers(s);
  const holder = el("div", {class: "view"}), aside = el("aside", {}), bar = el("div", {class: "title"}),
        legend = el("div", {});
  const view =
      {d, stage: d.stages[0], segment: 0, open: new Set(), boxes: new Map(), wires: [], users: new Map()};
  const hint = () => aside.replaceChildren(el(
      "span", {class: "soft"},
      "Click a block to open or close it, an op to see what it reads and writes and the model line it comes from."));
  view.pick = (i) => {
    for (const [k, g] of view.boxes) g.classList.toggle("picked", k === i);
    for (const [p, op] of view.wires)
      p.classList.toggle("hot", op === i || view.stage.ops[i].from.includes(op));
    aside.replaceChildren(...describeOp(view, i));
  };
  view.toggle = (group) => {
    if (view.open.has(group.path))
      view.open.delete(group.path);
    else
      view.open.add(group.path);
    draw();
  };
  const draw = () => {
    view.boxes.clear();
    view.wires = [];
    const box = layoutGroup(view, view.root);
    const w = box.w + 24, h = box.h + 24;
    const s =
        svg("svg", {width: w, height: h, viewBox: `0 0 ${w} ${h}`},
            svg("defs", {},
                svg("marker", {
                  id: "arrow",
                  viewBox: "0 0 8 8",
                  refX: 7,
                  refY: 4,
                  markerWidth: 7,
                  markerHeight: 7,
                  orient: "auto"
                },
                    svg("path", {d: "M0 0L8 4L0 8Z", fill: "#a9b4c2"}))));
    s.append(drawOpen(view, box, 12, 12));
    holder.replaceChildren(s);
    requestAnimationFrame(() => {
      if (w > holder.clientWidth) holder.scrollLeft = (w - holder.clientWidth) / 2;
    });
  };
  const load = () => {
    view.users = new Map();
    view.stage.ops.forEach((op, i) => {
      if (op.segment !== view.segment) return;
      for (const from of new Set(op.from))
        if (from >= 0) (view.users.get(from) || view.users.set(from, []).get(from)).push(i);
    });
    view.root = buildTree(view.stage, view.segment);
    legend.replaceChildren(layoutLegend(view));
    hint();
    draw();
  };
  const segmentTabs = el("span", {});
  const shown = () =>
      view.stage.segments.map((g, i) => i).filter((i) => view.stage.ops.some((op) => op.segment === i));
  const chooseStage = (i) => {
    view.stage = d.stages[i];
    const list = shown(), several = view.stage.segments.some((g) => g.chunk > 0);
    view.segment = list.includes(view.segment) ? view.segment : list[0] || 0;
    const name = (k) => segmentNames[view.stage.segments[k].kind] +
        (several && view.stage.segments[k].kind !== "step" ? " " + view.stage.segments[k].chunk : "");
    segmentTabs.replaceChildren(tabs(list.map(name), list.indexOf(view.segment), (k) => {
      view.segment = list[k];
      load();
    }));
    view.open = new Set();
    load();
  };
  const openAll = (g) => {
    for (const c of g.groups.values()) {
      view.open.add(c.path);
      openAll(c);
    }
  };
  bar.append(
      stageChooser(d.stages.length, chooseStage) || "", segmentTabs,
      el("span", {class: "buttons"},
         el("button", {
           onclick: () => {
             openOne(view);
             draw();
           }
         },
            "open one layer"),
         " ",
         el("button", {
           onclick: () => {
             openAll(view.root);
             draw();
           }
         },
            "open all"),
         " ",
         el("button", {
           onclick: () => {
             view.open.clear();
             draw();
           }
         },
            "close all")),
      legend);
  chooseStage(0);
  return el("div", {}, bar, el("div", {class: "graph"}, holder, aside));
}

// The first repeated block, or else the first block, with all of its contents.
function openOne(view) {
  const groups = [...view.root.groups.values()], g = groups.find((x) => /\.\d+$/.test(x.name)) || groups[0];
  const open = (x) => {
    view.open.add(x.path);
    for (const c of x.groups.values()) open(c);
  };
  view.open.clear();
  if (g) open(g);
}

function show_graph(d) {
  unpack(d);
  const about =
      d.mesh.length ? "the graph of one rank of " + d.mesh.map((m) => m[0] + " " + m[1]).join(" x ") : "";
  document.body.append(
      el("main", {class: "tall"},
         el("div", {class: "head"}, el("h1", {}, d.model + (d.preset ? " " + d.preset : "")),
            el("span", {class: "where"}, d.path), el("span", {class: "soft"}, about)),
         graphView(d)));
}
