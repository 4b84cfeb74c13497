"""Pytest looks for this file here, and puts this folder on Python's path, so that tests find `book` and `tools`."""

pytest_plugins = ["book.runner"]
