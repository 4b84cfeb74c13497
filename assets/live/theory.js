// The book's formulas in the page: `window.glalib`, pure functions of numbers, in float64. Each says its twin in Python,
// which it is held to. Features and task vectors are white, Sx = C = I, so that M = d + sigma^2 and every risk is in the
// units of M, not divided by d.
//
// A law of prompts is {d, counts, r, R, sigma}: counts, r of length K, R a K x K array of arrays; the identity, and
// sigma = 0, where they are left out.
window.glalib = (() => {
  const sum = (values) => values.reduce((total, x) => total + x, 0);
  const dot = (a, b) => sum(a.map((x, i) => x * b[i]));
  const largest = (values) => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const unit = (values) => values.map((x) => x / largest(values)); // only directions matter: risk.unit
  const identity = (K) => Array.from({ length: K }, (_, i) => Array.from({ length: K }, (_, j) => Number(i === j)));
  const quadratic = (A, x) => sum(A.map((row, i) => x[i] * dot(row, x)));

  // distribution.PromptDistribution
  function promptDistribution({ d, counts, r, R = identity(counts.length), sigma = 0 }) {
    return { d, counts, r, R, sigma, K: counts.length, n: sum(counts), M: d + sigma ** 2 };
  }

  // For two tasks: whether [[R, r], [r^T, 1]] is positive semidefinite, as spectra.check_joint asks.
  function possible(r, R12) {
    return 1 - R12 ** 2 - r[0] ** 2 - r[1] ** 2 + 2 * R12 * r[0] * r[1] >= -1e-15;
  }

  // numpy.linalg.solve, by elimination with pivots.
  function solve(A, b) {
    const rows = A.map((row, i) => [...row, b[i]]);
    const K = b.length;
    for (let i = 0; i < K; i++) {
      let pivot = i;
      for (let j = i + 1; j < K; j++) if (Math.abs(rows[j][i]) > Math.abs(rows[pivot][i])) pivot = j;
      [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
      for (let j = i + 1; j < K; j++) {
        const factor = rows[j][i] / rows[i][i];
        for (let k = i; k <= K; k++) rows[j][k] -= factor * rows[i][k];
      }
    }
    const x = Array(K).fill(0);
    for (let i = K - 1; i >= 0; i--) {
      x[i] = (rows[i][K] - sum(x.map((value, j) => (j > i ? rows[i][j] * value : 0)))) / rows[i][i];
    }
    return x;
  }

  // PromptDistribution.block_sums: sums over each block, and |w|^2. omega per task, or per example.
  function blockSums(law, omega) {
    if (omega.length === law.K) return { sums: omega.map((w, k) => w * law.counts[k]), ww: dot(law.counts, omega.map((w) => w * w)) };
    let start = 0;
    const sums = law.counts.map((count) => sum(omega.slice(start, (start += count))));
    return { sums, ww: dot(omega, omega) };
  }

  // risk.predictor: the risk with the best P for weights of these block sums and this |w|^2, in the form that keeps its
  // digits near zero; and gamma, and the size of P, a multiple of the identity.
  function riskOfSums(law, sums, ww) {
    const { d, r, R, sigma, M } = law;
    const rw = dot(r, sums);
    const own = ww + Math.max(0, quadratic(R.map((row, i) => row.map((x, j) => x - r[i] * r[j])), sums));
    const gamma = 1 + Math.max(0, quadratic(R, sums)) / ww;
    const risk = Math.min(sigma ** 2 + d * ((M + own / ww) / (M + gamma)), M);
    return { risk, gamma, P: rw / ww / (M + gamma) };
  }

  // optima.optimal_wpgd(dist, omega): the best P for given weights, per task or per example. All zero: nothing is
  // predicted, and the risk is M.
  function bestP(given, omega) {
    const law = promptDistribution(given);
    if (!largest(omega)) return { risk: law.M, gamma: 1, P: 0, omega };
    const direction = unit(omega);
    const { sums, ww } = blockSums(law, direction);
    const found = riskOfSums(law, sums, ww);
    return { ...found, omega: direction };
  }

  // risk.population_risk for P = p I.
  function populationRisk(given, p, omega) {
    const law = promptDistribution(given);
    const { sums, ww } = blockSums(law, omega);
    const rw = dot(law.r, sums);
    const own = ww + Math.max(0, quadratic(law.R.map((row, i) => row.map((x, j) => x - law.r[i] * law.r[j])), sums));
    return law.sigma ** 2 + law.d * ((1 - rw * p) ** 2 + law.M * ww * p ** 2 + own * p ** 2);
  }

  // The root of E |S|^2, for the memory S = sum omega_i y_i x_i^T: the part of risk.population_risk that P = I squares.
  function stateSize(given, omega) {
    const law = promptDistribution(given);
    const { sums, ww } = blockSums(law, omega);
    return Math.sqrt(law.d * ((law.M + 1) * ww + Math.max(0, quadratic(law.R, sums))));
  }

  // gates.gates_to_weights: g_1, ..., g_n and the query's. The weight of an example is the product of the gates after it.
  function gatesToWeights(gates) {
    const omega = Array(gates.length - 1);
    let product = 1;
    for (let i = gates.length - 2; i >= 0; i--) omega[i] = product *= gates[i + 1];
    return omega;
  }

  // optima.optimal_wpgd(dist, "uniform"): linear attention.
  const uniform = (law) => bestP(law, law.counts.map(() => 1));

  // (h R N + I) omega = r with h = 1 / (M + 1): risk.best_omega, and risk.h2, which is constant for white features. So
  // there is one stationary point.
  function system(law) {
    const h = 1 / (law.M + 1);
    return law.R.map((row, i) => row.map((x, j) => h * x * law.counts[j] + Number(i === j)));
  }

  // optima.optimal_wpgd(dist, "free").
  function free(given) {
    const law = promptDistribution(given);
    if (!largest(law.r)) return uniform(law);
    return bestP(law, solve(system(law), unit(law.r)));
  }

  // optima.optimal_wpgd(dist, "monotone"): 0 <= omega_1 <= ... <= omega_K, for P of either sign. As h is constant, the best
  // weights minimise a convex quadratic over increments z >= 0; of every set of them the best is one linear system.
  function monotone(given) {
    const law = promptDistribution(given);
    if (!largest(law.r)) return uniform(law);
    const { K, counts } = law;
    const A = system(law).map((row, i) => row.map((x) => x * counts[i])); // N (h R N + I), symmetric
    const tail = (i, j) => sum(A.slice(i).map((row) => sum(row.slice(j)))); // L^T A L
    let best = null;
    for (const sign of [1, -1]) {
      const b = counts.map((count, k) => sign * count * unit(law.r)[k]);
      for (let set = 1; set < 2 ** K; set++) {
        const on = counts.map((_, i) => i).filter((i) => set & (1 << i));
        const z = solve(on.map((i) => on.map((j) => tail(i, j))), on.map((i) => sum(b.slice(i))));
        if (z.some((x) => !(x >= 0)) || !largest(z)) continue;
        const point = bestP(law, counts.map((_, k) => sum(on.map((i, at) => (i <= k ? z[at] : 0)))));
        if (!best || point.risk < best.risk) best = point;
      }
    }
    return best;
  }

  // constant_gate.geometric: 1 + e^-t + ... + e^-(m-1)t.
  const geometric = (m, t) => (t > 0 ? Math.expm1(-m * t) / Math.expm1(-t) : m);

  // The block sums at the constant gate e^-t, as of optima._constant, up to a factor; at t = Infinity, the last example.
  function constantSums(law, t) {
    if (t === Infinity) return { sums: law.counts.map((_, k) => Number(k === law.K - 1)), ww: 1 };
    let after = law.n;
    const sums = law.counts.map((count) => Math.exp(-(after -= count) * t) * geometric(count, t));
    return { sums, ww: geometric(law.n, 2 * t) };
  }

  // optima.optimal_wpgd(dist, "constant-gate"): the best gate e^-t of all. Its twin bounds what lies between two gates; here
  // the gain is looked at 24 times in every doubling of t, and refined about each of its peaks. It is made of K sums of
  // exponentials with rates up to n, so a peak is no narrower than that.
  function constantGate(given) {
    const law = promptDistribution(given);
    if (!largest(law.r)) return { risk: law.M, gate: 0 };
    const at = (t) => {
      const { sums, ww } = constantSums(law, t);
      return riskOfSums(law, sums, ww).risk;
    };
    const from = Math.log(1e-5 / law.n);
    const steps = Math.ceil((24 * (Math.log(40) - from)) / Math.LN2);
    const places = Array.from({ length: steps + 1 }, (_, i) => from + ((Math.log(40) - from) * i) / steps);
    const risks = places.map((z) => at(Math.exp(z)));
    let best = at(0) <= at(Infinity) ? { risk: at(0), gate: 1 } : { risk: at(Infinity), gate: 0 };
    for (let i = 1; i < steps; i++) {
      if (risks[i] > risks[i - 1] || risks[i] > risks[i + 1]) continue;
      const z = minimum((x) => at(Math.exp(x)), places[i - 1], places[i + 1]);
      const risk = at(Math.exp(z));
      if (risk < best.risk) best = { risk, gate: Math.exp(-Math.exp(z)) };
    }
    return best;
  }

  // Where f, with one minimum between a and b, has it: by golden sections, until rounding hides it.
  function minimum(f, a, b) {
    const golden = (Math.sqrt(5) - 1) / 2;
    let [x, y] = [b - golden * (b - a), a + golden * (b - a)];
    let [fx, fy] = [f(x), f(y)];
    for (let i = 0; i < 80 && b - a > 1e-9; i++) {
      if (fx <= fy) {
        [b, y, fy] = [y, x, fx];
        x = b - golden * (b - a);
        fx = f(x);
      } else {
        [a, x, fx] = [x, y, fy];
        y = a + golden * (b - a);
        fy = f(y);
      }
    }
    return fx <= fy ? x : y;
  }

  // delta/risk.py, delta_rule_risk at the best scale; steps per task or per example. The law of delta/law.py, for keys that are
  // white features: u = E |b|^2, and g_l = E b^T beta_l / d for every task, the query's last.
  function deltaRuleRisk(given, steps) {
    const law = promptDistribution(given);
    const { d, counts, r, R, sigma, K, M } = law;
    const size = largest(steps);
    if (!size) return { risk: M, scale: 0 };
    const each = steps.length === K ? counts.flatMap((count, k) => Array(count).fill(steps[k])) : steps;
    const g = Array(K + 1).fill(0);
    let [u, i] = [0, 0];
    for (let k = 0; k < K; k++) {
      for (let j = 0; j < counts[k]; j++, i++) {
        const erase = each[i];
        const write = erase / size; // so that tiny steps do not underflow
        const seen = d * g[k];
        u += 2 * (write * seen - erase * u) + (d + 2) * (write ** 2 * d - 2 * write * erase * seen + erase ** 2 * u);
        u += sigma ** 2 * write ** 2 * d;
        for (let l = 0; l <= K; l++) g[l] = (1 - erase) * g[l] + write * (l < K ? R[l][k] : r[k]);
      }
    }
    const overlap = d * g[K];
    return { risk: Math.max(sigma ** 2, u > 0 ? M - overlap ** 2 / u : M), scale: u > 0 ? overlap / u / size : 0 };
  }

  // Numbers with their first two derivatives in one variable, [f, f', f''].
  const plus = ([a, a1, a2], [b, b1, b2]) => [a + b, a1 + b1, a2 + b2];
  const times = ([a, a1, a2], [b, b1, b2]) => [a * b, a1 * b + a * b1, a2 * b + 2 * a1 * b1 + a * b2];

  // What n examples of one task with the step v do, each with its derivatives in v: theta = (1 - v)^n is what is left of
  // what was there, told = 1 - theta; mu is the same of its square length, spread = mu - theta^2; and noise is what label
  // noise adds to that. As block in delta/blocks.py, by doubling, in sums of terms of one sign.
  function deltaBlock(v, n, d, variance) {
    const shrink = [1 - 2 * v + (d + 2) * v * v, -2 + 2 * (d + 2) * v, 2 * (d + 2)];
    const square = [v * v, 2 * v, 2];
    const keep = [1 - v, -1, 0];
    const scaled = (c, jet) => jet.map((x) => c * x);
    let once = { theta: keep, told: [v, 1, 0], mu: shrink, spread: scaled(d + 1, square), sum: [1, 0, 0] };
    let all = { theta: [1, 0, 0], told: [0, 0, 0], mu: [1, 0, 0], spread: [0, 0, 0], sum: [0, 0, 0] };
    const then = (a, b) => ({
      theta: times(a.theta, b.theta),
      told: plus(a.told, times(a.theta, b.told)),
      mu: times(a.mu, b.mu),
      spread: plus(times(a.spread, b.mu), times(times(a.theta, a.theta), b.spread)),
      sum: plus(b.sum, times(b.mu, a.sum)),
    });
    for (let left = n; left > 0; left = Math.floor(left / 2)) {
      if (left % 2) all = then(all, once);
      if (left > 1) once = then(once, once);
    }
    return { ...all, noise: scaled(variance * d, times(square, all.sum)) };
  }

  // Of a block as the first and as the last of two, what twoBlockGain multiplies.
  function asFirst({ d, R }, { told, spread, noise }) {
    const rho = R[0][1];
    const square = times(told, told);
    const beside = plus(square.map((x) => d * (1 - rho ** 2) * x), plus(spread.map((x) => d * x), noise));
    const ahead = [1 - rho * told[0], -rho * told[1], -rho * told[2]];
    return { told, square, beside, error: plus(beside, times(ahead, ahead).map((x) => d * x)) };
  }

  function asLast({ theta, told, mu, spread, noise }) {
    const [square, both, old] = [times(told, told), times(told, theta), times(theta, theta)];
    return { theta, told, square, both, old, spread, noise, mu: mu[0] };
  }

  // The gain M - risk of two tasks with a step each, overlap^2 / energy; and its logarithm's gradient and Hessian in the
  // steps. As _gain in delta/blocks.py, and for correlated tasks. Steps under which what is kept grows a millionfold gain nothing.
  function twoBlockGain({ d, r, R }, one, two, derivatives = false) {
    const [rho, constant] = [R[0][1], [1, 0, 0]];
    const of = (terms, i, j) => sum(terms.map(([c, a, b]) => c * a[i] * b[j]));
    const overlap = [[d * r[0], one.told, two.theta], [d * r[1], constant, two.told]];
    const energy = [
      [d, constant, two.square], [2 * d * rho, one.told, two.both], [d * rho ** 2, one.square, two.old],
      [1, one.beside, two.old], [1, one.error, two.spread], [1, constant, two.noise],
    ];
    const [P, U] = [of(overlap, 0, 0), of(energy, 0, 0)];
    const gain = U > 0 && two.mu < 1e6 && one.square[0] < 1e6 && one.beside[0] < 1e6 * d ? (P * P) / U : 0;
    if (!derivatives) return { gain };
    const at = (i, j) => [of(overlap, i, j) / P, of(energy, i, j) / U];
    const [a, b, aa, ab, bb] = [at(1, 0), at(0, 1), at(2, 0), at(1, 1), at(0, 2)];
    const bend = (xy, x, y) => 2 * (xy[0] - x[0] * y[0]) - (xy[1] - x[1] * y[1]);
    return { gain, slope: [2 * a[0] - a[1], 2 * b[0] - b[1]], bend: [bend(aa, a, a), bend(ab, a, b), bend(bb, b, b)] };
  }

  // delta/risk.py, optimal_delta_rule(dist, "task") of two tasks: the best step for each, of any sign. Looked for on a grid, and
  // from each of its peaks by Newton's method. Small steps are the best weighted step, so no risk here is above that.
  function optimalDeltaRule(given) {
    const law = promptDistribution(given);
    const limit = free(law);
    if (!largest(law.r)) return { risk: law.M, steps: [0, 0], limit: false };
    const { d, counts, sigma } = law;
    const block = (k, v) => {
      const found = deltaBlock(v, counts[k], d, sigma ** 2);
      return k ? asLast(found) : asFirst(law, found);
    };
    const lines = counts.map((count) => {
      const [from, to] = [Math.log(0.003 / (count + d)), Math.log(2.2 / (d + 2))];
      const sizes = Array.from({ length: 40 }, (_, i) => Math.exp(from + ((to - from) * i) / 39));
      return [...sizes.map((v) => -v).reverse(), 0, ...sizes];
    });
    const blocks = lines.map((line, k) => line.map((v) => block(k, v)));
    const grid = blocks[0].map((one) => blocks[1].map((two) => twoBlockGain(law, one, two).gain));
    let best = { gain: 0, steps: [0, 0] };
    for (const [i, j] of peaks(grid)) {
      const found = climbed(law, block, [lines[0][i], lines[1][j]]);
      if (found.gain > best.gain) best = found;
    }
    const risk = Math.max(sigma ** 2, law.M - best.gain);
    if (limit.risk <= risk) return { risk: limit.risk, steps: [0, 0], limit: true };
    return { risk, steps: best.steps, limit: false };
  }

  // Where a table is above zero and no smaller than around it; the largest first, and no more than a dozen.
  function peaks(grid) {
    const at = (i, j) => grid[i]?.[j] ?? 0;
    const around = [-1, 0, 1].flatMap((a) => [-1, 0, 1].map((b) => [a, b]));
    const all = grid.flatMap((row, i) => row.map((_, j) => [i, j]));
    const top = all.filter(([i, j]) => at(i, j) > 0 && around.every(([a, b]) => at(i + a, j + b) <= at(i, j)));
    return top.sort(([i, j], [k, l]) => at(k, l) - at(i, j)).slice(0, 12);
  }

  // Up from steps by Newton's method for the logarithm of the gain: along each direction of its Hessian towards larger
  // values, whatever it bends to there.
  function climbed(law, block, steps) {
    const seen = (at) => twoBlockGain(law, block(0, at[0]), block(1, at[1]), true);
    let [at, here] = [steps, seen(steps)];
    for (let round = 0; round < 60; round++) {
      const move = uphill(here.slope, here.bend, at.map((v) => Math.max(Math.abs(v), 1e-6)));
      let share = 1;
      let next = null;
      for (; share > 1e-4; share /= 3) {
        const there = at.map((v, k) => v + share * move[k]);
        next = seen(there);
        if (next.gain > here.gain) {
          at = there;
          break;
        }
      }
      if (!(next.gain > here.gain)) break;
      const small = next.gain - here.gain <= 1e-15 * next.gain;
      here = next;
      if (small) break;
    }
    return { gain: here.gain, steps: at };
  }

  // -|H|^-1 slope of a 2 x 2 Hessian [xx, xy, yy], in units of `scale`.
  function uphill(slope, [xx, xy, yy], scale) {
    const [a, b, c] = [xx * scale[0] ** 2, xy * scale[0] * scale[1], yy * scale[1] ** 2];
    const g = slope.map((x, k) => x * scale[k]);
    const angle = Math.atan2(2 * b, a - c) / 2;
    const move = [0, 0];
    for (const [x, y] of [[Math.cos(angle), Math.sin(angle)], [-Math.sin(angle), Math.cos(angle)]]) {
      const bend = a * x * x + 2 * b * x * y + c * y * y;
      const along = (g[0] * x + g[1] * y) / Math.max(Math.abs(bend), 1e-12);
      move[0] += along * x;
      move[1] += along * y;
    }
    const most = Math.max(1, largest(move));
    return move.map((x, k) => (x / most) * scale[k]);
  }

  // baselines.bayes_risk where it needs no draws, or null: without noise, and for two tasks that are independent, or one of
  // which is known as a whole (count >= d). An example tells its task along one direction. What of the query's task the other
  // tells beyond a task that is known is known in the directions of the other's own examples.
  function bayesRisk(given) {
    const { d, counts, r, R, sigma, K } = promptDistribution(given);
    if (sigma > 0) return null;
    const share = counts.map((count) => Math.min(count / d, 1));
    if (R.every((row, i) => row.every((x, j) => i === j || x === 0))) {
      return d * Math.max(0, 1 - sum(r.map((x, k) => x * x * share[k])));
    }
    const known = share.indexOf(1);
    if (K !== 2 || known < 0) return null;
    const [one, two, rho] = [r[known], r[1 - known], R[0][1]];
    const rest = 1 - rho ** 2 > 0 ? (two - rho * one) ** 2 / (1 - rho ** 2) : 0;
    return d * Math.max(0, 1 - one ** 2 - rest * share[1 - known]);
  }

  // attention.gla with a scalar gate: the states S_1, ..., S_T, each value by key.
  function gla(k, v, gates) {
    let S = v[0].map(() => k[0].map(() => 0));
    return k.map((key, i) => (S = S.map((row, a) => row.map((entry, b) => gates[i] * entry + v[i][a] * key[b]))));
  }

  // wpgd.wpgd_step for one query: x^T P X^T (omega * y).
  function wpgdStep(x, y, query, P, omega) {
    const step = query.map((_, j) => sum(x.map((row, i) => row[j] * omega[i] * y[i])));
    return dot(query, P.map((row) => dot(row, step)));
  }

  return {
    promptDistribution, possible, bestP, populationRisk, stateSize, gatesToWeights, uniform, free, monotone, constantGate,
    deltaRuleRisk, optimalDeltaRule, bayesRisk, gla, wpgdStep, solve,
  };
})();
