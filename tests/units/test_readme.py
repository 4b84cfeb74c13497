"""What the README shows is what happens."""

import re
import shlex
from pathlib import Path

from glalib.cli import main

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_library_example_runs_and_prints_what_it_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    risks, unique, estimate = capsys.readouterr().out.splitlines()
    optimum, linear = map(float, risks.split())
    assert f"{optimum:.4f}"[:5] in README and f"{linear:.4f}"[:5] in README
    assert unique == "True"
    simulated, error = map(float, re.match(r"Estimate\((\S+) \+- (\S+),", estimate).groups())
    assert abs(simulated - optimum) < 6 * error  # also with other streams of random numbers


def test_the_command_prints_what_it_says(capsys):
    command, printed = re.search(r"```\n\$ glalib (.*?)\n(.*?)```", README, re.DOTALL).groups()
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == printed
