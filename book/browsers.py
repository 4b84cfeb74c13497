"""Sphinx extension: what a page hands to a browser.

- No script that it does not need: MathJax is left out where there are no formulas, and the theme's script of icons
  everywhere, which is in templates/static/webpack-macros.html, found by `frame`.
- No element for a sign of code that has the colour of the text, or for an operator: half of a page's elements were
  such.
- No line that ends between a formula and the comma after it: a browser may break lines on both sides of a formula.
- No role that readers of screens no longer know: docutils gives such to the list of references.
"""

import re

OLD_ROLES = (' role="doc-biblioentry"', ' role="list"')
FORMULA = re.compile(r'([(\[“‘]*)(<span class="math notranslate nohighlight">\\\([^<]*</span>)([,.;:!?)\]”’]*)')
UNCOLOURED = re.compile(r'<span class="(?:n|nn|p|o|w)">([^<]*)</span>')


def without_formulas(app, pagename, templatename, context, doctree):
    """A page whose text has no formula needs no MathJax; Sphinx gives it to all that could have one."""
    if 'class="math' in context.get("body", ""):
        return

    def sets_formulas(script):
        name = str(getattr(script, "filename", script) or "")
        return app.config.mathjax_path in name or "window.MathJax" in str(getattr(script, "attributes", {}))

    context["script_files"] = [script for script in context["script_files"] if not sets_formulas(script)]


def with_fewer_colours(app, pagename, templatename, context, doctree):
    """Names, brackets, operators and spaces of code as plain text."""
    context["body"] = UNCOLOURED.sub(r"\1", context.get("body", ""))


def with_joined_signs(app, pagename, templatename, context, doctree):
    """A formula, and what stands before and after it without a space, on one line."""

    def joined(match):
        before, _, after = match.groups()
        return f'<span class="joined">{match[0]}</span>' if before or after else match[0]

    context["body"] = FORMULA.sub(joined, context.get("body", ""))


def without_old_roles(app, pagename, templatename, context, doctree):
    if 'class="citation-list"' in context.get("body", ""):
        for role in OLD_ROLES:
            context["body"] = context["body"].replace(role, "")


def setup(app):
    # After Sphinx has added its scripts.
    app.connect("html-page-context", without_formulas, priority=900)
    app.connect("html-page-context", with_fewer_colours)
    app.connect("html-page-context", with_joined_signs)
    app.connect("html-page-context", without_old_roles)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
