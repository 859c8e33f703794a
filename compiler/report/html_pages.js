// The two pages: of a plan, and of a graph.

function show_plan(d) {
  unpack(d);
  const main = el("main", {}), parts = [
    ["Memory", partitionSection], ["Parameters", parameterSection], ["Caches", cacheSection, d.caches.rows.length],
    ["Updates", updateSection, d.program === "train"],
    [
      "Graph",
      (x) => [section(
               "graph", "Graph",
               "What one rank of a stage runs, fused as it is executed. Colours are layouts: the axes a result is split over. Hexagons are communication."),
           graphView(x)]
    ],
    ["Pipeline", ganttSection, d.program === "train"], ["Memory over time", memorySection], ["Kernels", kernelSection],
    ["Communication", trafficSection]
  ];
  const links = el("div", {class: "links"}),
        nav = el("nav", {}, el("div", {}, el("b", {}, d.model + (d.preset ? " " + d.preset : "")), links, modeSwitch()));
  document.body.append(nav, main);
  main.append(pageHead(d));
  for (const [name, make, there = true] of parts) {
    if (!there) continue;
    const [box, ...content] = make(d);
    box.append(...content);
    main.append(box);
    links.append(el("a", {href: "#" + box.id}, name));
  }
}

function show_graph(d) {
  unpack(d);
  const about = d.mesh.length ? "the graph of one rank of " + d.mesh.map((m) => m[0] + " " + m[1]).join(" x ") : "";
  document.body.append(
      el("main", {class: "tall"},
         el("div", {class: "head"}, el("h1", {}, d.model + (d.preset ? " " + d.preset : "")),
            el("span", {class: "where"}, d.path), el("span", {class: "soft"}, about), modeSwitch()),
         graphView(d)));
}
