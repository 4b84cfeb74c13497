// The search of the book finds statements by their names and their plain first lines, and shows both.
// Loaded after Sphinx's searchtools.js, on the search page alone; Statements comes from statements.js.
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
