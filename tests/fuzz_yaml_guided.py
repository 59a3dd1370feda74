"""Experiments' files by libFuzzer, which keeps what reaches new code.

    python tests/fuzz_yaml_guided.py -max_total_time=600

Needs the extra `fuzz` (atheris).  The reader's own modules and PyYAML are instrumented; the corpus begins with the
lines of `yaml_support.py`.  It ends with a text that gives anything but an experiment or an error with words, takes
over two seconds or 2 GiB; all flags are libFuzzer's.
"""

import sys
import tempfile
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import atheris

with atheris.instrument_imports(include=["benchmark.config", "yaml"]):
    from tests.yaml_support import LINES, MATRICES, NAMES, read

FLAGS = ("-timeout=2", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1")


def main() -> None:
    with tempfile.TemporaryDirectory() as corpus:
        for number, lines in enumerate(product(NAMES[:1], MATRICES, ("", *LINES))):
            (Path(corpus) / str(number)).write_text("\n".join(lines))
        atheris.Setup([sys.argv[0], corpus, *FLAGS, *sys.argv[1:]], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
