// What is wider than its place scrolls there and not with the page. It fades where it goes on, and has a stop of the tab
// key as long as it does, so that the arrow keys move it: see `.wide` in custom.css.
(() => {
  const PLACES =
    "mjx-container, div.math, pre, .pst-scrollable-table-container, .cell_output .output, dt.sig, .drawing";
  const NAMES = [["mjx-container, div.math", "Formula"], ["pre, dt", "Code"], [".drawing", "Figure"], ["*", "Table"]];

  function edges(place) {
    const rest = place.scrollWidth - place.clientWidth - Math.abs(place.scrollLeft);
    place.classList.toggle("wide-start", place.scrollLeft > 1);
    place.classList.toggle("wide-end", rest > 1);
  }

  function mark() {
    const places = [...document.querySelectorAll("main :is(" + PLACES + ")")];
    const scrolls = places.map(
      (place) =>
        place.scrollWidth > place.clientWidth + (place.matches(".drawing") ? 0 : 2) && ["auto", "scroll"].includes(getComputedStyle(place).overflowX),
    );
    places.forEach((place, i) => {
      if (scrolls[i]) {
        place.classList.add("wide");
        place.tabIndex = 0;
        place.setAttribute("role", "group");
        place.setAttribute("aria-label", NAMES.find(([kind]) => place.matches(kind))[1] + ", scrolls sideways");
        edges(place);
      } else if (place.classList.contains("wide")) {
        place.classList.remove("wide", "wide-start", "wide-end");
        for (const name of ["tabindex", "role", "aria-label"]) place.removeAttribute(name);
      }
    });
  }

  let waiting = 0;
  const later = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(mark);
  };
  addEventListener("load", () => {
    later();
    window.MathJax?.startup?.promise?.then(later);
  });
  addEventListener("resize", later);
  document.addEventListener("toggle", later, true);
  document.addEventListener("scroll", (event) => event.target.classList?.contains("wide") && edges(event.target), true);
})();
