// The search of the book finds statements by their names and their plain first lines, and shows both; of a page it shows
// a line that can be read. Loaded after Sphinx's searchtools.js, on the search page alone; Statements and Formulas, which
// has the TeX of a formula and its plain text, come from files of these names.
"use strict";

const FindStatements = {
  words: (text) => text.toLowerCase().split(/[^\p{Letter}\p{Number}]+/u).filter((word) => word),

  // How well a statement answers a query: its words in a row within the name, all within the name, all somewhere.
  fit: (statement, query) => {
    const sought = FindStatements.words(query);
    const name = FindStatements.words(`${statement.kind} ${statement.name}`);
    const all = new Set([...name, ...FindStatements.words(statement.line)]);
    if (!sought.length || !sought.every((word) => all.has(word))) return 0;
    if (` ${name.join(" ")} `.includes(` ${sought.join(" ")} `)) return 3;
    return sought.every((word) => name.includes(word)) ? 2 : 1;
  },

  escape: (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`),

  // In the form of Sphinx's own results: page, title, anchor, description, score, file.
  find: (query) =>
    Statements.map((statement) => [statement, FindStatements.fit(statement, query)])
      .filter(([, fit]) => fit)
      .map(([statement, fit]) => [
        statement.page,
        FindStatements.escape(statement.name ? `${statement.kind}: ${statement.name}` : statement.kind),
        `#${statement.id}`,
        FindStatements.escape(statement.line || statement.title),
        1000 * fit,
        statement.file,
      ]),
};

// Sphinx shows results from the last to the first.
const searchPages = Search._performSearch;
Search._performSearch = (query, ...rest) => [
  ...searchPages(query, ...rest),
  ...FindStatements.find(query).sort((a, b) => b[4] - a[4]).reverse(),
];

// What of a page is no text of it: links and marks that the build adds, and code that is folded.
const ASIDE = ".headerlink, script, style, .claim-links, .mark, .figure-files, details .highlight, .eqno, h1";

Search.htmlToText = (html, anchor) => {
  const page = new DOMParser().parseFromString(html, "text/html");
  const part = (anchor && page.querySelector(`[role="main"] ${anchor}`)) || page.querySelector("article") || page.body;
  for (const aside of part.querySelectorAll(ASIDE)) aside.remove();
  for (const formula of part.querySelectorAll(".math")) {
    const plain = Formulas[formula.textContent.trim()] ?? "…";
    formula.textContent = formula.matches("div") ? ` ${plain} ` : plain;
  }
  return part.textContent;
};

// A line around the last word that is there, from the beginning of a word to the end of one.
Search.makeSearchSummary = (html, words, anchor) => {
  const text = Search.htmlToText(html, anchor).replace(/\s+/g, " ").trim();
  if (!text) return null;
  const low = text.toLowerCase();
  const places = [...words].map((word) => low.indexOf(word.toLowerCase())).filter((place) => place >= 0);
  const start = text.lastIndexOf(" ", Math.max((places.pop() ?? 0) - 120, 0)) + 1;
  const rest = text.length > start + 240 ? text.lastIndexOf(" ", start + 240) : text.length;
  const line = document.createElement("p");
  line.classList.add("context");
  line.textContent = (start ? "… " : "") + text.slice(start, rest) + (rest < text.length ? " …" : "");
  return line;
};
