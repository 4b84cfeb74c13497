// Theorem 1, a token at a time: what the layer keeps, what each example still counts, and the two sides at the end.
live.register("steps", (figure) => {
  const { value } = figure;
  const number = live.number;
  // Three examples of each task, whose labels are x^T (-1, 1) and x^T (1, 1); a delimiter between them; the query.
  const FIRST = [[1, 0.5], [-0.5, 1], [1.5, -1]];
  const SECOND = [[-1, -0.5], [0.5, 1.5], [1, -0.5]];
  const x = [...FIRST, [0, 0], ...SECOND, [1, 1.5]];
  const y = x.map(([a, b], i) => (i < 3 ? b - a : i < 7 ? a + b : 0));
  const [MARK, TOKENS] = [3, x.length];
  const LAST = TOKENS - 1;
  const EXAMPLES = x.map((_, i) => i).filter((i) => i !== MARK && i !== LAST);
  const law = glalib.promptDistribution({ d: 2, counts: [3, 3], r: [0.2, 0.8] });
  const best = glalib.monotone(law);
  // GLA.from_wpgd: keys x, values (0, 0, y), queries P^T x, with P a multiple of the identity for white features.
  const P = [[best.P, 0], [0, best.P]];
  const layer = { k: x, v: y.map((label) => [0, 0, label]), q: x.map((row) => row.map((part) => best.P * part)) };
  const open = Array(TOKENS).fill(1);

  figure.setting("t", { start: MARK + 1, from: 0, to: TOKENS, step: 1 });
  figure.setting("g", { start: [1, 0.9, 1, 0.4, 1, 0.8, 1, 0.9], from: 0, to: 1, step: 0.01 });
  figure.slider("t", { label: "Tokens read", text: (t) => (t ? `${t}, ${name(t - 1)}` : "none") });
  const move = (by) => figure.set({ t: value.t + by });
  const back = figure.button("Back", () => move(-1));
  const next = figure.button("Next", () => move(1));
  const player = figure.button("Play", () => {
    if (figure.stop) return figure.later(); // what is changed by hand stops it
    const from = value.t === TOKENS ? 0 : value.t;
    figure.play(TOKENS - from, (i) => figure.set({ t: from + i }), 1000);
    figure.now();
  });
  figure.button("All open", () => figure.set({ g: open }));
  figure.button(`Best gates for r = (${law.r.join(", ")})`, () => {
    figure.set({ g: open.map((g, i) => (i === MARK ? best.omega[0] / best.omega[1] : g)) });
  });

  const example = (i) => (i < MARK ? i + 1 : i);
  const name = (i) => (i === MARK ? "the delimiter" : i === LAST ? "the query" : `example ${example(i)}`);
  const fill = (i) => (i === MARK || i === LAST ? "fill-soft" : i < MARK ? "fill-1" : "fill-2");
  const TOP = { tokens: 26, gates: 162, weights: 308, memory: 398, sides: 526 };
  const HIGH = { gate: 70, weight: 52 };
  const stage = figure.stage({ height: () => TOP.sides + 62 });
  const narrow = () => stage.width < 480;
  const left = () => (narrow() ? 22 : 40); // of the columns: what their rows are stands before them
  const column = () => (stage.width - left()) / TOKENS;
  const at = (i) => left() + (i + 0.5) * column();
  const heading = (top, words, more = "") => stage.draw("text", { x: 0, y: top, class: "soft" }, words + (stage.width < 530 ? "" : more));
  const handles = open.map((_, i) =>
    stage.handle({
      label: `Gate at token ${i + 1}, ${name(i)}`,
      from: 0, to: 1, step: 0.01, page: 0.1, reach: [32, 36],
      get: () => value.g[i],
      set: (g) => figure.set({ g: value.g.map((old, j) => (j === i ? g : old)) }),
      at: (point) => 1 - (point.y - TOP.gates) / HIGH.gate,
      text: (g) => number(g),
    }),
  );

  function tokens() {
    const wide = Math.min(30, column() - 8);
    heading(13, "Tokens: features, label", "; what has not been read is pale");
    ["x₁", "x₂", "y"].forEach((word, row) => stage.draw("text", { x: 0, y: TOP.tokens + 46 + 18 * row, class: "soft" }, word));
    for (let i = 0; i < TOKENS; i++) {
      const [read, now] = [i < value.t, i === value.t - 1];
      const faint = read ? "" : " soft";
      if (now) stage.draw("rect", { x: at(i) - column() / 2 + 1, y: TOP.tokens - 5, width: column() - 2, height: 98, rx: 4, class: "fill-page line-ink" });
      const shape = { x: at(i) - wide / 2, y: TOP.tokens, width: wide, height: 24, rx: i < MARK ? 12 : 2 };
      stage.draw("rect", { ...shape, class: `fill-page ${read ? fill(i).replace("fill", "line") : "line-faint"}${i > MARK ? " dash-1" : ""}` });
      const word = i === MARK ? "|" : i === LAST ? "?" : String(example(i));
      stage.draw("text", { x: at(i), y: TOP.tokens + 16.5, class: `middle${faint}${now ? " bold" : ""}` }, word);
      [...x[i], y[i]].forEach((entry, row) => {
        stage.draw("text", { x: at(i), y: TOP.tokens + 46 + 18 * row, class: `middle${faint}` }, number(entry, entry % 1 ? 1 : 0));
      });
    }
  }

  function gates() {
    heading(TOP.gates - 19, "Gates g, to drag", ": each multiplies the memory before its token writes");
    for (let i = 0; i < TOKENS; i++) {
      const [top, bottom, here] = [TOP.gates, TOP.gates + HIGH.gate, TOP.gates + HIGH.gate * (1 - value.g[i])];
      stage.draw("line", { x1: at(i), x2: at(i), y1: top, y2: bottom, class: "line-faint wide-line" });
      const line = i < value.t ? "line-soft" : "line-faint";
      stage.draw("line", { x1: at(i), x2: at(i), y1: here, y2: bottom, class: `${line} wide-line` });
      stage.draw("text", { x: at(i), y: bottom + 23, class: `middle${i === value.t - 1 ? " bold" : " soft"}` }, short(value.g[i]));
      handles[i].place(at(i), here);
    }
  }

  const short = (z) => number(z).replace(/0$/, "").replace(/\.0?$/, "");

  // Weights so far; dashed, what they were before the token that has just been read.
  function bars(omega, before) {
    heading(TOP.weights - 26, "Weights so far: products of later gates", "; dashed, before this token");
    const wide = Math.min(30, column() * 0.66);
    for (const i of EXAMPLES) {
      const bottom = TOP.weights + HIGH.weight;
      stage.draw("line", { x1: at(i) - wide / 2, x2: at(i) + wide / 2, y1: bottom, y2: bottom, class: "line-soft thin" });
      if (i >= value.t) continue;
      const high = HIGH.weight * omega[i];
      stage.draw("rect", { x: at(i) - wide / 2, y: bottom - high, width: wide, height: high, class: fill(i) });
      const old = HIGH.weight * (before[i] ?? omega[i]);
      if (old > high) {
        stage.draw("path", { d: `M${at(i) - wide / 2} ${bottom - high}v${high - old}h${wide}v${old - high}`, class: "line-soft dash-1 thin" });
      }
      stage.draw("text", { x: at(i), y: bottom - Math.max(high, old) - 5, class: "middle" }, short(omega[i]));
    }
  }

  // S, value by key: its rows are those of the values, of which the label's alone is ever written.
  function grid(from, cell, S, words) {
    stage.draw("text", { x: from + cell, y: TOP.memory + 18, class: "middle" }, words);
    S.forEach((row, i) => {
      const [top, high] = i < 2 ? [TOP.memory + 26 + 18 * i, 18] : [TOP.memory + 62, 46];
      row.forEach((entry, j) => {
        const corner = from + j * cell;
        stage.draw("rect", { x: corner, y: top, width: cell, height: high, class: "fill-page line-faint thin" });
        if (i < 2) stage.draw("text", { x: corner + cell / 2, y: top + 13.5, class: "middle soft" }, "0");
        else {
          stage.draw("text", { x: corner + cell / 2, y: top + 15, class: "middle" }, number(entry));
          const side = Math.min(9 * Math.sqrt(Math.abs(entry)), 24);
          const look = entry > 0 ? "fill-ink" : "fill-page line-ink thin";
          if (side > 0) stage.draw("rect", { x: corner + (cell - side) / 2, y: top + 32 - side / 2, width: side, height: side, class: look });
        }
      });
    });
  }

  function memory({ before, write, after }, g) {
    heading(TOP.memory - 6, "Memory S: features' rows, label's row", " (area: size; filled: positive, open: negative)");
    const cell = narrow() ? 40 : 56;
    const gap = Math.min(62, (stage.width - 6 * cell - 2) / 2);
    const [one, two, three] = [0, 1, 2].map((i) => i * (2 * cell + gap));
    if (!value.t) return grid(one, cell, after, "empty"); // no gate has been applied, and nothing written
    grid(one, cell, before, "before");
    grid(two, cell, write, "the write v kᵀ");
    grid(three, cell, after, "after");
    const y0 = TOP.memory + 74;
    const between = [["×", "middle"], [short(g), "middle bold"], ["+", "middle"]];
    between.forEach(([word, look], i) => stage.draw("text", { x: one + 2 * cell + gap / 2, y: y0 - 14 + 18 * i, class: look }, word));
    stage.draw("text", { x: two + 2 * cell + gap / 2, y: y0 + 4, class: "middle" }, "=");
  }

  function sides(found) {
    const rows = [
      [narrow() ? "The layer: the label's row of S q" : "The layer reads the label's row of S q", found.layer],
      [narrow() ? "One step: xᵀ P Xᵀ (ω ⊙ y)" : "One weighted gradient step: xᵀ P Xᵀ (ω ⊙ y)", found.step],
    ];
    rows.forEach(([words, side], i) => {
      const top = TOP.sides + 14 + 24 * i;
      stage.draw("text", { x: 0, y: top, class: found.read ? "" : "soft" }, words);
      stage.draw("text", { x: narrow() ? stage.width : 420, y: top, class: "end bold" }, found.read ? number(side, 6) : "not yet");
    });
  }

  function sentence(found) {
    const t = value.t;
    if (!t) return "Nothing has been read. The memory is empty.";
    const g = number(value.g[t - 1]);
    const earlier = t === 1 ? "finds an empty memory" : `multiplies the memory, and with it the weight of every example before`;
    const start = `Token ${t}, ${name(t - 1)}. Its gate, ${g}, ${earlier}`;
    if (t - 1 === MARK) return `${start}. It has no label, and writes nothing.`;
    if (t < TOKENS) return `${start}; then it writes its label times its features, with weight 1.`;
    const off = Math.abs(found.layer - found.step);
    const same = off ? `the same but for rounding, ${off.toExponential(0).replace("-", "\u2212")}` : "the same to the last digit";
    return `${start}. It reads ${number(found.layer, 4)}; the weighted gradient step predicts ${number(found.step, 4)}, ${same}.`;
  }

  return () => {
    const t = value.t;
    const states = glalib.gla(layer.k, layer.v, value.g);
    const zero = layer.v[0].map(() => [0, 0]);
    const state = (s) => (s ? states[s - 1] : zero);
    const weights = (s) => (s > 0 ? [...glalib.gatesToWeights(value.g.slice(0, s)), 1] : []);
    const write = t ? layer.v[t - 1].map((part) => layer.k[t - 1].map((key) => part * key)) : zero;
    const final = glalib.gatesToWeights(value.g);
    const found = {
      read: t === TOKENS,
      layer: states[LAST][2].reduce((total, entry, j) => total + entry * layer.q[LAST][j], 0),
      step: glalib.wpgdStep(x.slice(0, LAST), y.slice(0, LAST), x[LAST], P, final),
    };
    tokens();
    gates();
    bars(weights(t), weights(t - 1));
    memory({ before: state(t - 1 > 0 ? t - 1 : 0), write, after: state(t) }, t ? value.g[t - 1] : 1);
    sides(found);
    figure.enable(back, t > 0);
    figure.enable(next, t < TOKENS);
    player.textContent = figure.stop ? "Pause" : "Play";
    const counted = weights(t).flatMap((w, i) => (EXAMPLES.includes(i) ? [w] : []));
    stage.label(`After ${t} of ${TOKENS} tokens the examples read count ${counted.map((w) => number(w)).join(", ") || "nothing"}.`);
    figure.say(sentence(found));
    const ends = found.read ? { layer: found.layer, step: found.step } : { layer: null, step: null };
    figure.show({ weights: counted, state: state(t), P: best.P, ...ends });
  };
});
