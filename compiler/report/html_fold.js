// Equal blocks that follow each other, as the layers of a model, are one box with their number. It opens to the
// contents of the first. A pattern that repeats (five local layers, then a global one) is folded as a whole.

const LEAST = 3, LONGEST_PATTERN = 8;  // blocks in a fold; blocks in a pattern

// What a block computes, apart from the names of its round: equal blocks have equal texts.
function contentOf(view, group) {
  const ops = opsOf({group}).sort((a, b) => a - b), at = new Map(ops.map((op, i) => [op, i]));
  const type = (t) => view.stage.tensors[t] ? view.stage.tensors[t].type : "";
  return ops
      .map((i) => {
        const op = view.stage.ops[i];
        return [
          op.scope.slice(group.path.length), op.op, op.label, op.kind, op.kind === 1 ? op.over : "", op.attrs, ...op.in.map(type),
          ">", ...op.out.map(type), "<", ...op.from.map((f) => at.has(f) ? at.get(f) : "")
        ].join(" ");
      })
      .join("\n");
}

// The longest stretch of whole patterns from `first`: {n: blocks, period}.
function stretchFrom(contents, first) {
  let best = {n: 1, period: 1};
  for (let period = 1; period <= LONGEST_PATTERN; period++) {
    let n = period;
    while (first + n < contents.length && contents[first + n] === contents[first + n - period]) n++;
    n -= n % period;
    if (n >= 2 * period && n >= LEAST && n > best.n) best = {n, period};
  }
  return best;
}

function makeFold(view, groups, period) {
  const first = groups[0], base = first.name.replace(/\.\d+$/, "");
  const numbers = groups.map((g) => Number(g.name.match(/\d+$/)[0]));
  const name = base + "." + Math.min(...numbers) + "–" + Math.max(...numbers);
  const pattern = groups.slice(0, period), fold = newGroup(name, first.path.slice(0, -first.name.length) + name);
  fold.fold = {groups, copies: groups.length / period, period};
  fold.items = period === 1 ? first.items : pattern.map((group) => ({group}));
  fold.groups = period === 1 ? first.groups : new Map(pattern.map((g) => [g.name, g]));
  for (const g of pattern) {
    fold.ops += g.ops;
    fold.flops += g.flops;
    fold.axes |= g.axes;
    for (const [mask, c] of g.comm) {
      const sum = fold.comm.get(mask) || {n: 0, wire: 0};
      fold.comm.set(mask, {n: sum.n + c.n, wire: sum.wire + c.wire});
    }
  }
  const ops = groups.map((group) => opsOf({group}).sort((a, b) => a - b));
  fold.fold.pairs = ops.flatMap((list, k) => k < period ? [] : list.map((op, i) => [op, ops[k % period][i]]));
  return fold;
}

// The items of a block with equal ones folded; item => fold. Found once.
function foldsOf(view, group) {
  if (group.folds) return group.folds;
  group.folds = new Map();
  const series = new Map();
  for (const item of group.items) {
    const [, base] = (item.group && item.group.name.match(/^(.*)\.\d+$/)) || [];
    if (base !== undefined) (series.get(base) || series.set(base, []).get(base)).push(item);
  }
  for (const items of series.values()) {
    const contents = items.map((item) => contentOf(view, item.group));
    for (let i = 0; i < items.length;) {
      const {n, period} = stretchFrom(contents, i);
      if (n > 1) {
        const fold = makeFold(view, items.slice(i, i + n).map((x) => x.group), period);
        for (const item of items.slice(i, i + n)) group.folds.set(item, fold);
      }
      i += n;
    }
  }
  return group.folds;
}

// What is drawn of a block: its items, with the folds that are not taken apart.
function shownItems(view, group) {
  const seen = new Set(), list = [];
  for (const item of group.items) {
    const fold = foldsOf(view, group).get(item);
    if (!fold || view.apart.has(fold.path)) {
      list.push(item);
    } else if (!seen.has(fold)) {
      seen.add(fold);
      for (const [op, first] of fold.fold.pairs) view.standIn.set(op, first);
      list.push({group: fold});
    }
  }
  return list;
}

// The op that is drawn for this one: the same of the first of equal blocks.
function standIn(view, op) {
  while (view.standIn.has(op) && view.standIn.get(op) !== op) op = view.standIn.get(op);
  return op;
}

function headingOf(group) {
  if (!group.fold) return "− " + group.name;
  return "− " + group.name + "  × " + group.fold.copies + (group.fold.period > 1 ? " patterns" : ", the first");
}
