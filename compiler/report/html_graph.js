// The graph: draws boxes and edges (html_layout.js computes their positions), and the widget around them with its
// buttons. Used by the plan's page and by `xlmc graph`.

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

// A box is a button: by mouse and by keyboard.
function actOn(g, label, act) {
  const run = (e) => {
    e.stopPropagation();
    act();
  };
  g.setAttribute("tabindex", "0");
  g.setAttribute("role", "button");
  g.setAttribute("aria-label", label);
  g.addEventListener("click", run);
  g.addEventListener("keydown", (e) => {
    if (e.key !== "Enter" && e.key !== " ") return;
    e.preventDefault();
    run(e);
  });
}

function drawOpen(view, box, x, y) {
  const g = svg("g", {class: "box open", transform: "translate(" + x.toFixed(1) + " " + y.toFixed(1) + ")"});
  if (box.group.path) {
    g.append(svg("rect", {class: "frame", width: box.w, height: box.h, rx: 7}));
    g.append(svg("text", {class: "name", x: 10, y: 17}, headingOf(box.group)));
    actOn(g, headingOf(box.group).slice(2) + ", open", () => view.toggle(box.group));
    g.setAttribute("aria-expanded", "true");
    view.groups.set(box.group.path, g);
    g.box = {width: box.w, height: box.h};
  }
  for (const w of box.wires) {
    const p = svg(
        "path",
        {class: "edge", d: wirePath(w), "marker-end": w.path[w.path.length - 1].box ? "url(#arrow)" : ""});
    const made = view.stage.ops[w.op], t = made.out.length ? view.stage.tensors[made.out[0]] : null;
    if (t) p.append(svg("title", {}, (t.name ? t.name + "  " : "") + t.type));
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
                    fill: axisColor(a)
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
      fill: axisColor(axis),
      stroke: axisColor(axis)
    }));
  } else {
    const mask = op ?
        (op.out.length && view.stage.tensors[op.out[0]] ? view.stage.tensors[op.out[0]].axes : 0) :
        item.group.axes;
    if (!op)
      g.append(
          ...(item.group.fold ? [6, 3] : [3])
              .map((k) => svg("rect", {
                     x: k,
                     y: k,
                     width: box.w,
                     height: box.h,
                     rx: 6,
                     fill: "var(--raised)",
                     stroke: "var(--border)"
                   })));
    g.append(
        svg("rect", {
          class: "frame",
          width: box.w,
          height: box.h,
          rx: op ? 4 : 6,
          fill: layoutFill(mesh, mask),
          stroke: "var(--border)"
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
            style: op && op.kind ? "fill:var(--on-axis)" : ""
          },
              s)));
  g.box = {width: box.w, height: box.h};
  if (op)
    view.boxes.set(item.op, g);
  else
    view.groups.set(item.group.path, g);
  actOn(g, box.lines.map((l) => l[1]).join(", "), () => op ? view.pick(item.op) : view.toggle(item.group));
  if (!op) g.setAttribute("aria-expanded", "false");
  return g;
}

