"""Records as plain values: for JSON, and as small tables in notebooks."""

from __future__ import annotations

from dataclasses import fields
from html import escape
from typing import Any, cast

from . import _check


def plain(record: Any, *names: str) -> dict[str, Any]:
    """These attributes of a record, its fields if none are named, as JSON values: arrays and pairs become lists."""
    values = {name: getattr(record, name) for name in names or [field.name for field in fields(record)]}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()}


class Record:
    """A dataclass that gives its fields as JSON values, and shows them in a notebook as a small table."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return plain(self)

    def _repr_html_(self) -> str:
        shown = {field.name: getattr(self, field.name) for field in fields(cast(Any, self))}
        return table(type(self).__name__, {name: _shown(value) for name, value in shown.items()})


def _shown(value: Any) -> str:
    if getattr(value, "ndim", 0) > 1:
        return f"shape {value.shape}"
    return f"{value:.6g}" if isinstance(value, float) else _check.short(value)


def table(title: str, rows: dict[str, Any]) -> str:
    """An HTML table of names and values."""
    cells = (f"<tr><th>{name}</th><td>{escape(str(value), quote=False)}</td></tr>" for name, value in rows.items())
    return f"<table><caption>{title}</caption>{''.join(cells)}</table>"


def grid(title: str, columns: list[str], rows: list[list[str]]) -> str:
    """An HTML table with named columns and rows; the first entry of a row is its name. All words are escaped."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(entry)}</td>" for entry in row[1:])}</tr>'
        for row in rows
    )
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
