// The fields below exercises: they read an answer, and say whether it is right, and if not, why.
//
// The rules are those of glalib/exercises/verdicts.py and glalib/exercises/grade.py, in the same order; a test holds the two together.
// The page holds the answers and the words, as JSON (book/exercises.py). `window.exercises` is for tests.
(() => {
  // Commas part thousands where there are several, or a point after them; else one is a decimal comma.
  const GROUPS = "[1-9][0-9]{0,2}(?:(?:,[0-9]{3}){2,}|(?:,[0-9]{3})+[.][0-9]*)";
  const NUMBER = `[+-]?(?:${GROUPS}|[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:e[+-]?[0-9]+)?`;
  const READABLE = new RegExp(`^(${NUMBER})(?:/(${NUMBER}))?(%?)$`);
  // 1,000 is a thousand to some and one to others: it is not read, but asked about.
  const UNSURE = /^[+-]?[1-9][0-9]{0,2},[0-9]{3}$/;
  const SEPARATORS = [/\s*;\s*/, /\s*,\s+|\s+/, /\s*[,;]\s*|\s+/];
  const PAUSE = 600; // milliseconds until what is being written is looked at
  // What is said of it then, in the page alone, besides the words that `glalib.check` has, too.
  const MORE = {
    read: "Read as {numbers}.",
    many: "Read as {got}, {numbers}. {form}",
    few: "So far: {got}. {form}",
    formula: "{part} is not worked out here. {form}",
    strange: "{part} cannot be read. {form}",
    form: "One number is asked for, written as 0.57, 4/7, 57% or 1e-3.",
    forms: "{wanted} are asked for, written as 1/2, 0.3, 1e-3.",
  };
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const count = (words, n) => (n === 1 ? words.one : fill(words.several, { n }));

  // Without the spaces around a stroke and before a percent sign; and with one for several, or a long row of them takes long.
  const joined = (text) => text.trim().replace(/\s+/g, " ").replace(/ ?(\/) ?| (%)/g, "$1$2");
  const bare = (text) => joined(text.trim().replace(/^[([]|[)\]]$/g, ""));
  const plain = (text) => joined(text).toLowerCase().replaceAll("−", "-");

  function read(text) {
    const found = READABLE.exec(plain(text));
    if (!found || UNSURE.test(found[1]) || UNSURE.test(found[2])) return null;
    const grouped = (part) => part.includes(".") || part.split(",").length > 2;
    const [above, below] = [found[1], found[2] || "1"].map((part) => Number(part.replaceAll(",", grouped(part) ? "" : ".")));
    return below === 0 ? null : above / below / (found[3] ? 100 : 1);
  }

  function readAll(text, wanted) {
    text = bare(text);
    let found = null;
    for (const separator of SEPARATORS) {
      const parts = text.split(separator).map(read);
      if (parts.includes(null)) continue;
      if (parts.length === wanted) return parts;
      found = parts;
    }
    return found;
  }

  // The parts of a text that are surely apart.
  const parted = (text) => bare(text).split(SEPARATORS[text.includes(";") ? 0 : 1]);

  // What to say of the first number that may be thousands or decimals. 1,250 alone may also be two numbers that are asked for.
  function unsure(words, text, wanted) {
    const parts = parted(text);
    const part = parts.flatMap((each) => plain(each).split(/[/%]/)).find((each) => UNSURE.test(each));
    if (part === undefined || (parts.length === 1 && wanted > 1)) return "";
    return fill(words.unsure, { part, thousands: part.replace(",", ""), decimal: part.replace(",", ".") });
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
    const wanted = formula ? 1 : asked.value.length;
    const which = unsure(words, answer, wanted);
    if (which) return [false, which];
    const given = readAll(answer, wanted);
    if (given === null || (formula && given.length > 1)) return [false, words.unreadable];
    return judge(words, asked, given);
  }

  const capital = (text) => text[0].toUpperCase() + text.slice(1);
  const inWords = (given) => given.map((x) => String(Number(x.toPrecision(8))).replace("-", "−")).join("; ");

  // What is said while an answer is being written: how it is read where that may surprise, and what is asked for where it
  // cannot be. Not whether it is right.
  function hint(words, asked, text) {
    if (asked.kind === "choice" || !text.trim()) return "";
    const wanted = asked.kind === "formula" ? 1 : asked.value.length;
    const form = wanted === 1 ? MORE.form : fill(MORE.forms, { wanted: capital(count(words, wanted)) });
    const which = unsure(words, text, wanted);
    if (which) return which;
    const given = readAll(text, wanted);
    if (given !== null) {
      const told = { got: count(words, given.length), numbers: inWords(given), form };
      if (given.length !== wanted) return fill(given.length < wanted ? MORE.few : MORE.many, told);
      const plainly = !/[,/%]/.test(text.replace(/, /g, "")) || !given.every(Number.isFinite);
      return plainly ? "" : fill(MORE.read, told);
    }
    if (readAll(`${text}1`, wanted) !== null) return ""; // what lacks its end is still being written
    // The part that is strange, where several are asked for.
    const whole = joined(text);
    const parts = /^[([]/.test(whole) ? parted(text) : whole.split(SEPARATORS[whole.includes(";") ? 0 : 1]);
    const strange = (wanted > 1 && parts.find((part) => read(part) === null)) || whole;
    const part = strange.length > 24 ? `${strange.slice(0, 24)}…` : strange;
    return fill(/[(*^√π·×]|\bpi\b/i.test(strange) ? MORE.formula : MORE.strange, { part, form });
  }

  window.exercises = { read, readAll, judge, check, hint };

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
        clearTimeout(form.writing);
        const [right, says] = check(words, answers[name], new FormData(form).get("answer"));
        form.classList.toggle("right", right);
        form.classList.toggle("wrong", !right);
        // Emptied first, so that the same words are heard again.
        told.textContent = "";
        form.writing = setTimeout(() => (told.textContent = says), 50); // not if the answer has changed by then
        if (right) store.add(name);
      });
      form.addEventListener("input", () => {
        form.classList.remove("right", "wrong");
        told.textContent = "";
        clearTimeout(form.writing);
        form.writing = setTimeout(() => {
          told.textContent = hint(words, answers[name], new FormData(form).get("answer") ?? "");
        }, PAUSE);
      });
    }
    for (const link of document.querySelectorAll("[data-solved]")) {
      link.hidden = !link.dataset.solved.split(" ").every(store.has);
    }
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
