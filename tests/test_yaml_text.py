import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.config.problems import ConfigError, Mark
from benchmark.config.yaml_text import MAX_BYTES, MAX_DEPTH, parse


def value(text: str | bytes) -> object:
    return parse(text, "file.yaml").value


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "file.yaml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("3e-4", 0.0003),
        ("+1.5E2", 150.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("true", True),
        ("FALSE", False),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("12:30:45", "12:30:45"),
        ("~", None),
        ("", None),
        ("null", None),
        ('"1e-3"', "1e-3"),
        ("'no'", "no"),
        ("|\n 12\n", "12\n"),
        ("!!str 12", "12"),
        ("!!float 1", 1.0),
        ("# only a comment\n", None),
        ("кот", "кот"),
        (b"\xef\xbb\xbfa", "a"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text, expected):
    got = value(text)
    assert got == expected
    assert type(got) is type(expected)


def test_infinities_and_nan_are_floats():
    assert value("[.inf, -.INF]") == [math.inf, -math.inf]
    assert math.isnan(value(".nan"))


def test_every_value_and_every_key_knows_its_place():
    document = parse("a:\n  - 1\n  - {b: x}\nc: 2\n", "file.yaml")
    assert document.marks["a", 0] == Mark("file.yaml", 2, 5)
    assert document.marks["a", 1, "b"] == Mark("file.yaml", 3, 9)
    assert document.keys["a", 1, "b"] == Mark("file.yaml", 3, 6)
    assert document.root.child("c").mark == Mark("file.yaml", 4, 4)
    assert document.root.key_mark("c") == Mark("file.yaml", 4, 1)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: &x 1", "1:4", "anchors (&x)"),
        ("a: *x", "1:4", "aliases"),
        ("<<: {a: 1}", "1:1", "merges"),
        ("a: 1\nb: 2\na: 3", "3:1", "duplicate key 'a'; it stands already in line 1"),
        ("a: !!python/object:os.system x", "1:4", "tag"),
        ("a: !!binary aGk=", "1:4", "tag"),
        ("a: !!timestamp 2020-01-01", "1:4", "tag"),
        ("a: !!set {b}", "1:4", "tag"),
        ("a: !mine [1]", "1:4", "tag"),
        ("a: !!int no", "1:4", "cannot be read as int"),
        ("1: a", "1:1", "a key must be text"),
        ("null: a", "1:1", "a key must be text"),
        ("? [a]\n: b", "1:3", "a key must be text"),
        ("a: 1\n---\nb: 2", "2:1", "a second document"),
        ("a:\n\tb: 1", "2:1", "indent with spaces"),
        ("a: [1, 2", "1:9", "not YAML"),
        ("a: b: c", "1:5", "not YAML"),
        ("a:\n  - \x07", "2:5", "control character U+0007"),
        (b"a: 1\nb: \xff", "2:4", "not UTF-8"),
        ("a: " + "9" * 5000, "1:4", "cannot be read as int"),
        ("[" * 50, f"1:{MAX_DEPTH + 1}", "nested deeper"),
    ],
)
def test_what_hides_mistakes_is_refused_at_its_place(text, place, words):
    first = problems(text)[0]
    assert first.startswith(f"file.yaml:{place}: ")
    assert words in first


def test_a_plain_merge_sign_in_quotes_is_text():
    assert value('"<<": 1') == {"<<": 1}


def test_problems_are_told_all_at_once():
    assert len(problems("a: &x 1\na: *x\n1: !t 2\n")) == 5


def test_depth_up_to_the_limit_is_read():
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse(text, "file.yaml").value is not None
    assert "nested deeper" in problems(f"[{text}]")[0]


def test_a_text_over_the_limit_of_size_is_refused():
    assert value("a" * MAX_BYTES) == "a" * MAX_BYTES
    assert "longer than 256 KiB" in problems("a" * (MAX_BYTES + 1))[0]
    assert "longer than 256 KiB" in problems("я" * (MAX_BYTES // 2 + 1))[0]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{c}: &{c} [{', '.join(['*a'] * 9)}]\n" for c in "bcdefgh"),
        "{a: 1, a: " * 20_000,
        "? " * 100_000,
        "- " * 100_000,
        '{"' * 60_000,
    ],
)
def test_bombs_end_quickly_with_a_problem(text):
    started = time.process_time()
    assert problems(text)
    assert time.process_time() - started < 2


def test_of_very_many_problems_the_first_hundred_are_told():
    lines = problems("a: 1\n" * 500)
    assert len(lines) == 101
    assert lines[-1].endswith("and more problems; mend these first")


ODD = st.text(st.sampled_from("abc01 \n\t:-?[]{},&*!|>'\"%@`#<~.e\\\x00\x85\u2028\ufeff\ud800é"), max_size=60)


@given(st.one_of(st.text(max_size=80), ODD, st.binary(max_size=80)))
def test_any_text_gives_plain_values_or_a_config_error(text):
    try:
        kinds = set(map(type, leaves(parse(text, "file.yaml").value)))
    except ConfigError as error:
        kinds = set() if str(error) else {ConfigError}
    assert kinds <= {str, int, float, bool, type(None)}


def leaves(tree):
    if isinstance(tree, dict):
        assert all(isinstance(key, str) for key in tree)
        return [leaf for each in tree.values() for leaf in leaves(each)]
    return [leaf for each in tree for leaf in leaves(each)] if isinstance(tree, list) else [tree]
