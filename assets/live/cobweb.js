// The stationary points of the risk for up to three tasks and three groups of equal features: fixed points of one function.

// What it computes, added to `window.glalib`; a law here is {counts, r, R, s, times, M}: eigenvalue s[i] of Sigma times[i]
// times, M = sigma^2 + tr Sigma. Every function says its twin.
Object.assign(window.glalib, (() => {
  const EPS = 2 ** -52;
  const sum = (values) => values.reduce((total, x) => total + x, 0);
  const dot = (a, b) => sum(a.map((x, i) => x * b[i]));
  const largest = (values) => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

  // L with L L^T = R, of a correlation matrix that is not singular: numpy.linalg.cholesky.
  function cholesky(R) {
    const L = R.map((row) => row.map(() => 0));
    R.forEach((row, i) => {
      for (let j = 0; j <= i; j++) {
        const rest = row[j] - dot(L[i].slice(0, j), L[j].slice(0, j));
        L[i][j] = i === j ? Math.sqrt(rest) : rest / L[j][j];
      }
    });
    return L;
  }

  // spectra.task_spectrum: eigenvalues lam of D R D = B B^T with B = D L, and a = E^T D r; E too. Columns of B are turned in
  // pairs until they are orthogonal, which keeps the digits of small ones beside large ones. r = L z.
  function taskSpectrum({ counts, r, R }) {
    const L = cholesky(R);
    const z = [];
    for (let i = 0; i < r.length; i++) z.push((r[i] - dot(L[i].slice(0, i), z)) / L[i][i]);
    const columns = z.map((_, j) => L.map((row, i) => Math.sqrt(counts[i]) * row[j])); // of B V
    for (let turned = true, round = 0; turned && round < 60; round++) {
      turned = false;
      for (let i = 0; i < z.length; i++) {
        for (let j = i + 1; j < z.length; j++) {
          const [x, y] = [columns[i], columns[j]];
          const [xx, xy, yy] = [dot(x, x), dot(x, y), dot(y, y)];
          if (Math.abs(xy) <= EPS * Math.sqrt(xx * yy)) continue;
          turned = true;
          const half = (yy - xx) / (2 * xy);
          const tan = (half < 0 ? -1 : 1) / (Math.abs(half) + Math.hypot(1, half));
          const cos = 1 / Math.hypot(1, tan);
          const turn = (p, q) => [cos * (p - tan * q), cos * (q + tan * p)];
          x.forEach((_, k) => ([x[k], y[k]] = turn(x[k], y[k])));
          [z[i], z[j]] = turn(z[i], z[j]); // V^T z
        }
      }
    }
    const size = columns.map((x) => Math.sqrt(dot(x, x)));
    return { lam: size.map((x) => x * x), a: size.map((x, i) => x * z[i]), E: columns.map((x, i) => x.map((y) => y / size[i])) };
  }

  // What all functions below need, found once.
  function spectraOf(law) {
    const tasks = taskSpectrum(law);
    const most = largest(tasks.a);
    return { ...law, ...tasks, unit: tasks.a.map((x) => x / most) };
  }

  // The weights of h1, and of m = h2 M / (1 - h2).
  const weightsOfTasks = ({ lam, unit }, h) => unit.map((a, i) => (a / (1 + lam[i] * h)) ** 2);
  function weightsOfFeatures({ s, times, M }, gamma) {
    const terms = s.map((x) => x / (M + gamma * x));
    const most = largest(terms);
    return terms.map((x, i) => times[i] * (x / most) ** 2);
  }

  // risk.h1 and risk.h2
  function h1(law, h) {
    const u = weightsOfTasks(law, h);
    return dot(u, law.lam) / sum(u);
  }

  function h2(law, gamma) {
    const v = weightsOfFeatures(law, gamma);
    const m = dot(v, law.s) / sum(v);
    return m / (law.M + m);
  }

  const fixedPointMap = (law, gamma) => 1 + h1(law, h2(law, gamma));

  // risk.slope, F'(gamma): of two covariances.
  function slope(law, gamma) {
    const covariance = (x, y, w) => {
      const [mx, my] = [dot(w, x) / sum(w), dot(w, y) / sum(w)];
      return sum(w.map((p, i) => p * (x[i] - mx) * (y[i] - my))) / sum(w);
    };
    const { lam, s, M } = law;
    const h = h2(law, gamma);
    const v = weightsOfFeatures(law, gamma);
    const m = dot(v, s) / sum(v);
    const dh1 = -2 * covariance(lam, lam.map((x) => x / (1 + x * h)), weightsOfTasks(law, h));
    return ((dh1 * -2 * M) / (M + m) ** 2) * covariance(s, s.map((x) => x / (M + gamma * x)), v);
  }

  // risk.best_P at the weights (h R + I)^-1 r: their gamma, and the risk, in a form that keeps its digits near zero.
  function alongBestWeights(law, h) {
    const { counts, r, R, s, times, M, lam, a, E } = law;
    const y = counts.map((_, k) => sum(E.map((e, i) => (e[k] * a[i]) / (1 + lam[i] * h)))); // sqrt(count) omega
    const sums = y.map((x, k) => x * Math.sqrt(counts[k]));
    const ww = dot(y, y);
    const among = (entry) => Math.max(0, sum(sums.map((x, i) => x * sum(sums.map((z, j) => entry(i, j) * z)))));
    const gamma = 1 + among((i, j) => R[i][j]) / ww;
    const own = 1 + among((i, j) => R[i][j] - r[i] * r[j]) / ww;
    const noise = M - dot(times, s);
    const risk = Math.max(noise, 0) + sum(s.map((x, i) => times[i] * x * ((M + own * x) / (M + gamma * x))));
    return { gamma, risk: Math.min(risk, M) };
  }

  // fixed_points.fixed_points: all of a function that does not decrease, on [low, high], which it maps into itself.
  function fixedPoints(F, low, high, resolution = 1e-7, rounding = 64 * EPS) {
    const ends = [low, high];
    for (let parts = [[low, high]]; parts.length; ) {
      const left = [];
      const many = parts.length > 2 ** 17;
      for (let [a, b] of parts) {
        [a, b] = [Math.max(a, F(a) * (1 - rounding)), Math.min(b, F(b) * (1 + rounding))];
        if (b - a <= Math.max(resolution * b, 2 ** -1022) || many) {
          if (a <= b) ends.push(a, b);
        } else left.push([a, (a + b) / 2], [(a + b) / 2, b]);
      }
      parts = left;
    }
    const x = [...new Set(ends)].sort((p, q) => p - q);
    const excess = x.map((p) => F(p) - p);
    const clear = x.map((_, i) => i).filter((i) => Math.abs(excess[i]) > 4 * rounding * x[i]);
    const signs = [1, ...clear.map((i) => Math.sign(excess[i])), -1];
    const found = [];
    [-1, ...clear].forEach((i, at) => {
      const [start, stop] = [Math.max(i, 0), Math.min(clear[at] ?? x.length, x.length - 1)];
      let nearest = start;
      for (let k = start; k <= stop; k++) if (Math.abs(excess[k]) < Math.abs(excess[nearest])) nearest = k;
      if (signs[at] === signs[at + 1]) {
        if (Math.abs(excess[nearest]) <= rounding * x[nearest]) found.push(x[nearest]);
      } else found.push(excess[start] * excess[stop] < 0 ? crossing(F, x[start], x[stop]) : x[nearest]);
    });
    return found;
  }

  // Where F(x) - x changes its sign between a and b, by halves, to the last digit.
  function crossing(F, a, b) {
    const above = F(a) > a;
    for (let i = 0; i < 100; i++) {
      const middle = (a + b) / 2;
      if (middle <= a || middle >= b) break;
      if (F(middle) > middle === above) a = middle;
      else b = middle;
    }
    return (a + b) / 2;
  }

  // optima.stationary_points, by increasing gamma: gamma, F' and the risk.
  function stationaryPoints(given) {
    const law = spectraOf(given);
    const found = fixedPoints((gamma) => fixedPointMap(law, gamma), 1, 1 + largest(law.lam));
    return found.map((gamma) => ({ gamma, slope: slope(law, gamma), risk: alongBestWeights(law, h2(law, gamma)).risk }));
  }

  return { spectraOf, h1, h2, fixedPointMap, slope, alongBestWeights, fixedPoints, stationaryPoints };
})());

live.register("cobweb", (figure) => {
  const { value } = figure;
  const grid = (from, to) => {
    const found = [];
    for (let e = -5; e <= 7; e++) for (const m of [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8]) found.push(Number(`${m}e${e}`));
    return found.filter((x) => x >= from && x <= to);
  };
  const whole = (to) => grid(1, to).filter((x) => Number.isInteger(x));
  const THREE = { n1: 1, n2: 1000, n3: 0, r2: 0.6, r3: 0.5, R12: 0, d2: 300, s2: 0.003, d3: 0, s3: 0.00025, noise: 0, from: 0.6 };
  const FIVE = { ...THREE, n2: 60000, n3: 4e6, r2: 0.3, d2: 25, s2: 0.02, d3: 300, noise: 0.55, from: 0.51 };
  const start = { ...THREE, n2: 30, from: 1 };
  for (const n of ["n1", "n2"]) figure.setting(n, { start: start[n], values: whole(1e7) });
  figure.setting("n3", { start: 0, values: [0, ...whole(1e7)] });
  for (const r of ["r2", "r3"]) figure.setting(r, { start: start[r], values: grid(0.01, 100) });
  figure.setting("R12", { start: 0, values: Array.from({ length: 39 }, (_, i) => (i - 19) / 20) });
  figure.setting("d2", { start: start.d2, values: whole(1000) });
  figure.setting("d3", { start: 0, values: [0, ...whole(1000)] });
  for (const s of ["s2", "s3"]) figure.setting(s, { start: start[s], values: grid(1e-5, 1) });
  figure.setting("noise", { start: 0, from: 0, to: 0.9, step: 0.05 });
  figure.setting("from", { start: start.from, from: 0, to: 1, step: 0.005 }); // of the way from 1 to 1 + lambda_max, in logarithms

  const many = (x) => (x ? digits(x) : "none");
  const short = (x) => (x < 1e6 ? many(x) : x === 1e7 ? "10\u2077" : `${x / 1e6}\u00b710\u2076`); // beside a name, on a phone
  const two = (x) => live.number(x);
  figure.controls.classList.add("live-narrow");
  figure.slider("n1", { label: "n\u2081, examples", text: short, heard: many });
  figure.slider("n2", { label: "n\u2082, examples", text: short, heard: many });
  figure.slider("n3", { label: "n\u2083, examples", text: short, heard: many });
  figure.slider("r2", { label: "r\u2082 / r\u2081, relevance" });
  figure.slider("r3", { label: "r\u2083 / r\u2081, relevance" });
  figure.slider("R12", { label: "R\u2081\u2082, correlation", text: two });
  figure.slider("d2", { label: "d\u2082, directions", text: many });
  figure.slider("s2", { label: "s\u2082 of each", text: small });
  figure.slider("noise", { label: "\u03c3\u00b2 / M, noise", text: two });
  figure.slider("d3", { label: "d\u2083, directions", text: many });
  figure.slider("s3", { label: "s\u2083 of each", text: small });
  figure.button("Three crossings", () => figure.set(THREE));
  figure.button("Five crossings", () => figure.set(FIVE));

  // The query's task is a mixture of the others, as far as relevances alone say: r^T R^-1 r = 1.
  function law() {
    const { n1, n2, n3, r2, r3, R12, d2, d3, s2, s3, noise } = value;
    const K = n3 ? 3 : 2;
    const counts = [n1, n2, n3].slice(0, K);
    const R = [[1, R12, 0], [R12, 1, 0], [0, 0, 1]].slice(0, K).map((row) => row.slice(0, K));
    const size = Math.sqrt((1 - 2 * R12 * r2 + r2 * r2) / (1 - R12 * R12) + (n3 ? r3 * r3 : 0));
    const r = [1, r2, r3].slice(0, K).map((x) => x / size);
    const [s, times] = d3 ? [[1, s2, s3], [1, d2, d3]] : [[1, s2], [1, d2]];
    return { counts, r, R, s, times, M: s.reduce((total, x, i) => total + x * times[i], 0) / (1 - noise) };
  }

  const MAP = (width) => Math.round(live.clamp(0.6 * width, 250, 360)); // height of the upper panel
  const RISK = 120;
  const LEFT = 50;
  const stage = figure.stage({ height: (width) => MAP(width) + RISK + 84 });
  const table = figure.root.appendChild(live.element("div", { class: "live-rows" }));
  let top = Math.E; // 1 + lambda_max
  const right = () => stage.width - 12;
  const x = (gamma) => LEFT + ((right() - LEFT) * Math.log(gamma)) / Math.log(top);
  const y = (gamma) => 22 + (MAP(stage.width) - 22) * (1 - Math.log(gamma) / Math.log(top));
  const begin = () => top ** value.from;
  const handle = stage.handle({
    label: "Where the staircase starts", from: 0, to: 1, step: 0.005, page: 0.05, orientation: "horizontal",
    get: () => value.from,
    set: (from) => figure.set({ from }),
    at: (point) => (point.x - LEFT) / (right() - LEFT),
    text: () => `\u03b3 = ${digits(begin())}`,
  });

  const raised = (e) => [...String(Math.abs(e))].map((d) => "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[d]).join("");
  const power = (e) => (e < 4 ? String(10 ** e) : `10${raised(e)}`);

  // Some four digits.
  function digits(z) {
    if (z >= 1e6) return `${Number((z / 1e6).toPrecision(4))}\u00a0million`;
    if (Number.isInteger(z) || z >= 1000) return Math.round(z).toLocaleString("en");
    return live.number(z, z >= 100 ? 1 : 2);
  }

  function small(x) {
    const e = Math.floor(Math.log10(x) + 1e-9);
    return x >= 0.001 ? String(x) : `${Number((x / 10 ** e).toPrecision(2))}\u00b710\u207b${raised(e)}`;
  }

  const line = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(2)} ${b.toFixed(2)}`).join("");

  function axes() {
    const [low, end] = [MAP(stage.width), stage.height - 34];
    const apart = Math.ceil(Math.log10(top) / (stage.width < 480 ? 5 : 9));
    for (let e = 0; 10 ** e <= top * 1.0001; e += apart) {
      const at = x(10 ** e);
      stage.draw("line", { x1: at, x2: at, y1: 22, y2: low, class: "line-faint thin" });
      stage.draw("line", { x1: at, x2: at, y1: low + 28, y2: end, class: "line-faint thin" });
      stage.draw("line", { x1: LEFT, x2: right(), y1: y(10 ** e), y2: y(10 ** e), class: "line-faint thin" });
      const last = at > right() - 6; // within the drawing
      stage.draw("text", { x: last ? stage.width : at, y: end + 16, class: last ? "soft end" : "soft middle" }, power(e));
      stage.draw("text", { x: LEFT - 6, y: y(10 ** e) + 4, class: "soft end" }, power(e));
    }
    stage.draw("text", { x: right(), y: end + 31, class: "soft end" }, "\u03b3");
    stage.draw("text", { x: 0, y: 12, class: "soft" }, "F(\u03b3), and the diagonal (dashed)");
    stage.draw("text", { x: 0, y: low + 22, class: "soft" }, "risk / M along the best weights");
    stage.draw("path", { d: line([[x(1), y(1)], [x(top), y(top)]]), class: "line-soft dash-1" });
  }

  // gamma -> F(gamma) from the start: up or down to the curve, across to the diagonal; and how many steps bring it within one
  // per cent of the fixed point that it comes to.
  function staircase(spectra, points) {
    const F = (gamma) => glalib.fixedPointMap(spectra, gamma);
    let gamma = begin();
    const rises = F(gamma) >= gamma;
    const ahead = points.map((point, i) => [point.gamma, i]).filter(([z]) => (rises ? z >= gamma * (1 - 1e-9) : z <= gamma * (1 + 1e-9)));
    const end = (rises ? ahead[0] : ahead.at(-1))?.[1] ?? (rises ? points.length - 1 : 0);
    const path = [[x(gamma), y(gamma)]];
    let steps = 0;
    while (Math.abs(gamma / points[end].gamma - 1) > 0.01 && steps < 10_000) {
      const next = F(gamma);
      if (steps < 300) path.push([x(gamma), y(next)], [x(next), y(next)]);
      gamma = next;
      steps += 1;
    }
    stage.draw("path", { d: line(path), class: "line-2" });
    return { end, steps };
  }

  // The risk of (h R + I)^-1 r with the best P for it, over its gamma.
  function valleys(spectra, points) {
    const alive = spectra.lam.filter((_, i) => spectra.a[i]);
    const [from, to] = [Math.log(1e-3 / Math.max(...alive)), Math.log(1e3 / Math.min(...alive))];
    const walk = Array.from({ length: 301 }, (_, i) => glalib.alongBestWeights(spectra, Math.exp(from + ((to - from) * i) / 300)));
    const all = [...walk, ...points].map(({ risk }) => risk / spectra.M);
    const low = Math.min(...all);
    // Valleys are shallow beside the rims: what is much higher than all points is left out.
    const rim = points.length > 1 ? low + 2 * (Math.max(...points.map(({ risk }) => risk)) / spectra.M - low) : 1;
    const high = Math.min(Math.max(...all), rim);
    const flat = high - low < 1e-9;
    const [above, below] = [MAP(stage.width) + 36, stage.height - 46];
    const place = (risk) => (flat ? (above + below) / 2 : above + ((below - above) * (high - risk / spectra.M)) / (high - low));
    const seen = walk.filter(({ risk }) => risk / spectra.M <= high + 1e-12);
    stage.draw("path", { d: line(seen.map(({ gamma, risk }) => [x(gamma), place(risk)])), class: "line-1 wide-line" });
    for (const risk of flat ? [low] : [low, high]) {
      stage.draw("text", { x: LEFT - 6, y: place(risk * spectra.M) + 4, class: "soft end" }, live.number(risk, 3));
    }
    return place;
  }

  const COUNT = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven"];

  function mark(cx, cy, point, number, label) {
    const solid = point.slope < 1;
    stage.draw("circle", { cx, cy, r: 5.5, class: `${solid ? "fill-ink" : "fill-page"} line-ink` });
    const [off, look] = cx < right() - 8 ? [9, "bold"] : [-9, "bold end"];
    if (label) stage.draw("text", { x: cx + off, y: cy + 17, class: look }, String(number));
  }

  function list(points, M, best) {
    const cells = (tag, texts) => live.element("tr", {}, ...texts.map((text) => live.element(tag, tag === "th" ? { scope: "col" } : {}, text)));
    const rows = points.map((point, i) =>
      cells("td", [String(i + 1), digits(point.gamma), live.number(point.slope), live.number(point.risk / M, 4),
        i === best ? "global minimum" : point.slope < 1 ? "local minimum" : "saddle"]));
    const head = live.element("thead", {}, cells("th", ["", "\u03b3", "F\u2032", "risk / M", ""]));
    table.replaceChildren(live.element("table", {}, head, live.element("tbody", {}, ...rows)));
  }

  return () => {
    const given = law();
    const spectra = glalib.spectraOf(given);
    const points = glalib.stationaryPoints(given);
    top = 1 + Math.max(...spectra.lam);
    axes();
    const curve = Array.from({ length: 401 }, (_, i) => top ** (i / 400));
    stage.draw("path", { d: line(curve.map((z) => [x(z), y(glalib.fixedPointMap(spectra, z))])), class: "line-1 wide-line" });
    const { end, steps } = staircase(spectra, points);
    const place = valleys(spectra, points);
    const best = points.reduce((least, point, i) => (point.risk < points[least].risk ? i : least), 0);
    points.forEach((point, i) => {
      mark(x(point.gamma), y(point.gamma), point, i + 1, true);
      mark(x(point.gamma), place(point.risk), point, i + 1, false);
    });
    handle.place(x(begin()), y(begin()));
    list(points, given.M, best);
    const minima = points.filter(({ slope }) => slope < 1).length;
    const crossings = `${COUNT[points.length]} crossing${points.length > 1 ? "s" : ""}`;
    const what = points.length === 1 ? "" : `, ${COUNT[minima].toLowerCase()} of them minima`;
    const where = points.length === 1 ? "it" : `crossing ${end + 1}`;
    const goes = `From \u03b3 = ${digits(begin())} the staircase comes to ${where}, within one per cent in ${steps} step${steps === 1 ? "" : "s"}`;
    const judged = end === best ? "." : points[end].slope < 1 ? `: a minimum, but not the global one, which is at crossing ${best + 1}.` : ": a saddle.";
    figure.say(`${crossings}${what}. ${goes}${judged}`);
    stage.label(`F and the diagonal cross at ${points.map(({ gamma }) => digits(gamma)).join(", ")}; below, the risk.`);
    const columns = (name) => points.map((point) => point[name]);
    figure.show({ gamma: columns("gamma"), slope: columns("slope"), risk: columns("risk"), M: given.M, best, end, steps });
  };
});
