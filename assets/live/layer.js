// Trained layers at work on prompts that the page draws. First what they compute, without a trace of the page: functions
// of `glalib` too, each named like its twin or saying what it is. Layers are rows of chapters/data/live_layers.json.
Object.assign(glalib, (() => {
  const sum = (values) => values.reduce((total, x) => total + x, 0);
  const dot = (a, b) => a.reduce((total, x, i) => total + x * b[i], 0);
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));

  // Uniform numbers of a seed: mulberry32.
  function uniforms(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  // Standard normal numbers of a seed, by Box and Muller.
  function normals(seed) {
    const next = uniforms(seed);
    let kept = null;
    return () => {
      if (kept !== null) {
        const z = kept;
        kept = null;
        return z;
      }
      const [size, angle] = [Math.sqrt(-2 * Math.log(1 - next())), 2 * Math.PI * next()];
      kept = size * Math.sin(angle);
      return size * Math.cos(angle);
    };
  }

  // PromptDistribution.sample for independent tasks: {x, y, query, label, tasks}, block after block.
  function samplePrompt({ d, counts, r, sigma = 0 }, seed) {
    const normal = normals(seed);
    const vector = () => Array.from({ length: d }, normal);
    const tasks = counts.map(vector);
    const rest = Math.sqrt(Math.max(0, 1 - dot(r, r)));
    const own = vector();
    const asked = own.map((z, j) => rest * z + sum(tasks.map((task, k) => r[k] * task[j])));
    const x = counts.flatMap((count) => Array.from({ length: count }, vector));
    const of = counts.flatMap((count, k) => Array(count).fill(k));
    const y = x.map((row, i) => dot(row, tasks[of[i]]) + (sigma ? sigma * normal() : 0));
    const query = vector();
    return { x, y, query, label: dot(query, asked) + (sigma ? sigma * normal() : 0), tasks };
  }

  // A layer of its row: numbers for text, those of float32. W as rows.
  function readLayer({ model, scale, weights }) {
    const W = Object.fromEntries(
      Object.entries(weights).map(([name, rows]) => [name, rows.map((row) => row.split(" ").map(Math.fround))]),
    );
    const h = W.h[0];
    const flat = (name) => (W[name] ? W[name].flat() : null);
    return {
      scale, h, model,
      W_q: W.W_q, W_k: W.W_k, W_v: W.W_v,
      W_vh: W.W_v.map((row) => dot(row, h)),
      W_g: W.W_g ?? null, b_g: flat("b_g"),
      W_b: flat("beta.W_g"), b_b: flat("beta.b_g"),
    };
  }

  // Layout of two blocks, the first of them of `mark` examples as the tokens say it: token rows, with which example each
  // is, or -1; and the query's token. A dropped delimiter is the one between the blocks.
  function layerTokens(model, { x, y, query }, mark, dropped = false) {
    const delimiters = model === "gla" || model === "gla-vector";
    const kinds = delimiters ? 5 : model === "delta" ? 3 : 0;
    const context = (kind) => Array.from({ length: kinds }, (_, i) => Number(i === kind));
    const nothing = query.map(() => 0);
    const [rows, example] = [[], []];
    const add = (row, which) => {
      rows.push(row);
      example.push(which);
    };
    const delimiter = (block) => delimiters && !(block === 0 && dropped) && add([...nothing, 0, ...context(2 + block)], -1);
    x.forEach((features, i) => {
      if (i === mark) delimiter(0);
      add([...features, y[i], ...context(i < mark ? 0 : 1)], i);
    });
    if (mark >= x.length) delimiter(0);
    delimiter(1);
    return { rows, example, last: (features) => [...features, 0, ...context(kinds - 1)] };
  }

  const through = (z, W) => W[0].map((_, j) => sum(z.map((entry, i) => entry * W[i][j])));

  // What a token does: its key, what it writes, a number a channel, and its gates or step. One channel, but for a gate
  // on values, whose channels are gated apart.
  function act(layer, z) {
    const apart = layer.model === "gla-vector";
    return {
      k: through(z, layer.W_k),
      v: apart ? through(z, layer.W_v) : [dot(z, layer.W_vh)],
      g: layer.W_g ? through(z, layer.W_g).map((logit, c) => sigmoid(logit + layer.b_g[c])) : [1],
      step: layer.W_b ? sigmoid(dot(z.slice(z.length - layer.W_b.length), layer.W_b) + layer.b_b[0]) : null,
    };
  }

  // The rows of the state, one a channel, after a token: GLA's, or the delta rule's.
  function after(S, { k, v, g, step }) {
    return S.map((row, c) => {
      const write = step === null ? v[c] : step * (v[c] - dot(row, k));
      return row.map((entry, j) => g[c] * entry + write * k[j]);
    });
  }

  // What the tokens do, the state before each of them, and the one after all.
  function remember(layer, rows) {
    const acts = rows.map((z) => act(layer, z));
    const before = [acts[0].v.map(() => layer.W_k[0].map(() => 0))];
    for (const each of acts) before.push(after(before.at(-1), each));
    return { acts, before, S: before.at(-1) };
  }

  // The prediction for a query's token.
  function readOut(layer, S, z) {
    const { k, v, g, step } = act(layer, z);
    const q = through(z, layer.W_q);
    const heads = layer.model === "gla-vector" ? layer.h : [1];
    const own = dot(k, q);
    if (step !== null) return layer.scale * (dot(S[0], q) + step * (v[0] - dot(S[0], k)) * own);
    return layer.scale * sum(heads.map((h, c) => h * (g[c] * dot(S[c], q) + v[c] * own)));
  }

  // GLA.forward and DeltaRule.forward, of one layer and one query.
  function layerPredicts(layer, prompt, mark, dropped) {
    const { rows, last } = layerTokens(layer.model, prompt, mark, dropped);
    return readOut(layer, remember(layer, rows).S, last(prompt.query));
  }

  // How much the label of each example counts along its own features: x_i^T d/dx d/dy_i f / |x_i|^2, with f the
  // prediction for a query x, by differences in y_i and of opposite queries. For x^T P X^T (omega * y) with P = p I it is
  // p omega_i.
  function labelWeights(layer, prompt, mark, dropped, move = 1e-3) {
    const { rows, example, last } = layerTokens(layer.model, prompt, mark, dropped);
    const { acts, before } = remember(layer, rows);
    const label = prompt.query.length; // its column
    return prompt.x.map((features, i) => {
      const t = example.indexOf(i);
      const size = Math.sqrt(dot(features, features)) || 1;
      const along = features.map((part) => part / size);
      const at = (by) => {
        const changed = act(layer, rows[t].map((entry, j) => (j === label ? entry + by : entry)));
        const S = acts.slice(t + 1).reduce(after, after(before[t], changed));
        const read = (sign) => readOut(layer, S, last(along.map((part) => sign * part)));
        return (read(1) - read(-1)) / 2;
      };
      return (at(move) - at(-move)) / (2 * move) / size;
    });
  }

  // baselines.bayes for independent tasks and white features: ridge regression in each block, penalty sigma^2.
  function bayesPredicts({ counts, r, sigma = 0 }, { x, y, query }) {
    let start = 0;
    return sum(counts.map((count, k) => {
      const [X, Y] = [x.slice(start, start + count), y.slice(start, start + count)];
      start += count;
      const A = query.map((_, a) => query.map((_, b) => sum(X.map((row) => row[a] * row[b])) + (a === b ? sigma ** 2 : 0)));
      return r[k] * dot(query, glalib.solve(A, query.map((_, a) => sum(X.map((row, i) => row[a] * Y[i])))));
    }));
  }

  // wpgd_step of a best point of `free`, `monotone` or another class.
  function pointPredicts({ counts }, { P, omega }, { x, y, query }) {
    const each = omega.length === counts.length ? counts.flatMap((count, k) => Array(count).fill(omega[k])) : omega;
    return P * sum(x.map((row, i) => each[i] * y[i] * dot(row, query)));
  }

  return { normals, samplePrompt, readLayer, layerTokens, layerPredicts, labelWeights, remember, bayesPredicts, pointPredicts };
})());

live.register("layer", (figure) => {
  const { value, data } = figure;
  const number = live.number;
  const [D, HALF, DRAWS] = [5, 20, 500];
  const N = 2 * HALF;
  const NAMES = {
    linear: "Linear attention",
    gla: "Scalar gate, with delimiters",
    "gla-no-delimiters": "Scalar gate, without",
    "gla-vector": "Vector gate, with delimiters",
    delta: "Delta rule, with marks",
  };
  const laws = Object.fromEntries(
    Object.entries({ last: [0.2, 0.8], first: [0.8, 0.2] }).map(([order, r]) => {
      const law = { d: D, counts: [HALF, HALF], r };
      const back = { ...law, r: [r[1], r[0]] };
      return [order, { law, back, best: glalib.free(law) }];
    }),
  );
  const layers = data.map((row) => ({ ...row, layer: glalib.readLayer(row) }));

  figure.setting("model", { start: "gla", options: Object.entries(NAMES) });
  figure.setting("order", { start: "last", options: [["last", "last, r = (0.2, 0.8)"], ["first", "first, r = (0.8, 0.2)"]] });
  figure.setting("swap", { start: "no", options: [["no", "as in training"], ["yes", "exchanged"]] });
  figure.setting("delimiter", { start: "kept", options: [["kept", "kept"], ["dropped", "dropped"]] });
  figure.setting("mark", { start: HALF, from: 0, to: N, step: 1 });
  figure.setting("which", { start: 28, from: 1, to: N, step: 1 });
  figure.setting("shift", { start: [0, 0], from: -20, to: 20, step: 0.1 });
  figure.setting("seed", { start: 22, from: 1, to: 9999, step: 1 }); // a prompt whose example 28 moves the prediction well
  figure.choice("model", { label: "Layer" });
  figure.choice("order", { label: "Trained with the better task" });
  figure.choice("swap", { label: "The two tasks" });
  const between = figure.choice("delimiter", { label: "The delimiter between them" });
  // Short, or the name would wrap with some values and not with others, and the slider move away from the hand.
  const when = (words) => (m) => (untold() ? "never" : m ? `${words} ${m}` : "at the start");
  const telling = figure.slider("mark", { label: "Told of the change", text: when("after"), heard: when("after example") });
  figure.slider("which", { label: "Example to move", text: (i) => `${i}` });
  figure.button("Draw a prompt", () => figure.set({ seed: (value.seed % 9999) + 1, shift: [0, 0] }));
  const counter = figure.button(`Draw ${DRAWS}`, () => {
    if (figure.stop) return figure.later();
    // Once more: of other prompts.
    if (errors.key === key() && errors.means.length >= DRAWS) figure.set({ seed: (value.seed % 9999) + 1, shift: [0, 0] });
    errors = { key: key(), sums: [0, 0, 0], means: [], square: 0 };
    figure.play(DRAWS / 10, (i) => {
      while (errors.means.length < 10 * i) another();
      figure.now();
    });
    figure.now();
  });

  // What a mean of squared errors belongs to; a moved example is one prompt's own.
  const key = () => [value.model, value.order, value.swap, value.delimiter, value.mark, value.seed].join();
  let errors = { key: "", sums: [0, 0, 0], means: [], square: 0 };
  let weighed = {}; // the effective weights, as long as the settings are those they were found at
  let moved = null;
  figure.mend = () => {
    if (moved !== null && moved !== value.which) value.shift = [0, 0];
    moved = value.which;
    // The plane holds what is drawn, and a moved example stays in it.
    const { x, y } = glalib.samplePrompt(law(), seedOf(0));
    const far = (values, least) => Math.max(least, Math.ceil(2 * Math.max(...values.map(Math.abs))) / 2);
    plane = { across: far(x.map(([first]) => first), 3.5), up: far(y, 8) };
    const i = value.which - 1;
    [[handle.spec, x[i][0], plane.across], [handle.spec.second, y[i], plane.up]].forEach(([spec, drawn, edge], k) => {
      spec.from = Math.ceil(10 * (-edge - drawn) - 1e-9) / 10;
      spec.to = Math.floor(10 * (edge - drawn) + 1e-9) / 10;
      value.shift[k] = live.clamp(value.shift[k], spec.from, spec.to) + 0;
    });
    figure.enable(between, value.model === "gla" || value.model === "gla-vector");
    figure.enable(telling, !untold());
  };

  const now = () => layers.find(({ model, order }) => model === value.model && order === value.order);
  const laid = () => laws[value.order];
  const law = () => (value.swap === "yes" ? laid().back : laid().law);
  const dropped = () => value.delimiter === "dropped";
  // Whether nothing tells the layer where the task changes: delimiters do, and marks of the delta rule's tokens.
  const untold = () => value.model === "linear" || value.model === "gla-no-delimiters" || (dropped() && value.model !== "delta");
  const seedOf = (i) => value.seed * 1000 + i;
  const predictions = (prompt) => [
    glalib.layerPredicts(now().layer, prompt, value.mark, dropped()),
    glalib.pointPredicts(laid().law, laid().best, prompt),
    glalib.bayesPredicts(law(), prompt),
  ];

  function another() {
    const prompt = glalib.samplePrompt(law(), seedOf(errors.means.length + 1));
    const each = predictions(prompt).map((f) => (f - prompt.label) ** 2);
    errors.sums = errors.sums.map((sum, k) => sum + each[k]);
    errors.square += each[0] ** 2;
    errors.means.push(errors.sums.map((total) => total / (errors.means.length + 1) / D));
  }

  // The standard error of the layer's mean, over d.
  function uncertain() {
    const n = errors.means.length;
    return Math.sqrt(Math.max(0, errors.square / n - (errors.sums[0] / n) ** 2) / n) / D;
  }

  function shifted() {
    const prompt = glalib.samplePrompt(law(), seedOf(0));
    const i = value.which - 1;
    prompt.drawn = [prompt.x[i][0], prompt.y[i]];
    prompt.x[i] = [prompt.x[i][0] + value.shift[0], ...prompt.x[i].slice(1)];
    prompt.y[i] += value.shift[1];
    return prompt;
  }

  const LOOKS = [["Its prediction", "fill-4 diamond"], ["Best weighted step", "fill-3 square"], ["Bayes predictor", "fill-soft circle"]];
  const SHORT = ["layer", "step", "Bayes"];
  const TOP = { gates: 26, weights: 122, told: 270, plane: 406, means: 642 };
  const HIGH = { gates: 56, weights: 84, plane: 180, means: 150 };
  const stage = figure.stage({ height: () => TOP.means + HIGH.means + 34 });
  const narrow = () => stage.width < 480;
  const heading = (y, words, more = "", less = "") => stage.draw("text", { x: 0, y, class: "soft" }, words + (stage.width < 310 ? "" : narrow() ? less : more));
  let plane = { across: 3.5, up: 8 };
  const left = 34;
  const across = (u) => left + ((live.clamp(u, -plane.across, plane.across) + plane.across) / (2 * plane.across)) * (stage.width - left - 12);
  const up = (v) => TOP.plane + HIGH.plane * (0.5 - live.clamp(v, -plane.up, plane.up) / (2 * plane.up));
  let drawnAt = [0, 0];
  const handle = stage.handle({
    label: "Feature 1 and label of the example",
    from: 0, to: 0, step: 0.1, page: 1, // as far as the frame: figure.mend
    second: { from: 0, to: 0, step: 0.1, get: () => value.shift[1], set: (b) => figure.set({ shift: [value.shift[0], b] }) },
    get: () => value.shift[0],
    set: (a) => figure.set({ shift: [a, value.shift[1]] }),
    at: ({ x, y }) => [
      ((x - left) / (stage.width - left - 12)) * 2 * plane.across - plane.across - drawnAt[0],
      (0.5 - (y - TOP.plane) / HIGH.plane) * 2 * plane.up - drawnAt[1],
    ],
    text: (a, b) => `moved by ${number(a, 1)}, label by ${number(b, 1)}`,
  });

  // Of every token but the query: what the layer keeps, and what the labels count.
  function strip(acts, example, omega) {
    const wide = (stage.width - 8) / example.length;
    const step = acts[0].step !== null;
    if (step) heading(13, "Steps of the tokens", "; the largest fills the height", "; the largest fills the height");
    else heading(13, "Gates", " of the tokens, from 0 to 1; a delimiter\u2019s is wide", ", from 0 to 1; wide, a delimiter\u2019s");
    const [top, bottom] = [TOP.gates, TOP.gates + HIGH.gates];
    for (const y of [top, bottom]) stage.draw("line", { x1: 0, x2: stage.width, y1: y, y2: y, class: "line-faint thin" });
    const largest = Math.max(...acts.map((each) => each.step));
    acts.forEach(({ g, step: own }, t) => {
      const shown = own === null ? g : [own / largest];
      shown.forEach((gate, c) => {
        const y = bottom - HIGH.gates * gate;
        const [from, line] = [(t + 0.12) * wide, example[t] < 0 ? "line-ink wide-line" : c ? "line-3" : "line-soft"];
        stage.draw("line", { x1: from, x2: from + 0.76 * wide, y1: y, y2: y, class: `${line}${c ? " wide-line" : ""}` });
      });
      if (example[t] < 0) {
        const x = (t + 0.5) * wide;
        for (const [y1, y2] of [[top, bottom], [TOP.weights, TOP.weights + HIGH.weights]]) {
          stage.draw("line", { x1: x, x2: x, y1, y2, class: "line-soft dash-2 thin" });
        }
      }
    });
    const most = Math.max(...omega.map(Math.abs)) || 1;
    const middle = TOP.weights + (omega.some((w) => w < -0.02 * most) ? HIGH.weights / 2 : HIGH.weights);
    const high = middle - TOP.weights;
    heading(TOP.weights - 8, "Effective weights of the examples", `; the triangle is example ${value.which}`, `; \u25b2 ${value.which}`);
    stage.draw("line", { x1: 0, x2: stage.width, y1: middle, y2: middle, class: "line-soft thin" });
    example.forEach((i, t) => {
      if (i < 0) return;
      const size = (high * Math.abs(omega[i])) / most;
      const task = (i < HALF) === (value.swap === "no") ? "fill-1" : "fill-2";
      const box = { x: (t + 0.12) * wide, width: 0.76 * wide, y: omega[i] < 0 ? middle : middle - size, height: Math.max(size, 0.5) };
      stage.draw("rect", { ...box, class: task });
      if (i === value.which - 1) live.point(stage, (t + 0.5) * wide, TOP.weights + HIGH.weights + 9, 5, "fill-ink", "triangle");
    });
    const words = value.swap === "yes" ? ["task 2", "task 1"] : ["task 1", "task 2"];
    const place = (i) => (example.indexOf(i) + 0.5) * wide;
    [10, 30].forEach((i, k) => {
      const [at, y] = [place(i), TOP.weights + HIGH.weights + 19];
      // Not upon the triangle of the example to move; with the mark that the task has below.
      const off = Math.abs(place(value.which - 1) - at) < 46 ? (value.which - 1 < i ? 46 : -46) : 0;
      stage.draw("text", { x: at + off, y, class: "middle" }, words[k]);
      live.point(stage, at + off - 30, y - 4.5, 4, `fill-${words[k].at(-1)}`, words[k] === "task 1" ? "circle" : "square");
    });
  }

  // The label and what is predicted, on one line of numbers.
  function told(label, found, before) {
    heading(TOP.told - 12, "The query: label and predictions");
    const rows = [["Label", "fill-ink triangle", label], ...LOOKS.map(([words, mark], k) => [words, mark, found[k]])];
    const [from, to] = [Math.min(150, stage.width * 0.42), stage.width - 54];
    const most = Math.max(2, Math.abs(before), ...rows.map(([, , z]) => Math.abs(z))) * 1.05;
    const at = (z) => from + ((to - from) * (z + most)) / (2 * most);
    stage.draw("line", { x1: at(0), x2: at(0), y1: TOP.told, y2: TOP.told + 96, class: "line-faint" });
    stage.draw("line", { x1: at(label), x2: at(label), y1: TOP.told, y2: TOP.told + 96, class: "line-ink dash-2 thin" });
    rows.forEach(([words, mark, z], i) => {
      const y = TOP.told + 12 + 24 * i;
      const [fill, shape] = mark.split(" ");
      stage.draw("text", { x: from - 10, y: y + 4.5, class: i === 1 ? "end bold" : "end" }, narrow() ? words.replace("weighted ", "") : words);
      // Open: where it was before the example was moved.
      if (i === 1 && before !== z) {
        stage.draw("line", { x1: at(before), x2: at(z), y1: y, y2: y, class: "line-4 thin" });
        live.point(stage, at(before), y, 6, "fill-page line-4", shape);
      }
      live.point(stage, at(z), y, 6, fill, shape);
      stage.draw("text", { x: stage.width, y: y + 4.5, class: "end" }, number(z, 3));
    });
  }

  // The examples in the plane of their first feature and their label; one can be moved.
  function points({ x, y }) {
    const drag = `; drag ${narrow() ? "" : "example "}${value.which}`;
    heading(TOP.plane - 10, "The examples: label against feature 1", drag, drag);
    stage.draw("rect", { x: left, y: TOP.plane, width: stage.width - left - 12, height: HIGH.plane, class: "fill-page line-faint thin" });
    stage.draw("line", { x1: left, x2: stage.width - 12, y1: up(0), y2: up(0), class: "line-faint thin" });
    for (const z of [-5, 0, 5]) stage.draw("text", { x: left - 6, y: up(z) + 4.5, class: "soft end" }, number(z, 0));
    for (const z of [-2, 0, 2]) stage.draw("text", { x: across(z), y: TOP.plane + HIGH.plane + 16, class: "soft middle" }, number(z, 0));
    x.forEach((row, i) => {
      const first = (i < HALF) === (value.swap === "no");
      if (i !== value.which - 1) live.point(stage, across(row[0]), up(y[i]), 4, first ? "fill-1" : "fill-2", first ? "circle" : "square");
    });
    const i = value.which - 1;
    handle.place(across(x[i][0]), up(y[i]));
    handle.node.setAttribute("aria-label", `Feature 1 and label of example ${value.which}`);
    // Its number stands where other marks are farthest, within the frame.
    const [x0, y0] = [across(x[i][0]), up(y[i])];
    const others = x.flatMap((row, j) => (j === i ? [] : [[across(row[0]), up(y[j])]]));
    const free = ([a, b]) => Math.min(40, ...others.map(([u, v]) => Math.hypot(Math.max(0, Math.abs(u - a) - 9), Math.max(0, Math.abs(v - b) - 6))));
    const inside = ([a, b]) => a > left + 12 && a < stage.width - 24 && b > TOP.plane + 9 && b < TOP.plane + HIGH.plane - 9;
    const places = [[22, -12], [22, 13], [-22, -12], [-22, 13], [0, -20], [0, 20], [24, 0], [-24, 0]].map(([a, b]) => [x0 + a, y0 + b]);
    const best = places.filter(inside).reduce((most, each) => (free(each) > free(most) + 1 ? each : most));
    stage.draw("text", { x: best[0], y: best[1] + 4.5, class: "bold middle clear" }, String(value.which));
  }

  // What the risks are known to be: of the layer the line of its class, as long as prompts are those of its training.
  function levels() {
    const asTrained = value.swap === "no" && value.mark === HALF && !(dropped() && value.model.startsWith("gla") && value.model !== "gla-no-delimiters");
    return [
      asTrained ? now().theory : null,
      glalib.populationRisk(law(), laid().best.P, laid().best.omega) / D,
      glalib.bayesRisk(law()) / D,
    ];
  }

  function means(known) {
    const drawn = errors.key === key() ? errors.means : [];
    heading(TOP.means - 10, "Mean squared error / d", " over drawn prompts; dashed, the risks by theory", "; dashed, by theory");
    const [right, bottom] = [stage.width - (narrow() ? 82 : 200), TOP.means + HIGH.means];
    const last = drawn.at(-1) ?? [];
    const most = Math.max(1, ...known.map((z) => (z ?? 0) * 1.2), ...last.map((z) => 1.3 * z));
    const y = (z) => bottom - (HIGH.means * Math.min(z, most)) / most;
    const x = (i) => left + ((right - left) * i) / DRAWS;
    stage.draw("rect", { x: left, y: TOP.means, width: right - left, height: HIGH.means, class: "fill-page line-faint thin" });
    for (const z of [0, 0.5, 1]) stage.draw("text", { x: left - 6, y: y(z) + 4.5, class: "soft end" }, number(z, 1));
    for (const z of [0, DRAWS]) stage.draw("text", { x: x(z), y: bottom + 16, class: "soft middle" }, String(z));
    const lines = ["line-4", "line-3", "line-soft"];
    const ends = [];
    LOOKS.forEach(([words, mark], k) => {
      if (known[k] !== null) stage.draw("line", { x1: left, x2: right, y1: y(known[k]), y2: y(known[k]), class: `${lines[k]} dash-1 thin` });
      const path = drawn.map((means, i) => `${x(i + 1).toFixed(1)},${y(means[k]).toFixed(1)}`);
      if (drawn.length) stage.draw("polyline", { points: path.join(" "), class: lines[k] });
      const z = drawn.length ? last[k] : known[k];
      if (z === null) return;
      const [fill, shape] = mark.split(" ");
      ends.push({ at: y(z), words: `${narrow() ? SHORT[k] : words} ${number(z)}`, fill, shape, from: x(drawn.length || DRAWS) });
    });
    ends.sort((a, b) => a.at - b.at || (a.fill === "fill-4" ? -1 : 1));
    ends.forEach((end, i) => (end.text = Math.max(end.at, i ? ends[i - 1].text + 17 : 0)));
    ends.reverse().forEach(({ at, words, fill, shape, from, text }) => {
      live.point(stage, from, at, fill === "fill-4" ? 5.5 : 4.5, fill, shape); // the layer's own above the others
      stage.draw("text", { x: right + 8, y: text + 4.5 }, words);
    });
    return drawn;
  }

  function sentence(found, label, drawn, known, before, pull) {
    const blind = untold() ? " Nothing tells it where the task changes." : "";
    const example = `example ${value.which}`;
    const follows = Math.abs(pull) < 0.005 ? "hardly moves it" : `moves it by ${number(pull)}`;
    const led = value.shift.some((z) => z) ? `, and ${number(before)} before ${example} was moved` : `; one more on the label of ${example} ${follows}`;
    const start = `${NAMES[value.model]}: it predicts ${number(found[0])} where the label is ${number(label)}${led}.${blind}`;
    if (!drawn.length) return start;
    const line = known[0] === null ? "" : `; the least of its kind is ${number(known[0])}`;
    const [own, step, bayes] = drawn.at(-1).map((z) => number(z));
    return `${start} Over ${drawn.length} prompts its mean squared error is ${own} ± ${number(uncertain())}${line}. The best weighted step has ${step}, the Bayes predictor ${bayes}.`;
  }

  return () => {
    const prompt = shifted();
    drawnAt = prompt.drawn;
    const own = (given) => glalib.layerPredicts(now().layer, given, value.mark, dropped());
    const before = value.shift.some((z) => z) ? own(glalib.samplePrompt(law(), seedOf(0))) : own(prompt);
    const pull = own({ ...prompt, y: prompt.y.map((label, i) => label + Number(i === value.which - 1)) }) - own(prompt);
    const { rows, example } = glalib.layerTokens(value.model, prompt, value.mark, dropped());
    const { acts } = glalib.remember(now().layer, rows);
    const shown = JSON.stringify(value);
    if (weighed.shown !== shown) weighed = { shown, omega: glalib.labelWeights(now().layer, prompt, value.mark, dropped()) };
    const omega = weighed.omega;
    const found = predictions(prompt);
    const known = levels();
    strip(acts, example, omega);
    told(prompt.label, found, before);
    points(prompt);
    const drawn = means(known);
    counter.textContent = figure.stop && drawn.length < DRAWS ? "Stop" : `Draw ${DRAWS}`;
    stage.label(`Gates and effective weights of ${rows.length} tokens, predictions at the query, the examples, and mean squared errors.`);
    figure.say(sentence(found, prompt.label, drawn, known, before, pull));
    const gates = acts.map(({ g, step }) => step ?? g);
    figure.show({ prompt, gates, omega, label: prompt.label, predictions: found, before, pull, levels: known, drawn: drawn.length, means: drawn.at(-1) ?? null });
  };
});
