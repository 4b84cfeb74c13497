"""The answers of exercises: what `glalib.check` and the fields of the pages hold an answer to.

    python -m book.answers [NAME ...]     compute glalib/exercises/answers/NAME.json, of all pages if none is named

An exercise says how its answer is checked in a block of YAML after it, ```{answer} LABEL. Its numbers are expressions,
evaluated where the solution's code has run; so no number is typed. The chapter runner computes them, and holds the
stored ones to them, or stores them anew. CONTRIBUTING.md says how to write one.
"""

import json
import math
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^(`{3,})\{answer\} *(\S*) *\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
EXERCISE = re.compile(r"^(`{3,})\{exercise\} *([^\n]*)\n:label: *(\S+)\n.*?^\1$", re.MULTILINE | re.DOTALL)
SOLUTION = re.compile(r"^(`{3,})\{solution\} *(\S+)\n.*?^\1$", re.MULTILINE | re.DOTALL)
FIELDS = {"asks", "value", "within", "choices", "at", "wrong", "then", "minutes", "level"}
NEEDED = {"asks", "minutes", "level"}


class Fault(ValueError):
    """What is wrong with a block, in a sentence that names it."""


def stored_at(root, page):
    return root / "glalib" / "exercises" / "answers" / f"{page}.json"


def stored(root, page):
    path = stored_at(root, page)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def exercises(text):
    """The exercises of a page, in their order: (label, title)."""
    return [(label, title) for _, title, label in EXERCISE.findall(text)]


def exercise_of(name, labels):
    """The exercise that an answer is of: its own name, or what that begins with."""
    return max((label for label in labels if name == label or name.startswith(f"{label}-")), key=len, default=None)


def blocks(text):
    """The blocks of a page: the name of each answer to what it says."""
    found, labels = {}, [label for label, _ in exercises(text)]
    for _, name, body in BLOCK.findall(text):
        try:
            block = yaml.safe_load(body)
        except yaml.YAMLError as error:
            raise Fault(f"{name}: its block is no YAML: {' '.join(str(error).split())}") from None
        if name in found or exercise_of(name, labels) is None:
            raise Fault(f"{name or 'an answer'}: its name must be, once, an exercise's label, or begin with that and -")
        found[name] = well_formed(name, block)
    return found


def well_formed(name, block):
    """The block, if it has the fields of one."""
    if not isinstance(block, dict) or set(block) - FIELDS or NEEDED - set(block):
        raise Fault(f"{name}: a block has {', '.join(sorted(NEEDED))}, and no more than {', '.join(sorted(FIELDS))}")
    if ("value" in block) == ("choices" in block):
        raise Fault(f"{name}: an answer has either a value or choices")
    if block["level"] not in (1, 2, 3) or not 1 <= block["minutes"] <= 120:
        raise Fault(f"{name}: level is 1, 2 or 3, and minutes are 1 to 120")
    if "choices" in block and sum("says" not in choice for choice in block["choices"]) != 1:
        raise Fault(f"{name}: each choice has a `text`, and all but the right one what it `says`, too")
    for wrong in block.get("wrong", []):
        if "says" not in wrong or len({"value", "above", "below"} & set(wrong)) != 1 or len(wrong) != 2:
            raise Fault(f"{name}: a wrong answer has `says`, and one of `value`, `above`, `below`")
    sentences = [block["asks"], block.get("then", ""), *(c.get("says", "") for c in block.get("choices", []))]
    for sentence in [*sentences, *(wrong["says"] for wrong in block.get("wrong", []))]:
        if re.search(r"[$`{}\\]", sentence):
            raise Fault(f"{name}: sentences are plain text, for a terminal, too: no $, ` or braces in {sentence!r}")
    return block


def expressions(block):
    """What has to be evaluated, as the source of a Python list: the value, then the wrong ones."""
    parts = [str(block["value"]), *(str(next(v for k, v in w.items() if k != "says")) for w in block.get("wrong", []))]
    return "[" + ", ".join(f"({part})" for part in parts) + "]"


def digits(value):
    """Six digits of a number."""
    number = float(value)
    if not math.isfinite(number):
        raise Fault(f"a value is {number}")
    return float(f"{number:.6g}")


def flat(value, settings):
    """A value's kind, and its numbers as a list: of a function, its values at the settings."""
    if callable(value):
        return "formula", [digits(value(*setting)) for setting in settings]
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, (list, tuple)):
        return "numbers", [digits(entry) for entry in value]
    return "number", [digits(value)]


def record(block, values=()):
    """What is stored of an answer. values: of its expressions."""
    kept = {key: block[key] for key in ("asks", "minutes", "level", "then") if key in block}
    if "choices" in block:
        return kept | {"kind": "choice", "choices": block["choices"]}
    at = block.get("at", [])
    settings = [list(setting.values()) for setting in at]
    value, *wrong = values
    kind, numbers = flat(value, settings)
    if (kind == "formula") != bool(at):
        raise Fault("a formula, and nothing else, has settings `at`")
    within = str(block.get("within", "1%"))
    kept |= {
        "kind": kind,
        "value": numbers,
        "within": float(within.rstrip("%")) / (100 if within.endswith("%") else 1),
        "relative": within.endswith("%"),
        "to": within,
        "wrong": [],
    }
    for entry, found in zip(block.get("wrong", []), wrong, strict=True):
        key = next(key for key in entry if key != "says")
        found = flat(found, settings)[1] if key == "value" else digits(found)
        kept["wrong"].append({key: found, "says": entry["says"]})
    if at:
        names = [", ".join(f"{name} = {value:g}" for name, value in setting.items()) for setting in at]
        kept |= {"names": list(at[0]), "at": settings, "settings": names}
    return kept


def faults(answer):
    """What is wrong with an answer that is stored: the right one must pass, each wrong one meet its own sentence."""
    from glalib.exercises.verdicts import choose, judge

    if answer["kind"] == "choice":
        verdicts = [choose(answer, choice["text"])[0] for choice in answer["choices"]]
        if sum(verdicts) != 1:
            yield "not one choice is right"
        return
    if answer["relative"] and not all(answer["value"]):
        yield "the tolerance of a zero cannot be relative: give `within` as a number"
    if not judge(answer, answer["value"])[0]:
        yield "its own value does not pass"
    for wrong in answer["wrong"]:
        if "value" not in wrong:
            key, bound = next((k, v) for k, v in wrong.items() if k != "says")
            if any(v > bound if key == "above" else v < bound for v in answer["value"]):
                yield f"the answer itself is {key} {bound:g}"
            continue
        if len(wrong["value"]) != len(answer["value"]):
            yield f"a wrong answer has {len(wrong['value'])} numbers: {wrong['says']}"
            continue
        wide = answer | {"within": 2 * answer["within"], "wrong": []}
        right, _ = judge(wide, wrong["value"])
        told = judge(answer, wrong["value"])[1]
        if right:
            yield f"a wrong answer is within twice the tolerance of the right one: {wrong['says']}"
        elif not told.endswith(wrong["says"]):
            yield f"a wrong answer gets another one's sentence, {told!r}, not {wrong['says']!r}"
        if answer["kind"] == "formula" and judge(wide, wrong["value"][:1])[0]:
            yield f"at the first setting a wrong formula is right: {wrong['says']}"


def same(new, old, within=0.0):
    """Whether two records agree, numbers up to what machines and the digits that are kept may move."""
    if isinstance(new, dict):
        return isinstance(old, dict) and set(new) == set(old) and all(same(new[k], old[k], within) for k in new)
    if isinstance(new, list):
        return isinstance(old, list) and len(new) == len(old) and all(map(lambda n, o: same(n, o, within), new, old))
    if isinstance(new, float) and isinstance(old, (int, float)):
        return abs(new - old) <= max(2e-5 * abs(old), within)
    return new == old


def computed(page, name, values, root=ROOT):
    """The record of an answer from the values of its expressions. Called where a page's code has run."""
    text = (root / "chapters" / f"{page}.md").read_text(encoding="utf-8")
    try:
        answer = record(blocks(text)[name], values)
    except (TypeError, ValueError) as error:
        raise Fault(f"{name}: {error}") from None
    for fault in faults(answer):
        raise Fault(f"{name}: {fault}")
    return answer


def hold(page, name, values, root=ROOT):
    """The stored answer is the one that the page's code gives."""
    new, old = computed(page, name, values, root), stored(root, page).get(name)
    size = max((abs(v) for v in new.get("value", [])), default=0.0) if new.get("relative") else 1.0
    within = 0.05 * new.get("within", 0.0) * size
    if old is None or not same(new, old, within):
        raise Fault(f"{name}: glalib/exercises/answers/{page}.json is old: python -m book.answers {page}")


def keep(page, name, values, root=ROOT):
    """Store the answer that the page's code gives, if it is another one than is stored."""
    new, kept = computed(page, name, values, root), stored(root, page)
    if not same(new, kept.get(name)):
        write(stored_at(root, page), kept | {name: new})


def steps(text):
    """What runs after a page's cells, in order: (position, code, "solution") and, after the solution that each is of,
    (position, name, "answer").
    """
    labels = [label for label, _ in exercises(text)]
    for block in SOLUTION.finditer(text):
        for code in re.finditer(r"^```python\n(.*?)^```$", block.group(), re.DOTALL | re.MULTILINE):
            yield block.start() + code.start(), code.group(1), "solution"
        for name in blocks(text):
            if exercise_of(name, labels) == block[2]:
                yield block.end(), name, "answer"


def source(page, name, block, function="hold"):
    """A cell's code that computes an answer, in a kernel where the page has run."""
    values = expressions(block) if "value" in block else "[]"
    return f'__import__("book.answers").answers.{function}({page!r}, {name!r}, {values})'


def tidy(page, root=ROOT):
    """Drop what is stored of answers that the page no longer has."""
    path, kept = stored_at(root, page), stored(root, page)
    asked = blocks((root / "chapters" / f"{page}.md").read_text(encoding="utf-8"))
    if set(kept) - set(asked):
        write(path, {name: answer for name, answer in kept.items() if name in asked})


def write(path, kept):
    if not kept:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    import pytest

    from book import pairs

    found = sorted(p.stem for p in (ROOT / "chapters").glob("*.md") if BLOCK.search(p.read_text(encoding="utf-8")))
    pages = [pairs.known(name) for name in sys.argv[1:]] or found
    for page in pages:
        try:
            tidy(page)
        except Fault as fault:
            sys.exit(f"chapters/{page}.md: {fault}")
    cells = [str(ROOT / "chapters" / f"{page}.md") for page in pages]
    if failed := pytest.main(["-q", "--no-header", "--update-answers", *cells]):
        return failed
    for page in pages:
        print(f"{stored_at(ROOT, page).relative_to(ROOT)}: {len(stored(ROOT, page))} answers")


if __name__ == "__main__":
    raise SystemExit(main())
