// Lists of numbers of the metrics, such as how many tokens each expert got, as maps whose cells are coloured by value.
// Fields that differ in one number of their names, as those of a model's layers do, are the rows of one map.

const knownLists = {
  expert_load: {unit: "tokens of a step that chose the expert; beside it the most chosen one over the mean", row: "layer", item: "expert"}
};
const mapInset = {left: 44, right: 52, top: 6, bottom: 34};

// [{pattern, fields: [{name, number}]}], in the order of their first fields; number: what differs, "" if nothing does.
function groupsOf(runs) {
  const groups = new Map();
  for (const name of new Set(runs.flatMap((r) => Object.keys(r.lists)))) {
    const found = /^(.*?)(\d+)(.*)$/.exec(name), pattern = found ? found[1] + "N" + found[3] : name;
    if (!groups.has(pattern)) groups.set(pattern, []);
    groups.get(pattern).push({name, number: found ? found[2] : ""});
  }
  return [...groups].map(([pattern, fields]) => ({pattern, fields: fields.sort((a, b) => a.number - b.number)}));
}

// How far from the low colour to the high one, in percent.
const shade = (v, high) => v === null || !(high > 0) ? 0 : Math.min(100, Math.max(0, 100 * v / high));
const fillOf = (v, high) => v === null ? "none" : "color-mix(in srgb, var(--high) " + shade(v, high).toFixed(2) + "%, var(--low))";
const meanOf = (list) => list.reduce((sum, v) => sum + v, 0) / list.length;

// What a map shows. columns: their titles; rows: [{title, values, note}]; at(row, column): the words for a cell.
function rowsOfStep(map, run) {
  const step = map.steps[map.at];
  const rows = map.own.map((f) => {
    const list = run.lists[f.name], values = list.values[list.step.indexOf(step)] || [];
    return {title: f.number, values, note: Number((Math.max(...values) / meanOf(values)).toPrecision(3)) + "×"};
  });
  const columns = Math.max(0, ...rows.map((r) => r.values.length));
  return {
    rows, x: map.item, columns: Array.from({length: columns}, (_, i) => i),
    at: (r, c) => [(rows[r].title && map.row + " " + rows[r].title + ", ") + map.item + " " + c, "step " + thousands(step)]
  };
}
function rowsOfField(map, run) {
  const f = map.own[map.field], list = run.lists[f.name];
  const rows = (list.values[0] || []).map((_, i) => ({title: String(i), values: list.values.map((v) => v[i]), note: ""}));
  return {
    rows, x: "step", columns: list.step,
    at: (r, c) => [(f.number && map.row + " " + f.number + ", ") + map.item + " " + r, "step " + thousands(list.step[c])]
  };
}

function drawMap(map, view, g) {
  const run = view.runs[map.run], shown = map.over ? rowsOfField(map, run) : rowsOfStep(map, run), {rows, columns} = shown;
  const w = Math.max(280, g.clientWidth || 600), each = Math.max(4, Math.min(24, 360 / Math.max(1, rows.length)));
  const h = mapInset.top + each * rows.length + mapInset.bottom, wide = (w - mapInset.left - mapInset.right) / Math.max(1, columns.length);
  const high = Math.max(0, ...rows.flatMap((r) => r.values));
  g.setAttribute("viewBox", "0 0 " + w + " " + h);
  g.setAttribute("height", h);
  g.replaceChildren();
  rows.forEach((row, r) => {
    const y = mapInset.top + r * each, says = r % Math.ceil(12 / each) === 0;
    row.values.forEach((v, c) => {
      const box = {x: (mapInset.left + c * wide).toFixed(2), y: y.toFixed(2), width: Math.max(0.5, wide - (wide > 4 ? 1 : 0)).toFixed(2)};
      g.append(svg("rect", {...box, height: (each > 6 ? each - 1 : each).toFixed(2), fill: fillOf(v, high)}));
    });
    if (says) g.append(svg("text", {x: mapInset.left - 7, y: y + each / 2 + 4, "text-anchor": "end"}, row.title));
    if (says) g.append(svg("text", {x: w - mapInset.right + 6, y: y + each / 2 + 4}, row.note));
  });
  const every = Math.ceil(columns.length / Math.max(2, Math.floor((w - 100) / 60)));
  columns.forEach((title, c) => {
    const x = mapInset.left + (c + 0.5) * wide;
    if (c % every === 0) g.append(svg("text", {x, y: h - mapInset.bottom + 15, "text-anchor": "middle"}, thousands(title)));
  });
  g.append(svg("text", {x: (mapInset.left + w - mapInset.right) / 2, y: h - 3, "text-anchor": "middle"}, shown.x));
  map.drawn = {...shown, w, each, wide, high};
  map.scale.replaceChildren("0", el("i", {class: "scale"}), short(high));
}

function hoverMap(map, g, event) {
  const d = map.drawn, scale = d.w / (g.getBoundingClientRect().width || d.w);
  const c = Math.floor(((event.offsetX || 0) * scale - mapInset.left) / d.wide);
  const r = Math.floor(((event.offsetY || 0) * scale - mapInset.top) / d.each), row = d.rows[r];
  if (!row || c < 0 || c >= row.values.length) return hideTip();
  const v = row.values[c], among = map.over ? d.rows.map((other) => other.values[c]) : row.values;
  const words = v === null ? "not finite" : short(v) + " = " + short(v / meanOf(among)) + " × the mean";
  showTip(event, ...[...d.at(r, c), words].map((text) => el("div", {}, text)));
}

function chooser(label, titles, chosen, choose) {
  const s = el("select", {"aria-label": label}, ...titles.map((t, i) => el("option", i === chosen ? {value: i, selected: ""} : {value: i}, t)));
  s.addEventListener("change", () => choose(Number(s.value)));
  return s;
}

function mapOf(group, view) {
  const name = group.pattern.split(".").pop(), g = svg("svg", {height: 120});
  const owners = view.runs.map((r, i) => i).filter((i) => group.fields.some((f) => view.runs[i].lists[f.name]));
  const map = {...group, row: "row", item: "item", ...knownLists[name], over: false, scale: el("span", {class: "soft"})};
  const redraw = () => drawMap(map, view, g), slider = el("input", {type: "range", min: 0, step: 1, "aria-label": "step"});
  const which = el("span", {}), label = el("label", {}, slider, which);
  const rowChoice = el("span", {});
  const toStep = (at) => {
    map.at = at;
    which.textContent = "step " + thousands(map.steps[at]);
    redraw();
  };
  const toRun = (i) => {
    map.run = i;
    map.field = 0;
    map.own = map.fields.filter((f) => view.runs[i].lists[f.name]);  // that this run has
    map.steps = [...new Set(map.own.flatMap((f) => view.runs[i].lists[f.name].step))].sort((a, b) => a - b);
    const titles = map.own.map((f) => map.row + " " + f.number);
    rowChoice.replaceChildren(...titles.length > 1 ? [chooser(map.row, titles, 0, (k) => (map.field = k, redraw()))] : []);
    slider.setAttribute("max", map.steps.length - 1);
    slider.value = map.steps.length - 1;
    toStep(map.steps.length - 1);
  };
  const toView = (i) => {
    map.over = i === 1;
    label.style.display = map.over ? "none" : "";
    rowChoice.style.display = map.over ? "" : "none";
    redraw();
  };
  slider.addEventListener("input", () => toStep(Number(slider.value)));
  g.addEventListener("mousemove", (e) => hoverMap(map, g, e));
  g.addEventListener("mouseleave", hideTip);
  new ResizeObserver(redraw).observe(g);
  view.redraw.push(redraw);
  const runChoice = owners.length > 1 ? chooser("run", owners.map((i) => view.runs[i].name), 0, (k) => toRun(owners[k])) : null;
  const controls = el("div", {class: "bar"}, runChoice, tabs(["one step", "over the steps"], 0, toView), rowChoice, label, map.scale);
  toRun(owners[0]);
  toView(0);
  return el("div", {class: "map wide", id: "map-" + group.pattern},
            el("div", {class: "title"}, el("h2", {}, name.replace(/_/g, " ")), el("p", {}, map.unit || group.pattern)), controls, g);
}

// ---- what the model wrote ----

// The samples of each run at a step, or the last before it.
function samplesAt(run, step) {
  const steps = run.samples.map((s) => s.step).filter((s) => s <= step), last = steps[steps.length - 1];
  return run.samples.filter((s) => s.step === last);
}

function sampleSection(view) {
  const steps = [...new Set(view.runs.flatMap((r) => r.samples.map((s) => s.step)))].sort((a, b) => a - b);
  const list = el("div", {class: "samples"}), which = el("span", {});
  const slider = el("input", {type: "range", min: 0, max: steps.length - 1, step: 1, "aria-label": "step"});
  const show = (at) => {
    which.textContent = "step " + thousands(steps[at]);
    list.replaceChildren(...view.runs.flatMap((run, i) => samplesAt(run, steps[at]).map((s) => {
      const head = el("p", {class: "soft"}, el("i", {style: "background:" + color(i)}), run.name + ", step " + thousands(s.step));
      return el("div", {class: "sample"}, head, el("pre", {}, el("b", {}, s.prompt), s.text));
    })));
  };
  slider.addEventListener("input", () => show(Number(slider.value)));
  slider.value = steps.length - 1;
  show(steps.length - 1);
  return around(section("samples", "Samples", "what the model wrote; the prompt is bold"),
                [el("div", {class: "bar"}, el("label", {}, slider, which)), list]);
}
