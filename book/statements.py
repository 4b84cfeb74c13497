"""Sphinx extension: all statements on one page, and found by the search.

The page prf-prf.html lists the statements page by page, with their names and plain first lines, in place of
sphinx-proof's list of labels. The search finds a statement by its name and by that line: Sphinx's own index knows the
names of sections, but compares them with the whole query, and shows formulas as TeX. Of a page it shows the words
around those that were sought, with formulas as plain text.
"""

import json
import re
import shutil
from html import unescape
from pathlib import Path

import sphinx_proof.nodes
from docutils import nodes

from book import plain

PAGE = "prf-prf"  # where sphinx-proof has its list
KINDS = (*sphinx_proof.nodes.NODE_TYPES.values(), sphinx_proof.nodes.unenumerable_node)


def first_line(node, macros):
    """The first sentence of a statement's first paragraph that holds words, which is set in bold."""
    paragraph = next(iter(node.findall(nodes.paragraph)), None)
    return plain.sentence(plain.line(paragraph, macros)) if paragraph is not None else ""


def collect(app, doctree):
    """Keep the statements of a page, in their order."""
    macros = plain.macros_of(app.config)
    found = []
    for node in doctree.findall(lambda node: isinstance(node, KINDS)):
        title = next(iter(node.findall(nodes.title)), None)
        name = plain.line(title, macros) if title is not None else ""
        if name.startswith("(") and name.endswith(")"):  # the format of sphinx-proof
            name = name[1:-1]
        found.append(
            {
                "id": node["label"],
                "kind": node["realtype"].capitalize(),
                "counter": node["countertype"],
                "name": name,
                "line": first_line(node, macros),
            }
        )
    app.env.metadata[app.env.docname]["statements"] = found


def in_order(app):
    """Pages with statements, in the order of the book."""
    docnames = [app.config.root_doc]
    for docname in docnames:  # which grows on the way
        docnames += [name for name in app.env.toctree_includes.get(docname, []) if name not in docnames]
    return [docname for docname in docnames if app.env.metadata[docname].get("statements")]


def numbered(app, docname):
    """The statements of a page with their numbers: kind is "Theorem 3"."""
    numbers = app.env.toc_fignumbers.get(docname, {})
    for statement in app.env.metadata[docname]["statements"]:
        number = numbers.get(statement["counter"], {}).get(statement["id"])
        kind = f"{statement['kind']} {'.'.join(map(str, number))}" if number else statement["kind"]
        yield statement | {"kind": kind}


def list_all(app):
    stated = [
        {
            "docname": docname,
            "title": plain.line(app.env.titles[docname], plain.macros_of(app.config)),
            "statements": [
                statement
                | {"name": f"{statement['kind']}: {statement['name']}" if statement["name"] else statement["kind"]}
                for statement in numbered(app, docname)
            ],
        }
        for docname in in_order(app)
    ]
    yield PAGE, {"title": "All statements", "stated": stated}, "statements.html"


def searchable(app):
    """What find-statements.js looks in."""
    for docname in in_order(app):
        title = plain.line(app.env.titles[docname], plain.macros_of(app.config))
        file = Path(app.env.doc2path(docname)).relative_to(app.srcdir).as_posix()
        for statement in numbered(app, docname):
            shown = {key: statement[key] for key in ("id", "kind", "name", "line")}
            yield shown | {"page": docname, "title": title, "file": file}


def formulas(html, macros):
    """The formulas of a page: TeX, as the page has it before it is set, to plain text."""
    for found in re.findall(r'<(?:span|div) class="math\b[^"]*">(.*?)</(?:span|div)>', html, re.DOTALL):
        tex = unescape(re.sub(r"<[^>]+>", "", found)).strip()
        yield tex, plain.formula(tex.removeprefix("\\(").removeprefix("\\[")[:-2], macros)


def write_scripts(app, exception):
    if exception is None and app.builder.format == "html":
        out, macros, known = Path(app.outdir), plain.macros_of(app.config), {}
        for docname in app.env.found_docs:
            page = out / app.builder.get_target_uri(docname)
            known.update(formulas(page.read_text(encoding="utf-8"), macros))
        static = out / "_static"
        for name, data in (("Statements", list(searchable(app))), ("Formulas", dict(sorted(known.items())))):
            text = json.dumps(data, ensure_ascii=False, indent=0)
            (static / f"{name.lower()}.js").write_text(f"const {name} = {text};\n", encoding="utf-8")
        shutil.copy(Path(__file__).parent / "static" / "find-statements.js", static)


def load_scripts(app, pagename, templatename, context, doctree):
    """On the search page only. Deferred, so that they come after Sphinx's own and before the search begins."""
    if pagename == "search":
        for name in ("statements.js", "formulas.js", "find-statements.js"):
            app.add_js_file(name, loading_method="defer", priority=900)


def own_list(app, config):
    config.html_domain_indices = False


def setup(app):
    app.connect("config-inited", own_list)
    app.connect("doctree-read", collect)
    app.connect("html-collect-pages", list_all)
    app.connect("html-page-context", load_scripts)
    app.connect("build-finished", write_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
