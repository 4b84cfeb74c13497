"""The fields below exercises, in a real browser: they say what `glalib.check` says, by mouse and by keyboard."""

import math

import browse
import pytest

from book import answers, chromium
from glalib.exercises.grade import answers as known
from glalib.exercises.grade import check, read_all
from glalib.exercises.verdicts import WORDS, judge

SCRIPT = browse.HERE.parents[1] / "assets" / "live" / "exercises.js"
KNOWN = known()
JUNK = "|1/0|nan|inf|-|1e999|1,2,3|0|1 2|(1)|٣|1/2/3|50 %|−1| 1 / 4|about half| ".split("|")
# A comma before three digits: to be asked about, or surely of thousands or decimals.
COMMAS = "1,000|-1,250|1,000%|1,000/3|3/1,000|1,000, 2|1,000; 2; 3|0,500|1234,567|1,000,000|-1,234.5|1,234.|1,234e3"
COMMAS = [*COMMAS.split("|"), "1,23"]
FACTORS = [-1, 2, 0.5, 100, 0.01, 10, 1 / 3, 1.003, 0.98, 1.04, 1e-9, 7.7]


def lists(asked):
    """Numbers that are given to an answer: right, wrong, changed in ways that have a sentence of their own."""
    value = asked["value"]
    yield from ([value, *(wrong["value"] for wrong in asked["wrong"] if "value" in wrong)])
    yield from ([factor * v for v in value] for factor in FACTORS)
    yield from ([change(v) for v in value] for change in (lambda v: v * v, lambda v: abs(v) ** 0.5, lambda v: 1 - v))
    yield from ([float(f"{v:.{digits}g}") for v in value] for digits in (1, 2, 3))
    yield from (value[::-1], sorted(value), [*value, 1.0], value[1:], [value[0], *(2 * v for v in value[1:])])
    yield from ([math.nan] * len(value), [math.inf] * len(value), [0.0] * len(value), value[:1])


def texts(asked):
    for given in lists(asked):
        if given and all(map(math.isfinite, given)):
            yield from (separator.join(map(repr, given)) for separator in (", ", ";", " "))
    yield from (f"{100 * asked['value'][0]!r}%", str(asked["value"][0]).replace(".", ","), *JUNK, *COMMAS)


@pytest.fixture(scope="module")
def blank():
    """A page that has the script and nothing else."""
    if reason := chromium.lacking():
        pytest.skip(reason)
    with chromium.opened() as browser:
        page = browser.new_page()
        page.add_script_tag(path=str(SCRIPT))
        yield page
        page.close()


def in_browser(page, function, asked, given):
    script = f"([words, asked, given]) => given.map((one) => exercises.{function}(words, asked, one))"
    return page.evaluate(script, [WORDS, asked, given])


def test_the_browser_and_python_judge_alike(blank):
    seen = set()
    for name, asked in KNOWN.items():
        if "value" in asked:
            given = [numbers for numbers in lists(asked) if numbers]
            here = [list(judge(asked, numbers)) for numbers in given]
            assert in_browser(blank, "judge", asked, given) == here, name
            seen |= {says for _, says in here}
    assert len(seen) > 30


def test_the_browser_and_python_read_alike(blank):
    """Any text in a field, and in `check`."""
    for name, asked in KNOWN.items():
        if "value" in asked:
            given = list(dict.fromkeys(texts(asked)))
            here = [[verdict.right, verdict.says] for verdict in (check(name, text) for text in given)]
            assert in_browser(blank, "check", asked, given) == here, name
        else:
            verdicts = [check(name, choice["text"]) for choice in asked["choices"]]
            there = in_browser(blank, "check", asked, [str(i) for i in range(len(verdicts))])
            assert there == [[verdict.right, verdict.says] for verdict in verdicts], name
    for text in [*JUNK, *COMMAS, "1/2, 0.3, 1", "0,5 0,25", "[1; 2]", "3 / 4, 1"]:
        for count in (1, 2, 3):
            assert blank.evaluate("([text, n]) => exercises.readAll(text, n)", [text, count]) == read_all(text, count)


def asked_for(*value):
    kind = "number" if len(value) == 1 else "numbers"
    return {"kind": kind, "value": value, "within": 0.01, "relative": True, "to": "1%", "wrong": []}


ONE, TWO = asked_for(1000), asked_for(1, 250)


def test_a_comma_before_three_digits_is_asked_about(blank):
    said = in_browser(blank, "check", ONE, ["1,000", "-1,000", "1,000/2", "(1,000)"])
    assert [right for right, _ in said] == [False] * 4
    assert said[0][1] == "1,000 may be 1000 or 1.000. Write which."
    assert all("Write which" in says for _, says in said)
    # What can be meant in one way only is read.
    for text in ("1000", "1,000.0", "1000,00"):
        assert in_browser(blank, "check", ONE, [text]) == [[True, WORDS["right"]]], text
    for text, value in {"0,5": 0.5, "0,125": 0.125, "1,5": 1.5, "1234,567": 1234.567, "2,000,000": 2e6}.items():
        assert blank.evaluate("(text) => exercises.read(text)", text) == value, text
    # Two numbers are asked for: alone it is two, beside another it may be one.
    assert in_browser(blank, "check", TWO, ["1,250"]) == [[True, WORDS["right"]]]
    (said,) = in_browser(blank, "check", TWO, ["1, 1,250"])
    assert said == [False, "1,250 may be 1250 or 1.250. Write which."]


def test_while_one_writes_a_field_says_how_it_reads(blank):
    """And not whether that is right."""
    for asked, says in (
        (ONE, {"": "", "1000": "", "-": "", "1e": "", "1/": "", "0,5": "Read as 0.5.", "57 %": "Read as 0.57."}),
        (ONE, {"4/7": "Read as 0.57142857.", "−1/2": "Read as −0.5.", "1,000": "1,000 may be"}),
        (ONE, {"sqrt(2)": "sqrt(2) is not worked out", "2*pi": "2*pi is not worked", "half": "half cannot be read"}),
        (ONE, {"1 000": "Read as 2 numbers, 1; 0. One number is asked for", "x" * 99: "x" * 24 + "… cannot"}),
        (TWO, {"1, 250": "", "1,250": "Read as 1; 250.", "1; 2; 3": "Read as 3 numbers, 1; 2; 3. 2 numbers are"}),
        (TWO, {"1": "So far: one number. 2 numbers are asked for", "1; e": "e cannot be read. 2 numbers"}),
    ):
        for (text, start), said in zip(says.items(), in_browser(blank, "hint", asked, [*says]), strict=True):
            assert said.startswith(start) if start else said == "", (text, said)


def test_a_text_of_any_length_is_read_at_once(blank):
    script = "([w, a, text]) => { const t = performance.now(); exercises.hint(w, a, text); exercises.check(w, a, text);"
    script += " return performance.now() - t }"
    for text in ("1" + " " * 100_000 + "2x", "1," * 50_000 + "x", "9" * 100_000 + "x", "/" * 100_000):
        # Milliseconds: some tens. Were it as the square of the length, minutes.
        assert blank.evaluate(script, [WORDS, TWO, text]) < 5000, text[:3]


PAGES = sorted(path.stem for path in (browse.HERE.parents[1] / "glalib" / "exercises" / "answers").glob("*.json"))


@pytest.fixture(scope="module")
def phone(browser):
    """Its tabs share what was fetched."""
    context = browser.new_context(viewport={"width": browse.PHONE, "height": 800})
    context.set_default_timeout(chromium.PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(phone, origin, request):
    tab = phone.new_page()
    tab.goto(f"{origin}/chapters/{request.param}.html", wait_until="domcontentloaded")
    tab.evaluate("localStorage.clear()")
    yield tab
    tab.close()


# Looks every few milliseconds, as hundreds of answers are given; a locator that waits looks away for longer and longer.
TOLD = """(output, patience) => new Promise((done) => {
  const until = performance.now() + patience;
  const look = () =>
    output.textContent || performance.now() > until ? done(output.innerText) : setTimeout(look, 5);
  look();
})"""


def told(form):
    """What a field says once it says something."""
    return form.locator("output").evaluate(TOLD, chromium.PATIENCE)


@pytest.mark.parametrize("name, page", [(name, name) for name in PAGES], indirect=["page"], ids=PAGES)
def test_each_field_says_what_check_says(name, page):
    """Right, and each wrong answer; the keyboard enters one, the mouse the next."""
    stored = answers.stored(browse.HERE.parents[1], name)
    assert {form.get_attribute("data-answer") for form in page.locator("form.answer").all()} == set(stored)
    for key, asked in stored.items():
        form = page.locator(f'form[data-answer="{key}"]')
        given = range(len(asked["choices"])) if "choices" in asked else [*lists(asked)][: 1 + len(asked["wrong"])]
        for i, answer in enumerate(given):
            if "choices" in asked:
                form.locator("input").nth(answer).check()
                verdict = check(key, asked["choices"][answer]["text"])
            else:
                text = repr(answer[0]) if asked["kind"] == "formula" else ", ".join(map(repr, answer))
                form.locator("input").fill(text)
                verdict = check(key, text)
            if i % 2 or "choices" in asked:
                form.locator("button").click()
            else:
                form.locator("input").press("Enter")
            assert told(form) == verdict.says
            assert ("right" in form.get_attribute("class").split()) == verdict.right
            assert ("wrong" in form.get_attribute("class").split()) != verdict.right
    assert page.evaluate("document.documentElement.scrollWidth") <= browse.PHONE


@pytest.mark.parametrize("page", PAGES[:1], indirect=True)
def test_a_field_has_a_name_a_voice_and_a_place_for_keys(page):
    form = page.locator("form.answer").first
    field = form.get_by_role("textbox").or_(form.get_by_role("radio")).first
    assert field.evaluate("field => field.labels[0].innerText").strip()
    assert form.locator("output").get_attribute("aria-live") == "polite"
    form.locator("button").click()
    assert told(form) == WORDS["blank"]
    if field.get_attribute("type") == "text":
        field.fill("sqrt(2)")
        assert told(form).startswith("sqrt(2) is not worked out here.")
        field.fill("")
        page.wait_for_timeout(900)  # longer than a field waits until it speaks
        assert form.locator("output").inner_text() == ""
        field.fill("5; 1,000")
        form.locator("button").click()
        assert told(form) == "1,000 may be 1000 or 1.000. Write which."
    field.focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Check"
    page.emulate_media(media="print")
    assert not form.is_visible()


@pytest.mark.parametrize("page", PAGES[:1], indirect=True)
def test_what_was_solved_is_marked_in_the_list(page):
    """And nothing else is kept."""
    solved = []
    for form in page.locator("form.answer").all():
        solved.append(form.get_attribute("data-answer"))
        asked = KNOWN[solved[-1]]
        if "choices" in asked:
            form.locator("input").nth([("says" in choice) for choice in asked["choices"]].index(False)).check()
        else:
            right = asked["value"][:1] if asked["kind"] == "formula" else asked["value"]
            form.locator("input").fill(", ".join(map(repr, right)))
        form.locator("button").click()
        assert told(form).startswith(WORDS["right"])
    kept = page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('solved-'))")
    assert sorted(kept) == sorted(f"solved-{name}" for name in solved)
    page.goto(page.url.replace(f"/chapters/{PAGES[0]}.html", "/reference/exercises.html"))
    page.locator("[data-solved]:visible").first.wait_for()
    marks = [mark.get_attribute("data-solved") for mark in page.locator("[data-solved]:visible").all()]
    assert sorted(" ".join(marks).split()) == sorted(solved)


def test_without_script_no_field_shows(browser, origin):
    tab = browser.new_context(java_script_enabled=False).new_page()
    tab.goto(f"{origin}/chapters/{PAGES[0]}.html")
    assert tab.locator("form.answer").count() and not tab.locator("form.answer").first.is_visible()
    tab.context.close()
