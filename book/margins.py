"""The assertions that came close to their limit, of those that runs with GLALIB_MARGINS=FILE wrote down.

Each line of FILE says where a comparison stands and how far its value was from its limit. To find the assertions that
hang on rounding or on luck:

    GLALIB_MARGINS=a.jsonl python -m pytest chapters tests
    OPENBLAS_CORETYPE=Nehalem GLALIB_MARGINS=b.jsonl python -m pytest chapters tests
    python -m book.margins a.jsonl b.jsonl

lists those within a factor of ten of their limit, and those that move by a tenth of their distance from it.
"""

import argparse
import json
from collections import defaultdict


def worst(path):
    """Of every site in a log, the record that came nearest to its limit."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            site = record["where"], record["left"], record["right"]
            if site not in found or record["used"] > found[site]["used"]:
                found[site] = record
    return found


def report(paths, near=0.1, moves=0.1):
    """Lines for sites that used more than a tenth of their limit in some log, or whose use moves between logs."""
    sites = defaultdict(list)
    for path in paths:
        for site, record in worst(path).items():
            sites[site].append(record)
    for (where, left, right), records in sorted(sites.items()):
        used = [record["used"] for record in records]
        spread = max(used) - min(used)
        if max(used) > near or (spread > moves * (1 - max(used)) and len(records) > 1):
            top = max(records, key=lambda record: record["used"])
            yield (
                f"{where}  {left} {top['kind']} {right}: {top['value']:.4g} against {top['limit']:.4g}, "
                f"{max(used):.0%} used" + (f", from {min(used):.0%}" if len(records) > 1 else "")
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", metavar="FILE", help="logs written with GLALIB_MARGINS, one a processor")
    parser.add_argument("--near", type=float, default=0.1, help="share of its limit from which a site is listed (0.1)")
    args = parser.parse_args()
    for line in report(args.logs, args.near):
        print(line)


if __name__ == "__main__":
    main()
