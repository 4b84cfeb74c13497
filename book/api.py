"""Sphinx extension: the symbol table and the pages on the package, read from the code. Directives:

    {symbols}          the symbols it lists, from symbols.yml; all of them, with their places, if it lists none
    {api} MODULE       the names of a module of glalib that it lists, from their signatures and docstrings
    {layers} TABLE     a table of the layers in use, from glalib.architectures.catalogue: levers, statements or settled

Docstrings are plain text that reads as Markdown; indented lines in them are formulas.
"""

import importlib
import inspect
import re
from pathlib import Path

from book import symbols
from book.generated import Generated

PACKAGE = "reference/api"


class Symbols(Generated):
    """The symbol table, or the part of it that a page uses."""

    has_content = True

    def lines(self, claims):
        table, chosen = symbols.read(Path(self.env.app.srcdir)), " ".join(self.content).split()
        if chosen:
            yield "````{dropdown} Symbols"
        yield "| symbol | code | shape | meaning |" + ("" if chosen else " place in the paper |")
        yield "|---|---|---|---|" + ("" if chosen else "---|")
        for symbol in (table[name] for name in chosen or table):
            shape = f"`{symbol.shape}`" if symbol.shape else ""
            code = symbol.shown if chosen else symbol.code
            if code:
                up = "../" * self.env.docname.count("/")
                name = code.replace(".", ".<wbr>")  # a long name may go on in a second line
                code = f'<a href="{up}{PACKAGE}.html#{symbols.anchor(symbol)}"><code>{name}</code></a>'
            row = f"| {symbol.symbol} | {code} | {shape} | {symbol.meaning} |"
            place = re.sub(r" (?=[\d(])", "\N{NO-BREAK SPACE}", symbol.place)
            yield row if chosen else f"{row} {place} |"
        if chosen:
            yield "````"


class Api(Generated):
    """Signatures and docstrings."""

    has_content = True
    required_arguments = 1

    def lines(self, claims):
        module = importlib.import_module(self.arguments[0])
        yield inspect.getdoc(module)
        for name in " ".join(self.content).split():
            thing = getattr(module, name)
            home = "glalib" if name in importlib.import_module("glalib").__all__ else module.__name__
            kind = "class" if inspect.isclass(thing) else "function"
            yield from self.entry(kind, name, thing, home)

    def entry(self, kind, name, thing, home, indent=8):
        fence = "`" * indent
        yield ""
        yield f"{fence}{{py:{kind}}} {name}{self.signature(thing)}"
        yield f":module: {home}"
        yield ""
        yield inspect.getdoc(thing)
        for method, member in vars(thing).items() if kind == "class" else ():
            member = getattr(member, "__func__", getattr(member, "fget", getattr(member, "func", member)))
            if not method.startswith("_") and inspect.isfunction(member) and inspect.getdoc(member):
                static = inspect.getattr_static(thing, method)
                what = "method" if callable(static) or isinstance(static, classmethod) else "attribute"
                yield from self.entry(what, method, member, home, indent - 1)
        yield fence

    def signature(self, thing):
        """The parameters and their defaults; types are in the docstrings, in words."""
        if isinstance(thing, type) and ("__init__" not in vars(thing) or getattr(thing, "_is_protocol", False)):
            return ""
        found = inspect.signature(thing)
        plain = [p.replace(annotation=p.empty) for name, p in found.parameters.items() if name not in ("self", "cls")]
        return str(found.replace(parameters=plain, return_annotation=found.empty))


def at_mark(layer):
    """What the recurrence of a layer can do at a mark, for the page on designing a gate."""
    if layer.forgets != "by its token":
        return "no, but it erases" if layer.erases else ""
    if not layer.floor:
        return "yes"
    if layer.floor.startswith("$"):  # a number that no training moves
        return f"not shut: above {layer.floor}" + (", but it erases" if layer.erases else "")
    return "if its floor is low"


def rows_left(layer):
    """The rows of the page on designing a gate that the recurrence of a layer and its shift leave open."""
    rows = {
        "first": layer.shift,
        "1, 2": at_mark(layer) and not at_mark(layer).startswith("no"),
        "3": layer.may_fall,
        "6, 7": layer.forgets != "never",
        "8, 10": layer.erases,
    }
    return [row for row, settled in rows.items() if not settled]


ACTS_ON = {"scalar": "the whole state", "key": "key channels", "value": "value channels"}
COLUMNS = {
    "levers": {
        "layer": lambda layer: f"{layer.name} {{cite:p}}`{','.join(layer.cite)}`",
        "forgets": lambda layer: (
            layer.forgets + (f", {ACTS_ON[layer.side]}: {layer.gate}" if layer.side in ACTS_ON else "")
        ),
        "writes": lambda layer: layer.writes if layer.write == "1" else f"{layer.writes}: {layer.write}",
        "erases": lambda layer: "yes" if layer.erases else "",
        "divides by": lambda layer: layer.over,
        "sees besides": lambda layer: layer.shift,
        "weights of one key channel may fall": lambda layer: "yes" if layer.may_fall else "",
    },
    "statements": {
        "layer": lambda layer: layer.name,
        "what speaks of it": lambda layer: ", ".join(f"{{prf:ref}}`{label}`" for label in layer.theorems) or "none yet",
        "what it does not keep": lambda layer: layer.breaks,
    },
    "settled": {  # by the rows of the page on designing a gate
        "layer": lambda layer: layer.name,
        "first: a shift": lambda layer: "yes" if layer.shift else "",
        "1, 2: a gate at the mark": at_mark,
        "3: a gate on the write": lambda layer: "yes" if layer.may_fall else "",
        "6, 7: decays": lambda layer: {"never": "", "at a fixed rate": "if its rates fit"}.get(layer.forgets, "yes"),
        "8, 10: erases": lambda layer: "yes" if layer.erases else "",
        "left": lambda layer: ", ".join(rows_left(layer)) or "none",
    },
}


def layers_table(name):
    """The lines of a table of the layers in use."""
    columns, catalogue = COLUMNS[name], importlib.import_module("glalib.architectures.catalogue")
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for layer in catalogue.LAYERS:
        yield f"| {' | '.join(show(layer) for show in columns.values())} |"


class Layers(Generated):
    """A table of the layers in use, a row a record."""

    required_arguments = 1

    def lines(self, claims):
        self.env.note_dependency(importlib.import_module("glalib.architectures.catalogue").__file__)
        yield from layers_table(self.arguments[0])


def setup(app):
    app.add_directive("symbols", Symbols)
    app.add_directive("layers", Layers)
    app.add_directive("api", Api)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
