// The window on the graph: pan by dragging or by the arrow keys, zoom by the wheel, two fingers, buttons or + and -.

const ZOOM = 1.25, CLOSEST = 4, SMALLEST = 0.02, READABLE = 0.45;

// holder: the element to draw in. The drawing is a group of the SVG, moved and scaled.
function windowOn(holder) {
  const pan = svg("g", {}), picture = svg("svg", {class: "picture", width: "100%", height: "100%"}),
        w = {x: 0, y: 0, k: 1, width: 0, height: 0, moved: false, own: false};  // own: the reader chose what to see
  picture.append(pan);
  const place = () =>
      pan.setAttribute("transform", `translate(${w.x.toFixed(2)} ${w.y.toFixed(2)}) scale(${w.k.toFixed(5)})`);
  const size = () => [holder.clientWidth || 1, holder.clientHeight || 1];
  w.show = (drawing, width, height) => {
    Object.assign(w, {width, height});
    pan.replaceChildren(drawing);
    holder.replaceChildren(picture);
  };
  w.move = (dx, dy) => {
    w.x += dx, w.y += dy, w.own = true;
    place();
  };
  // The point of the drawing below (x, y) stays there.
  w.zoom = (factor, x = size()[0] / 2, y = size()[1] / 2) => {
    const k = Math.min(CLOSEST, Math.max(SMALLEST, w.k * factor));
    w.x = x - (x - w.x) * k / w.k;
    w.y = y - (y - w.y) * k / w.k;
    w.k = k, w.own = true;
    place();
  };
  // All of it, but no larger than its own size.
  w.fit = () => {
    const [width, height] = size();
    w.k = Math.max(SMALLEST, Math.min(1, width / w.width, height / w.height));
    w.x = (width - w.width * w.k) / 2;
    w.y = (height - w.height * w.k) / 2;
    w.own = false;
    place();
  };
  // All of it if that can be read, or else its beginning.
  w.begin = () => {
    w.fit();
    if (w.k >= READABLE) return;
    const [width] = size();
    w.k = Math.min(1, Math.max(READABLE, width / w.width));
    w.x = (width - w.width * w.k) / 2;
    w.y = 0;
    place();
  };
  w.center = (x, y, k = w.k) => {
    const [width, height] = size();
    w.k = k, w.own = true;
    w.x = width / 2 - x * k;
    w.y = height / 2 - y * k;
    place();
  };
  listen(holder, w);
  new ResizeObserver(() => w.own || w.begin()).observe(holder);
  return w;
}

function listen(holder, w) {
  const fingers = new Map();
  let spread = 0;
  holder.addEventListener("wheel", (e) => {
    e.preventDefault();
    const box = holder.getBoundingClientRect();
    w.zoom(Math.exp(-Math.max(-60, Math.min(60, e.deltaY)) / 240), e.clientX - box.left, e.clientY - box.top);
  }, {passive: false});
  holder.addEventListener("pointerdown", (e) => {
    fingers.set(e.pointerId, [e.clientX, e.clientY]);
    w.moved = false;
    spread = 0;
  });
  holder.addEventListener("pointermove", (e) => {
    const at = fingers.get(e.pointerId);
    if (!at || (e.pointerType === "mouse" && !e.buttons)) return fingers.delete(e.pointerId);
    const dx = e.clientX - at[0], dy = e.clientY - at[1];
    if (!w.moved && Math.hypot(dx, dy) < 4) return;
    if (!w.moved && holder.setPointerCapture) holder.setPointerCapture(e.pointerId);
    w.moved = true;
    fingers.set(e.pointerId, [e.clientX, e.clientY]);
    if (fingers.size === 1) return w.move(dx, dy);
    const [a, b] = [...fingers.values()], box = holder.getBoundingClientRect(),
          now = Math.hypot(a[0] - b[0], a[1] - b[1]);
    if (spread) w.zoom(now / spread, (a[0] + b[0]) / 2 - box.left, (a[1] + b[1]) / 2 - box.top);
    spread = now;
  });
  for (const end of ["pointerup", "pointercancel"])
    holder.addEventListener(end, (e) => {
      fingers.delete(e.pointerId);
      spread = 0;
    });
  // The end of a drag is no click on the box below.
  holder.addEventListener("click", (e) => {
    if (w.moved) e.stopPropagation();
    w.moved = false;
  }, true);
  holder.addEventListener("keydown", (e) => {
    const steps = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]}[e.key];
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (steps)
      w.move(...steps);
    else if (e.key === "+" || e.key === "=")
      w.zoom(ZOOM);
    else if (e.key === "-")
      w.zoom(1 / ZOOM);
    else if (e.key === "0" || e.key === "f")
      w.fit();
    else
      return;
    e.preventDefault();
  });
}
