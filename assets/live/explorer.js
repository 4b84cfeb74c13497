// Any prompt of two tasks: its best weights, the risks of all classes of layers, and what kind of gate it asks for.
live.register("explorer", (figure) => {
  const { value } = figure;
  const COUNTS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400, 500, 700, 1000];
  const SAME = 1e-9; // relative: what counts as equal
  figure.setting("d", { start: 10, values: [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 64, 80, 100] });
  for (const name of ["n1", "n2"]) figure.setting(name, { start: 50, values: COUNTS });
  figure.setting("r1", { start: 0.2, from: -1, to: 1, step: 0.05 });
  figure.setting("r2", { start: 0.8, from: -1, to: 1, step: 0.05 });
  figure.setting("R12", { start: 0, from: -1, to: 1, step: 0.01 });
  figure.setting("sigma", { start: 0, from: 0, to: 3, step: 0.1 });
  const two = (x) => live.number(x);

  // Three correlations go together where R12 lies within this much of r1 r2. Else the nearest that does is taken, and the
  // slider stays: it counts again when it can.
  function held(R12) {
    const room = Math.sqrt(Math.max(0, (1 - value.r1 ** 2) * (1 - value.r2 ** 2)));
    const [low, high] = [value.r1 * value.r2 - room, value.r1 * value.r2 + room].map((x) => x * 100);
    return live.clamp(R12, Math.ceil(low - 1e-6) / 100, Math.floor(high + 1e-6) / 100) + 0;
  }
  figure.slider("d", { label: "d, dimensions" });
  figure.slider("n1", { label: "n\u2081, examples of task 1" });
  figure.slider("n2", { label: "n\u2082, examples of task 2" });
  figure.slider("r1", { label: "r\u2081, task 1 and query", text: two });
  figure.slider("r2", { label: "r\u2082, task 2 and query", text: two });
  // Short, as a name that wraps when it is held would move the slider away from the hand.
  const told = (words) => (x) => (held(x) === x ? two(x) : `${words} ${two(held(x))}`);
  figure.slider("R12", { label: "R\u2081\u2082, tasks 1 and 2", text: told("held"), heard: told("held at") });
  figure.slider("sigma", { label: "\u03c3, noise of the labels", text: (x) => live.number(x, 1) });
  const PANELS = { a: [0, 1], b: [0.2, 0.8], c: [0.5, 0.5], d: [0.8, 0.2] };
  for (const [name, [r1, r2]] of Object.entries(PANELS)) {
    figure.button(`Panel (${name})`, () => figure.set({ d: 10, n1: 50, n2: 50, r1, r2, R12: 0, sigma: 0 }));
  }

  const stage = figure.stage({ height: () => 196 + 6 * 24 + 24 });
  const caption = (y, words, rest) =>
    stage.draw("text", { x: 0, y, class: "soft" }, stage.width < 480 ? words : `${words}${rest}`);

  // Bars from a line in the middle: the best weights, of largest size one.
  function weights(groups) {
    const [middle, half] = [78, 46];
    caption(13, "Weight of an example", ", up to a factor");
    groups.forEach(([name, pair], g) => {
      const left = (stage.width * (g + 0.5)) / 2;
      pair.forEach((w, k) => {
        const x = left + (k ? 38 : -38);
        const [size, down] = [Math.max(1, Math.abs(w) * half), w < 0];
        const look = { x: x - 26, y: down ? middle : middle - size, width: 52, height: size };
        stage.draw("rect", { ...look, class: `fill-${k + 1}`, opacity: g ? 0.55 : 1 });
        stage.draw("text", { x, y: down ? middle + size + 14 : middle - size - 5, class: "middle" }, live.number(w));
        stage.draw("text", { x, y: down ? middle - 6 : middle + 16, class: "middle soft" }, `task ${k + 1}`);
      });
      stage.draw("text", { x: left, y: 152, class: "middle bold" }, name);
    });
    stage.draw("line", { x1: 0, x2: stage.width, y1: middle, y2: middle, class: "line-soft thin" });
  }

  // Which part of the paper's Figure 1 this is like, by exact conditions on the best weights.
  function place([one, two], risks, M) {
    const same = (a, b) => Math.abs(a - b) <= SAME * M;
    const gain = (risk) => live.number((100 * (risks.zero - risk)) / (risks.zero - risks.free), 0);
    if (!(risks.free < M * (1 - SAME))) return ["none", "No task tells of the query\u2019s: nothing can be learnt from this prompt."];
    if (one * two < 0) {
      const forget = `forget gates get ${gain(risks.forget)} per cent of what any weights gain`;
      return ["signs", `The best weights have two signs. Products of gates have one, and ${forget}; two channels that are subtracted get all.`];
    }
    const [low, high] = [Math.abs(one), Math.abs(two)];
    if (Math.abs(low - high) <= SAME) {
      return ["equal", "The best weights are equal: no gate is needed, linear attention is best, as in panel (c)."];
    }
    if (low > high) {
      const forget = same(risks.forget, risks.linear) ? "forget gates gain nothing over linear attention" : `forget gates get ${gain(risks.forget)} per cent of the gain`;
      return ["falls", `The best weights fall, as in panel (d), and gates that only forget cannot: ${forget}. A write gate, or two channels, get all.`];
    }
    const constant = `one constant gate gets ${gain(risks.constant)} per cent of what they gain, linear attention ${gain(risks.linear)}`;
    const panel = one === 0 ? "(a)" : "(b)";
    return ["rises", `The best weights rise, as in panel ${panel}: one gate at the place where the task changes has them; ${constant}.`];
  }

  return () => {
    const { d, n1, n2, r1, r2, sigma } = value;
    const R12 = held(value.R12);
    const R = [[1, R12], [R12, 1]];
    const law = glalib.promptDistribution({ d, counts: [n1, n2], r: [r1, r2], R, sigma });
    const [any, gated] = [glalib.free(law), glalib.monotone(law)];
    const risks = {
      zero: law.M,
      linear: glalib.uniform(law).risk,
      constant: glalib.constantGate(law).risk,
      forget: gated.risk,
      free: any.risk,
      delta: glalib.optimalDeltaRule(law).risk,
      bayes: glalib.bayesRisk(law),
    };
    // P may have either sign, and so may all weights of gates: the larger is shown above the line.
    const up = ({ omega }) => omega.map((w) => w * Math.sign(omega.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a))) + 0);
    const nothing = !(risks.free < law.M * (1 - SAME));
    const [omega, forget] = nothing ? [[0, 0], [0, 0]] : [any.omega, up(gated)];
    weights([["any weights", omega], ["a gate a token", forget]]);
    caption(184, "Risk over the variance of a label", ", which is the risk of predicting zero");
    const share = (risk) => risk / law.M;
    const rows = [
      { name: "linear attention", value: share(risks.linear), mark: "fill-1 circle" },
      { name: "one constant gate", value: share(risks.constant), mark: "fill-3 square" },
      { name: "a gate a token", value: share(risks.forget), mark: "fill-4 triangle" },
      { name: "any weights", value: share(risks.free), mark: "fill-2 circle", bold: true },
      { name: "delta rule", value: share(risks.delta), mark: "fill-ink diamond" },
    ];
    if (risks.bayes !== null) rows.push({ name: "Bayes", value: share(risks.bayes), mark: "fill-soft square" });
    live.scale(stage, 196, rows, {});
    const [kind, words] = place(omega, risks, law.M);
    const bayes = risks.bayes === null ? " The Bayes risk has no closed form here." : "";
    const most = R12 === value.R12 ? "" : `R\u2081\u2082 is held at ${two(R12)}, not ${two(value.R12)}: three correlations have to go together. `;
    stage.label(`Best weights: ${omega.map((w) => live.number(w)).join(" and ")}. Below, risks on one scale.`);
    figure.say(`${most}${words}${bayes}`);
    figure.show({ R12, omega, forget, risks, shares: Object.fromEntries(rows.map(({ name, value }) => [name, value])), kind });
  };
});
