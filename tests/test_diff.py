"""`diff BASELINE NEW`: a gate that fails on what is shown to be worse, and on what is missing."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmark.cli import main
from benchmark.cli_options import as_share
from benchmark.records import Predictions
from benchmark.rundir import RunDir
from benchmark.training.metrics import scores
from reports import recorded
from reports.documents import document, json_text
from reports.exhibit import exhibits
from reports.leaderboard import DataSummary, Entry, Header, Leaderboard, build
from reports.packed import MOST, Packed, digest, pack, unpack
from reports.recorded import BadLeaderboard
from reports.regression import Diff, diff
from reports.regression_page import page
from reports.retest import Source
from reports.statistics import critical
from reports.unpaired import Recorded, unpaired
from tests.report_support import CLASSES, DATA, HEADER, done, failed, make_run, pending

Accuracies = Mapping[str, tuple[float, ...]]
BEFORE: Accuracies = {"lenet5": (0.80, 0.81, 0.82), "resnet18": (0.90, 0.91, 0.92)}


def leaderboard(home: Path, accuracies: Accuracies, *others: Entry, header: Header = HEADER, **keys: Any) -> Path:
    """A directory of results with the leaderboard and the run directories."""
    entries = []
    for model, seeds in accuracies.items():
        for seed, accuracy in enumerate(seeds):
            run = make_run(model, seed, **keys)
            entries.append(done(run, accuracy, directory=home / "runs" / run.run_id))
    write(build([*entries, *others], header), home)
    return home


def write(board: Leaderboard, home: Path) -> None:
    """The file alone, without figures and pages."""
    home.mkdir(parents=True, exist_ok=True)
    text = json_text(document(board, exhibits(board)))
    (home / "leaderboard.json").write_text(text, encoding="utf-8")


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return leaderboard(tmp_path / "før #1", BEFORE)


def found(baseline: Path, new: Path, metric: str | None = None, tolerance: float = 0.0) -> Diff:
    return diff(Source.read(baseline), Source.read(new), metric, tolerance)


def outcomes(told: Diff) -> dict[str, str]:
    return {each.label: each.outcome for each in told.changes}


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["diff", *map(str, arguments)])


def test_what_is_worse_has_regressed_and_fails_only_where_it_is_asked_to(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", {**BEFORE, "resnet18": (0.80, 0.81, 0.82)})
    told = found(baseline, new)
    assert outcomes(told) == {"resnet18": "regressed", "lenet5": "same runs"}
    assert told.changes[0].difference == pytest.approx(-0.10, abs=1e-6)
    assert command(baseline, new).exit_code == 0
    failing = command(baseline, new, "--fail-on-regression", "--output", tmp_path / "a comment.md")
    assert failing.exit_code == 1
    assert (tmp_path / "a comment.md").read_text(encoding="utf-8") == failing.output
    assert "| resnet18 | 91.0 ± 1.0 | 81.0 ± 1.0 | −10.0 (" in failing.output


def test_the_same_results_pass(baseline: Path) -> None:
    assert command(baseline, baseline / "leaderboard.json", "--fail-on-regression").exit_code == 0
    assert set(outcomes(found(baseline, baseline)).values()) == {"same runs"}
    assert "2 same runs" in page(found(baseline, baseline))


def test_runs_trained_again_to_the_same_accuracy_are_tested(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", BEFORE, epochs=9)
    assert set(outcomes(found(baseline, new)).values()) == {"no difference shown"}


def test_what_is_better_has_improved_and_passes(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", {**BEFORE, "lenet5": (0.95, 0.96, 0.97)})
    assert outcomes(found(baseline, new))["lenet5"] == "improved"
    assert command(baseline, new, "--fail-on-regression").exit_code == 0


def test_lower_losses_are_better(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", {**BEFORE, "lenet5": (0.95, 0.96, 0.97)})
    told = next(each for each in found(baseline, new, "test/log_loss").changes if each.label == "lenet5")
    assert told.outcome == "improved"
    assert told.difference is not None
    assert told.difference < 0


@pytest.mark.parametrize(("tolerance", "outcome"), [("5%", "regressed"), ("0.11", "tolerated"), ("11%", "tolerated")])
def test_a_loss_within_the_tolerance_passes(baseline: Path, tmp_path: Path, tolerance: str, outcome: str) -> None:
    new = leaderboard(tmp_path / "new", {**BEFORE, "resnet18": (0.80, 0.81, 0.82)})
    done = command(baseline, new, "--json", "--fail-on-regression", "--tolerance", tolerance)
    assert json.loads(done.stdout)["changes"][0]["outcome"] == outcome
    assert done.exit_code == (1 if outcome == "regressed" else 0)


@pytest.mark.parametrize("text", ["x", "-1", "1e-3", "5 points", "nan", "%", "1.2.3"])
def test_a_tolerance_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write 0\.5% or 0\.005"):
        as_share(click.Context(click.Command("diff")), click.Option(["--tolerance"]), text)


@pytest.mark.parametrize(
    ("entry", "why"),
    [(failed, "diverged: the loss is NaN"), (pending, "pending: has not finished"), (None, "not in the new")],
)
def test_what_the_baseline_has_and_the_new_one_lacks_fails_with_its_reason(
    baseline: Path, tmp_path: Path, entry: Callable[[Any], Entry] | None, why: str
) -> None:
    lost = [entry(make_run("resnet18", seed)) for seed in range(3)] if entry else []
    new = leaderboard(tmp_path / "new", {"lenet5": BEFORE["lenet5"]}, *lost)
    told = found(baseline, new)
    assert outcomes(told) == {"resnet18": "missing", "lenet5": "same runs"}
    assert why in told.changes[0].why
    assert command(baseline, new, "--fail-on-regression").exit_code == 1


def test_where_everything_has_failed_everything_is_missing(baseline: Path, tmp_path: Path) -> None:
    write(build([failed(make_run("resnet18")), failed(make_run("lenet5"))], HEADER), tmp_path / "new")
    told = found(baseline, tmp_path / "new")
    assert outcomes(told) == {"resnet18": "missing", "lenet5": "missing"}
    assert command(baseline, tmp_path / "new", "--fail-on-regression").exit_code == 1
    assert command(tmp_path / "new", baseline).exit_code == 2  # a baseline of nothing is none


def test_what_only_the_new_one_has_is_new_and_passes(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", {**BEFORE, "vit": (0.1, 0.2, 0.1)})
    assert outcomes(found(baseline, new))["vit"] == "new"
    assert command(baseline, new, "--fail-on-regression").exit_code == 0


def test_fewer_seeds_than_planned_are_marked(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", {**BEFORE, "lenet5": (0.8, 0.81)}, failed(make_run("lenet5", 2)))
    assert "⚠ 2/3 seeds" in page(found(baseline, new))


def test_answers_packed_in_the_file_give_the_test_that_the_run_directories_give(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", {"lenet5": (0.8, 0.81, 0.83), "resnet18": (0.88, 0.90, 0.89)})
    whole = {each.label: each for each in found(baseline, new).changes}
    shutil.rmtree(baseline / "runs")
    mixed = {each.label: each for each in found(baseline, new).changes}
    shutil.rmtree(new / "runs")
    bare = {each.label: each for each in found(baseline, new).changes}
    for label, change in whole.items():
        assert change.test.endswith("answers from the run directories")
        assert mixed[label].test.endswith("answers from the run directories and leaderboard.json")
        assert bare[label].test.endswith("answers from leaderboard.json")
        for other in (mixed[label], bare[label]):
            assert (other.difference, other.low, other.high, other.adjusted) == pytest.approx(
                (change.difference, change.low, change.high, change.adjusted)
            )


def test_run_directories_that_hold_a_later_result_are_not_taken_for_the_baselines(
    baseline: Path, tmp_path: Path
) -> None:
    """As where the baseline's file is kept beside the directory that the new sweep has written."""
    new = leaderboard(tmp_path / "new", {**BEFORE, "resnet18": (0.80, 0.81, 0.82)})
    shutil.copy(baseline / "leaderboard.json", new / "baseline.json")
    told = found(new / "baseline.json", new)
    assert told.changes[0].label == "resnet18"
    assert told.changes[0].outcome == "regressed"
    assert told.changes[0].test.endswith("answers from the run directories and leaderboard.json")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    file = path / "leaderboard.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")
    return path


def bare(path: Path) -> Path:
    """Without any answers to single images."""
    shutil.rmtree(path / "runs")
    return edit(path, lambda document: [row.pop("answers") for row in document["rows"]])


def test_without_answers_means_and_intervals_are_compared_and_it_is_said(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", {"lenet5": (0.8, 0.81, 0.83), "resnet18": (0.80, 0.81, 0.82)})
    told = found(bare(baseline), bare(new))
    assert outcomes(told) == {"resnet18": "regressed", "lenet5": "no difference shown"}
    assert {each.test for each in told.changes} == {"unpaired, from means and intervals"}
    assert "Unpaired tests are cautious" in page(told)


def test_what_nothing_is_known_of_does_not_pass(baseline: Path, tmp_path: Path) -> None:
    one = leaderboard(tmp_path / "one", {"lenet5": (0.8,)})
    strip = {"sd": None, "interval": None}
    for path in (bare(one), bare(baseline)):
        edit(path, lambda document: [row["metrics"]["test/f1_macro"].update(strip) for row in document["rows"]])
    told = found(baseline, one, "test/f1_macro")
    assert outcomes(told) == {"resnet18": "missing", "lenet5": "not compared"}
    assert "nothing to test by" in told.failing[-1].why


def test_a_metric_that_is_undefined_now_does_not_pass(baseline: Path, tmp_path: Path) -> None:
    undefined = {"test/f1_macro": None}
    run = make_run("lenet5", 0)
    new = build([done(run, 0.8, metrics=undefined, undefined={"test/f1_macro": "no images"})], HEADER)
    write(new, tmp_path / "new")
    told = next(e for e in found(baseline, tmp_path / "new", "test/f1_macro").changes if e.label == "lenet5")
    assert told.outcome == "not compared"
    assert "of the new one: seed 0: no images" in told.why


def test_single_seeds_are_tested_exactly_and_what_that_means_is_said(tmp_path: Path) -> None:
    before, new = leaderboard(tmp_path / "a", {"lenet5": (0.9,)}), leaderboard(tmp_path / "b", {"lenet5": (0.8,)})
    told = found(before, new)
    assert told.changes[0].test.startswith("McNemar's exact test")
    assert "may be the seed's" in page(told)


def test_p_values_are_corrected_over_the_configurations(tmp_path: Path) -> None:
    """6 of 300 answers lost, none won: p = 0.03 alone, and 0.19 among 6."""
    models = {f"model{place}": (0.9,) for place in range(6)}
    lone, lost = {"model3": (0.9,)}, {"model3": (0.88,)}
    (alone,) = found(leaderboard(tmp_path / "a", lone), leaderboard(tmp_path / "b", lost)).changes
    new = dict.fromkeys(models, (0.904,)) | lost  # each of the others has one image more
    told = found(leaderboard(tmp_path / "c", models), leaderboard(tmp_path / "d", new))
    among = next(each for each in told.changes if each.label == "model3")
    assert alone.outcome == "regressed"
    assert among.outcome == "no difference shown"
    assert alone.adjusted is not None
    assert among.adjusted == pytest.approx(6 * alone.adjusted)


def test_configurations_of_other_settings_and_the_same_label_are_compared_and_the_settings_told(
    baseline: Path, tmp_path: Path
) -> None:
    new = leaderboard(tmp_path / "new", BEFORE, epochs=9)
    text = page(found(baseline, new))
    assert "2 configurations: `epochs 5 then, epochs 9 now`." in text


def test_results_on_other_images_of_the_same_name_are_refused(baseline: Path, tmp_path: Path) -> None:
    other = "ab" * 32
    header = Header("tour", (DataSummary("fashion-mini", other, CLASSES, DATA.sizes),))
    new = leaderboard(tmp_path / "new", BEFORE, header=header, digest=other)
    refused = command(baseline, new)
    assert refused.exit_code == 2
    assert (
        "the data 'fashion-mini' of the two leaderboards are not the same (digests 6d958be0 and abababab)"
        in refused.output
    )


def test_leaderboards_without_a_common_configuration_are_refused(baseline: Path, tmp_path: Path) -> None:
    refused = command(baseline, leaderboard(tmp_path / "new", {"vit": (0.5, 0.6)}))
    assert refused.exit_code == 2
    assert "no configuration in common: resnet18, lenet5 there, vit here" in refused.output


def test_a_metric_that_ranks_nothing_is_refused(baseline: Path) -> None:
    refused = command(baseline, baseline, "--metric", "model/parametres")
    assert refused.exit_code == 2
    assert "choose one of test/accuracy" in refused.output.replace("\n", " ") or "cannot be ranked" in refused.output


Change = Callable[[dict[str, Any]], object]
EDITS: dict[str, tuple[Change, str]] = {
    "another version": (lambda d: d.update(schema_version=2), "of schema_version 2; this program reads 1"),
    "no rows": (lambda d: d.pop("rows"), "rows: Field required"),
    "a text for a mean": (lambda d: d["rows"][0]["metrics"]["test/accuracy"].update(mean="0.9"), "test/accuracy.mean"),
    "NaN": (lambda d: d["rows"][0]["metrics"]["test/accuracy"].update(mean=math.nan), "finite number"),
    "infinity": (lambda d: d["rows"][0]["metrics"]["test/accuracy"].update(sd=math.inf), "finite number"),
    "a negative spread": (lambda d: d["rows"][0]["metrics"]["test/accuracy"].update(sd=-1), "greater than or equal"),
    "a path for a run": (lambda d: d["rows"][0]["runs"][0].update(run_id="../../../etc"), "run_id: String"),
    "a run twice": (lambda d: d["rows"][0]["runs"].append(d["rows"][1]["runs"][0]), "have the run_id"),
    "a label twice": (lambda d: d["rows"][0].update(label=d["rows"][1]["label"]), "have the label"),
    "a list": (lambda d: d.update(rows={"a": 1}), "rows: Input should be a valid"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_a_file_that_was_edited_is_refused_with_the_place(baseline: Path, name: str) -> None:
    change, message = EDITS[name]
    refused = command(edit(baseline, change), baseline)
    assert refused.exit_code == 2
    assert message in refused.output
    assert str(baseline / "leaderboard.json") in refused.output


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"null", b"{", b'{"schema_version": 1}', b"[" * 100_000, b'{"schema_version": 1e999}',
     b'{"schema_version": ' + b"9" * 10_000 + b"}"],
)  # fmt: skip
def test_what_is_no_leaderboard_is_refused_with_the_place(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "leaderboard.json").write_bytes(content)
    with pytest.raises(BadLeaderboard, match=r"leaderboard\.json: not a leaderboard of this program: ") as caught:
        recorded.read(tmp_path)
    assert len(str(caught.value)) < 2000


def test_a_file_that_is_missing_or_far_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadLeaderboard, match="No such file or directory"):
        recorded.read(tmp_path)
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(recorded.LARGEST + 1)  # no block of it is on the disk
    with pytest.raises(BadLeaderboard, match="more than a leaderboard has"):
        recorded.read(tmp_path / "huge.json")


@pytest.mark.parametrize("bits", ["!!!!", "AAAA", ""])
def test_packed_answers_that_were_edited_are_refused(baseline: Path, tmp_path: Path, bits: str) -> None:
    new = leaderboard(tmp_path / "new", BEFORE, epochs=9)
    shutil.rmtree(baseline / "runs")
    edit(baseline, lambda document: document["rows"][0]["answers"]["seeds"].update({"0": bits}))
    with pytest.raises(BadLeaderboard, match=r"resnet18: .* the file was edited"):
        found(baseline, new)


def test_names_from_outside_stay_text_in_the_comment(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)> | [a](javascript:b) `c` @everyone"
    header = Header("**tour** <script>", (DATA,), commit="<b>")
    before = leaderboard(tmp_path / "a", {hostile: (0.9, 0.91)}, header=header)
    new = leaderboard(tmp_path / "b", {hostile: (0.8, 0.81)}, header=header)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(page(found(before, new)))
    assert html.count("<tr>") == 2
    assert html.count("<td") == 5
    assert not any(tag in html for tag in ("<img", "<script", "<b>", "href"))


def test_a_comment_of_a_thousand_configurations_fits_and_shows_the_regression_first(tmp_path: Path) -> None:
    path = leaderboard(tmp_path / "a", {"lenet5": (0.9,)})

    def many(worst: float) -> Change:
        def change(document: dict[str, Any]) -> None:
            (row,) = document["rows"]
            rows = [json.loads(json.dumps(row)) for _ in range(1000)]
            for place, each in enumerate(rows):
                each |= {"label": f"a model with a long name, lr {place}", "configuration_id": f"{place:012x}"}
                each["runs"][0]["run_id"] = f"{place:012x}"
            rows[777]["metrics"]["test/accuracy"]["mean"] = worst
            rows[777]["answers"] = None
            document["rows"] = rows

        return change

    new = shutil.copytree(path, tmp_path / "b")
    text = page(found(edit(path, many(0.9)), edit(new, many(0.1))))
    assert len(text) < 65_536
    assert text.index("lr 777") < text.index("<details>")
    assert "and 800 more configurations." in text


@pytest.mark.parametrize("missing", [False, True])
def test_a_comment_fits_whatever_is_said_of_each_configuration(tmp_path: Path, missing: bool) -> None:
    path = leaderboard(tmp_path / "a", {"lenet5": (0.9,)})

    def many(generation: str) -> Callable[[dict[str, Any]], None]:
        def change(document: dict[str, Any]) -> None:
            (row,) = document["rows"]
            rows = [json.loads(json.dumps(row)) for _ in range(1000)]
            for place, each in enumerate(rows):
                label = f"{generation if missing else ''}_*_<{'*_|' * 20}>, lr {place}"
                each |= {"label": label, "configuration_id": f"{generation}{place:011x}"}
                each["runs"][0]["run_id"] = f"{generation}{place:011x}"
            document["rows"] = [*rows, row] if missing else rows

        return change

    new = shutil.copytree(path, tmp_path / "b")
    text = page(found(edit(path, many("a")), edit(new, many("b"))))
    assert len(text) < 65_536
    same = "1,000 configurations: data, weights or training program have changed."
    assert (same in text) is not missing


@given(st.lists(st.lists(st.booleans(), min_size=11, max_size=11), min_size=1, max_size=4))
def test_packing_and_unpacking_give_the_same_answers(rows: list[list[bool]]) -> None:
    right = np.array(rows)
    packed = pack(right, list(range(len(rows))), "test", "ab")
    assert packed is not None
    assert json.loads(json.dumps(vars(packed)))["n"] == 11
    assert np.array_equal(unpack(packed), right)


def test_more_images_than_a_file_should_hold_are_not_packed() -> None:
    assert pack(np.ones((1, MOST + 1), dtype=bool), [0], "test", "ab") is None
    assert pack(np.ones((1, MOST), dtype=bool), [0], "test", "ab") is not None


@pytest.mark.parametrize("packed", [Packed("test", "ab", 0, {"0": ""}), Packed("test", "ab", 8, {})])
def test_packed_answers_of_nothing_are_refused(packed: Packed) -> None:
    with pytest.raises(ValueError, match="packed answers to"):
        unpack(packed)


def test_the_digest_of_images_depends_on_ids_labels_and_order() -> None:
    ids, labels = np.array(["a", "b"]), np.array([0, 1])
    others = [(ids[::-1], labels), (ids, labels[::-1]), (np.array(["ab", ""]), labels)]
    assert len({digest(ids, labels), *(digest(*each) for each in others)}) == 4
    assert digest(ids, labels) == digest(ids.astype("<U9"), labels.astype(np.int32).astype(np.int64))


def test_predictions_of_other_images_are_not_paired(baseline: Path, tmp_path: Path) -> None:
    new = leaderboard(tmp_path / "new", BEFORE, epochs=9)
    edit(new, lambda document: [row.pop("answers") for row in document["rows"]])
    for each in (new / "runs").iterdir():
        own = RunDir(each).read_predictions("test")
        renamed = Predictions(np.array([f"x{name}" for name in own.ids]), own.labels, own.log_probs)
        RunDir(each).write_predictions({"test": renamed}, CLASSES)
    assert all(each.test.startswith("unpaired") for each in found(baseline, new).changes)


HARD, LABELS = np.random.default_rng(3).normal(0, 1.5, 600), np.random.default_rng(4).integers(0, 3, 600)


def network(seed: int, skill: float) -> Predictions:
    """Images are as hard for one network as for another."""
    logits = np.random.default_rng(seed).normal(size=(600, 3))
    logits[np.arange(600), LABELS] += skill - HARD
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Predictions(np.arange(600).astype(str), LABELS, log_probs.astype(np.float32))


def trained(home: Path, first: int, skill: float) -> Path:
    entries = []
    for seed in range(5):
        run, predictions = make_run("lenet5", seed, epochs=10 + first), network(first + seed, skill)
        RunDir(home / "runs" / run.run_id).write_predictions({"test": predictions}, CLASSES)
        metrics = scores(predictions.labels, predictions.log_probs).under("test").values
        finished = done(run, metrics.pop("test/accuracy"), metrics=metrics)
        entries.append(Entry(run, "done", finished.result, directory=home / "runs" / run.run_id))
    write(build(entries, HEADER), home)
    return home


def test_pairing_by_images_tells_what_means_and_intervals_hide(tmp_path: Path) -> None:
    before, new = trained(tmp_path / "a", 0, 2.0), trained(tmp_path / "b", 100, 1.75)
    (paired,) = found(before, new).changes
    (unpaired,) = found(bare(before), bare(new)).changes
    assert paired.outcome == "regressed"
    assert unpaired.outcome == "no difference shown"
    assert paired.difference == pytest.approx(unpaired.difference, abs=1e-6)
    assert None not in (paired.low, paired.high, unpaired.low, unpaired.high)
    assert unpaired.low < paired.low < paired.high < 0 < unpaired.high  # type: ignore[operator]


@pytest.mark.parametrize(("sd", "seeds"), [(None, 1), (0.01, 3), (0.002, 5)])
def test_the_variance_behind_a_recorded_interval_gives_the_interval_again(sd: float | None, seeds: int) -> None:
    parts = Recorded(0.8, sd, seeds, 0.76, 0.84).parts
    assert critical(parts) * math.sqrt(sum(part.variance for part in parts)) == pytest.approx(0.04, rel=1e-6)


def test_unpaired_tests_tell_equal_configurations_apart_in_at_most_one_of_twenty_cases() -> None:
    """Seeds and images drawn anew for both: 400 pairs, of which 5% are 20 (95% of samples have at most 29)."""
    random, false = np.random.default_rng(0), 0
    for _ in range(400):
        sides = []
        for _ in range(2):
            runs = np.clip(random.normal(0.8, 0.01, 3), 0, 1)
            values = random.binomial(500, runs) / 500
            sides.append(Recorded(float(values.mean()), float(values.std(ddof=1)), 3))
        told = unpaired(sides[0], sides[1])
        assert told is not None
        false += told.p < 0.05
    assert false <= 29


def test_nothing_is_told_of_means_without_any_variance() -> None:
    assert unpaired(Recorded(0.5, None, 1), Recorded(0.6, 0.1, 3)) is None
    told = unpaired(Recorded(0.5, None, 1, images=100), Recorded(0.5, 0.0, 3, images=100))
    assert told is not None
    assert told.p == 1.0
