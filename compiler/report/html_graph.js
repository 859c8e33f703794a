// The graph: blocks that open to what is in them, drawn top to bottom. Each open block is laid out on its own: what flows in
// and out are ports on its border, long edges are led around boxes through placeholders, and boxes of a row are moved as near as
// they can be to what they are connected to.

const GAP = 26, ROW = 34, PAD = 12, PORT = 8;

// ---- the tree of blocks ----

// "layers.0.attention" -> ["layers.0", "attention"]
function scopeParts(scope) {
  const parts = [];
  for (const p of scope ? scope.split(".") : []) {
    if (/^\d+$/.test(p) && parts.length) parts[parts.length - 1] += "." + p;
    else parts.push(p);
  }
  return parts;
}

function newGroup(name, path) { return { name, path, items: [], groups: new Map(), ops: 0, flops: 0, comm: new Map(), axes: 0 }; }

function buildTree(stage, segment) {
  const root = newGroup("", ""), opAt = new Map();
  stage.ops.forEach((op, i) => {
    if (op.segment !== segment) return;
    let g = root, path = "";
    const chain = [root];
    for (const part of scopeParts(op.scope)) {
      path = path ? path + "." + part : part;
      if (!g.groups.has(part)) {
        const child = newGroup(part, path);
        g.groups.set(part, child);
        g.items.push({ group: child });
      }
      g = g.groups.get(part);
      chain.push(g);
    }
    g.items.push({ op: i });
    opAt.set(i, chain);
    for (const c of chain) {
      c.ops++;
      c.flops += op.flops;
      if (op.kind) {
        const key = op.kind === 1 ? op.over : 0, sum = c.comm.get(key) || { n: 0, wire: 0 };
        sum.n++;
        sum.wire += op.wire;
        c.comm.set(key, sum);
      }
      if (op.out.length && stage.tensors[op.out[0]]) c.axes |= stage.tensors[op.out[0]].axes;
    }
  });
  return root;
}

// Which op made a tensor, as the ops run; operands made in other segments or standing in memory are listed apart.
function findProducers(stage) {
  const made = new Map();
  stage.ops.forEach((op, i) => {
    op.from = op.in.map((t) => {
      for (let x = t; x; x = stage.tensors[x] ? stage.tensors[x].view : 0) if (made.has(x)) return made.get(x);
      return -1;
    });
    for (const t of op.out) made.set(t, i);
  });
}

// ---- boxes ----

const ruler = document.createElement("canvas").getContext("2d");
const widths = new Map();
function textWidth(s, font) {
  const key = font + s;
  if (!widths.has(key)) {
    ruler.font = font;
    widths.set(key, ruler.measureText(s).width);
  }
  return widths.get(key);
}
const SANS = 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif', MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';
const fonts = { name: "600 12px " + SANS, small: "10.5px " + SANS, type: "10px " + MONO };

function shorten(s, font, most) {
  if (textWidth(s, font) <= most) return s;
  while (s.length > 4 && textWidth(s + "…", font) > most) s = s.slice(0, -1);
  return s + "…";
}

const commNames = { all_reduce: "all-reduce", reduce_scatter: "reduce-scatter", all_gather: "all-gather", all_to_all: "all-to-all",
  send_rows: "all-to-all (rows)", collect_rows: "all-to-all (rows back)", send: "send", recv: "receive" };

const nameOf = (op) => op.kind ? commNames[op.op] : op.label;

function parameterOf(view, op) {
  const names = op.in.map((t) => view.stage.tensors[t]).filter((t) => t && t.class <= 1 && t.name).map((t) => t.name.replace(/^.*[./]/, ""));
  return names.length === 1 && op.in.length <= 3 ? " " + names[0] : "";
}

function opLines(view, op) {
  const t = view.stage.tensors[op.out.length ? op.out[0] : op.in[0]];
  const type = t ? t.type.replace(/^\w+\[/, "[") : "";
  if (!op.kind) return [["name", op.label + parameterOf(view, op)], ["type", type]];
  const to = op.kind === 1 ? axesText(view.d.mesh, op.over) : (op.kind === 2 ? "to" : "from") + " stage " + op.over;
  return [["name", commNames[op.op] + " " + to], ["small", op.wire ? bytes(op.wire) + " sent" : type]];
}

function groupLines(view, g) {
  const lines = [["name", g.name], ["small", plural(g.ops, "op") + (g.flops ? ", " + count(g.flops) + " FLOPs" : "")]];
  for (const [mask, c] of g.comm)
    lines.push(["small", "⇄ " + c.n + " × " + (mask ? axesText(view.d.mesh, mask) : "send, receive") + (c.wire ? ", " + bytes(c.wire) : "")]);
  return lines;
}

function leafBox(view, item) {
  const lines = item.op !== undefined ? opLines(view, view.stage.ops[item.op]) : groupLines(view, item.group);
  if (item.copies > 1) lines[0] = ["name", nameOf(view.stage.ops[item.op]) + "  × " + item.copies];
  for (const l of lines) l[1] = shorten(l[1], fonts[l[0]], 300);
  const w = Math.max(96, ...lines.map((l) => textWidth(l[1], fonts[l[0]]) + 26));
  return { w: Math.ceil(w), h: 14 + 15 * lines.filter((l) => l[1]).length, lines: lines.filter((l) => l[1]), item, ins: null, outs: null };
}

// ---- layout of one open block ----

// Edges between the items of a group: [item, item, op that makes the value]. Values from outside come from port -1, those
// that are used outside go to port -2.
function groupEdges(view, group, ops) {
  const own = new Map(), edges = new Map();
  group.items.forEach((item, i) => { for (const op of ops[i]) own.set(op, i); });
  const add = (a, b, op) => { if (a !== b) edges.set(a + " " + b + " " + op, [a, b, op]); };
  for (const [op, i] of own) {
    for (const from of view.stage.ops[op].from) {
      if (from < 0 || view.stage.ops[from].segment !== view.segment) continue;
      if (own.has(from)) add(own.get(from), i, from);
      else add(-1, i, from);
    }
    for (const user of view.users.get(op) || []) if (!own.has(user)) { add(i, -2, op); break; }
  }
  return [...edges.values()];
}

// Several values between two closed boxes are one edge.
function mergeEdges(edges, boxes) {
  const kept = new Map(), port = (i, op) => i < 0 || boxes[i].open ? op : "";
  for (const e of edges) {
    const key = [e[0], e[1], port(e[0], e[2]), port(e[1], e[2])].join();
    if (!kept.has(key)) kept.set(key, e);
  }
  return [...kept.values()];
}

function opsOf(item) {
  if (item.op !== undefined) return item.all || [item.op];
  const list = [];
  for (const x of item.group.items) list.push(...opsOf(x));
  return list;
}

// Many like ops that stand alone (one update per parameter) are one box.
function bundle(view, group) {
  if (group.bundled) return;
  group.bundled = true;
  const by = new Map(), users = (op) => [...new Set((view.users.get(op) || []).map((u) => view.stage.ops[u].label))].join();
  for (const item of group.items) {
    if (item.op === undefined) continue;
    const op = view.stage.ops[item.op];
    const sources = [...new Set(op.from.filter((f) => f >= 0 && view.stage.ops[f].segment === view.segment))];
    const key = [op.label, op.kind, op.over, sources.length > 1 ? item.op : sources.join(), users(item.op)].join("|");
    if (!by.has(key)) by.set(key, []);
    by.get(key).push(item);
  }
  for (const list of by.values()) {
    if (list.length < 4) continue;
    list[0].copies = list.length;
    list[0].all = list.map((x) => x.op);
    const gone = new Set(list.slice(1));
    group.items = group.items.filter((x) => !gone.has(x));
  }
}

function layoutGroup(view, group) {
  bundle(view, group);
  const items = group.items, ops = items.map(opsOf);
  const boxes = items.map((item) => item.group && view.open.has(item.group.path) ? layoutGroup(view, item.group) : leafBox(view, item));
  const edges = mergeEdges(groupEdges(view, group, ops), boxes);
  const rows = [], nodes = boxes.map((b, i) => ({ box: b, i, row: 0, w: b.w, h: b.h, x: 0 }));
  const inner = edges.filter(([a, b]) => a >= 0 && b >= 0 && a < b), against = edges.filter(([a, b]) => a >= 0 && b >= 0 && a > b);
  const inPorts = new Map(), outPorts = new Map();
  for (const [a, b, op] of edges) {
    if (a === -1 && !inPorts.has(op)) inPorts.set(op, { port: true, row: 0, w: PORT, h: 0, x: 0, op });
    if (b === -2 && !outPorts.has(op)) outPorts.set(op, { port: true, row: 0, w: PORT, h: 0, x: 0, op });
  }
  const shift = inPorts.size ? 1 : 0;
  for (const n of nodes) n.row = shift;
  for (const [a, b] of inner.sort((x, y) => x[1] - y[1])) nodes[b].row = Math.max(nodes[b].row, nodes[a].row + 1);
  const last = Math.max(0, ...nodes.map((n) => n.row)) + (outPorts.size ? 1 : 0);
  for (const p of outPorts.values()) p.row = last;
  pullDown(nodes, inner);
  const all = [...inPorts.values(), ...nodes, ...outPorts.values()];
  const wires = [];
  const connect = (from, to, op) => {
    const path = [from];
    for (let r = from.row + 1; r < to.row; r++) {
      const via = { via: true, row: r, w: 10, h: 0, x: 0 };
      all.push(via);
      path.push(via);
    }
    path.push(to);
    wires.push({ path, op });
  };
  for (const [a, b, op] of inner) connect(nodes[a], nodes[b], op);
  for (const [a, b, op] of edges) {
    if (a === -1) connect(inPorts.get(op), nodes[b], op);
    if (b === -2) connect(nodes[a], outPorts.get(op), op);
  }
  for (const n of all) (rows[n.row] = rows[n.row] || []).push(n);
  placeRows(rows, wires);
  return finishGroup(group, rows, all, nodes, wires, against, inPorts, outPorts);
}

// A box without inputs stands just above its first reader.
function pullDown(nodes, edges) {
  const hasInput = new Set(edges.map((e) => e[1]));
  for (const n of nodes) {
    if (hasInput.has(n.i)) continue;
    const readers = edges.filter((e) => e[0] === n.i).map((e) => nodes[e[1]].row);
    if (readers.length) n.row = Math.max(n.row, Math.min(...readers) - 1);
  }
}

// Where a box wants to be: under (or above) what it is connected to, port over port. Placeholders of long edges give way to boxes.
function wish(n, links) {
  let list = links.get(n) || [];
  if (!n.via && list.some((l) => !l[0].via)) list = list.filter((l) => !l[0].via);
  return list.length ? list.reduce((s, [m, off]) => s + m.x + off, 0) / list.length : null;
}

function placeRows(rows, wires) {
  const up = new Map(), down = new Map();
  const link = (map, a, b, offset) => { if (!map.has(a)) map.set(a, []); map.get(a).push([b, offset]); };
  for (const w of wires)
    for (let k = 1; k < w.path.length; k++) {
      const a = w.path[k - 1], b = w.path[k], leaves = portX(a, "outs", w.op) - a.x, enters = portX(b, "ins", w.op) - b.x;
      link(down, a, b, enters - leaves);
      link(up, b, a, leaves - enters);
    }
  for (const row of rows) spread(row, row.map(() => 0));
  for (let round = 0; round < 4; round++) { // order within rows
    for (const row of round % 2 ? [...rows].reverse() : rows) {
      const keys = new Map(row.map((n, i) => { const m = wish(n, round % 2 ? down : up); return [n, (m === null ? n.x : m) + i * 1e-6 + (n.via ? 25 : 0)]; }));
      row.sort((a, b) => keys.get(a) - keys.get(b));
      spread(row, row.map((n) => keys.get(n)));
    }
  }
  for (let round = 0; round < 11; round++)
    for (const row of round % 2 ? [...rows].reverse() : rows)
      spread(row, row.map((n) => {
        const a = wish(n, up), b = wish(n, down);
        return a === null ? (b === null ? n.x : b) : b === null ? a : (a + b) / 2;
      }));
  straighten(rows, wires);
}

// Long edges go straight down along the outermost of their placeholders, where there is room.
function straighten(rows, wires) {
  const at = new Map();
  for (const w of wires) {
    const vias = w.path.filter((n) => n.via);
    if (!vias.length) continue;
    const ends = (w.path[0].x + w.path[w.path.length - 1].x) / 2, mean = vias.reduce((s, n) => s + n.x, 0) / vias.length;
    const x = mean > ends ? Math.max(...vias.map((n) => n.x)) : Math.min(...vias.map((n) => n.x));
    for (const n of vias) at.set(n, x);
  }
  for (let round = 0; round < 2; round++) for (const row of rows) spread(row, row.map((n) => at.has(n) ? at.get(n) : n.x));
}

// Boxes of a row as near as possible (least squares) to where they want to be, in order and without touching.
function spread(row, wanted) {
  const blocks = [];
  let offset = 0;
  row.forEach((n, i) => {
    if (i) offset += (row[i - 1].w + n.w) / 2 + (row[i - 1].via || n.via ? GAP / 2 : GAP);
    const weight = n.via ? 0.02 : 1;
    let block = { sum: (wanted[i] - offset) * weight, weight, members: [[n, offset]] };
    while (blocks.length && blocks[blocks.length - 1].sum / blocks[blocks.length - 1].weight > block.sum / block.weight) {
      const b = blocks.pop();
      block = { sum: b.sum + block.sum, weight: b.weight + block.weight, members: b.members.concat(block.members) };
    }
    blocks.push(block);
  });
  for (const b of blocks) for (const [n, off] of b.members) n.x = b.sum / b.weight + off;
}

function finishGroup(group, rows, all, nodes, wires, against, inPorts, outPorts) {
  const heading = group.path ? 20 : 0;
  let left = Infinity, right = -Infinity;
  for (const n of all) {
    left = Math.min(left, n.x - n.w / 2);
    right = Math.max(right, n.x + n.w / 2);
  }
  if (!all.length) left = right = 0;
  const w = Math.max(right - left + 2 * PAD, group.path ? textWidth(group.name, fonts.name) + 60 : 0);
  const dx = -left + (w - (right - left)) / 2;
  let y = heading + PAD;
  rows.forEach((row, r) => {
    const h = Math.max(0, ...row.map((n) => n.h));
    const isPorts = row.every((n) => n.h === 0);
    for (const n of row) {
      n.x += dx;
      n.top = isPorts && r === 0 && inPorts.size ? 0 : y + (h - n.h) / 2;
      n.rowTop = y;
      n.rowBottom = y + h;
    }
    y += isPorts && r === 0 && inPorts.size ? 8 : h + ROW;
  });
  const h = outPorts.size ? y - ROW + 4 : y - ROW + PAD;
  for (const p of outPorts.values()) p.top = p.rowTop = p.rowBottom = h;
  for (const p of inPorts.values()) p.top = p.rowTop = p.rowBottom = 0;
  return { w, h, group, open: true, nodes, wires, against, ins: inPorts, outs: outPorts };
}

// ---- drawing ----

// Where the value of `op` leaves or enters a box, relative to the node's centre.
function portX(n, ports, op) {
  const p = n.box && n.box[ports] && n.box[ports].get(op);
  return p ? n.x - n.w / 2 + p.x : n.x;
}

function wirePath(w) {
  const points = [];
  w.path.forEach((n, k) => {
    const first = k === 0, final = k === w.path.length - 1;
    if (first) points.push([portX(n, "outs", w.op), n.top + n.h]);
    else if (final) points.push([portX(n, "ins", w.op), n.top]);
    else points.push([n.x, n.rowTop - 6], [n.x, n.rowBottom + 6]);
  });
  let s = "M" + points[0].map((v) => v.toFixed(1)).join(" ");
  for (let k = 1; k < points.length; k++) {
    const [x1, y1] = points[k - 1], [x2, y2] = points[k], m = ((y1 + y2) / 2).toFixed(1);
    s += x1 === x2 ? "L" + x2.toFixed(1) + " " + y2.toFixed(1) : "C" + x1.toFixed(1) + " " + m + " " + x2.toFixed(1) + " " + m + " " + x2.toFixed(1) + " " + y2.toFixed(1);
  }
  return s;
}

function againstPath(a, b, w) { // a value that flows up, around the right side
  const x = w - 4, y1 = a.top + a.h / 2, y2 = b.top + b.h / 2;
  return "M" + (a.x + a.w / 2) + " " + y1 + "C" + x + " " + y1 + " " + x + " " + y2 + " " + (b.x + b.w / 2) + " " + y2;
}

function drawOpen(view, box, x, y) {
  const g = svg("g", { class: "box open", transform: "translate(" + x.toFixed(1) + " " + y.toFixed(1) + ")" });
  if (box.group.path) {
    g.append(svg("rect", { class: "frame", width: box.w, height: box.h, rx: 7 }));
    g.append(svg("text", { class: "name", x: 10, y: 17 }, "− " + box.group.name));
    g.addEventListener("click", (e) => { e.stopPropagation(); view.toggle(box.group); });
  }
  for (const w of box.wires) {
    const p = svg("path", { class: "edge", d: wirePath(w), "marker-end": w.path[w.path.length - 1].box ? "url(#arrow)" : "" });
    view.wires.push([p, w.op]);
    g.append(p);
  }
  for (const [a, b] of box.against) g.append(svg("path", { class: "edge", "stroke-dasharray": "3 3", d: againstPath(box.nodes[a], box.nodes[b], box.w) }));
  for (const n of box.nodes) g.append((n.box.open ? drawOpen : drawLeaf)(view, n.box, n.x - n.w / 2, n.top));
  return g;
}

function stripe(view, mask, h) {
  const list = axesOf(view.d.mesh, mask);
  return list.map((a, k) => svg("rect", { x: 0, y: (k * h / list.length).toFixed(1), width: 5, height: (h / list.length).toFixed(1), fill: axisColor(view.d.mesh, a) }));
}

function drawLeaf(view, box, x, y) {
  const item = box.item, op = item.op !== undefined ? view.stage.ops[item.op] : null, mesh = view.d.mesh;
  const g = svg("g", { class: "box", transform: "translate(" + x.toFixed(1) + " " + y.toFixed(1) + ")" });
  if (op && op.kind) {
    const axis = op.kind === 1 ? (axesOf(mesh, op.over)[0] || 0) : Math.max(0, mesh.findIndex((m) => m[0] === "pp"));
    const c = 11, w = box.w, h = box.h;
    g.append(svg("path", { class: "frame", d: `M${c} 0H${w - c}L${w} ${h / 2}L${w - c} ${h}H${c}L0 ${h / 2}Z`, fill: axisColor(mesh, axis), stroke: axisColor(mesh, axis) }));
  } else {
    const mask = op ? (op.out.length && view.stage.tensors[op.out[0]] ? view.stage.tensors[op.out[0]].axes : 0) : item.group.axes;
    if (!op) g.append(svg("rect", { x: 3, y: 3, width: box.w, height: box.h, rx: 6, fill: "#fff", stroke: "#b8c2ce" }));
    g.append(svg("rect", { class: "frame", width: box.w, height: box.h, rx: op ? 4 : 6, fill: layoutFill(mesh, mask, 0.13), stroke: "#b8c2ce" }), ...stripe(view, mask, box.h));
  }
  box.lines.forEach(([style, s], k) =>
    g.append(svg("text", { class: style, x: box.w / 2 + (op && op.kind ? 0 : 2), y: 18 + 15 * k, "text-anchor": "middle", style: op && op.kind ? "fill:#fff" : "" },
      k === 0 && !op ? "+ " + s : s)));
  if (op) view.boxes.set(item.op, g);
  g.addEventListener("click", (e) => {
    e.stopPropagation();
    if (op) view.pick(item.op);
    else view.toggle(item.group);
  });
  return g;
}

// ---- what is known of one op ----

function describeOp(view, i) {
  const op = view.stage.ops[i], d = view.d, list = el("dl", {});
  const row = (name, ...value) => { list.append(el("dt", {}, name), ...value.map((v) => el("dd", {}, v))); };
  const tensor = (t) => {
    const x = view.stage.tensors[t];
    return el("span", {}, x && x.name ? x.name + " " : "", el("code", {}, x ? x.type : "?"), x && x.partial ? " partial over " + axesText(d.mesh, x.partial) : "");
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
  return [el("h3", {}, nameOf(op)), el("span", { class: "soft" }, op.op === op.label ? "" : op.op), list];
}

function layoutLegend(view) {
  const masks = new Set();
  for (const op of view.stage.ops) if (op.segment === view.segment && op.out.length && view.stage.tensors[op.out[0]]) masks.add(view.stage.tensors[op.out[0]].axes);
  const box = el("div", { class: "legend" });
  if (masks.size < 2 && masks.has(0)) return box;
  for (const m of [...masks].sort((a, b) => a - b)) {
    const color = axesOf(view.d.mesh, m).map((a) => axisColor(view.d.mesh, a));
    const fill = color.length ? "linear-gradient(" + color.map((c, k) => c + " " + 100 * k / color.length + "% " + 100 * (k + 1) / color.length + "%").join(",") + ")" : "#dbe1e8";
    box.append(el("span", {}, el("i", { style: "background:" + fill }), m ? "split over " + axesText(view.d.mesh, m) : "whole on every rank"));
  }
  if (view.stage.ops.some((op) => op.segment === view.segment && op.kind)) box.append(el("span", {}, "⬣ communication"));
  return box;
}

const segmentNames = { F: "forward", B: "backward", W: "gradients of weights", step: "step", eval: "evaluation" };

// The widget. d: the page's data; returns an element.
function graphView(d) {
  for (const s of d.stages) findProducers(s);
  const holder = el("div", { class: "view" }), aside = el("aside", {}), bar = el("div", { class: "title" }), legend = el("div", {});
  const view = { d, stage: d.stages[0], segment: 0, open: new Set(), boxes: new Map(), wires: [], users: new Map() };
  const hint = () => aside.replaceChildren(el("span", { class: "soft" }, "Click a block to open or close it, an op to see what it reads and writes and the model line it comes from."));
  view.pick = (i) => {
    for (const [k, g] of view.boxes) g.classList.toggle("picked", k === i);
    for (const [p, op] of view.wires) p.classList.toggle("hot", op === i || view.stage.ops[i].from.includes(op));
    aside.replaceChildren(...describeOp(view, i));
  };
  view.toggle = (group) => {
    if (view.open.has(group.path)) view.open.delete(group.path);
    else view.open.add(group.path);
    draw();
  };
  const draw = () => {
    view.boxes.clear();
    view.wires = [];
    const box = layoutGroup(view, view.root);
    const w = box.w + 24, h = box.h + 24;
    const s = svg("svg", { width: w, height: h, viewBox: `0 0 ${w} ${h}` },
      svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0L8 4L0 8Z", fill: "#a9b4c2" }))));
    s.append(drawOpen(view, box, 12, 12));
    holder.replaceChildren(s);
    requestAnimationFrame(() => { if (w > holder.clientWidth) holder.scrollLeft = (w - holder.clientWidth) / 2; });
  };
  const load = () => {
    view.users = new Map();
    view.stage.ops.forEach((op, i) => {
      if (op.segment !== view.segment) return;
      for (const from of new Set(op.from)) if (from >= 0) (view.users.get(from) || view.users.set(from, []).get(from)).push(i);
    });
    view.root = buildTree(view.stage, view.segment);
    legend.replaceChildren(layoutLegend(view));
    hint();
    draw();
  };
  const segmentTabs = el("span", {});
  const shown = () => view.stage.segments.map((g, i) => i).filter((i) => view.stage.ops.some((op) => op.segment === i));
  const chooseStage = (i) => {
    view.stage = d.stages[i];
    const list = shown(), several = view.stage.segments.some((g) => g.chunk > 0);
    view.segment = list.includes(view.segment) ? view.segment : list[0] || 0;
    const name = (k) => segmentNames[view.stage.segments[k].kind] + (several && view.stage.segments[k].kind !== "step" ? " " + view.stage.segments[k].chunk : "");
    segmentTabs.replaceChildren(tabs(list.map(name), list.indexOf(view.segment), (k) => { view.segment = list[k]; load(); }));
    view.open = new Set();
    load();
  };
  const openAll = (g) => { for (const c of g.groups.values()) { view.open.add(c.path); openAll(c); } };
  bar.append(stageChooser(d.stages.length, chooseStage) || "", segmentTabs,
    el("span", { class: "buttons" }, el("button", { onclick: () => { openOne(view); draw(); } }, "open one layer"), " ",
      el("button", { onclick: () => { openAll(view.root); draw(); } }, "open all"), " ",
      el("button", { onclick: () => { view.open.clear(); draw(); } }, "close all")), legend);
  chooseStage(0);
  return el("div", {}, bar, el("div", { class: "graph" }, holder, aside));
}

// The first repeated block, or else the first block, with all that is in it.
function openOne(view) {
  const groups = [...view.root.groups.values()], g = groups.find((x) => /\.\d+$/.test(x.name)) || groups[0];
  const open = (x) => { view.open.add(x.path); for (const c of x.groups.values()) open(c); };
  view.open.clear();
  if (g) open(g);
}

function show_graph(d) {
  unpack(d);
  const about = d.mesh.length ? "the graph of one rank of " + d.mesh.map((m) => m[0] + " " + m[1]).join(" x ") : "";
  document.body.append(el("main", { class: "tall" }, el("div", { class: "head" }, el("h1", {}, d.model + (d.preset ? " " + d.preset : "")), el("span", { class: "where" }, d.path), el("span", { class: "soft" }, about)), graphView(d)));
}
