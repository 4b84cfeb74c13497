"""Tools run by hand, as `python -m tools.NAME`.

The rooms:

    mutate      breaks formulas of glalib, one at a time, to test the tests
    mutations   what it breaks: the list
    picture     draws the pictures of the front page, of the README and of previews
"""
