"""Sphinx extension: each page with code offers its executed notebook, which defines the book's TeX macros itself.

On a page of the book MathJax knows the macros of _config.yml. A notebook opened elsewhere knows none, so the one
offered for download has them in a first cell, which shows nothing.
"""

from pathlib import Path

import nbformat


def definitions(macros):
    """TeX that defines MathJax's macros: a name to its text, or to its text and its number of arguments."""
    for name, meaning in macros.items():
        text, arguments = (meaning, 0) if isinstance(meaning, str) else meaning
        yield f"\\newcommand{{\\{name}}}" + (f"[{arguments}]" if arguments else "") + f"{{{text}}}"


def with_macros(notebook, macros):
    """The notebook with a first cell that defines the macros."""
    if macros:
        source = "\n".join(f"${definition}$" for definition in definitions(macros))
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(source, id="tex-macros"))
    return notebook


def offer(app, pagename, templatename, context, doctree):
    """Write the page's notebook beside its source, and let the theme's button know of it."""
    executed = Path(app.outdir).parent / "jupyter_execute" / f"{pagename}.ipynb"
    if "kernelspec" not in app.env.metadata[pagename] or not executed.exists():
        return
    macros = app.config.mathjax3_config.get("tex", {}).get("macros", {})
    offered = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    offered.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(with_macros(nbformat.read(executed, as_version=4), macros), offered)
    context["ipynb_source"] = f"{pagename}.ipynb"


def setup(app):
    # Before the theme makes its buttons, at priority 501.
    app.connect("html-page-context", offer)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
