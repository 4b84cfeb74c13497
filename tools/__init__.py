"""Tools that neither the book nor the tests need: `python -m tools.mutate` breaks formulas, `tools.picture` draws."""
