// The fields below exercises: they read an answer, and say whether it is right, and if not, why.
//
// The rules are those of glalib/exercises/verdicts.py and glalib/exercises/grade.py, in the same order; a test holds the two together.
// The page holds the answers and the words, as JSON (book/exercises.py). `window.exercises` is for tests.
(() => {
  const NUMBER = "[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:e[+-]?[0-9]+)?";
  const READABLE = new RegExp(`^(${NUMBER})(?:/(${NUMBER}))?(%?)$`);
  const SEPARATORS = [/\s*;\s*/, /\s*,\s+|\s+/, /\s*[,;]\s*|\s+/];
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const count = (words, n) => (n === 1 ? words.one : fill(words.several, { n }));

  // Without the spaces around a stroke and before a percent sign.
  const joined = (text) => text.trim().replace(/\s*(\/)\s*|\s+(%)/g, "$1$2");

  function read(text) {
    const found = READABLE.exec(joined(text).toLowerCase().replaceAll("−", "-"));
    if (!found) return null;
    const [above, below] = [found[1], found[2] || "1"].map((part) => Number(part.replace(",", ".")));
    return below === 0 ? null : above / below / (found[3] ? 100 : 1);
  }

  function readAll(text, wanted) {
    text = joined(text.trim().replace(/^[([]|[)\]]$/g, ""));
    let found = null;
    for (const separator of SEPARATORS) {
      const parts = text.split(separator).map(read);
      if (parts.includes(null)) continue;
      if (parts.length === wanted) return parts;
      found = parts;
    }
    return found;
  }

  // What is asked for, cut to the first setting where one value is given for a formula.
  function atFirst(asked) {
    const first = (entry) => (entry.value ? { ...entry, value: entry.value.slice(0, 1) } : entry);
    return { ...first(asked), wrong: asked.wrong.map(first) };
  }

  function near(asked, given, wanted, most = Infinity) {
    const allowed = asked.within * (asked.relative ? Math.abs(wanted) : 1) * (1 + 1e-9);
    return Math.abs(given - wanted) <= (most === Infinity ? allowed : Math.min(allowed, most * Math.abs(wanted)));
  }

  const allNear = (asked, given, wanted, most) => given.every((g, i) => near(asked, g, wanted[i], most));

  function listed(asked, given) {
    for (const wrong of asked.wrong) {
      if (wrong.value && allNear(asked, given, wrong.value)) return wrong.says;
      if (given.some((g) => g > (wrong.above ?? Infinity) || g < (wrong.below ?? -Infinity))) return wrong.says;
    }
    return "";
  }

  function slip(words, asked, given) {
    const wanted = asked.value;
    const like = (other, most = 0.01) => allNear(asked, given, wanted.map(other), most);
    if (!wanted.some((w) => w !== 0)) return "";
    if (like((w) => -w, 0.1)) return words.sign;
    for (const [factor, says] of words.factors) if (like((w) => factor * w, 0.1)) return says;
    if (asked.kind === "numbers") {
      const sorted = (list) => [...list].sort((a, b) => a - b);
      if (allNear(asked, [...given].reverse(), wanted)) return words.reversed;
      if (allNear(asked, sorted(given), sorted(wanted))) return words.order;
    }
    const others = {
      square: (w) => w * w,
      root: (w) => Math.sqrt(Math.abs(w)),
      rest: (w) => 1 - w,
      inverse: (w) => (w ? 1 / w : NaN),
    };
    const found = Object.keys(others).find((word) => like(others[word]));
    return found ? words[found] : "";
  }

  function isRounded(given, wanted, digits) {
    if (!wanted) return given === 0;
    const unit = 10 ** (Math.floor(Math.log10(Math.abs(wanted))) - digits + 1);
    const steps = given / unit;
    return Math.abs(given - wanted) <= 0.5000001 * unit && Math.abs(steps - Math.round(steps)) < 1e-6;
  }

  function coarse(words, asked, given) {
    for (const digits of [1, 2, 3]) {
      if (given.every((g, i) => isRounded(g, asked.value[i], digits))) return fill(words.rounded, { within: asked.to });
    }
    const wider = { ...asked, within: 5 * asked.within };
    return allNear(wider, given, asked.value, 0.1) ? fill(words.close, { within: asked.to }) : "";
  }

  function where(words, asked, given) {
    const good = given.map((g, i) => near(asked, g, asked.value[i]));
    if (asked.kind === "numbers") {
      return good.includes(true) ? fill(words.entry, { i: good.indexOf(false) + 1 }) : words.entries;
    }
    if (given.length > 1) {
      const [right, wrong] = [true, false].map((state) => asked.settings[good.indexOf(state)]);
      return fill(right ? words.setting : words.settings, { right, wrong });
    }
    const [g, w] = [given[0], asked.value[0]];
    if (w === 0) return words.no;
    if (g * w < 0) return w > 0 ? words.positive : words.negative;
    const far = w > 0 && !(w <= 10 * g && 10 * g <= 100 * w) ? "far_" : "";
    return words[far + (g > w ? "above" : "below")];
  }

  // [right, what to say] of numbers.
  function judge(words, asked, given) {
    if (asked.kind === "formula" && given.length === 1) asked = atFirst(asked);
    if (given.length !== asked.value.length) {
      return [false, fill(words.count, { wanted: count(words, asked.value.length), got: count(words, given.length) })];
    }
    if (given.some(Number.isNaN)) return [false, words.nan];
    if (!given.every(Number.isFinite)) return [false, words.infinite];
    if (allNear(asked, given, asked.value)) return [true, `${words.right} ${asked.then ?? ""}`.trim()];
    const says = [listed(asked, given), slip(words, asked, given), coarse(words, asked, given)].find((text) => text);
    return [false, words.not_yet + (says || where(words, asked, given))];
  }

  // The same of what stands in a field: a text, or the number of a choice.
  function check(words, asked, answer) {
    if (answer === null || !answer.trim()) return [false, words.blank];
    if (asked.kind === "choice") {
      const chosen = asked.choices[Number(answer)];
      return chosen.says ? [false, words.not_yet + chosen.says] : [true, `${words.right} ${asked.then ?? ""}`.trim()];
    }
    const formula = asked.kind === "formula";
    const given = readAll(answer, formula ? 1 : asked.value.length);
    if (given === null || (formula && given.length > 1)) return [false, words.unreadable];
    return judge(words, asked, given);
  }

  window.exercises = { read, readAll, judge, check };

  // A mark for what was solved, in this browser alone; pages opened as files may have no store.
  const store = {
    has: (name) => {
      try {
        return localStorage.getItem(`solved-${name}`) !== null;
      } catch {
        return false;
      }
    },
    add: (name) => {
      try {
        localStorage.setItem(`solved-${name}`, "1");
      } catch {
        // Nothing is kept.
      }
    },
  };

  function start() {
    const data = document.getElementById("answers");
    const { words, answers } = data ? JSON.parse(data.textContent) : { answers: {} };
    for (const form of document.querySelectorAll("form.answer")) {
      const [name, told] = [form.dataset.answer, form.querySelector("output")];
      form.hidden = false;
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const [right, says] = check(words, answers[name], new FormData(form).get("answer"));
        form.classList.toggle("right", right);
        form.classList.toggle("wrong", !right);
        // Emptied first, so that the same words are heard again.
        told.textContent = "";
        setTimeout(() => (told.textContent = says), 50);
        if (right) store.add(name);
      });
      form.addEventListener("input", () => {
        form.classList.remove("right", "wrong");
        told.textContent = "";
      });
    }
    for (const link of document.querySelectorAll("[data-solved]")) {
      link.hidden = !link.dataset.solved.split(" ").every(store.has);
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
