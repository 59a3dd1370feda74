"""What the fuzzing of experiments' files shares: a reading of all that needs no data, and texts to read.

`read` goes the whole way from text to runs, resolved with made-up facts of data and models.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from benchmark.catalogue import ModelFacts, Names
from benchmark.config import ConfigError, parse, resolved_yaml
from benchmark.config.matrix import resolve
from benchmark.data.imageset import DataFacts

KNOWN = Names(frozenset({"lenet5", "resnet18", "vit_tiny_patch16_224"}), frozenset({"adamw", "sgd"}))
FACTS = DataFacts("ab" * 32, ("cat", "dog"), 28, 1, {"train": 900, "val": 100, "test": 200})
DECEIVING = re.compile("[\x00-\x09\x0b-\x1f\x7f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a message may not have in it: a terminal obeys it, or shows the text in another order."""

NAMES = ("name: a", 'name: "b"', "name: 'tour-2'", "name: 2d")
MATRICES = (
    "matrix: {model: [lenet5, resnet18], seed: [0, 1]}",
    "matrix:\n  model: lenet5\n  lr: {log: [1e-4, 1e-1], n: 3}",
    "matrix: {model: lenet5, lr: {log: [1e-4, 1]}, random: {samples: 3}}",
    "matrix: [{model: lenet5, 'lr, epochs': [[1, 2], [2, 3]]}, {model: resnet18}]",
    "matrix: {model: [lenet5], data: [digits, fashion-mini]}",
    "include: [{model: resnet18, mean: [0.5], std: [0.5]}]",
)
LINES = (
    'description: "a \\u202e b"',
    "description: |\n  two\n  lines",
    "data: {source: folder, path: ./p, image_size: 32}",
    "data: {source: synthetic, size: 12, planes: 3}",
    "defaults: {epochs: 3, lr: 1e-3, model_args: {a: [1, {b: no}]}}",
    "defaults:\n  optimizer: sgd\n  weight_decay: 0",
    "models: {'len*': {epochs: 2}}",
    "exclude: [{model: 'res*'}, {seed: '>= 1'}]",
    "exclude: [{data: {source: 'dig*'}, lr: '> 0 and < 1'}]",
    "overrides: [{when: {model: resnet18}, set: {model_args: {a: 2}}}]",
    "launch: {workers: {count: 2, start: spawn}, retries: 0}",
    "aws: {bucket: s3://my-bucket/p, tags: {A: b}}",
    "tracking: {uri: 'http://localhost:5000'}",
    "report: {primary: test/f1_macro}",
    "extends: base.yaml",
)
PIECES = (
    *"{}[],:-?&*!|>'\"%@`#<~=\t\n .0",
    *("\x00", "\x07", "\x85", "\u2028", "\ufeff", "\u202e", "\u2066", "\ud800", "é", "😀", "\\u0000", "\\ud800"),
    *("null", "~", "true", "no", ".inf", ".nan", "-1", "1e999", "0x" + "f" * 40, "9" * 30, "010", "''", "[]", "{}"),
    *("model: ", "seed: ", "lr: ", "data: ", "random: ", "extends: ", "recipe: ", "<<: ", "!!str ", "!!python/none "),
    *("linear: [0, 1]", "log: [1, 2]", "n: 10000", "samples: 9999999", "*x", "&x ", "---\n", "...\n", "%YAML 9.9\n"),
    *("[" * 40, "~root", "~nobody-of-this-name", "../", "/dev/zero", "(?:a*)*", "[!", "[z-a]", "*" * 30, "a" * 70),
)
ODD = st.text(st.sampled_from("abc01 \n\t:-?[]{},&*!|>'\"%@`#<~.e\\\x00\x85\u2028\ufeff\ud800é\u202e"), max_size=30)
RAW = st.lists(st.one_of(ODD, st.text(max_size=20), st.binary(max_size=20)), min_size=12, max_size=12)
CHANGES = st.lists(
    st.tuples(st.integers(0, 999), st.sampled_from(("insert", "replace", "cut", "again")), st.sampled_from(PIECES)),
    min_size=10,
    max_size=10,
)
DOCUMENTS = st.tuples(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(MATRICES)),
    st.lists(st.sampled_from(LINES), max_size=2, unique=True),
    CHANGES,
)


def read(text: str | bytes) -> bool:
    """Whether it is an experiment; with the right ids, and again from its resolved file.

    Raises:
        Exception: anything but a ConfigError with a message fit to print.
    """
    path = Path("experiment.yaml")
    try:
        experiment = parse(text, path, (), KNOWN)
        runs = resolve(
            experiment,
            dict.fromkeys(experiment.data, FACTS),
            lambda specs: dict.fromkeys(specs, ModelFacts(1, 1, "", minimum_size=1)),
            lambda specs: dict.fromkeys(specs),
        )
    except ConfigError as error:
        message = str(error)
        assert message, "an error without words"
        assert not DECEIVING.search(message), ascii(message)
        return False
    assert runs
    resolved_yaml(experiment, runs).encode()
    return True


def changed(head: tuple[str, str], lines: list[str], changes: list[tuple[int, str, str]]) -> Iterator[str]:
    """The text of the lines with each of the changes, and with all of them so far."""
    text = whole = "\n".join([*head, *lines]) + "\n"
    yield text
    for share, kind, piece in changes:
        yield _change(text, share, kind, piece)
        if len(whole) < 2 * len(text):
            whole = _change(whole, share, kind, piece)


def _change(text: str, share: int, kind: str, piece: str) -> str:
    place = len(text) * share // 1000
    before, after = text[:place], text[place:]
    if kind == "cut":
        return before + after[len(piece) :]
    if kind == "again":
        return before + after[:9] + after
    return before + piece + (after if kind == "insert" else after[len(piece) :])
