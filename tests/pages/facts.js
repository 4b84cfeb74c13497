// What a page shows, read inside the browser. Every function returns plain data.
({
  // Once formulas are typeset and fonts are there.
  async facts() {
    if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
    await document.fonts.ready;
    await new Promise((done) => setTimeout(done, 200));
    return {
      shift: window.layoutShift,
      weight: this.weight(),
      elements: document.querySelectorAll("*").length,
      headings: this.headings(),
      untypeset: this.untypeset(),
    };
  },

  // What is folded is looked at as well.
  unfold() {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
  },

  // Until scripts that answer to a new width have done so.
  settled: () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))),

  // Bytes of all that was fetched, uncompressed.
  weight: () =>
    [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")].reduce(
      (sum, entry) => sum + entry.decodedBodySize,
      0,
    ),

  headings() {
    const found = [...document.querySelectorAll("main :is(h1, h2, h3, h4, h5, h6)")].filter(this.visible);
    return found.map((heading) => [Number(heading.tagName[1]), heading.textContent.trim()]);
  },

  // Formulas that show their TeX: not typeset, or with an error.
  untypeset() {
    const errors = [...document.querySelectorAll("mjx-merror, [data-mjx-error]")].map((e) => e.textContent);
    const raw = [...document.querySelectorAll(".math")].filter((e) => !e.querySelector("mjx-container"));
    return [...errors, ...raw.map((e) => e.textContent)].filter((text) => text.trim());
  },

  visible: (element) => element.checkVisibility({ visibilityProperty: true }),

  name(element) {
    const classes = [...element.classList].map((name) => "." + name).join("");
    const text = element.textContent.trim().replace(/\s+/g, " ").slice(0, 40);
    return element.tagName.toLowerCase() + (element.id && "#" + element.id) + classes + (text && ` "${text}"`);
  },

  async beyond() {
    await this.settled();
    return { sideways: this.sideways(), hidden: this.hidden(), beyond: this.past() };
  },

  // On a desk, where there is room to break lines: formulas that scroll, or reach past the text that they stand in.
  past() {
    if (innerWidth < 1000) return [];
    const block = (e) => (getComputedStyle(e).display.startsWith("inline") ? block(e.parentElement) : e);
    const right = (e) => e.getBoundingClientRect().right;
    const formulas = [...document.querySelectorAll("main :is(mjx-container, div.math)")].filter(this.visible);
    const cut = (e) => e.scrollWidth > e.clientWidth + 2 && getComputedStyle(e).overflowX !== "visible";
    return formulas.filter((e) => cut(e) || right(e) > right(block(e.parentElement)) + 1).map(this.name);
  },

  // What reaches over the right edge, unless something around it scrolls or cuts.
  sideways() {
    const edge = document.documentElement.clientWidth + 1;
    if (document.documentElement.scrollWidth <= edge) return [];
    const held = (e) => e && e !== document.body && (getComputedStyle(e).overflowX !== "visible" || held(e.parentElement));
    const over = [...document.body.querySelectorAll("*")].filter(
      (e) => e.getBoundingClientRect().right > edge && this.visible(e) && !held(e.parentElement),
    );
    const outer = over.filter((e) => !over.includes(e.parentElement));
    return outer.length ? outer.map(this.name) : [`the page is ${document.documentElement.scrollWidth} px wide`];
  },

  // What scrolls sideways in its own place, and neither shows that it does nor can be reached by keyboard.
  hidden() {
    const wide = [...document.querySelectorAll("main *")].filter(
      (e) =>
        e.scrollWidth > e.clientWidth + 2 &&
        ["auto", "scroll"].includes(getComputedStyle(e).overflowX) &&
        this.visible(e),
    );
    const size = (e, name) => parseFloat(getComputedStyle(e).getPropertyValue(name)) || 0;
    const fades = (e) => size(e, "--fade-start") + size(e, "--fade-end") > 0;
    const shown = (e) => e.tabIndex >= 0 && getComputedStyle(e).maskImage !== "none" && fades(e);
    return wide.filter((e) => !shown(e)).map(this.name);
  },

  // Text in drawings under nine pixels: glyphs of matplotlib's, which stand at a hundredth of their size, and text.
  async small() {
    const found = [];
    for (const image of [...document.querySelectorAll("main img")].filter(this.visible)) {
      const kept = await fetch(image.currentSrc || image.src).then((answer) => answer.text(), () => "");
      if (!kept.includes("<svg")) continue;
      const drawing = new DOMParser().parseFromString(kept, "image/svg+xml").documentElement;
      const scale = (g) => /scale\(([\d.]+) -/.exec(g.getAttribute("transform"));
      const glyphs = [...drawing.querySelectorAll("g[transform]")].filter(scale).map((g) => 100 * scale(g)[1]);
      const sizes = [...drawing.querySelectorAll("text")].map((text) => parseFloat(text.style.fontSize));
      const box = drawing.viewBox.baseVal.width || image.naturalWidth;
      const least = (Math.min(...glyphs, ...sizes) * image.getBoundingClientRect().width) / box;
      if (least < 8.99) found.push(`${least.toFixed(1)} px: ${image.alt.slice(0, 60)}`);
    }
    return found;
  },

  // Entries of cards that do not say which column they are of, where the table has its names.
  unnamed() {
    const cards = [...document.querySelectorAll("main table:has(thead) td")].filter(
      (cell) => getComputedStyle(cell).display === "block" && cell.textContent.trim(),
    );
    const head = (cell) => cell.closest("table").querySelectorAll("thead th")[cell.cellIndex].textContent.trim();
    const shown = (cell) => /"\s*[^"\s]/.test(getComputedStyle(cell, "::before").content);
    return cards.filter((cell) => head(cell) && !shown(cell)).map(this.name);
  },

  // Stops of the tab key that are formulas; what can be used and is no stop; and stops that look no different.
  stops() {
    const all = [...document.querySelectorAll("*")].filter((e) => this.visible(e) && !e.disabled);
    const stops = all.filter((e) => e.tabIndex >= 0);
    const usable = all.filter((e) => e.matches("a[href], button, summary, input, select, textarea"));
    const look = (e) => {
      const s = getComputedStyle(e);
      const outline = s.outlineStyle === "none" || s.outlineWidth === "0px" ? "" : s.outline;
      return [outline, s.boxShadow, s.backgroundColor, s.borderColor, s.textDecoration].join();
    };
    const still = document.head.appendChild(document.createElement("style"));
    still.textContent = "* { transition: none !important; animation: none !important; }";
    // All as they are without the focus first: a change back and forth would be two new looks for each.
    document.activeElement.blur();
    const before = new Map(stops.map((e) => [e, look(e)]));
    const unseen = stops.filter((e) => {
      if (e.closest("mjx-container")) return false;
      e.focus({ preventScroll: true });
      return document.activeElement === e && look(e) === before.get(e);
    });
    document.activeElement.blur();
    still.remove();
    return {
      formulas: stops.filter((e) => e.closest("mjx-container")).map(this.name),
      missed: usable.filter((e) => e.tabIndex < 0).map(this.name),
      unseen: unseen.map(this.name),
      all: stops.length,
    };
  },

  // For axe, which takes long for a page of many elements: the glyphs of a formula become its text, whose colour they
  // have from around them, and each colour of code stays where it comes first.
  thin() {
    for (const formula of document.querySelectorAll("mjx-container")) {
      formula.textContent = formula.textContent;
      // What scrolls has been seen. Plain text is cut, so that nothing around it scrolls now and not before.
      formula.style.overflow = "clip";
      formula.style.whiteSpace = "normal";
      formula.style.maxWidth = "100%";
    }
    const seen = new Set();
    for (const token of document.querySelectorAll(".highlight pre span[class]:not(:has(*))")) {
      if (seen.has(token.className)) token.replaceWith(token.textContent);
      else seen.add(token.className);
    }
    for (const code of document.querySelectorAll(".highlight pre")) code.normalize();
  },

  // Of all texts that look the same, on all that lies under them, the few shortest: [elements]. How long axe takes for a
  // text is a matter of its lines. Of a single letter it says nothing for sure.
  looks() {
    const FEW = 3;
    const kinds = new Map();
    const number = (key) => kinds.get(key) ?? kinds.set(key, { id: kinds.size, texts: [] }).get(key);
    const walk = (element, under) => {
      const s = getComputedStyle(element);
      const ground = [under, s.backgroundColor, s.backgroundImage, s.opacity, s.filter, s.mixBlendMode];
      // What changes nothing under a text tells no two texts apart.
      const plain = s.backgroundColor === "rgba(0, 0, 0, 0)" && ground.slice(2).join() === "none,1,none,normal";
      const here = plain ? under : number(ground.join()).id;
      const text = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
      const { width, height } = element.getBoundingClientRect();
      if ((text || element.matches("input")) && width > 1 && height > 1 && this.visible(element)) {
        const link = element.matches("a") && [getComputedStyle(element.parentElement).color, s.textDecoration];
        const ink = [here, s.color, s.fontSize, s.fontWeight, s.textShadow, s.position, element.matches("a"), link];
        number(ink.join()).texts.push(element);
      }
      for (const child of element.children) walk(child, here);
    };
    walk(document.documentElement, "");
    const length = (element) => element.textContent.trim().length;
    const cost = (element) => (length(element) > 3 ? length(element) : 1e6);
    return [...kinds.values()].flatMap(({ texts }) => texts.sort((a, b) => cost(a) - cost(b)).slice(0, FEW));
  },

  // rules: options of axe. What colours have a part in is looked at once for every look of a text.
  async axe(rules) {
    // What scrolls is marked anew, as after any change of width: on a busy machine the last one may be on its way.
    dispatchEvent(new Event("resize"));
    await this.settled();
    for (const element of this.looks()) element.setAttribute("data-look", "");
    const link = ":is(a[href], [role=link]):is([data-look], [data-look] *)";
    axe.configure({
      rules: [
        { id: "color-contrast", selector: "[data-look]" },
        { id: "link-in-text-block", selector: link },
      ],
    });
    const { violations } = await axe.run(document, { resultTypes: ["violations"], preload: false, ...rules });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => [id, node.target.join(" "), node.failureSummary.split("\n").slice(1).join(" ").trim()]),
    );
  },

  // How bright a colour is, from 0 to 1, and null if one sees through it.
  bright(colour) {
    const [r, g, b, alpha = 1] = colour.match(/[\d.]+(?=[^\d.]|$)/g).map(Number);
    const full = colour.startsWith("rgb") ? 255 : 1;
    return alpha < 0.5 ? null : (0.3 * r + 0.6 * g + 0.1 * b) / full;
  },

  // What does not belong on paper, and what it lacks there.
  async paper() {
    await this.settled();
    const all = [...document.body.querySelectorAll("*")].filter(this.visible);
    const main = all.filter((e) => e.closest("main") && !e.closest("mjx-assistive-mml"));
    const style = new Map(all.map((e) => [e, getComputedStyle(e)]));
    const edge = document.documentElement.clientWidth + 1;
    const texts = all.filter((e) => [...e.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
    const whole = (e) => e.tagName === "MAIN" || (getComputedStyle(e).breakInside !== "avoid" && whole(e.parentElement));
    const faults = {
      "is folded": main.filter((e) => e.matches("details:not([open])")),
      "is of use on a screen alone": all.filter((e) => e.matches("nav, button, input, a.headerlink, dialog, details.code")),
      "is a dark ground": all.filter((e) => (this.bright(style.get(e).backgroundColor) ?? 1) < 0.6),
      "is pale": texts.filter((e) => this.bright(style.get(e).color) > 0.6),
      "is turned dark": all.filter((e) => style.get(e).filter !== "none"),
      "is cut": main.filter((e) => {
        const inside = e.scrollWidth > e.clientWidth + 2 && !["visible", "clip"].includes(style.get(e).overflowX);
        return (inside && e.clientWidth > 1) || e.getBoundingClientRect().right > edge;
      }),
      "may stand alone at the foot": main.filter(
        (e) => e.matches("h1, h2, h3, h4, h5, h6, summary") && style.get(e).breakAfter !== "avoid",
      ),
      "may be cut in two": main.filter((e) => e.matches("img, figure") && style.get(e).breakInside !== "avoid"),
      "goes on no other page": main.filter((e) => e.matches("pre") && !whole(e)),
    };
    return Object.entries(faults).flatMap(([fault, found]) => found.map((e) => `${fault}: ${this.name(e)}`));
  },
})
