"""Sphinx extension: each page with code offers its executed notebook, which runs on a bare machine, and its script.

On a page of the book MathJax knows the macros of _config.yml. A notebook opened elsewhere knows none, and has neither
the package nor the data files beside it. So the one that is offered begins with a cell that brings what is missing,
and with one that defines the macros, which shows nothing. The fields below exercises are cells there.

Where the sources' address is known, and is one on GitHub, there are buttons that open the notebook in Colab and on
Binder. Both read a branch of the repository, to which the publishing workflow pushes the folder _build/notebooks.
"""

import json
import re
from pathlib import Path

import nbformat
from jupyter_cache import get_cache

from book import exercises, live, pairs, plain, published

BRANCH = "notebooks"
EXTRAS = "[plot,torch]"
DATA = re.compile(r"""["']data/""")  # the cells of a page are run in its own folder
GLUE = re.compile(r"^\s*from myst_nb import glue$", re.MULTILINE)


def definitions(macros):
    """TeX that defines MathJax's macros: a name to its text, or to its text and its number of arguments."""
    for name, meaning in macros.items():
        text, arguments = (meaning, 0) if isinstance(meaning, str) else meaning
        yield f"\\newcommand{{\\{name}}}" + (f"[{arguments}]" if arguments else "") + f"{{{text}}}"


def requirement(repository, commit):
    """What pip installs the package from: the sources, as they were when the page was executed."""
    return f"glalib{EXTRAS} @ git+{repository}" + (f"@{commit}" if commit else "")


def package(repository, commit):
    """The package, from the sources' address."""
    if repository:
        step = f'%pip install --quiet "{requirement(repository, commit)}"'
    else:
        step = f"""raise ModuleNotFoundError("In the folder of the book's sources: pip install '.{EXTRAS}'")"""
    return f"""\
# What this notebook needs beyond Python: the book's package.
from importlib.util import find_spec

if find_spec("glalib") is None:
    {step}
"""


def data_files(repository, commit, names):
    """The data files that lie beside the chapters."""
    if not repository:
        return """\
from pathlib import Path

if not Path("data").exists():
    raise FileNotFoundError("Run this notebook in the folder `chapters` of the book's sources, which holds its data.")
"""
    return f"""\
# The data files that lie beside the chapters.
from pathlib import Path
from urllib.request import urlretrieve

Path("data").mkdir(exist_ok=True)
for name in {json.dumps(list(names))}:
    if not Path("data", name).exists():
        urlretrieve(f"{repository}/raw/{commit or "HEAD"}/chapters/data/{{name}}", Path("data", name))
"""


# Of myst-nb a page uses `glue` alone, and would bring Sphinx with it.
STAND_IN = """\
# `glue` hands numbers to the text of the book; elsewhere it has nothing to do.
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

if find_spec("myst_nb") is None:
    sys.modules["myst_nb"] = ModuleType("myst_nb")
    sys.modules["myst_nb"].__spec__ = ModuleSpec("myst_nb", None)
    sys.modules["myst_nb"].glue = lambda name, value, display=True: None
"""


def preparation(code, repository="", commit="", data=()):
    """The first cell of a page with this code: the package, then what else is missing on a bare machine.

    data: names of the data files that lie beside the chapters.
    """
    parts = [package(repository, commit)]
    if DATA.search(code):
        parts.append(data_files(repository, commit, data))
    if GLUE.search(code):
        parts.append(STAND_IN)
    return "\n".join(parts).strip()


def prepared(notebook, macros, **sources):
    """The notebook, beginning with what it needs on a bare machine, and with words for figures that move on the page.

    sources: as for `preparation`.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = live.in_words(cell.source)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    first = nbformat.v4.new_code_cell(preparation(code, **sources), id="what-it-needs")
    cells = [first]
    if macros:
        source = "\n".join(f"${definition}$" for definition in definitions(macros))
        cells.append(nbformat.v4.new_markdown_cell(source, id="tex-macros"))
    notebook.cells = [*cells, *exercises.checks(notebook.cells)]
    return notebook


def sources_of(app):
    root = Path(app.srcdir)
    return {
        "repository": app.config.book_repository,
        "commit": published.commit(str(root)),
        "data": sorted(path.name for path in (root / "chapters" / "data").glob("*") if path.is_file()),
    }


def launches(repository, pagename):
    """Names and addresses of places that open the notebook of a page."""
    if found := published.GITHUB.match(repository):
        project = f"{found[1]}/{found[2]}"
        yield "Colab", f"https://colab.research.google.com/github/{project}/blob/{BRANCH}/{pagename}.ipynb"
        yield "Binder", f"https://mybinder.org/v2/gh/{project}/{BRANCH}?urlpath=lab/tree/{pagename}.ipynb"


def executed(path, cache):
    """The notebook with its outputs. myst-nb writes it without them where they come from its cache."""
    notebook = nbformat.read(path, as_version=4)
    try:
        return get_cache(cache).merge_match_into_notebook(notebook)[1]
    except KeyError:  # a page that failed
        return notebook


def offer(app, pagename, templatename, context, doctree):
    """Write the page's notebook beside its source, and let the theme's button know of it."""
    path = Path(app.outdir).parent / "jupyter_execute" / f"{pagename}.ipynb"
    if "kernelspec" not in app.env.metadata[pagename] or not path.exists():
        return
    macros = plain.macros_of(app.config)
    notebook = prepared(executed(path, app.config.nb_execution_cache_path), macros, **sources_of(app))
    for folder in (Path(app.outdir) / "_sources", Path(app.outdir).parent / BRANCH):
        target = folder / f"{pagename}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
    script = pairs.text_of(Path(app.srcdir) / f"{pagename}.md", "py")
    (Path(app.outdir) / "_sources" / f"{pagename}.py").write_text(script, encoding="utf-8")
    context["ipynb_source"] = f"{pagename}.ipynb"


def buttons(app, pagename, templatename, context, doctree):
    """Beside the theme's own buttons for the notebook: the page as a script, and places that open the notebook."""
    if not context.get("ipynb_source"):
        return
    groups = {group.get("label"): group for group in context["header_buttons"]}
    script = {
        "type": "link",
        "url": f"{context['pathto']('_sources', 1)}/{pagename}.py",
        "text": ".py",
        "icon": "fas fa-file-code",
        "tooltip": "Download the page as a script",
        "label": "download-script-button",
    }
    groups["download-buttons"]["buttons"].insert(1, script)
    found = [
        {"type": "link", "url": url, "text": name, "icon": "fas fa-play", "tooltip": f"Run this page in {name}"}
        for name, url in launches(app.config.book_repository, pagename)
    ]
    if found:
        group = {"type": "group", "tooltip": "Run this page", "icon": "fas fa-rocket", "label": "launch-buttons"}
        context["header_buttons"].insert(0, group | {"buttons": found})


def requirements(app, exception):
    """What Binder installs before it opens a notebook."""
    folder, sources = Path(app.outdir).parent / BRANCH, sources_of(app)
    if exception is None and folder.exists() and sources["repository"]:
        needed = requirement(sources["repository"], sources["commit"])
        (folder / "requirements.txt").write_text(f"{needed}\n", encoding="utf-8")


def setup(app):
    # The theme makes its buttons at priority 501.
    app.connect("html-page-context", offer)
    app.connect("html-page-context", buttons, priority=510)
    app.connect("build-finished", requirements)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
