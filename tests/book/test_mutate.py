"""The script that breaks formulas breaks what it says, and tells caught from missed."""

import pytest

from tools import mutate
from tools.mutations import Mutation


def test_every_text_occurs_once():
    assert list(mutate.faults()) == []


def test_there_are_many_and_everywhere():
    """At least sixty, some in every module that computes or keeps something."""
    assert len(mutate.MUTATIONS) >= 60
    package = mutate.ROOT / "glalib"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.stem != "__init__"}
    assert {mutation.file for mutation in mutate.MUTATIONS} == modules
    # Every module's tests are named, and there.
    tests = {path.stem for folder in ("units", "claims") for path in (mutate.ROOT / "tests" / folder).glob("test_*.py")}
    assert set(mutate.FIRST) == modules
    assert {f"test_{name}" for names in mutate.FIRST.values() for name in names} <= tests
    assert all(mutation.old != mutation.new for mutation in mutate.MUTATIONS)
    assert len({mutation.what for mutation in mutate.MUTATIONS}) == len(mutate.MUTATIONS)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # no test there needs any, and each run would read all
    for folder in ("glalib", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "glalib" / "__init__.py").write_text("")
    code = "def double(x):\n    return 2 * x\n\n\ndef half(x):\n    return x / 2\n"
    (tmp_path / "glalib" / "wpgd.py").write_text(code)
    test = "from glalib.wpgd import double\n\n\ndef test_double():\n    assert double(3) == 6\n"
    (tmp_path / "tests" / "test_wpgd.py").write_text(test)
    return tmp_path


CAUGHT = Mutation("double", "wpgd.py", "2 * x", "3 * x")
MISSED = Mutation("half", "wpgd.py", "x / 2", "x / 3")


def test_a_break_is_caught_or_missed(tree):
    lines = []
    first, second = mutate.survey([CAUGHT, MISSED], root=tree, say=lines.append)
    assert first == {"caught": True, "by": "tests/test_wpgd.py::test_double", "claims": []}
    assert not second["caught"]
    assert "caught by" in lines[0] and "MISSED" in lines[1]
    assert "2 * x" in (tree / "glalib" / "wpgd.py").read_text()  # only copies are broken


def test_a_test_that_fails_anyway_catches_nothing(tree):
    with (tree / "tests" / "test_wpgd.py").open("a") as file:
        file.write("\n\ndef test_half():\n    assert False\n")
    with pytest.raises(RuntimeError, match=r"half: tests/test_wpgd\.py::test_half fails without the break too"):
        mutate.run(MISSED, root=tree)


def test_what_was_done_is_not_done_again(tree, monkeypatch):
    mutate.survey([CAUGHT], root=tree, say=lambda line: None)
    ran, missed = [], {"caught": False, "by": None, "claims": []}
    monkeypatch.setattr(mutate, "run", lambda mutation, root: ran.append(mutation) or missed)
    assert mutate.survey([CAUGHT], root=tree, say=lambda line: None)[0]["caught"] and not ran
    (tree / "tests" / "test_wpgd.py").write_text("")  # other tests: another question
    assert not mutate.survey([CAUGHT], root=tree, say=lambda line: None)[0]["caught"] and ran


@pytest.mark.parametrize("old, times", [("x", 4), ("nowhere", 0)])
def test_a_text_that_is_not_there_once_is_told(tree, old, times):
    (fault,) = mutate.faults([Mutation("it", "wpgd.py", old, "y")], root=tree)
    assert f"holds {old!r} {times} times, not once" in fault
