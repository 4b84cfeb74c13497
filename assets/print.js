// Paper is white, nothing on it can be opened, and nothing goes beyond its edge: before a page is printed it turns light,
// its folds open, and a formula that is too wide shrinks; after that it is as it was.
(() => {
  const WIDTH = 48; // of a formula on A4, in the unit of print.css, with what it is indented by
  const root = document.documentElement;
  let before = null;

  const pixels = (element) => parseFloat(getComputedStyle(element).fontSize);

  // Formulas that are too wide, with the size that they have and the one that they fit in.
  function tooWide() {
    const unit = pixels(root);
    return [...document.querySelectorAll("main mjx-container")].flatMap((formula) => {
      const width = formula.firstElementChild.getBoundingClientRect().width / unit;
      const size = (pixels(formula) / unit) * (WIDTH / width);
      return width > WIDTH ? [{ formula, own: formula.style.fontSize, fitting: `${size}rem` }] : [];
    });
  }

  function prepare() {
    if (before) return;
    before = { theme: root.dataset.theme, folds: [...document.querySelectorAll("details:not([open])")] };
    root.dataset.theme = "light";
    for (const fold of before.folds) fold.open = true;
    before.formulas = tooWide();
    for (const { formula, fitting } of before.formulas) formula.style.fontSize = fitting;
  }

  function restore() {
    if (!before) return;
    root.dataset.theme = before.theme;
    for (const fold of before.folds) fold.open = false;
    for (const { formula, own } of before.formulas) formula.style.fontSize = own;
    before = null;
  }

  addEventListener("beforeprint", prepare);
  addEventListener("afterprint", restore);
  // A browser that shows how a page would look on paper prints nothing.
  matchMedia("print").addEventListener("change", (paper) => (paper.matches ? prepare() : restore()));
})();
