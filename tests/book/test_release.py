"""What the workflow `release` does, as far as a machine without a network can: and each step stops what is broken."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from test_sdist import ROOT, tree

from book import release

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))


def copy_of_the_tree(folder):
    for path in tree():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes((ROOT / path).read_bytes())
    return folder


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The two files to hand out."""
    return release.build(copy_of_the_tree(tmp_path_factory.mktemp("tree")), tmp_path_factory.mktemp("dist"))


def test_the_files_are_as_an_index_wants_them(dist):
    release.check(*dist)


def test_a_description_that_cannot_be_shown_stops_the_release(dist, tmp_path):
    wheel = tmp_path / dist[1].name
    with zipfile.ZipFile(dist[1]) as old, zipfile.ZipFile(wheel, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name.endswith("/METADATA"):
                text = text.partition(b"\n\n")[0].replace(b"Description-Content-Type: text/markdown\n", b"") + b"\n\n"
            new.writestr(name, text)
    with pytest.raises(subprocess.CalledProcessError):
        release.check(wheel)


def test_the_wheel_works_where_nothing_else_of_this_folder_is(dist, tmp_path):
    release.install(dist[1], tmp_path)


def test_a_wheel_without_a_module_stops_the_release(dist, tmp_path):
    wheel = tmp_path / dist[1].name
    with zipfile.ZipFile(dist[1]) as old, zipfile.ZipFile(wheel, "w") as new:
        for name in old.namelist():
            if name != "glalib/risk.py":
                new.writestr(name, old.read(name))
    with pytest.raises(subprocess.CalledProcessError):
        release.install(wheel, tmp_path)


def test_the_tests_run_from_the_unpacked_sources(dist, tmp_path):
    release.test(dist[0], tmp_path, ["tests/units/test_wpgd.py"])


def test_a_test_that_fails_there_stops_the_release(dist, tmp_path):
    """One that needs a file that is not handed out."""
    tree = release.unpack(dist[0], tmp_path / "tree")
    for conftest in (tree / "conftest.py", tree / "tests" / "conftest.py"):
        conftest.write_text("")  # what they read takes seconds, and this test needs none of it
    (tree / "tests" / "units" / "test_wpgd.py").write_text("def test_it():\n    open('not_handed_out')\n")
    made = shutil.make_archive(str(tmp_path / "changed"), "gztar", tree.parent, tree.name)
    with pytest.raises(subprocess.CalledProcessError):
        release.test(Path(made), tmp_path / "again", ["tests/units/test_wpgd.py"])


def test_the_tag_is_the_version(dist):
    version = dist[1].name.split("-")[1]
    release.check_tag(dist[1], f"v{version}")
    with pytest.raises(ValueError, match=re.escape(f"RELEASE_TAG must be v{version}, the version of glalib; got v9.9")):
        release.check_tag(dist[1], "v9.9")


def test_nothing_old_is_handed_out(tmp_path):
    (tmp_path / "glalib-0.0.1.tar.gz").touch()
    with pytest.raises(FileExistsError, match=r"dist must be empty; got .*, which holds glalib-0\.0\.1\.tar\.gz"):
        release.build(ROOT, tmp_path)


def test_the_workflow_goes_from_a_tag_through_the_tests_to_the_index():
    jobs = WORKFLOW["jobs"]
    assert WORKFLOW[True]["push"] == {"tags": ["v*"]}  # `on` is a truth value in YAML
    steps = [step.get("run", "") for step in jobs["build"]["steps"]]
    tests, built = (next(i for i, step in enumerate(steps) if words in step) for words in ("make test", "book.release"))
    assert tests < built
    assert jobs["build"]["env"]["RELEASE_TAG"] == "${{ github.ref_name }}"
    assert jobs["fresh"]["needs"] == "build" and jobs["upload"]["needs"] == ["build", "fresh"]
    upload = jobs["upload"]
    assert upload["permissions"] == {"id-token": "write"} and upload["environment"]["name"] == "release"
    # Trusted: the index knows this workflow, and there is no password.
    assert any(step.get("uses", "").startswith("pypa/gh-action-pypi-publish@") for step in upload["steps"])
    assert "secrets" not in str(WORKFLOW) and "password" not in str(WORKFLOW)


def test_the_command_takes_every_step_in_turn(dist, tmp_path, monkeypatch, capsys):
    steps = []
    for step in ("build", "check_tag", "check", "install", "test"):
        made = dist if step == "build" else None
        monkeypatch.setattr(release, step, lambda *given, step=step, made=made: steps.append(step) or made)
    monkeypatch.setattr(sys, "argv", ["release", str(tmp_path)])
    release.main()
    assert steps == ["build", "check_tag", "check", "install", "test"]
    assert capsys.readouterr().out == f"{dist[0].name} and {dist[1].name} are ready in {tmp_path}\n"
