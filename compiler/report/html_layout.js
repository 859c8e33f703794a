// Computes positions of the boxes of a graph: nested blocks, top to bottom. Each expanded block is laid out
// separately: values that enter and leave are ports on its border, long edges are routed around boxes through
// waypoints, and the boxes of a row are placed as close as possible to their neighbours.

const GAP = 26, ROW = 34, PAD = 12, PORT = 8;

// ---- the tree of blocks ----

// "layers.0.attention" -> ["layers.0", "attention"]
function scopeParts(scope) {
  const parts = [];
  for (const p of scope ? scope.split(".") : []) {
    if (/^\d+$/.test(p) && parts.length)
      parts[parts.length - 1] += "." + p;
    else
      parts.push(p);
  }
  return parts;
}

function newGroup(name, path) {
  return {name, path, items: [], groups: new Map(), ops: 0, flops: 0, comm: new Map(), axes: 0};
}

function buildTree(stage, segment) {
  const root = newGroup("", "");
  stage.ops.forEach((op, i) => {
    if (op.segment !== segment) return;
    let g = root, path = "";
    const chain = [root];
    for (const part of scopeParts(op.scope)) {
      path = path ? path + "." + part : part;
      if (!g.groups.has(part)) {
        const child = newGroup(part, path);
        g.groups.set(part, child);
        g.items.push({group: child});
      }
      g = g.groups.get(part);
      chain.push(g);
    }
    g.items.push({op: i});
    for (const c of chain) {
      c.ops++;
      c.flops += op.flops;
      if (op.kind) {
        const key = op.kind === 1 ? op.over : 0, sum = c.comm.get(key) || {n: 0, wire: 0};
        sum.n++;
        sum.wire += op.wire;
        c.comm.set(key, sum);
      }
      if (op.out.length && stage.tensors[op.out[0]]) c.axes |= stage.tensors[op.out[0]].axes;
    }
  });
  return root;
}

// The op that computed each operand, in execution order; -1: none, it is in memory.
function findProducers(stage) {
  const made = new Map();
  stage.ops.forEach((op, i) => {
    op.from = op.in.map((t) => {
                     for (let x = t; x; x = stage.tensors[x] ? stage.tensors[x].view : 0)
                       if (made.has(x)) return made.get(x);
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
const SANS = 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif',
      MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';
const fonts = {
  name: "600 12px " + SANS,
  small: "10.5px " + SANS,
  type: "10px " + MONO
};

function shorten(s, font, most) {
  if (textWidth(s, font) <= most) return s;
  while (s.length > 4 && textWidth(s + "…", font) > most) s = s.slice(0, -1);
  return s + "…";
}

const commNames = {
  all_reduce: "all-reduce",
  reduce_scatter: "reduce-scatter",
  all_gather: "all-gather",
  all_to_all: "all-to-all",
  send_rows: "all-to-all (rows)",
  collect_rows: "all-to-all (rows back)",
  send: "send",
  recv: "receive"
};

const nameOf = (op) => op.kind ? commNames[op.op] : op.label;

function parameterOf(view, op) {
  const names = op.in.map((t) => view.stage.tensors[t])
                         .filter((t) => t && t.class <= 1 && t.name)
                         .map((t) => t.name.replace(/^.*[./]/, ""));
  return names.length === 1 && op.in.length <= 3 ? " " + names[0] : "";
}

function opLines(view, op) {
  const t = view.stage.tensors[op.out.length ? op.out[0] : op.in[0]];
  const type = t ? t.type.replace(/^\w+\[/, "[") : "";
  if (!op.kind) return [["name", op.label + parameterOf(view, op)], ["type", type]];
  const to =
      op.kind === 1 ? axesText(view.d.mesh, op.over) : (op.kind === 2 ? "to" : "from") + " stage " + op.over;
  return [["name", commNames[op.op] + " " + to], ["small", op.wire ? bytes(op.wire) + " sent" : type]];
}

function groupLines(view, g) {
  const lines =
      [["name", g.name], ["small", plural(g.ops, "op") + (g.flops ? ", " + count(g.flops) + " FLOPs" : "")]];
  for (const [mask, c] of g.comm)
    lines.push([
      "small",
      "⇄ " + c.n + " × " + (mask ? axesText(view.d.mesh, mask) : "send, receive") +
          (c.wire ? ", " + bytes(c.wire) : "")
    ]);
  return lines;
}

function leafBox(view, item) {
  const lines = item.op !== undefined ? opLines(view, view.stage.ops[item.op]) : groupLines(view, item.group);
  if (item.copies > 1) lines[0] = ["name", nameOf(view.stage.ops[item.op]) + "  × " + item.copies];
  for (const l of lines) l[1] = shorten(l[1], fonts[l[0]], 300);
  const w = Math.max(96, ...lines.map((l) => textWidth(l[1], fonts[l[0]]) + 26));
  return {
    w: Math.ceil(w),
    h: 14 + 15 * lines.filter((l) => l[1]).length,
    lines: lines.filter((l) => l[1]),
    item,
    ins: null,
    outs: null
  };
}

// ---- layout of one open block ----

// Edges between the items of a group: [item, item, op that makes the value]. Values from outside come from
// port -1, those that are used outside go to port -2.
function groupEdges(view, group, ops) {
  const own = new Map(), edges = new Map();
  group.items.forEach((item, i) => {
    for (const op of ops[i]) own.set(op, i);
  });
  const add = (a, b, op) => {
    if (a !== b) edges.set(a + " " + b + " " + op, [a, b, op]);
  };
  for (const [op, i] of own) {
    for (const from of view.stage.ops[op].from) {
      if (from < 0 || view.stage.ops[from].segment !== view.segment) continue;
      if (own.has(from))
        add(own.get(from), i, from);
      else
        add(-1, i, from);
    }
    for (const user of view.users.get(op) || [])
      if (!own.has(user)) {
        add(i, -2, op);
        break;
      }
  }
  return [...edges.values()];
}

// Several values between two closed boxes are one edge.
function mergeEdges(edges, boxes) {
  const distinct = new Map(), port = (i, op) => i < 0 || boxes[i].open ? op : "";
  for (const e of edges) {
    const key = [e[0], e[1], port(e[0], e[2]), port(e[1], e[2])].join();
    if (!distinct.has(key)) distinct.set(key, e);
  }
  return [...distinct.values()];
}

function opsOf(item) {
  if (item.op !== undefined) return item.all || [item.op];
  const list = [];
  for (const x of item.group.items) list.push(...opsOf(x));
  return list;
}

// Many similar ops without a block (one update per parameter) form one box.
function bundle(view, group) {
  if (group.bundled) return;
  group.bundled = true;
  const by = new Map(),
        users = (op) => [...new Set((view.users.get(op) || []).map((u) => view.stage.ops[u].label))].join();
  for (const item of group.items) {
    if (item.op === undefined) continue;
    const op = view.stage.ops[item.op];
    const sources = [...new Set(op.from.filter((f) => f >= 0 && view.stage.ops[f].segment === view.segment))];
    const key =
        [op.label, op.kind, op.over, sources.length > 1 ? item.op : sources.join(), users(item.op)].join("|");
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
  const boxes = items.map(
      (item) =>
          item.group && view.open.has(item.group.path) ? layoutGroup(view, item.group) : leafBox(view, item));
  const edges = mergeEdges(groupEdges(view, group, ops), boxes);
  const rows = [], nodes = boxes.map((b, i) => ({box: b, i, row: 0, w: b.w, h: b.h, x: 0}));
  const inner = edges.filter(([a, b]) => a >= 0 && b >= 0 && a < b),
        against = edges.filter(([a, b]) => a >= 0 && b >= 0 && a > b);
  const inPorts = new Map(), outPorts = new Map();
  for (const [a, b, op] of edges) {
    if (a === -1 && !inPorts.has(op)) inPorts.set(op, {port: true, row: 0, w: PORT, h: 0, x: 0, op});
    if (b === -2 && !outPorts.has(op)) outPorts.set(op, {port: true, row: 0, w: PORT, h: 0, x: 0, op});
  }
  const shift = inPorts.size ? 1 : 0;
  for (const n of nodes) n.row = shift;
  for (const [a, b] of inner.sort((x, y) => x[1] - y[1]))
    nodes[b].row = Math.max(nodes[b].row, nodes[a].row + 1);
  const last = Math.max(0, ...nodes.map((n) => n.row)) + (outPorts.size ? 1 : 0);
  for (const p of outPorts.values()) p.row = last;
  pullDown(nodes, inner);
  const all = [...inPorts.values(), ...nodes, ...outPorts.values()];
  const wires = [];
  const connect = (from, to, op) => {
    const path = [from];
    for (let r = from.row + 1; r < to.row; r++) {
      const via = {via: true, row: r, w: 10, h: 0, x: 0};
      all.push(via);
      path.push(via);
    }
    path.push(to);
    wires.push({path, op});
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

// The preferred position of a box: below (or above) its neighbours, port over port. Waypoints of long edges
// yield to boxes.
function wish(n, links) {
  let list = links.get(n) || [];
  if (!n.via && list.some((l) => !l[0].via)) list = list.filter((l) => !l[0].via);
  return list.length ? list.reduce((s, [m, off]) => s + m.x + off, 0) / list.length : null;
}

function placeRows(rows, wires) {
  const up = new Map(), down = new Map();
  const link = (map, a, b, offset) => {
    if (!map.has(a)) map.set(a, []);
    map.get(a).push([b, offset]);
  };
  for (const w of wires)
    for (let k = 1; k < w.path.length; k++) {
      const a = w.path[k - 1], b = w.path[k], leaves = portX(a, "outs", w.op) - a.x,
            enters = portX(b, "ins", w.op) - b.x;
      link(down, a, b, enters - leaves);
      link(up, b, a, leaves - enters);
    }
  for (const row of rows) placeRow(row, row.map(() => 0));
  for (let round = 0; round < 4; round++) {  // order within rows
    for (const row of round % 2 ? [...rows].reverse() : rows) {
      const keys = new Map(row.map((n, i) => {
        const m = wish(n, round % 2 ? down : up);
        return [n, (m === null ? n.x : m) + i * 1e-6 + (n.via ? 25 : 0)];
      }));
      row.sort((a, b) => keys.get(a) - keys.get(b));
      placeRow(row, row.map((n) => keys.get(n)));
    }
  }
  for (let round = 0; round < 11; round++)
    for (const row of round % 2 ? [...rows].reverse() : rows)
      placeRow(row, row.map((n) => {
        const a = wish(n, up), b = wish(n, down);
        return a === null ? (b === null ? n.x : b) : b === null ? a : (a + b) / 2;
      }));
  for (const row of rows)
    placeRow(row, row.map((n) => {
      const a = wish(n, up);
      return a === null ? n.x : a;
    }));  // chains straight
  straighten(rows, wires);
}

// Long edges go straight down along the outermost of their waypoints, where there is room.
function straighten(rows, wires) {
  const at = new Map();
  for (const w of wires) {
    const vias = w.path.filter((n) => n.via);
    if (!vias.length) continue;
    const ends = (w.path[0].x + w.path[w.path.length - 1].x) / 2,
          mean = vias.reduce((s, n) => s + n.x, 0) / vias.length;
    const x = mean > ends ? Math.max(...vias.map((n) => n.x)) : Math.min(...vias.map((n) => n.x));
    for (const n of vias) at.set(n, x);
  }
  for (let round = 0; round < 2; round++)
    for (const row of rows) placeRow(row, row.map((n) => at.has(n) ? at.get(n) : n.x));
}

// Places the boxes of a row as close as possible (least squares) to their preferred positions, in order and
// without overlap.
function placeRow(row, wanted) {
  const blocks = [];
  let offset = 0;
  row.forEach((n, i) => {
    if (i) offset += (row[i - 1].w + n.w) / 2 + (row[i - 1].via || n.via ? GAP / 2 : GAP);
    const weight = n.via ? 0.02 : 1;
    let block = {sum: (wanted[i] - offset) * weight, weight, members: [[n, offset]]};
    while (blocks.length &&
           blocks[blocks.length - 1].sum / blocks[blocks.length - 1].weight > block.sum / block.weight) {
      const b = blocks.pop();
      block = {
        sum: b.sum + block.sum,
        weight: b.weight + block.weight,
        members: b.members.concat(block.members)
      };
    }
    blocks.push(block);
  });
  for (const b of blocks)
    for (const [n, off] of b.members) n.x = b.sum / b.weight + off;
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
  return {w, h, group, open: true, nodes, wires, against, ins: inPorts, outs: outPorts};
}
