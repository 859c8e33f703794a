// Computes positions of the boxes of a graph: nested blocks, top to bottom. Each expanded block is laid out
// separately: values that enter and leave are ports on its border, long edges are routed around boxes through
// waypoints, and the boxes of a row are placed as close as possible to their neighbours.

const GAP = 26, ROW = 34, PAD = 12, PORT = 8;

// ---- layout of one open block ----

// Edges between the items of a group: [item, item, op that makes the value]. Values from outside come from
// port -1, those that are used outside go to port -2.
function groupEdges(view, ops) {
  const own = new Map(), edges = new Map();
  ops.forEach((list, i) => {
    for (const op of list) own.set(op, i);
  });
  const add = (a, b, made) => {
    const op = standIn(view, made);
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

// Places of boxes so that values flow down: each after those it reads. Blocks may read each other; then the earlier
// one comes first.
function orderOf(n, edges) {
  const place = new Array(n).fill(-1), waits = new Array(n).fill(0), readers = Array.from({length: n}, () => []);
  for (const [a, b] of edges)
    if (a >= 0 && b >= 0) waits[b]++, readers[a].push(b);
  for (let k = 0; k < n; k++) {
    let next = -1;
    for (let i = 0; i < n && (next < 0 || waits[next]); i++)
      if (place[i] < 0 && (next < 0 || !waits[i])) next = i;
    place[next] = k;
    for (const b of readers[next]) waits[b]--;
  }
  return place;
}

function layoutGroup(view, group) {
  bundle(view, group);
  const items = shownItems(view, group), ops = items.map(opsOf);
  const boxes = items.map(
      (item) =>
          item.group && view.open.has(item.group.path) ? layoutGroup(view, item.group) : leafBox(view, item));
  const edges = mergeEdges(groupEdges(view, ops), boxes);
  const rows = [], nodes = boxes.map((b, i) => ({box: b, i, row: 0, w: b.w, h: b.h, x: 0}));
  const place = orderOf(items.length, edges);
  const inner = edges.filter(([a, b]) => a >= 0 && b >= 0 && place[a] < place[b]),
        against = edges.filter(([a, b]) => a >= 0 && b >= 0 && place[a] > place[b]);
  const inPorts = new Map(), outPorts = new Map();
  for (const [a, b, op] of edges) {
    if (a === -1 && !inPorts.has(op)) inPorts.set(op, {port: true, row: 0, w: PORT, h: 0, x: 0, op});
    if (b === -2 && !outPorts.has(op)) outPorts.set(op, {port: true, row: 0, w: PORT, h: 0, x: 0, op});
  }
  const shift = inPorts.size ? 1 : 0;
  for (const n of nodes) n.row = shift;
  for (const [a, b] of inner.sort((x, y) => place[x[1]] - place[y[1]]))
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
  const w = Math.max(right - left + 2 * PAD, group.path ? textWidth(headingOf(group), fonts.name) + 40 : 0);
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
