// Gradient flow on the risk from any start in a plane: white features, one task of n examples, P a multiple of the identity
// and all weights equal. The flow stays in that plane, whose coordinates are the signed sizes |omega| and |P|.

// What it computes, added to `window.glalib`. A law here is {d, n, r, sigma}, and a point x = [omega, P].
Object.assign(window.glalib, (() => {
  // risk.population_risk in the plane: M - 2 beta u + c u^2 with u = omega P, so it is least at u = beta / c.
  function plane({ d, n, r, sigma }) {
    const M = d + sigma ** 2;
    const [beta, c] = [r * Math.sqrt(n * d), M + 1 + n];
    return { M, beta, c, product: beta / c, least: M - beta ** 2 / c };
  }

  function planeRisk({ M, beta, c }, [omega, P]) {
    return M - 2 * beta * omega * P + c * (omega * P) ** 2;
  }

  const conserved = ([omega, P]) => P * P - omega * omega;

  function downhill({ beta, c }, [omega, P]) {
    const pull = 2 * (beta - c * omega * P);
    return [pull * P, pull * omega];
  }

  // The minimiser with |P|^2 - |omega|^2 = k on the branch of that sign: omega P = product, whichever is larger first.
  function minimiser({ product }, sign, k) {
    const larger = Math.sqrt((Math.abs(k) + Math.hypot(k, 2 * product)) / 2);
    const pair = [product / larger, larger].map((x) => sign * x);
    return k >= 0 ? pair : pair.reverse();
  }

  // One step of Dormand and Prince's method of order five, and how far it is from that of order four.
  const STAGES = [
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ];
  const OFF = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];
  function step(where, x, h) {
    const slopes = [downhill(where, x)];
    const go = (shares) => x.map((value, i) => value + h * shares.reduce((total, share, j) => total + share * slopes[j][i], 0));
    let to = x;
    for (const shares of STAGES) {
      to = go(shares);
      slopes.push(downhill(where, to));
    }
    return { to, off: Math.hypot(...go(OFF).map((value, i) => value - x[i])) };
  }

  // scipy.integrate.solve_ivp of the flow, until |gradient| |x| is as good as zero: times, points and risks; when the risk has
  // come to one per cent above the least, of what there is between that and M (null if never); and how far it rests from zero.
  function gradientFlow(where, start, tolerance = 1e-12) {
    let [t, x, h] = [0, start, 1e-3 / where.c];
    const path = [{ t, x }];
    const target = where.least + 0.01 * (where.M - where.least);
    let time = planeRisk(where, x) <= target ? 0 : null;
    const moving = () => Math.hypot(...downhill(where, x)) * Math.hypot(...x) > 1e-12 * where.M;
    for (let i = 0; i < 5000 && moving(); i++) {
      const { to, off } = step(where, x, h);
      const allowed = tolerance * Math.max(1e-3, Math.hypot(...x));
      if (off <= allowed) {
        if (time === null && planeRisk(where, to) <= target) time = t + within(where, x, h, target);
        t += h;
        x = to;
        path.push({ t, x });
      }
      h *= Math.min(4, Math.max(0.2, 0.9 * (allowed / Math.max(off, 1e-300)) ** 0.2));
    }
    return { path, end: x, time, saddle: Math.hypot(...x) < 1e-3 };
  }

  // Which part of a step brings the risk to the target.
  function within(where, x, h, target) {
    let [low, high] = [0, h];
    for (let i = 0; i < 50; i++) {
      const middle = (low + high) / 2;
      if (planeRisk(where, step(where, x, middle).to) > target) low = middle;
      else high = middle;
    }
    return high;
  }

  return { plane, planeRisk, conserved, minimiser, gradientFlow };
})());

live.register("landscape", (figure) => {
  const { value } = figure;
  const EDGE = 1.6;
  const side = { from: -EDGE, to: EDGE, step: 0.02 };
  figure.setting("r", { start: 0.9, from: 0.1, to: 1, step: 0.05 });
  figure.setting("n", { start: 10, values: [1, 2, 3, 5, 10, 20, 50, 100] });
  figure.setting("d", { start: 5, values: [1, 2, 3, 5, 10, 20, 50, 100] });
  figure.setting("sigma", { start: 0, from: 0, to: 3, step: 0.1 });
  figure.setting("at", { start: [1.1, -0.5], ...side });
  figure.controls.classList.add("live-narrow");
  figure.slider("r", { label: "r, relevance", text: (x) => live.number(x) });
  figure.slider("n", { label: "n, examples" });
  figure.slider("d", { label: "d, dimensions" });
  figure.slider("sigma", { label: "\u03c3, noise", text: (x) => live.number(x, 1) });
  const flows = figure.button("Let it flow", flow);
  figure.button("To the saddle", () => figure.set({ at: [-1, 1] }));

  const wide = (width) => width >= 560;
  const size = (width) => (wide(width) ? Math.min(400, Math.round(0.58 * width)) : width - 40);
  const RISK = 110;
  const stage = figure.stage({ height: (width) => size(width) + 46 + (wide(width) ? 0 : RISK + 56) });
  const LEFT = 34;
  const side1 = () => size(stage.width);
  const x = (omega) => LEFT + (side1() * (omega + EDGE)) / (2 * EDGE);
  const y = (P) => 8 + (side1() * (EDGE - P)) / (2 * EDGE);
  const handle = stage.handle({
    label: "Start of the flow", ...side, page: 0.2,
    get: () => value.at[0],
    set: (omega) => figure.set({ at: [omega, value.at[1]] }),
    second: { ...side, get: () => value.at[1], set: (P) => figure.set({ at: [value.at[0], P] }) },
    at: (point) => [((point.x - LEFT) / side1() - 0.5) * 2 * EDGE, (0.5 - (point.y - 8) / side1()) * 2 * EDGE],
    text: (omega, P) => `\u03c9 ${live.number(omega)}, P ${live.number(P)}`,
  });

  const line = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(2)} ${b.toFixed(2)}`).join("");
  const shown = (path) => line(path.map(([omega, P]) => [x(omega), y(P)]));

  // omega P = u, its two branches inside the square.
  function product(u, look) {
    const from = Math.abs(u) / EDGE;
    if (from >= EDGE) return;
    const arm = Array.from({ length: 61 }, (_, i) => from * (EDGE / from) ** (i / 60));
    for (const sign of [1, -1]) stage.draw("path", { d: shown(arm.map((z) => [sign * z, (sign * u) / z])), class: look });
  }

  // P^2 - omega^2 = k, the branch that the start is on.
  function hyperbola(k, [omega, P]) {
    const along = Array.from({ length: 121 }, (_, i) => EDGE * (i / 60 - 1));
    const sign = (k >= 0 ? P : omega) < 0 ? -1 : 1;
    const points = along.map((z) => (k >= 0 ? [z, sign * Math.sqrt(k + z * z)] : [sign * Math.sqrt(z * z - k), z]));
    const inside = points.filter(([a, b]) => Math.abs(a) <= EDGE * 1.001 && Math.abs(b) <= EDGE * 1.001);
    stage.draw("path", { d: shown(inside), class: "line-soft dash-1" });
  }

  function ground(where) {
    const [left, top, end] = [x(-EDGE), y(EDGE), side1()];
    stage.draw("rect", { x: left, y: top, width: end, height: end, class: "line-faint thin", fill: "none" });
    for (const z of [-1, 0, 1]) {
      stage.draw("text", { x: x(z), y: y(-EDGE) + 17, class: "soft middle" }, live.number(z, 0));
      stage.draw("text", { x: left - 7, y: y(z) + 4, class: "soft end" }, live.number(z, 0));
    }
    stage.draw("text", { x: x(EDGE), y: y(-EDGE) + 32, class: "soft end" }, "\u03c9");
    stage.draw("text", { x: left - 7, y: top + 10, class: "soft end" }, "P");
    // Levels: the risk is f of the way from the least to M, where omega P = (1 +- sqrt f) product; the axes have f = 1.
    for (const f of [0.3, 3, 8, 20, 50]) {
      for (const sign of [1, -1]) product((1 + sign * Math.sqrt(f)) * where.product, "line-faint thin");
    }
    product(2 * where.product, "line-faint thin");
    stage.draw("path", { d: shown([[-EDGE, 0], [EDGE, 0]]), class: "line-faint thin" });
    stage.draw("path", { d: shown([[0, -EDGE], [0, EDGE]]), class: "line-faint thin" });
    product(where.product, "line-2 wide-line");
    const cross = [[-5, -5, 5, 5], [-5, 5, 5, -5]];
    for (const [x1, y1, x2, y2] of cross) {
      stage.draw("line", { x1: x(0) + x1, y1: y(0) + y1, x2: x(0) + x2, y2: y(0) + y2, class: "line-ink" });
    }
    stage.draw("text", { x: x(0) + 9, y: y(0) + 17, class: "soft" }, "saddle");
  }

  // The risk over time, until it is one per cent above the least and a while longer.
  function over(where, { path, time }) {
    const far = wide(stage.width);
    const [left, right] = far ? [x(EDGE) + 58, stage.width - 10] : [LEFT + 12, stage.width - 10];
    const [top, low] = far ? [30, side1() + 8] : [side1() + 66, side1() + 66 + RISK];
    const until = time ? Math.min(1.6 * time, path.at(-1).t) : path.at(-1).t || 1;
    const risks = path.map(({ x: at }) => glalib.planeRisk(where, at) / where.M);
    const [least, most] = [where.least / where.M, live.clamp(risks[0], 1, 2)];
    const across = (t) => left + ((right - left) * Math.min(t, until)) / until;
    const down = (risk) => top + ((low - top) * (most - risk)) / (most - least);
    stage.draw("text", { x: far ? left - 40 : 0, y: top - 14, class: "soft" }, "risk / M over time");
    stage.draw("path", { d: line([[left, down(least)], [right, down(least)]]), class: "line-2 dash-1" });
    stage.draw("path", { d: line([[left, down(1)], [right, down(1)]]), class: "line-soft dash-2 thin" });
    const inside = path.map(({ t }, i) => [t, risks[i]]).filter(([t, risk]) => t <= until && risk <= most);
    stage.draw("path", { d: line(inside.map(([t, risk]) => [across(t), down(risk)])), class: "line-1 wide-line" });
    for (const risk of most > 1.15 ? [least, 1, most] : [least, 1]) {
      stage.draw("text", { x: left - 6, y: down(risk) + 4, class: "soft end" }, live.number(risk));
    }
    stage.draw("text", { x: left, y: low + 17, class: "soft middle" }, "0");
    stage.draw("text", { x: right, y: low + 17, class: "soft end" }, `t = ${digits(until)}`);
    return { until, down, across };
  }

  const digits = (t) => (t >= 100 ? Math.round(t).toLocaleString("en") : live.number(t, t >= 1 ? 1 : t >= 0.1 ? 2 : 3));

  // Where a flow is at a time, in both drawings.
  let run = null;
  function places(t) {
    const { path, panel } = run;
    const after = path.findIndex((place) => place.t >= t);
    const [one, two] = [path[Math.max(after - 1, 0)], after < 0 ? path.at(-1) : path[after]];
    const share = two.t > one.t ? (t - one.t) / (two.t - one.t) : 1;
    const at = one.x.map((z, k) => z + share * (two.x[k] - z));
    return [[x(at[0]), y(at[1])], [panel.across(t), panel.down(glalib.planeRisk(run.where, at) / run.where.M)]];
  }

  // Dots run along the flow, in its own time.
  function flow() {
    const { panel, dots } = run;
    figure.play(60, (i) => {
      const t = (panel.until * i) / 60;
      places(t).forEach(([cx, cy], k) => {
        dots[k].setAttribute("cx", cx);
        dots[k].setAttribute("cy", cy);
      });
      figure.show({ ...figure.shown, flowed: t });
    });
  }

  return () => {
    const where = glalib.plane(value);
    const found = glalib.gradientFlow(where, value.at);
    const { path, end, time, saddle } = found;
    const k = glalib.conserved(value.at);
    ground(where);
    hyperbola(k, value.at);
    stage.draw("path", { d: shown(path.map((place) => place.x)), class: "line-1 wide-line" });
    const panel = over(where, found);
    const risk = glalib.planeRisk(where, end);
    stage.draw("circle", { cx: x(end[0]), cy: y(end[1]), r: 6, class: "fill-1 line-ink" });
    run = { where, path, panel };
    run.dots = places(panel.until).map(([cx, cy]) => stage.draw("circle", { cx, cy, r: 4.5, class: "fill-2 line-ink thin" }));
    handle.place(x(value.at[0]), y(value.at[1]));
    const drift = Math.max(...path.map((place) => Math.abs(glalib.conserved(place.x) - k)));
    const kept = `|P|\u00b2 \u2212 |\u03c9|\u00b2 = ${live.number(k)} all the way`;
    // At zero nothing can flow.
    const still = value.at.every((z) => z === 0);
    figure.enable(flows, !still);
    if (still) {
      figure.say(
        `It starts at the saddle, \u03c9 = P = 0, and stays there: the gradient is zero, and the risk is M, as nothing is predicted. Move the start off \u03c9 = \u2212P, however little, and the flow comes to a minimum.`,
      );
    } else if (saddle) {
      figure.say(`${kept}. The flow ends at the saddle, where the risk is M: from \u03c9 = \u2212P it never leaves the line that leads there.`);
    } else {
      const at = `\u03c9 = ${live.number(end[0])}, P = ${live.number(end[1])}`;
      const gained = "all but one per cent of the gain is made";
      const soon = time === 0 ? `From the start ${gained}` : `At t = ${digits(time)} ${gained}`;
      figure.say(`${kept}. The flow ends at ${at}, where the risk is least: ${live.number(risk / where.M, 3)} M. ${soon}.`);
    }
    if (still) stage.label("A start at the saddle, \u03c9 0, P 0: nothing flows, and the risk stays M.");
    else stage.label(`The flow from \u03c9 ${live.number(value.at[0])}, P ${live.number(value.at[1])} to ${live.number(end[0])}, ${live.number(end[1])}; the risk falls on the way.`);
    figure.show({ k, drift, end, risk, least: where.least, M: where.M, time, saddle, until: panel.until });
  };
});
