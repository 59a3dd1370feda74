"""The benchmarks, by name: `python -m perf [NAME]...`

    python -m perf                      every one, one after the other; nothing else should run meanwhile
    python -m perf metrics start-up     some of them
    python -m perf --list               what there is, and what each measures
    python -m perf --page               writes docs/performance.md from the figures that are kept
    python -m perf --smoke              small versions of some, against the ratios that are kept; less than a minute
    python -m perf --smoke --keep       ... and keeps the ratios of now as those to compare with

Each measures both sides in one go and prints them with their ratio; its figures are kept as JSON in `perf/kept`, or in
another directory (`--out`), with the machine, the versions and the date.  Exit code 1 where a limit is not kept; with
`--loose` the limits are those for a machine where other programs run.  Checks of long duration that have no other side
are scripts of their own: `perf/soak.py`, `perf/coverage.py`, `perf/tracker.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from perf import page, smoke
from perf.benchmarks import BENCHMARKS, KEPT, described, run


def main() -> int:
    """Does what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m perf", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--list", action="store_true", help="what each measures")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md")
    parser.add_argument("--smoke", action="store_true", help=f"of {', '.join(smoke.SMALL)}")
    parser.add_argument("--keep", action="store_true", help="with --smoke: the ratios of now are the baseline")
    parser.add_argument("--loose", action="store_true", help="with the limits for a busy machine")
    parser.add_argument("--out", type=Path, default=KEPT, help="the directory of the figures")
    arguments = parser.parse_args()
    known = smoke.SMALL if arguments.smoke else BENCHMARKS
    if unknown := sorted(set(arguments.names) - known.keys()):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    names = arguments.names or list(known)
    if arguments.list:
        print("\n".join(f"{name:18} {described(name)}" for name in BENCHMARKS))
        return 0
    if arguments.page:
        page.PAGE.write_text(page.written(), encoding="utf-8")
        return 0
    if arguments.smoke:
        return smoke.keep(names) if arguments.keep else smoke.check(names)
    arguments.out.mkdir(parents=True, exist_ok=True)
    codes = [run(name, arguments.out, BENCHMARKS[name].loose if arguments.loose else ()) for name in names]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
