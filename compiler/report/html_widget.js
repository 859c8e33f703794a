// The widget around a graph: stage and phase, buttons, search, details. d: the page's data.

const matches = (view, words, i) => {
  const op = view.stage.ops[i];
  const text = [op.op, nameOf(op), op.scope, ...[...op.in, ...op.out].map((t) => {
                  const x = view.stage.tensors[t];
                  return x ? x.name : "";
                })].join(" ").toLowerCase();
  return words.every((w) => text.includes(w));
};

// The search box. Enter goes to the next match, Shift+Enter to the one before.
function searchBox(view, reveal) {
  const input = el("input", {type: "search", placeholder: "search: op, block, weight", "aria-label": "search the graph"}),
        found = el("span", {class: "soft", role: "status"});
  let query = "", list = [], at = 0;
  const search = () => {
    query = input.value.trim().toLowerCase();
    const words = query.split(/\s+/), seen = new Set();
    list = !query ? [] :
                    view.stage.ops.map((op, i) => i)
                        .filter((i) => view.stage.ops[i].segment === view.segment && matches(view, words, i))
                        .filter((i) => !seen.has(standIn(view, i)) && seen.add(standIn(view, i)));
    at = 0;
  };
  const go = (step) => {
    const again = input.value.trim().toLowerCase() === query && list.length;
    if (again)
      at = (at + step + list.length) % list.length;
    else
      search();
    found.textContent = !query ? "" : list.length ? at + 1 + " of " + list.length : "not in this phase";
    if (list.length) reveal(list[at]);
  };
  input.addEventListener("keydown", (e) => {
    e.stopPropagation();
    if (e.key === "Enter") go(e.shiftKey ? -1 : 1);
  });
  input.addEventListener("search", () => input.value || go(1));
  return {
    element: el("span", {class: "search"}, input, found),
    clear() {
      list = [], query = "", found.textContent = "";
    }
  };
}

// The first repeated block, or else the first block, with all of its contents.
function openOne(view) {
  const groups = shownItems(view, view.root).filter((x) => x.group).map((x) => x.group),
        g = groups.find((x) => x.fold || /\.\d+$/.test(x.name)) || groups[0];
  view.open.clear();
  if (g) openAll(view, {items: [{group: g}], folds: new Map()});
}

function openAll(view, group) {
  for (const item of shownItems(view, group)) {
    if (!item.group) continue;
    view.open.add(item.group.path);
    openAll(view, item.group);
  }
}

// Opens the blocks around an op.
function openAround(view, op, group) {
  for (const item of shownItems(view, group)) {
    if (!item.group || !opsOf(item).includes(op)) continue;
    view.open.add(item.group.path);
    openAround(view, op, item.group);
  }
}

// Where a box of the drawing is, in the drawing's own measure: the sum of the shifts around it.
function middleOf(g) {
  let x = 0, y = 0;
  for (let e = g; e && e.getAttribute; e = e.parentNode) {
    const [, dx, dy] = /^translate\(([-\d.]+) ([-\d.]+)\)$/.exec(e.getAttribute("transform") || "") || [0, 0, 0];
    x += Number(dx), y += Number(dy);
  }
  const {width, height} = g.box;
  return [x + width / 2, y + height / 2, x, y];
}

function drawing(view) {
  view.boxes.clear();
  view.groups.clear();
  view.standIn.clear();
  view.wires = [];
  const box = layoutGroup(view, view.root), arrow = svg("path", {d: "M0 0L8 4L0 8Z", fill: "var(--edge)"});
  const marker = {id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto"};
  const g = svg("g", {}, svg("defs", {}, svg("marker", marker, arrow)), drawOpen(view, box, 12, 12));
  return [g, box.w + 24, box.h + 24];
}

function loadUsers(view) {
  view.users = new Map();
  view.stage.ops.forEach((op, i) => {
    if (op.segment !== view.segment) return;
    for (const from of new Set(op.from))
      if (from >= 0) (view.users.get(from) || view.users.set(from, []).get(from)).push(i);
  });
}

function graphView(d) {
  for (const s of d.stages) findProducers(s);
  const holder = el("div", {class: "view", tabindex: "0", role: "group", "aria-label": "graph"}),
        aside = el("aside", {}), legend = el("div", {});
  const view = {d, stage: d.stages[0], segment: 0};
  for (const name of ["boxes", "groups", "users", "standIn"]) view[name] = new Map();
  for (const name of ["open", "apart"]) view[name] = new Set();
  const w = windowOn(holder);
  view.window = w;
  const hint = () => aside.replaceChildren(el(
      "p", {class: "soft"},
      "Click a block to open or close it, an op to see what it reads and writes and the model line it comes from. Drag to move, turn the wheel to zoom; with the keyboard: arrows, + and -, 0 for all of it."));
  view.pick = (i) => {
    const drawn = standIn(view, i);
    for (const [k, g] of view.boxes) g.classList.toggle("picked", k === drawn);
    for (const [p, op] of view.wires) p.classList.toggle("hot", op === drawn || view.stage.ops[drawn].from.includes(op));
    aside.replaceChildren(...describeOp(view, i));
  };
  const draw = (then) => {
    w.show(...drawing(view));
    then();
  };
  // Opens or closes a block, which stays where it is on the screen.
  view.toggle = (group) => {
    const before = middleOf(view.groups.get(group.path));
    if (!view.open.delete(group.path)) view.open.add(group.path);
    draw(() => {
      const g = view.groups.get(group.path), after = middleOf(g);
      w.move((before[0] - after[0]) * w.k, (before[3] - after[3]) * w.k);
      if (g.focus) g.focus({preventScroll: true});
    });
    if (group.fold) aside.replaceChildren(...describeFold(view, group, () => draw(w.begin)));
  };
  const reveal = (op) => {
    openAround(view, op, view.root);
    draw(() => {
      view.pick(op);
      const [x, y] = middleOf(view.boxes.get(standIn(view, op)));
      w.center(x, y, Math.max(w.k, 0.8));
    });
  };
  const search = searchBox(view, reveal);
  const load = () => {
    loadUsers(view);
    view.open.clear();
    view.apart.clear();
    view.root = buildTree(view.stage, view.segment);
    legend.replaceChildren(layoutLegend(view));
    search.clear();
    hint();
    draw(w.begin);
  };
  const button = (name, act, label) => el("button", {onclick: act, ...label ? {title: label, "aria-label": label} : {}}, name);
  const opened = (change) => () => {
    change();
    draw(w.begin);
  };
  const tools = el(
      "span", {class: "buttons"}, button("open one layer", opened(() => openOne(view))),
      button("open all", opened(() => openAll(view, view.root))), button("close all", opened(() => view.open.clear())),
      button("+", () => w.zoom(ZOOM), "zoom in"), button("−", () => w.zoom(1 / ZOOM), "zoom out"),
      button("fit", () => w.fit(), "all of the graph"), button("1:1", () => w.zoom(1 / w.k), "own size"));
  const bar = el("div", {class: "title"}, ...stageAndPhase(view, load), tools, search.element, legend);
  load();
  return el("div", {}, bar, el("div", {class: "graph"}, holder, aside));
}

// The choosers of stage and phase.
function stageAndPhase(view, load) {
  const phases = el("span", {});
  const choose = (i) => {
    const {d} = view, stage = view.stage = d.stages[i], several = stage.segments.some((g) => g.chunk > 0);
    const list = stage.segments.map((g, k) => k).filter((k) => stage.ops.some((op) => op.segment === k));
    const name = (k) => (segmentNames[stage.segments[k].kind] || stage.segments[k].kind) +
        (several && stage.segments[k].kind !== "step" ? " " + stage.segments[k].chunk : "");
    const start = list.find((k) => stage.segments[k].kind === "F");
    if (!list.includes(view.segment) || view.segment < (start || 0)) view.segment = start === undefined ? list[0] : start;
    phases.replaceChildren(tabs(list.map(name), list.indexOf(view.segment), (k) => {
      view.segment = list[k];
      load();
    }));
  };
  choose(0);
  return [
    stageChooser(view.d.stages.length, (i) => {
      choose(i);
      load();
    }) || "",
    phases
  ];
}
