// Paper is white, and nothing on it can be opened: before a page is printed it turns light and its folds open; after
// that it is as it was.
(() => {
  const root = document.documentElement;
  let before = null;

  function prepare() {
    if (before) return;
    before = { theme: root.dataset.theme, folds: [...document.querySelectorAll("details:not([open])")] };
    root.dataset.theme = "light";
    for (const fold of before.folds) fold.open = true;
  }

  function restore() {
    if (!before) return;
    root.dataset.theme = before.theme;
    for (const fold of before.folds) fold.open = false;
    before = null;
  }

  addEventListener("beforeprint", prepare);
  addEventListener("afterprint", restore);
  // A browser that shows how a page would look on paper prints nothing.
  matchMedia("print").addEventListener("change", (paper) => (paper.matches ? prepare() : restore()));
})();
