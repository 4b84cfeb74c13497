// Figures that one can move: what they share. `window.live`, a classic script, as pages are opened as files too.
//
// On a page: ```{live} NAME with `:name:`, `:alt:` and a caption (book/live.py). It loads live.css, kit.js, theory.js and
// NAME.js from this folder, on pages that have it. NAME.js registers what builds the figure:
//
//     live.register("halves", (figure) => {
//       const { value } = figure;                                   // the settings, as they are now
//       figure.setting("n", { start: 8, from: 1, to: 64, step: 1 });      // a number
//       figure.setting("side", { start: "left", options: [["left", "Left"], ["right", "Right"]] });   // one of several
//       figure.setting("g", { start: [1, 0.5], from: 0, to: 1, step: 0.01 });        // some numbers, always as many
//       figure.slider("n", { label: "Examples", text: (n) => `${n}` });   // `values: [1, 2, 5]` in a setting: uneven steps
//       figure.choice("side", { label: "Which half" });
//       figure.button("All open", () => figure.set({ g: [1, 1] }));
//       const stage = figure.stage({ height: (width) => (width < 480 ? 300 : 200) });
//       const handle = stage.handle({ label: "Gate 2", from: 0, to: 1, step: 0.01, page: 0.1, get: () => value.g[1],
//         set: (g) => figure.set({ g: [value.g[0], g] }), at: ({ x, y }) => 1 - y / 100, text: (g) => g.toFixed(2) });
//       return () => {                                              // draws: at first, after each change, at a new width
//         stage.draw("rect", { x: 0, y: 0, width: stage.width * value.g[1], height: 20, class: "fill-1" });
//         handle.place(10, 100 * (1 - value.g[1]));                 // handles stay, all else is drawn anew
//         stage.label("A bar");                                     // what the drawing shows, to who does not see it
//         figure.say("Half of it is left.");                        // shown at once, read aloud when the hand rests
//         figure.show({ left: value.g[1] });                        // the numbers shown: `element.liveState.shown`
//       };
//     });
//
// The kit adds "Copy link" and "Reset", keeps settings in the address (?halves.n=8, other figures' left alone; what is
// out of range there is brought into it, what is no number is ignored), and calls draw once a frame. A setting is always
// one that its controls can have. A handle with `second: {from, to, step, get, set}` moves in a plane: left and right
// change the first value, up and down the second, and `at` gives both. `figure.play(n, each)` calls each(1) ... each(n), a
// frame after the other, on demand only, and each(n) alone where less motion is asked for. `figure.mend = () => ...` brings
// settings that go together into what is possible, before each draw. `figure.enable(control, able)` is for what a button, a
// slider or a choice returns: what has nothing to do now stays in its place, pale. `live.scale` draws numbers on one scale, `live.point`
// a mark. A draw may throw: the figure then says so in a sentence. Colours are classes of live.css: fill-1, line-1 (tasks), ink, soft, faint, dash-1 ...
window.live = (() => {
  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const SVG = "http://www.w3.org/2000/svg";
  const REST = 700; // milliseconds until what is said is read aloud
  const builders = new Map();
  const built = new Map(); // root to figure, or null where it could not be built

  // Of HTML; attributes by name, `class` too.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function drawn(tag, attributes = {}, text = null) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== null) made.textContent = text;
    return made;
  }

  const clamp = (x, from, to) => Math.min(Math.max(x, from), to);

  // A number as text: a real minus, no minus before zero.
  function number(x, digits = 2) {
    const text = Math.abs(x).toFixed(digits);
    return x < 0 && Number(text) !== 0 ? `\u2212${text}` : text;
  }

  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  // The nearest value that a setting can have, or null for what is none at all.
  function allowed(spec, given) {
    if (spec.options) return spec.options.some(([option]) => option === given) ? given : null;
    if (Array.isArray(spec.start)) {
      if (!Array.isArray(given) || given.length !== spec.start.length) return null;
      const one = given.map((x) => nearest(spec, x));
      return one.includes(null) ? null : one;
    }
    return nearest(spec, given);
  }

  function nearest({ from, to, step, values }, x) {
    if (typeof x !== "number" || !Number.isFinite(x)) return null;
    const inside = clamp(x, from, to);
    if (values) return values.reduce((best, y) => (Math.abs(y - inside) < Math.abs(best - inside) ? y : best));
    const steps = Math.round((inside - from) / step);
    return clamp(Number((from + steps * step).toPrecision(12)), from, to);
  }

  // Settings as they stand in an address: numbers, numbers with commas, or the name of an option.
  function read(spec, text) {
    if (spec.options) return allowed(spec, text);
    const parts = text.split(",").map((part) => (NUMBER.test(part) ? Number(part) : NaN));
    return allowed(spec, Array.isArray(spec.start) ? parts : parts.length === 1 ? parts[0] : null);
  }

  const written = (value) => (Array.isArray(value) ? value.join(",") : String(value));

  class Figure {
    constructor(root) {
      this.root = root;
      this.key = root.dataset.key || root.dataset.live;
      this.specs = {};
      this.value = {};
      this.shown = {};
      this.listeners = []; // what brings controls to the settings
      this.stages = [];
      this.draw = null;
      this.waiting = 0;
      this.given = new URLSearchParams(location.search);
      const data = root.querySelector('script[type="application/json"]');
      this.data = data && JSON.parse(data.textContent); // what `:data:` of its place names
      root.replaceChildren();
      this.controls = root.appendChild(element("div", { class: "live-controls" }));
      this.scene = root.appendChild(element("div", { class: "live-scene" }));
      this.says = root.appendChild(element("p", { class: "live-says" }));
      this.buttons = root.appendChild(element("div", { class: "live-controls live-buttons" }));
      this.heard = root.appendChild(element("p", { class: "live-heard", "aria-live": "polite" }));
      this.said = "";
      Object.defineProperty(root, "liveState", {
        get: () => ({ settings: structuredClone(this.value), shown: structuredClone(this.shown) }),
        configurable: true,
      });
    }

    // A setting begins at what the address says of it, or else at its start.
    setting(name, spec) {
      if (spec.values) spec = { from: spec.values[0], to: spec.values.at(-1), ...spec };
      this.specs[name] = spec;
      const text = this.given.get(`${this.key}.${name}`);
      const found = text === null ? null : read(spec, text);
      this.value[name] = structuredClone(found === null ? spec.start : found);
    }

    // What cannot be a setting is left as it is.
    set(changes) {
      for (const [name, given] of Object.entries(changes)) {
        const value = allowed(this.specs[name], given);
        if (value !== null) this.value[name] = value;
      }
      this.moved = true;
      this.later();
    }

    reset() {
      for (const [name, { start }] of Object.entries(this.specs)) this.value[name] = structuredClone(start);
      this.moved = false;
      this.later();
    }

    // Draws once a frame, whatever is changed in it.
    later() {
      if (!this.stepping) this.stop?.();
      if (!this.waiting) this.waiting = requestAnimationFrame(() => this.now());
      clearTimeout(this.writing);
      this.writing = setTimeout(() => this.write(), 250);
    }

    now() {
      this.waiting = 0;
      try {
        this.mend?.();
        for (const listener of this.listeners) listener();
        for (const stage of this.stages) stage.clear();
        this.draw();
      } catch (error) {
        lost(this.root, error);
      }
    }

    address() {
      const url = new URL(location.href);
      const kept = [...url.searchParams].filter(([name]) => !name.startsWith(`${this.key}.`));
      const own = this.moved ? Object.entries(this.value) : [];
      const all = [...kept, ...own.map(([name, value]) => [`${this.key}.${name}`, written(value)])];
      const part = (text) => encodeURIComponent(text).replaceAll("%2C", ",");
      url.search = all.map(([name, value]) => `${part(name)}=${part(value)}`).join("&");
      return url;
    }

    write() {
      try {
        history.replaceState(history.state, "", this.address());
      } catch {
        // A browser may not let a file change its address: the link is still there to copy.
      }
    }

    // Seen at once; heard when nothing has changed for a while, and not on opening a page.
    say(text) {
      this.says.textContent = text;
      if (text === this.said) return;
      const first = this.said === "";
      this.said = text;
      if (!first) this.tell(text, REST);
    }

    tell(text, after = 0) {
      clearTimeout(this.telling);
      this.telling = setTimeout(() => (this.heard.textContent = text), after);
    }

    show(numbers) {
      this.shown = numbers;
    }

    // `heard`: the value in words, where what is seen has no room for them.
    slider(name, { label, text = String, heard = text, parent = this.controls }) {
      const spec = this.specs[name];
      const [from, to, step] = spec.values ? [0, spec.values.length - 1, 1] : [spec.from, spec.to, spec.step];
      const input = element("input", { type: "range", min: from, max: to, step, "data-setting": name });
      const shown = element("span", { class: "live-value" });
      parent.append(element("label", { class: "live-slider" }, element("span", {}, label), shown, input));
      input.addEventListener("input", () => {
        this.set({ [name]: spec.values ? spec.values[Number(input.value)] : Number(input.value) });
      });
      this.listeners.push(() => {
        const value = this.value[name];
        input.value = spec.values ? spec.values.indexOf(value) : value;
        shown.textContent = text(value);
        input.setAttribute("aria-valuetext", heard(value));
      });
      // The number beside it is told by the slider itself.
      shown.setAttribute("aria-hidden", "true");
      return input;
    }

    choice(name, { label, parent = this.controls }) {
      const group = element("fieldset", { class: "live-choice" }, element("legend", {}, label));
      const inputs = this.specs[name].options.map(([option, words]) => {
        const input = element("input", { type: "radio", name: `${this.key}.${name}`, value: option });
        input.addEventListener("change", () => input.checked && this.set({ [name]: option }));
        group.append(element("label", {}, input, element("span", {}, words)));
        return input;
      });
      this.listeners.push(() => inputs.forEach((input) => (input.checked = input.value === this.value[name])));
      parent.append(group);
      return group;
    }

    button(label, action, parent = this.buttons) {
      const button = element("button", { type: "button" }, label);
      button.addEventListener("click", () => button.getAttribute("aria-disabled") !== "true" && action());
      parent.append(button);
      return button;
    }

    // A button that has been used keeps the focus, so it is not disabled: it does nothing, and says so.
    enable(control, able) {
      if (control.tagName === "BUTTON") control.setAttribute("aria-disabled", String(!able));
      else control.disabled = !able;
    }

    stage(options) {
      const stage = new Stage(this, options);
      this.stages.push(stage);
      return stage;
    }

    play(n, each, every = 40) {
      this.stop?.();
      let i = still() ? n - 1 : 0;
      const timer = setInterval(() => {
        i += 1;
        this.stepping = true; // what it sets itself does not stop it
        each(i);
        this.stepping = false;
        if (i >= n) this.stop?.();
      }, still() ? 0 : every);
      this.stop = () => {
        clearInterval(timer);
        this.stop = null;
      };
    }

    async copy() {
      this.moved = true; // a link says all settings, also those that nobody has touched
      const url = this.address();
      const figure = this.root.closest("figure[id]");
      if (figure) url.hash = figure.id;
      this.write();
      const done = await copied(url.href);
      this.copier.textContent = done ? "Copied" : "The link is in the address bar";
      this.tell(done ? "Link copied" : "The link is in the address bar");
      setTimeout(() => (this.copier.textContent = "Copy link"), 2000);
    }
  }

  async function copied(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not everywhere, and not without leave. The old way:
      const field = document.body.appendChild(element("textarea", { class: "live-heard" }));
      const before = document.activeElement;
      field.value = text;
      field.select();
      let done = false;
      try {
        done = document.execCommand("copy");
      } catch {}
      field.remove();
      before?.focus({ preventScroll: true });
      return done;
    }
  }

  // A drawing, in pixels of the page, so that text has one size at every width. What is drawn goes at each draw; handles
  // stay, or they would lose the focus.
  class Stage {
    constructor(figure, { height, parent = figure.scene, least = 280 }) {
      this.figure = figure;
      this.heightAt = height;
      this.least = least;
      this.handles = [];
      this.svg = parent.appendChild(drawn("svg", { class: "live-stage", role: "img" }));
      this.marks = this.svg.appendChild(drawn("g"));
      this.front = this.svg.appendChild(drawn("g"));
      this.measure();
      new ResizeObserver(() => {
        if (matchMedia("print").matches) return; // paper takes the drawing as it is, at its own scale
        const before = this.width;
        this.measure();
        if (this.width !== before && figure.draw) figure.now();
      }).observe(parent);
    }

    measure() {
      this.width = Math.max(this.least, Math.round(this.svg.parentElement.clientWidth) || 640);
      this.height = this.heightAt(this.width);
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
      this.svg.setAttribute("height", this.height);
    }

    clear() {
      this.marks.replaceChildren();
    }

    label(text) {
      this.svg.setAttribute("aria-label", text);
    }

    // One mark; `to`: a group to put it in.
    draw(tag, attributes, text = null, to = this.marks) {
      return to.appendChild(drawn(tag, attributes, text));
    }

    point(event) {
      const box = this.svg.getBoundingClientRect();
      const scale = this.width / (box.width || this.width);
      return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
    }

    handle(spec) {
      this.svg.setAttribute("role", "group"); // as an image it would hide what is in it
      const handle = new Handle(this, spec);
      this.handles.push(handle);
      return handle;
    }
  }

  class Handle {
    constructor(stage, spec) {
      this.stage = stage;
      this.spec = spec;
      this.text = spec.text ?? String;
      const { second, label } = spec;
      this.node = stage.front.appendChild(
        drawn("g", { class: `live-handle ${spec.class ?? ""}`, role: "slider", tabindex: 0, "aria-label": label }),
      );
      if (second) this.node.setAttribute("aria-roledescription", "point in a plane");
      else this.node.setAttribute("aria-orientation", spec.orientation ?? "vertical");
      // A finger needs more room than the eye.
      const [width, height] = spec.reach ?? [36, 36];
      this.node.append(
        drawn("rect", { class: "live-reach", x: -width / 2, y: -height / 2, width, height }),
        drawn("circle", { class: "live-knob", r: 8 }),
      );
      this.listen();
    }

    listen() {
      const { node } = this;
      node.addEventListener("keydown", (event) => this.key(event));
      node.addEventListener("pointerdown", (event) => {
        if (event.button > 0) return;
        event.preventDefault();
        node.focus({ preventScroll: true });
        node.setPointerCapture(event.pointerId);
        this.drag(event);
      });
      // Within a drawing `touch-action` is not heeded: the page would scroll, and the finger be lost.
      node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
      node.addEventListener("pointermove", (event) => node.hasPointerCapture(event.pointerId) && this.drag(event));
    }

    drag(event) {
      const { at, set, second } = this.spec;
      const found = at(this.stage.point(event));
      if (!second) return set(this.within(found));
      const [one, two] = found;
      set(this.within(one));
      second.set(this.within(two, second));
    }

    within(x, { from, to, step } = this.spec) {
      return nearest({ from, to, step }, x) ?? from;
    }

    key(event) {
      const { from, to, step, page = 10 * step, get, set, second } = this.spec;
      const up = second ?? this.spec;
      const by = { ArrowRight: step, ArrowLeft: -step, PageUp: page, PageDown: -page }[event.key];
      const upBy = { ArrowUp: up.step, ArrowDown: -up.step }[event.key];
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (by !== undefined) set(this.within(get() + by));
      else if (upBy !== undefined) up.set(this.within(up.get() + upBy, up));
      else if (event.key === "Home") set(from);
      else if (event.key === "End") set(to);
      else return;
      event.preventDefault();
    }

    // Where it stands, and what it tells; a figure may change from where to where it goes.
    place(x, y) {
      const { from, to, get, second } = this.spec;
      this.node.setAttribute("transform", `translate(${x} ${y})`);
      this.node.setAttribute("aria-valuemin", from);
      this.node.setAttribute("aria-valuemax", to);
      this.node.setAttribute("aria-valuenow", get());
      this.node.setAttribute("aria-valuetext", second ? this.text(get(), second.get()) : this.text(get()));
    }
  }

  // Risks, say, on one scale from zero to `most`: a row each, {name, value, mark}, where mark is a class of live.css and a
  // shape: "fill-1 circle", "fill-2 square", "fill-3 diamond". `you`: a line through all. Returns the height it takes.
  function scale(stage, top, rows, { most = 1, you = null, digits = 3 } = {}) {
    const ROW = 24;
    const left = Math.min(210, Math.round(stage.width * 0.47));
    const right = stage.width - 50;
    const at = (value) => left + ((right - left) * clamp(value, 0, most)) / most;
    const bottom = top + rows.length * ROW;
    for (const share of [0, 0.5, 1]) {
      const x = at(share * most);
      stage.draw("line", { x1: x, x2: x, y1: top, y2: bottom, class: "line-faint thin" });
      stage.draw("text", { x, y: bottom + 16, class: "soft middle" }, number(share * most, most < 10 ? 1 : 0));
    }
    if (you !== null) stage.draw("line", { x1: at(you), x2: at(you), y1: top, y2: bottom, class: "line-ink dash-2" });
    rows.forEach(({ name, value, mark, bold }, i) => {
      const y = top + (i + 0.5) * ROW;
      const [fill, shape] = mark.split(" ");
      stage.draw("text", { x: left - 10, y: y + 4.5, class: bold ? "end bold" : "end" }, name);
      const stem = { x1: at(0), x2: at(value), y1: y, y2: y, class: `${fill.replace("fill", "line")} thin` };
      stage.draw("line", stem);
      point(stage, at(value), y, 6, fill, shape);
      const words = { x: stage.width, y: y + 4.5, class: bold ? "end bold" : "end" };
      stage.draw("text", words, number(value, digits));
    });
    return rows.length * ROW + 22;
  }

  // A mark: a circle, a square, a diamond or a triangle.
  function point(stage, x, y, size, fill, shape) {
    const [a, b] = [size * 0.87, size * 1.2];
    const corners = {
      square: [[-a, -a], [a, -a], [a, a], [-a, a]],
      diamond: [[-b, 0], [0, -b], [b, 0], [0, b]],
      triangle: [[0, -b], [b, a], [-b, a]],
    }[shape];
    if (!corners) return stage.draw("circle", { cx: x, cy: y, r: size, class: fill });
    return stage.draw("polygon", { points: corners.map(([u, v]) => `${x + u},${y + v}`).join(" "), class: fill });
  }

  // A sentence in the place of a figure that could not be drawn.
  function lost(root, error) {
    console.error(error);
    root.replaceChildren(element("p", { class: "live-lost" }, `This figure could not be drawn: ${error.message}.`));
  }

  function start(root) {
    const build = builders.get(root.dataset.live);
    if (!build || built.has(root)) return;
    built.set(root, null);
    try {
      const figure = new Figure(root);
      built.set(root, figure);
      figure.draw = build(figure);
      figure.moved = [...figure.given.keys()].some((name) => name.startsWith(`${figure.key}.`));
      figure.copier = figure.button("Copy link", () => figure.copy());
      figure.button("Reset", () => figure.reset());
      figure.now();
    } catch (error) {
      lost(root, error);
    }
  }

  // Called right after each figure's place on a page, so that what follows does not jump when it is filled.
  function here() {
    for (const root of document.querySelectorAll(".live[data-live]")) start(root);
  }

  function register(name, build) {
    builders.set(name, build);
    here();
  }

  addEventListener("DOMContentLoaded", here);
  // Back to an earlier place on this page: figures stay as they are, and the address says so again.
  addEventListener("popstate", () => built.forEach((figure) => figure?.write()));
  return { register, here, element, clamp, number, scale, point, still };
})();
