// A small figure for the tests of assets/live/kit.js: one of each control.
live.register("halves", (figure) => {
  const { value } = figure;
  figure.setting("n", { start: 8, from: 1, to: 64, step: 1 });
  figure.setting("m", { start: 5, values: [1, 2, 5, 10] });
  figure.setting("side", { start: "left", options: [["left", "Left"], ["right", "Right"]] });
  figure.setting("g", { start: [1, 0.5], from: 0, to: 1, step: 0.01 });
  figure.slider("n", { label: "Examples" });
  figure.slider("m", { label: "Tasks", text: (m) => `${m} tasks` });
  figure.choice("side", { label: "Which half" });
  figure.button("All open", () => figure.set({ g: [1, 1] }));
  figure.button("Count", () => figure.play(5, (i) => figure.show({ ...figure.shown, counted: i })));
  const stage = figure.stage({ height: (width) => (width < 480 ? 300 : 200) });
  const handle = stage.handle({
    label: "Gate 2", from: 0, to: 1, step: 0.01, page: 0.1, get: () => value.g[1],
    set: (g) => figure.set({ g: [value.g[0], g] }),
    at: ({ y }) => 1 - (y - 20) / 100,
    text: (g) => live.number(g),
  });
  return () => {
    if (value.n === 13) throw new Error("thirteen");
    stage.draw("rect", { x: 0, y: 150, width: stage.width * value.g[1], height: 20, class: "fill-1" });
    handle.place(40, 20 + 100 * (1 - value.g[1]));
    stage.label("A bar");
    figure.say(`The gate is ${live.number(value.g[1])}.`);
    figure.show({ left: value.g[1] });
  };
});
