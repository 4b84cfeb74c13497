"""What makes the book of the sources, and keeps its promises. None of it is needed to use `glalib`.

In the order in which a page meets them:

    pairs        the two files of each chapter, NAME.md and NAME.py, kept in step
    new          begins a chapter, which runs and has the shape of a page; what is left to write is marked
    page         all that concerns one page in one go: in step, formatted, run, tested; its faults in one list
    shape        the shape that readers learn once, and what a page lacks of it: line, fault, what to do
    references   references of a page that lead nowhere, and the name that may be meant
    symbols      the symbol table, bound to names in the code
    letters      what a page says of a letter of that table where it brings it in
    claims       the claims, and what asserts each: statements, proofs, cells, tests
    runner       the chapter runner, a plugin of pytest: every cell, every solution, the stored outputs; the markers,
                 and the claims that went down
    asserts      assertions that print what they saw
    recorder     what these assertions call: it keeps what was compared with what
    margins      assertions that came close to their limits, or moved between machines
    drawn        the CSV file of a figure holds every series that it shows
    elsewhere    chapters and tests as other processors would run them
    freshness    Sphinx: which outputs are old, by a fingerprint of code, data and versions; the kernel of the cells
    execution    Sphinx: runs the cells of pages whose outputs are old, side by side
    generated    Sphinx: what generated pages have in common; faults of claims become warnings of the build
    contents     Sphinx: lists of pages
    answers      what the exercises of a page hold an answer to, computed by its code
    exercises    Sphinx: fields that grade an answer, and the list of all exercises
    folds        Sphinx: checks, code, hints and solutions under one kind of fold
    ledger       Sphinx: the ledger of claims, the page of tests, and the line of links under each statement
    api          Sphinx: the pages on symbols and on the package
    published    Sphinx: the addresses of the book and of its sources, and what git knows of them
    notebooks    Sphinx: the notebook and the script that each page offers
    figures      Sphinx: alternative texts and sizes of images, and the files below a figure
    live         Sphinx: figures that one can move: their place on a page, and the scripts that it loads
    tables       Sphinx: tables of text, whose rows are cards on a phone
    frame        Sphinx: the head and the foot of each page, the page for wrong addresses, the map of the site
    statements   Sphinx: all statements on one page, and found by the search
    browsers     Sphinx: what a page hands to a browser: no script that it does not need, no role that is out of use
    plain        plain text of what is written in TeX
    release      what is handed out of the package: built, checked, installed, tested
    outside      links to other places, and whether they answer
    build        the strict build: every warning of Sphinx is a failure, of citations and references too; the end of
                 `make book`: page, cell and what it saw
    pdf          the whole book as one PDF; how a page prints: `assets/print.css`
    tags         headings, lists and tables marked in the PDF, for those who hear it
    chromium     the browser that prints it
    check_book   the HTML that was built: all pages there, no failed cell, no dead link, no other host
    lock         the locked versions, `requirements.lock`
    lowest       the lowest versions that `pyproject.toml` allows, to be installed together

Commands are `python -m book.NAME`, from the folder above. Sphinx loads the whole as one extension.
"""

EXTENSIONS = [
    f"book.{name}"
    for name in (
        "freshness", "execution", "published", "contents", "exercises", "folds", "ledger", "api", "notebooks",
        "figures", "live", "tables", "frame", "statements", "browsers",
    )
]  # fmt: skip


def setup(app):
    for name in EXTENSIONS:
        app.setup_extension(name)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
