// The head of the plan's page, and its tables: partition, parameters, updates.

// What a run of the program computes.
function workFacts(d, fact) {
  const places = {eval: d.seq, prefill: d.chunk, decode: 1};
  if (d.program === "train")
    return [
      fact("tokens per step", thousands(d.batch * d.microbatches * d.seq)),
      fact(
          "microbatches" + (d.schedule && d.stages.length > 1 ? ", " + d.schedule : ""),
          d.microbatches + " of " + d.batch + " × " + thousands(d.seq))
    ];
  return [
    fact("program", d.program), fact("sequences", thousands(d.batch)),
    fact("tokens of each, at most", thousands(d.seq)), fact("tokens of each in a run", thousands(places[d.program]))
  ];
}

function pageHead(d) {
  const mesh = d.mesh.filter((m) => m[1] > 1).map((m) => m[0] + " " + m[1]).join(" × ");
  const fact = (name, ...value) => el("div", {}, el("span", {}, name), el("b", {}, ...value));
  const most = Math.max(...d.classes.map((c) => c.arena));
  const facts = el(
      "div", {class: "facts"}, fact("parameters", count(d.parameterCount) + ", " + d.dtype),
      fact("ranks", thousands(d.ranks) + (mesh ? " = " + mesh : "")),
      ...workFacts(d, fact),
      fact("model FLOPs per token", count(d.flopsPerToken)), fact("memory of the fullest rank", bytes(most)),
      d.stepSeconds ? fact("step, estimated for " + d.cluster, seconds(d.stepSeconds)) : "",
      d.stepSeconds ? fact("tokens per second", count(d.tokensPerSecond)) : "",
      d.stepSeconds ? fact("MFU", (100 * d.mfu).toFixed(1) + " %") : "",
      d.limit ? fact(
                    "limit " + bytes(d.limit),
                    el("span", {class: most <= d.limit ? "fits" : "over", style: "font-size:15px"},
                       most <= d.limit ? "fits, " + bytes(d.limit - most) + " free" :
                                         "does not fit, " + bytes(most - d.limit) + " over")) :
                "");
  return el(
      "div", {},
      el("div", {class: "head"}, el("h1", {}, d.model + (d.preset ? " " + d.preset : "")),
         el("span", {class: "where"}, d.path)),
      facts);
}

// A table. columns: [title, is a number]; rows of cells (text, element, or a list of them).
function makeTable(columns, rows) {
  return el(
      "div", {class: "scroll"},
      el("table", {},
         el("thead", {}, el("tr", {}, ...columns.map(([t, n]) => el("th", {class: n ? "n" : ""}, t)))),
         el("tbody", {},
            ...rows.map(
                (cells) =>
                    el("tr", {},
                       ...cells.map(
                           (c, i) => c instanceof HTMLTableCellElement ?
                               c :
                               el("td", {class: columns[i][1] ? "n" : ""},
                                  ...(Array.isArray(c) ? c : [c]))))))));
}

function source(d, line) {
  return el(
      "td", {class: "src"}, el("b", {}, place(d, line)), el("span", {}, modelLine(d, line)));
}

// ---- memory by stage and kind of rank ----

function ranksText(d, c) {
  const parts = d.mesh.map((m, i) => [m[0], m[1], ...c.coord[i]])
                    .filter(([name, size, low,
                              high]) => size > 1 && name !== "pp" && !(low === 0 && high === size - 1));
  const where =
      parts.map(([name, , low, high]) => name + " " + (low === high ? low : low + "–" + high)).join(", ");
  return plural(c.ranks, "rank") + (where ? ": " + where : "");
}

function memoryBar(d, c, most) {
  const bar = el("div", {class: "bar"});
  c.bytes.forEach((b, k) => {
    if (b)
      bar.append(el("i", {
        style: `width:${100 * b / most}%;background:${classColor(k)}`,
        title: d.classNames[k] + " " + bytes(b)
      }));
  });
  return bar;
}

function partitionSection(d) {
  const used = d.classNames.map((_, k) => k).filter((k) => d.classes.some((c) => c.bytes[k]));
  const most =
      Math.max(d.limit && d.limit < 4 * d.classes[0].arena ? d.limit : 0, ...d.classes.map((c) => c.arena));
  const classes = d.classes.map((c) => c).sort((a, b) => a.stage - b.stage || b.arena - a.arena);
  const fullest = Math.max(...classes.map((c) => c.arena));
  const columns = [
    ["stage", false], ["ranks", false], ...used.map((k) => [d.classNames[k], true]), ["gaps", true],
    ["arena", true], ["", false], ["fullest at", false]
  ];
  const rows = classes.map(
      (c) =>
          [String(c.stage), el("td", {class: "nowrap"}, ranksText(d, c)),
           ...used.map((k) => c.bytes[k] ? bytes(c.bytes[k]) : "–"), bytes(c.free),
           el("b", {style: c.arena === fullest ? "" : "font-weight:450"}, bytes(c.arena)),
           memoryBar(d, c, most),
           c.peak ? el("td", {class: "peak"}, el("code", {}, shorten(d.texts[c.peak[0]], fonts.type, 170)),
                       d.texts[c.peak[1]] ? " of " + d.texts[c.peak[1]] : "",
                       el("span", {}, place(d, c.peak[2]) + "  " + modelLine(d, c.peak[2]))) :
                    ""]);
  if (!classes.some((c) => c.free)) drop(columns, rows, 2 + used.length);
  const legend = el(
      "div", {class: "legend"},
      ...used.map((k) => el("span", {}, el("i", {style: "background:" + classColor(k)}), d.classNames[k])));
  return [
    section(
        "memory", "Memory of each rank",
        "One arena per rank, allocated once; these are its bytes when it is fullest. Ranks with the same local sizes share a row.",
        legend),
    makeTable(columns, rows)
  ];
}

// ---- parameters ----

function dimCell(d, dims) {
  return el(
      "td", {},
      ...dims.flatMap(([name, full, size, axes]) => [
        el("span", {class: "dim"}, d.texts[name] + " ", ...axisPills(d.mesh, axes),
           size === full ? thousands(full) : thousands(size) + " of " + thousands(full)),
        " "
      ]));
}

function stageRange(list) {
  const parts = [];
  for (const s of list) {
    const last = parts[parts.length - 1];
    if (last && last[1] === s - 1)
      last[1] = s;
    else
      parts.push([s, s]);
  }
  return parts.map(([a, b]) => a === b ? a : a + "–" + b).join(", ");
}

function drop(columns, rows, i) {
  for (const list of [columns, ...rows]) list.splice(i, 1);
}

function parameterSection(d) {
  const mesh = d.mesh.map((m, i) => [m, i]).filter(([m]) => m[1] > 1 && m[0] !== "pp").map(([, i]) => i);
  const rows = d.parameters.map(([name, copies, dims, dtype, size, line, optimizer, stages]) => {
    const split = dims.reduce((m, x) => m | x[3], 0), extra = optimizer & ~split;
    const whole = mesh.filter((i) => !(split >> i & 1)).reduce((m, i) => m | 1 << i, 0);
    return [
      el("code", {}, d.texts[name]), copies > 1 ? "× " + copies : "", dimCell(d, dims), d.texts[dtype],
      bytes(size), bytes(size * copies), whole ? axisPills(d.mesh, whole) : "–",
      extra ? axisPills(d.mesh, optimizer) : "same", stageRange(stages), source(d, line)
    ];
  });
  const several = d.stages.length > 1;
  const columns = [
    ["parameter", false], ["", true], ["dimensions on one rank", false], ["type", false],
    ["bytes each", true], ["all", true], ["copies over", false], ["optimizer over", false],
    ["stages", false], ["model line", false]
  ];
  if (!mesh.length) drop(columns, rows, 7), drop(columns, rows, 6);
  if (!several) drop(columns, rows, columns.length - 2);
  return [
    section(
        "parameters", "Parameters",
        "How each is split: a dimension carries the axes it is split over, with the size on this rank. Sizes are those of the fullest rank of a stage."),
    makeTable(columns, rows)
  ];
}

// ---- caches ----

function cacheSection(d) {
  const rows = d.caches.rows.map(([name, n, type, sequence, token]) => [
    el("code", {}, d.texts[name]), n > 1 ? "× " + n : "", el("code", {}, d.texts[type]), bytes(sequence),
    token ? bytes(token) : "–"
  ]);
  return [
    section(
        "caches", "Caches",
        "What decoding keeps of earlier tokens: " + bytes(d.caches.sequence) + " per sequence, " + bytes(d.caches.token) +
            " per token" + (d.ranks > 1 ? ", over all ranks; " + bytes(d.caches.rank) + " on the fullest rank" : "") + "."),
    makeTable(
        [
          ["cache", false], ["", true], ["of one sequence", false], ["bytes per sequence, all", true],
          ["bytes per token, all", true]
        ],
        rows)
  ];
}

// ---- updates ----

function updateSection(d) {
  const rows = d.updates.map(([group, optimizer, tensors, elements, lr, decay, states]) => [
    el("code", {}, d.texts[group]), d.texts[optimizer], thousands(tensors), count(elements), "× " + lr, String(decay),
    el("td", {}, ...states.flatMap(([kind, n, size]) => [el("span", {class: "dim"}, d.texts[kind] + " " + bytes(size)), " "])),
    states.length ? bytes(states.reduce((sum, s) => sum + s[2], 0)) : "–"
  ]);
  return [
    section(
        "updates", "Updates",
        "How parameters are updated, by group: factor on the learning rate, weight decay, and what the optimizer keeps of them on one rank (of the stage with most)."),
    makeTable(
        [
          ["group", false], ["optimizer", false], ["tensors", true], ["parameters", true], ["learning rate", true],
          ["weight decay", true], ["states on one rank", false], ["bytes", true]
        ],
        rows)
  ];
}
