"""Addresses outside that the built book links to: which of them no longer answer. A warning each, and never a failure:
the other end may be down for a day, or may not like to be asked by a program.

    python -m book.outside [_build/html]
"""

import os
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urldefrag
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 20  # seconds
# Answers that say that the page is there, and only not for a program, or not so often.
GUARDED = {401, 403, 405, 406, 418, 429, 503, 999}


class Links(HTMLParser):
    """The addresses outside that a page leads to."""

    def __init__(self, text):
        super().__init__()
        self.found = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        address = dict(attrs).get("href") or ""
        if tag == "a" and address.startswith(("http://", "https://")):
            self.found.add(urldefrag(address).url)


def links(html):
    """Addresses to the pages that link to them."""
    found = defaultdict(list)
    for path in sorted(Path(html).rglob("*.html")):
        for address in Links(path.read_text(encoding="utf-8")).found:
            found[address].append(path.relative_to(html).as_posix())
    return dict(sorted(found.items()))


def complaint(address):
    """What is wrong with an address, or None."""
    request = Request(quote(address, safe=":/?#[]@!$&'()*+,;=%~"), headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urlopen(request, timeout=PATIENCE):
            return None
    except HTTPError as error:
        return None if error.code in GUARDED else f"answers {error.code}"
    except URLError as error:
        return f"cannot be reached: {error.reason}"
    except (OSError, ValueError) as error:
        return f"cannot be reached: {error}"


def warnings(html):
    """A line for each address that does not answer, with the pages that have it."""
    found = links(html)
    with ThreadPoolExecutor(8) as pool:
        for (address, pages), wrong in zip(found.items(), pool.map(complaint, found), strict=True):
            if wrong:
                yield f"{address} {wrong}; on {', '.join(pages[:3])}{' and others' if len(pages) > 3 else ''}"


def main():
    html = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "_build" / "html"
    # The words that GitHub shows as a note on the run.
    mark = "::warning::" if os.environ.get("GITHUB_ACTIONS") else "warning: "
    told = [print(f"{mark}{line}") for line in warnings(html)]
    print(f"asked {len(links(html))} addresses outside: {len(told)} do not answer")


if __name__ == "__main__":
    main()
