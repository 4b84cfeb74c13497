"""Tools run by hand: `python -m tools.mutate` breaks formulas to test the tests, `python -m tools.picture` draws."""
