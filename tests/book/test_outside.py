"""Links to other places are asked for, and one that is dead is told, without failing anything."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from book import outside

ROOT = Path(__file__).resolve().parents[2]


class Answers(BaseHTTPRequestHandler):
    """Of an address /404 the answer is 404."""

    def do_GET(self):
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def elsewhere():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def page(folder, *addresses):
    links = "".join(f'<a href="{address}">x</a>' for address in addresses)
    (folder / "page.html").write_text(f'{links}<a href="other.html#x">inside</a><img src="http://not.a.link/x">')
    return folder


def run(folder, **environment):
    return subprocess.run(
        [sys.executable, "-m", "book.outside", folder],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip


def test_a_dead_link_warns_and_does_not_fail(elsewhere, tmp_path):
    done = run(page(tmp_path, f"{elsewhere}/200", f"{elsewhere}/404#part", f"{elsewhere}/403"), GITHUB_ACTIONS="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"warning: {elsewhere}/404 answers 404; on page.html",
        "asked 3 addresses outside: 1 do not answer",
    ]


def test_a_workflow_shows_the_warning(elsewhere, tmp_path):
    assert run(page(tmp_path, f"{elsewhere}/500"), GITHUB_ACTIONS="true").stdout.startswith(
        f"::warning::{elsewhere}/500"
    )


def test_an_address_at_which_nobody_is_does_not_answer(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    address = f"http://127.0.0.1:{server.server_address[1]}/200"
    server.server_close()
    (told,) = outside.warnings(page(tmp_path, address))
    assert told.startswith(f"{address} cannot be reached: ")


def test_only_links_to_other_places_are_asked(tmp_path):
    page(tmp_path, "https://example.org/a#b", "https://example.org/a#c", "mailto:a@example.org")
    assert outside.links(tmp_path) == {"https://example.org/a": ["page.html"]}


def test_a_workflow_asks_each_week_and_after_publishing():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
    assert workflow[True]["schedule"]  # `on` is a truth value in YAML
    steps = workflow["jobs"]["outside"]["steps"]
    assert workflow["jobs"]["outside"]["needs"] == "build"
    assert any("book/outside.py" in step.get("run", "") for step in steps)
