// A prompt of two tasks, whose gates the reader drags: the weights, the memory and the risk that follow.
live.register("strip", (figure) => {
  const { value } = figure;
  const [D, BLOCK] = [3, 6]; // features; examples of each task
  const MARK = BLOCK; // the token between the tasks
  const TOKENS = 2 * BLOCK + 2; // and the query, which comes last
  const HINTS = { last: [0.2, 0.8], first: [0.8, 0.2], useless: [0, 1] };
  const laws = Object.fromEntries(
    Object.entries(HINTS).map(([name, r]) => [name, glalib.promptDistribution({ d: D, counts: [BLOCK, BLOCK], r })]),
  );
  const marks = Object.fromEntries(
    Object.entries(laws).map(([name, law]) => {
      const best = glalib.monotone(law);
      const risks = { linear: glalib.uniform(law), constant: glalib.constantGate(law), forget: best, free: glalib.free(law) };
      return [name, { ...Object.fromEntries(Object.entries(risks).map(([key, { risk }]) => [key, risk / D])), omega: best.omega }];
    }),
  );
  const open = Array(TOKENS).fill(1);

  figure.setting("hint", {
    start: "last",
    options: [
      ["last", "task 2, r = (0.2, 0.8)"],
      ["first", "task 1, r = (0.8, 0.2)"],
      ["useless", "task 2 alone, r = (0, 1)"],
    ],
  });
  figure.setting("g", { start: open.map((g, i) => (i === MARK ? 0.6 : g)), from: 0, to: 1, step: 0.01 });
  figure.choice("hint", { label: "The better hint is" });
  figure.button("All open", () => figure.set({ g: open }));
  figure.button("Best gates", () => {
    const [one, two] = marks[value.hint].omega;
    figure.set({ g: open.map((g, i) => (i === MARK ? Math.abs(one / two) : g)) });
  });

  const TOP = { weight: 36, token: 120, gate: 194, memory: 334, risk: 418 };
  const HIGH = { weight: 68, gate: 84, memory: 46 };
  const stage = figure.stage({ height: () => TOP.risk + 5 * 24 + 22 });
  const example = (i) => (i < MARK ? i : i - 1); // which example a token is
  const isExample = (i) => i !== MARK && i < TOKENS - 1;
  const name = (i) => (i === MARK ? "the mark" : i === TOKENS - 1 ? "the query" : `example ${example(i) + 1}`);
  const colour = (i) => (isExample(i) ? (i < MARK ? "fill-1" : "fill-2") : "fill-soft");
  const column = () => stage.width / TOKENS;
  const caption = (y, words, rest) =>
    stage.draw("text", { x: 0, y, class: "soft" }, stage.width < 480 ? words : `${words}${rest}`);
  const short = (x) => live.number(x, 2).replace(/^0(?=\.)/, "").replace(/^1\.00$/, "1").replace(/^\.00$/, "0");

  const handles = open.map((_, i) =>
    stage.handle({
      label: `Gate at ${name(i)}`,
      from: 0, to: 1, step: 0.01, page: 0.1, reach: [20, 40],
      get: () => value.g[i],
      set: (g) => figure.set({ g: value.g.map((old, j) => (j === i ? g : old)) }),
      at: ({ y }) => 1 - (y - TOP.gate) / HIGH.gate,
      text: (g) => live.number(g),
    }),
  );

  // The weights of the examples when so many tokens have been read, without the mark, which writes nothing.
  function weights(read) {
    const found = glalib.gatesToWeights([...value.g.slice(0, read), 1]);
    return Array.from({ length: 2 * BLOCK }, (_, e) => {
      const token = e < MARK ? e : e + 1;
      return token < read ? found[token] : 0;
    });
  }

  function bars(omega) {
    caption(13, "Weight: the product of later gates", ", at the query");
    for (let i = 0; i < TOKENS - 1; i++) {
      if (!isExample(i)) continue;
      const high = Math.max(1, HIGH.weight * omega[example(i)]);
      const [x, y] = [(i + 0.5) * column(), TOP.weight + HIGH.weight - high];
      const wide = Math.min(26, column() * 0.72);
      stage.draw("rect", { x: x - wide / 2, y, width: wide, height: high, class: colour(i) });
      const words = short(omega[example(i)]);
      if (column() > 26 || i % 2 === 0) stage.draw("text", { x, y: y - 4, class: "middle" }, words);
    }
  }

  function tokens() {
    const wide = Math.min(26, column() * 0.86);
    for (let i = 0; i < TOKENS; i++) {
      const x = (i + 0.5) * column();
      const word = isExample(i) ? String(example(i) + 1) : i === MARK ? "|" : "?";
      const line = isExample(i) ? colour(i).replace("fill", "line") : "line-soft";
      const look = { width: wide, height: 22, class: `fill-page ${line}${i > MARK ? " dash-1" : ""}` };
      stage.draw("rect", { x: x - wide / 2, y: TOP.token - 8, rx: i < MARK ? 11 : 2, ...look });
      stage.draw("text", { x, y: TOP.token + 7.5, class: "middle" }, word);
    }
    stage.draw("text", { x: (MARK / 2) * column(), y: TOP.token + 30, class: "middle" }, "task 1");
    stage.draw("text", { x: (MARK + 1 + BLOCK / 2) * column(), y: TOP.token + 30, class: "middle" }, "task 2");
    stage.draw("text", { x: stage.width, y: TOP.token + 30, class: "soft end" }, "query");
  }

  function gates() {
    const [top, bottom] = [TOP.gate, TOP.gate + HIGH.gate];
    for (let i = 0; i < TOKENS; i++) {
      const [x, y] = [(i + 0.5) * column(), top + HIGH.gate * (1 - value.g[i])];
      stage.draw("line", { x1: x, x2: x, y1: top, y2: bottom, class: "line-faint wide-line" });
      stage.draw("line", { x1: x, x2: x, y1: y, y2: bottom, class: "line-soft wide-line" });
      stage.draw("text", { x, y: bottom + 22, class: value.g[i] < 1 ? "middle bold" : "middle soft" }, short(value.g[i]));
      handles[i].place(x, y);
    }
    caption(top - 17, "Gates: drag one down to forget", " what came before its token");
  }

  // How large the memory is when each token has been read.
  function memory(sizes, most) {
    const y = (size) => TOP.memory + HIGH.memory * (1 - size / most);
    const path = sizes.map((size, i) => `${i ? "H" : "M"}${i * column()} ${i ? "V" : ""}${y(size)}`);
    stage.draw("path", { d: `${path.join(" ")} H${stage.width}`, class: "line-ink" });
    stage.draw("line", { x1: 0, x2: stage.width, y1: y(0), y2: y(0), class: "line-faint thin" });
    caption(TOP.memory - 10, "Size of the memory", " after each token");
  }

  function sentence(risk) {
    const { linear, forget, free } = marks[value.hint];
    const [here, best, any] = [risk, forget, free].map((x) => live.number(x, 3));
    const start = `You are at ${here}`;
    const beyond = forget > free + 1e-9 ? `; other weights would reach ${any}, out of reach of gates that only forget` : "";
    if (here === best) return `${start}: no gates that only forget do better${beyond}.`;
    const worse = risk > linear + 5e-4 ? ` Leaving all gates open is better, at ${live.number(linear, 3)}.` : "";
    return `${start}; the best forget gates reach ${best}${beyond}.${worse}`;
  }

  return () => {
    const law = laws[value.hint];
    const omega = weights(TOKENS);
    const final = glalib.bestP(law, omega);
    const risk = final.risk / D;
    const every = Array.from({ length: TOKENS }, (_, i) => glalib.stateSize(law, weights(i + 1)));
    const most = glalib.stateSize(law, Array(2 * BLOCK).fill(1));
    bars(omega);
    tokens();
    gates();
    memory(every, most);
    const { linear, constant, forget, free } = marks[value.hint];
    caption(TOP.risk - 10, "Risk per dimension, with the best P", "; at 1 nothing is learnt");
    live.scale(
      stage,
      TOP.risk,
      [
        { name: "your gates", value: risk, mark: "fill-ink diamond", bold: true },
        { name: "linear attention", value: linear, mark: "fill-1 circle" },
        { name: "one constant gate", value: constant, mark: "fill-3 square" },
        { name: "best forget gates", value: forget, mark: "fill-4 triangle" },
        { name: "any weights", value: free, mark: "fill-2 circle" },
      ],
      { you: risk },
    );
    const words = omega.map((w) => live.number(w)).join(", ");
    stage.label(`Weights of the twelve examples: ${words}. Below them are the gates of the fourteen tokens.`);
    figure.say(sentence(risk));
    figure.show({ weights: omega, memory: every, risk, linear, constant, forget, free });
  };
});
