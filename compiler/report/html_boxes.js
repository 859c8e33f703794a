// The boxes of a graph: the tree of blocks, and what stands in each box. Equal blocks are folded by html_fold.js.

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

const lastPart = (name) => name.replace(/^.*[./]/, "");

// The parameter, or sum of gradients, that an op reads; or else the parameter whose gradient it computes.
function parameterOf(view, op) {
  const tensors = view.stage.tensors, out = op.out.length && tensors[op.out[0]];
  const names = op.in.map((t) => tensors[t]).filter((t) => t && t.name && (t.class <= 1 || t.name.startsWith("grad/"))).map((t) => lastPart(t.name));
  if (names.length) return names.length === 1 && op.in.length <= 3 ? " " + names[0] : "";
  view.stage.parameters = view.stage.parameters || new Set(tensors.filter((t) => t && t.class === 0).map((t) => t.name));
  const of = out && /^d\//.test(out.name) ? out.name.slice(2) : "";
  return of && view.stage.parameters.has(of) ? " d/" + lastPart(of) : "";
}

function opLines(view, op) {
  const t = view.stage.tensors[op.out.length ? op.out[0] : op.in[0]];
  const type = t ? t.type.replace(/^\w+\[/, "[") : "";
  if (!op.kind) return [["name", op.label + parameterOf(view, op)], ["type", type]];
  const to =
      op.kind === 1 ? axesText(view.d.mesh, op.over) : (op.kind === 2 ? "to" : "from") + " stage " + op.over;
  return [["name", commNames[op.op] + " " + to], ["small", op.wire ? bytes(op.wire) + " sent" : type]];
}

// The type of the first value that leaves the block.
function leavingType(view, item) {
  const own = new Set(opsOf(item));
  for (const op of [...own].reverse())
    if ((view.users.get(op) || []).some((u) => !own.has(u))) {
      const t = view.stage.tensors[view.stage.ops[op].out[0]];
      return t ? t.type.replace(/^\w+\[/, "[") : "";
    }
  return "";
}

function groupLines(view, item) {
  const g = item.group, each = g.fold ? " each" : "", times = g.fold ? "  × " + g.fold.copies : "";
  const lines = [
    ["name", "+ " + g.name + times],
    ["small", plural(g.ops, "op") + (g.flops ? ", " + count(g.flops) + " FLOPs" : "") + each]
  ];
  for (const [mask, c] of g.comm)
    lines.push([
      "small",
      "⇄ " + c.n + " × " + (mask ? axesText(view.d.mesh, mask) : "send, receive") +
          (c.wire ? ", " + bytes(c.wire) : "") + each
    ]);
  lines.push(["type", leavingType(view, item)]);
  return lines;
}

function leafBox(view, item) {
  const lines = item.op !== undefined ? opLines(view, view.stage.ops[item.op]) : groupLines(view, item);
  if (item.copies > 1) {
    const weights = [...new Set(item.all.map((i) => parameterOf(view, view.stage.ops[i])))];
    lines[0] = ["name", nameOf(view.stage.ops[item.op]) + (weights.length === 1 ? weights[0] : "") + "  × " + item.copies];
    if (weights.length > 1) lines[1] = ["small", weights.map((w) => w.trim()).filter((w) => w).join(", ")];
  }
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

function opsOf(item) {
  if (item.op !== undefined) return item.all || [item.op];
  if (item.group.fold) return item.group.fold.groups.flatMap((group) => opsOf({group}));
  return item.group.items.flatMap(opsOf);
}

// Boxes for several ops of a block: equal ones on different parts of the same values, as the parts in which a loss is
// computed, and similar ones, as the updates of many parameters.
function bundle(view, group) {
  if (!group.bundled) {
    const part = partOf(view);
    merge(group, LEAST, (item) => part(item.op));
    merge(group, 4, (item) => item.all ? "part " + item.op : similar(view, item.op));
  }
  group.bundled = true;
  for (const item of group.items)
    for (const op of item.all || []) view.standIn.set(op, item.op);
}

// What an op computes, in execution order: equal for equal ops whose operands are equal, apart from where slices start.
function partOf(view) {
  const first = new Map(), stands = new Map(), type = (t) => view.stage.tensors[t] ? view.stage.tensors[t].type : "";
  return (i) => {
    const op = view.stage.ops[i];
    const operand = (from, k) => {
      const t = op.in[k], x = view.stage.tensors[t];
      if (from < 0) return x ? x.name : "";
      const chain = view.stage.ops[from].op === op.op && type(t) === type(op.out[0]);  // sums that are added to
      return chain ? "~" : (stands.has(from) ? stands.get(from) : from) + "." + type(t);
    };
    const key = [op.label, op.attrs.replace(/\bstart \d+/, ""), op.kind, op.over, ...op.out.map(type), ...op.from.map(operand)].join("|");
    if (!first.has(key)) first.set(key, i);
    stands.set(i, first.get(key));
    return key;
  };
}

function similar(view, i) {
  const op = view.stage.ops[i], users = [...new Set((view.users.get(i) || []).map((u) => view.stage.ops[u].label))];
  const sources = [...new Set(op.from.filter((f) => f >= 0 && view.stage.ops[f].segment === view.segment))];
  return [op.label, op.kind, op.over, sources.length > 1 ? i : sources.join(), users.join()].join("|");
}

// Ops with the same key become one item, if they are as many as `least`.
function merge(group, least, keyOf) {
  const by = new Map(), gone = new Set();
  for (const item of group.items) {
    if (item.op === undefined) continue;
    const key = keyOf(item);
    (by.get(key) || by.set(key, []).get(key)).push(item);
  }
  for (const list of by.values()) {
    if (list.length < least) continue;
    Object.assign(list[0], {copies: list.length, all: list.map((x) => x.op)});
    for (const x of list.slice(1)) gone.add(x);
  }
  group.items = group.items.filter((x) => !gone.has(x));
}
