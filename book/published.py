"""Sphinx extension: where the book and its sources are published, and what git knows of them.

Two settings of _config.yml, both empty on a machine of one's own; the environment variables of these names (in
capitals) go before them, and the workflow that publishes sets the first:

    book_repository    address of the sources, such as https://github.com/NAME/PROJECT
    book_address       address of the book; if that is empty, the pages of a repository on GitHub

All that needs an address, such as buttons that open a notebook elsewhere, is left out where there is none.
"""

import os
import re
import subprocess
from functools import cache
from pathlib import Path

from sphinx.errors import ConfigError

GITHUB = re.compile(r"https://github\.com/([\w.-]+)/([\w.-]+)$")


def git(root, *arguments):
    """What git says, without line breaks at its end; empty where there is no git, or no history."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def is_top(root, folder):
    """Whether a folder is where the repository begins: a copy of the sources may lie in a repository of others."""
    return bool(folder) and Path(folder).resolve() == Path(root).resolve()


@cache
def has_history(root):
    """Whether the folder is a repository with all of its history: a shallow one dates every file by its last commit."""
    top, _, shallow = git(root, "rev-parse", "--show-toplevel", "--is-shallow-repository").partition("\n")
    return is_top(root, top) and shallow == "false"


@cache
def commit(root):
    """The commit that the sources are at, or empty."""
    return git(root, "rev-parse", "HEAD") if is_top(root, git(root, "rev-parse", "--show-toplevel")) else ""


def last_change(root, path):
    """The date of the last commit that changed a file, as 2026-01-31, or empty."""
    return git(root, "log", "-1", "--format=%cs", "--", path) if has_history(root) else ""


def version(root):
    """The last tag, such as v0.1.0, and how far the sources have gone on from it; empty without a tag."""
    return git(root, "describe", "--tags", "--match", "v*") if has_history(root) else ""


def source(app, path):
    """The address of a file of the sources, at the commit that the book is built from; empty if there is none."""
    repository = app.config.book_repository
    return f"{repository}/blob/{commit(str(app.srcdir)) or 'HEAD'}/{path}" if repository else ""


def address(name, given):
    """A setting, from the environment before the configuration, without a slash at its end."""
    given = os.environ.get(name.upper(), "") or given or ""
    if given and not re.match(r"https?://[^\s\"'<>]+$", given):
        raise ConfigError(f"{name} must be an address that begins with https://, or empty; got {given!r}")
    return given.rstrip("/").removesuffix(".git")


def pages_of(repository):
    """Where GitHub publishes the pages of a repository."""
    found = GITHUB.match(repository)
    if not found:
        return ""
    owner, name = found[1].lower(), found[2]
    return f"https://{owner}.github.io" + ("" if name.lower() == f"{owner}.github.io" else f"/{name}")


def settle(app, config):
    config.book_repository = address("book_repository", config.book_repository)
    config.book_address = address("book_address", config.book_address) or pages_of(config.book_repository)
    if config.book_address:
        config.html_baseurl = f"{config.book_address}/"  # canonical addresses


def setup(app):
    app.add_config_value("book_repository", "", "html", [str])
    app.add_config_value("book_address", "", "html", [str])
    app.connect("config-inited", settle)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
