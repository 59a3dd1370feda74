"""Experiments' files that somebody made to do harm, or that chance made: an error, soon and in little memory."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from itertools import islice, product
from pathlib import Path

import pytest

from benchmark.config import ConfigError, parse
from tests import fuzz_yaml
from tests.environment import unmeasured
from tests.yaml_support import KNOWN

HEAD = "name: a\n"
MANY = HEAD + "matrix: {model: lenet5, seed: {linear: [0, 9999], n: 10000}, epochs: [1, 2]}\n"
DRAWN = HEAD + "matrix: {{model: lenet5, lr: {{log: [1e-9, 1]}}, random: {{samples: {}}}}}"
OVERRIDE = "{when: {model: l*}, set: {lr: 2}}"
THREE = "{seed: '> 3 and < 4', lr: 5, model: x*}"
WORDS = ["".join(each) for each in islice(product("abcdefghij", repeat=5), 19_000)]


def listed(texts) -> str:
    return ", ".join(texts)


BOMBS = {
    "every cell that there may be": (MANY, ""),
    "too many cells": (MANY.replace("[1, 2]", "[1, 2, 3]"), "30,000 cells"),
    "10^12 cells": (
        HEAD + "matrix: {model: lenet5"
        + "".join(f", {key}: {{linear: [1, 10000], n: 10000}}" for key in ("seed", "epochs", "batch_size")) + "}",
        "1,000,000,000,000 cells",
    ),
    "many samples": (DRAWN.format("20000"), ""),
    "far too many samples": (DRAWN.format("1000000000"), "samples must be"),
    "samples of two values": (DRAWN.format("20000").replace("[1e-9, 1]", "[0.1, 0.11]"), "only 101 "),
    "patterns times cells": (MANY + f"exclude: [{listed(f'{{seed: {i}}}' for i in range(4900))}]", "compared with"),
    "patterns times cells, as many as may be": (
        MANY + f"exclude: [{listed([THREE] * 7)}]", "this exclude matches no cell",
    ),
    "alternatives times cells": (MANY + f"exclude: [{{seed: [{listed(map(str, range(19_000)))}]}}]", "compared with"),
    "overrides times cells": (MANY + f"overrides: [{listed([OVERRIDE] * 900)}]", "compared with"),
    "models times cells": (MANY + f"models: {{{listed(f'l*{w}: {{lr: 1}}' for w in WORDS[:900])}}}", "compared with"),
    "arguments times cells": (
        f"{MANY}defaults: {{model_args: {{{listed(f'{w}: 1' for w in WORDS[:9000])}}}}}\n"
        "overrides: [{when: {model: lenet5}, set: {model_args: {zz: 1}}}]", "compared with",
    ),
    "unknown models": (f"{HEAD}matrix: {{model: [{listed(WORDS)}]}}", "and more problems"),
    "unknown keys": (f"{HEAD}defaults: {{{listed(f'{w}: 1' for w in WORDS[:9000])}}}", "and more problems"),
    "the same value again and again": (f"{HEAD}matrix: {{seed: [{listed(['1'] * 19_000)}]}}", "stands twice"),
    "very many values": (f"{HEAD}matrix: {{seed: [{listed(['1'] * 80_000)}]}}", "more than 20,000 values"),
    "a very long name": ("name: " + "a" * 200_000, "more than 4096 characters"),
    "a very long pattern": (f"{MANY}exclude: [{{model: '{'*l' * 60_000}'}}]", "more than 4096 characters"),
    "a pattern of stars": (f"{MANY}exclude: [{{model: '{'*l' * 2_000}x'}}]", "matches no cell"),
    "a comparison of spaces": (f"{MANY}exclude: [{{lr: '> 1{' ' * 4000}x'}}]", "compared as"),
    "a huge whole number": (f"{HEAD}matrix: {{epochs: {'9' * 4000}}}", "cannot be read as int"),
    "a huge number in base 16": (f"{HEAD}matrix: {{epochs: 0x{'f' * 200_000}}}", "cannot be read as int"),
    "a range to a huge number": (f"{HEAD}matrix: {{epochs: {{linear: [1, 0x{'f' * 900}], n: 4}}}}", "read as int"),
    "a huge float": (f"{HEAD}matrix: {{lr: [1e999999999, {'1' * 100_000}.5]}}", "lr must be a number"),
    "a range of huge floats": (f"{HEAD}matrix: {{lr: {{linear: [-1e308, 1e308], n: 4}}}}", "different values only"),
    "nobody's home": (f"{HEAD}matrix: {{model: lenet5}}\ndata: {{source: folder, path: '~nobody-of-this-name/x'}}", ""),
    "a recipe in nobody's home": (f"{HEAD}defaults: {{recipe: '~nobody-of-this-name.yaml'}}", "cannot be read"),
    "a recipe of a very long name": (f"{HEAD}defaults: {{recipe: '{'a' * 4000}.yaml'}}", "cannot be read"),
    "an extended file of a very long name": (f"extends: {'a' * 5000}", "cannot be read: File name too long"),
    "an extended file in nobody's home": ("extends: ~nobody-of-this-name/x", "cannot be read"),
    "an extended device": ("extends: /dev/zero", "is not a file"),
    "U+0000": (f'{HEAD}data: {{source: folder, path: "a\\0b"}}', "U\\+0000"),
    "half a character": (f'{HEAD}description: "\\ud800"', "U\\+D800"),
    "a key that turns": (f'{HEAD}matrix: {{"\u202elr": {{log: [1, 2], n: 2}}}}', r"\\u202elr"),
    "a name that turns": ('name: "a\u202eb"', "U\\+202E"),
    "a class of arguments that turns": (f'{HEAD}defaults: {{model_args: {{"a\\u202eb": 1}}}}', "U\\+202E"),
    "an escape sequence for the terminal": (f'{HEAD}data: {{source: folder, path: "\\e[31m"}}', "U\\+001B"),
    "a description that turns": (f"{HEAD}description: a\u202eb", "U\\+202E"),
}  # fmt: skip


SECONDS = 3 if sys.gettrace() is None else 15
"""Of a processor: one where nothing else is done.  Measuring the coverage takes several times as long."""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_an_error_soon_and_in_little_memory(name: str) -> None:
    text, words = BOMBS[name]
    started, told = time.process_time(), ""
    try:
        parse(text, Path("e.yaml"), (), KNOWN)
    except ConfigError as error:
        told = str(error)
    assert time.process_time() - started < SECONDS
    assert bool(told) == bool(words)
    if words:
        re.search(words, told) or pytest.fail(told)


READING = """
import resource, sys
from pathlib import Path
from benchmark.config import parse
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(parse(sys.stdin.read(), Path("e.yaml")).cells) == 20_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_largest_experiment_takes_less_than_200_mb() -> None:
    done = subprocess.run([sys.executable, "-c", READING], input=MANY, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200_000, "kilobytes"


def test_a_pipe_in_the_place_of_a_recipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "r.yaml")
    with pytest.raises(ConfigError, match="not a file"):
        parse(f"{HEAD}matrix: {{model: lenet5}}\ndefaults: {{recipe: r.yaml}}", tmp_path / "e.yaml", (), KNOWN)


def test_some_thousand_texts_are_read_or_refused() -> None:
    tally = fuzz_yaml.empty()
    fuzz_yaml.batch(tally, 0, examples=300)
    assert tally["texts"] > 1_000
    assert tally["read"] > 20
    assert not tally["violations"]


@pytest.mark.slow
def test_a_hundred_thousand_texts_are_read_or_refused() -> None:
    command = [sys.executable, fuzz_yaml.__file__, "--texts", "100000", "--seed", "0"]
    done = subprocess.run(command, env=unmeasured(), capture_output=True, text=True)
    tally = json.loads(done.stdout)
    assert tally["texts"] >= 100_000
    assert tally["read"] >= 1_000
    assert not tally["violations"]
    assert done.returncode == 0


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_the_commands_refuse_with_code_2_and_without_a_traceback(command: str, tmp_path: Path) -> None:
    text = (
        f'{HEAD}data: {{source: folder, path: "\\e[31m"}}\n"x\\u202ey": 1\nmatrix: {{model: [lenet5, {"9" * 5000}]}}\n'
    )
    (tmp_path / "e.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", command, "e.yaml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60, 60)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert "cannot be read as int" in done.stderr
