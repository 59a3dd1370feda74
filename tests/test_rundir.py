from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.durable import atomic, write_json
from benchmark.records import CalibrationBin, ClassMetrics, Evaluation, Event, Failure, Predictions, Result, RocCurve
from benchmark.run import DataSpec, Run
from benchmark.rundir import BrokenFile, RunDir

RUN = Run(DataSpec("digits"), "lenet5", data_digest="0" * 64, image_size=28, channels=1)
RESULT = Result(RUN.run_id, {"test/accuracy": 0.5, "test/top5_accuracy": None}, {"test/top5_accuracy": "few classes"},
                2, 3, 1.0, 2.0, "a network", {"torch": "2"}, ("a note",))  # fmt: skip
EVALUATION = Evaluation(
    ((3, 1), (0, 4)),
    (ClassMetrics("кот", 4, None, 0.75, None, None, {"precision": "never predicted"}),),
    (RocCurve("кот", (0.0, 1.0), (0.0, 1.0)),),
    (CalibrationBin(0.0, 0.5, 0, None, None),),
)


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    path = tmp_path / "кот #1 run"
    path.mkdir()
    return RunDir(path)


def event(epoch: int, loss: float = 0.5) -> Event:
    return Event(epoch, epoch * 10, 1000.0 + epoch, {"train/loss": loss})


def test_every_file_is_read_as_it_was_written(rundir: RunDir) -> None:
    failure = Failure("oom", "no memory", "Traceback", 7, 3.0)
    predictions = Predictions(
        np.array(["a", "б"]), np.array([0, 1], dtype=np.int64), np.log(np.array([[0.5, 0.5], [0.1, 0.9]], np.float32))
    )
    rundir.write_run(RUN)
    rundir.write_result(RESULT)
    rundir.write_failure(failure)
    rundir.write_evaluation({"test": EVALUATION}, ("кот", "пёс"))
    rundir.write_predictions({"test": predictions}, ("кот", "пёс"))
    rundir.write_profile({"speed/latency_ms_p50": 1.5})
    assert rundir.read_run() == RUN
    assert rundir.read_result() == RESULT
    assert rundir.read_failure() == failure
    assert rundir.read_evaluation() == {"test": EVALUATION}
    assert rundir.read_profile() == {"speed/latency_ms_p50": 1.5}
    found = rundir.read_predictions("test")
    assert list(found.ids) == ["a", "б"]
    np.testing.assert_array_equal(found.log_probs, predictions.log_probs)


def test_a_new_directory_has_nothing(rundir: RunDir) -> None:
    assert rundir.read_result() is None
    assert rundir.read_failure() is None
    assert rundir.read_events() == ()
    assert rundir.read_profile() == {}
    assert rundir.log_tail(1) == ""


def test_an_epoch_keeps_its_first_line(rundir: RunDir) -> None:
    rundir.append_event(event(1))
    rundir.append_event(event(1, loss=0.9))
    rundir.append_event(event(2))
    assert rundir.read_events() == (event(1), event(2))


@given(st.data())
def test_a_torn_last_line_is_not_there_and_is_repaired(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rundir = RunDir(tmp_path_factory.mktemp("torn"))
    for epoch in (1, 2):
        rundir.append_event(event(epoch))
    whole = rundir.events_path.read_bytes()
    first = whole.index(b"\n") + 1
    cut = data.draw(st.integers(first, len(whole) - 1))
    rundir.events_path.write_bytes(whole[:cut])
    assert rundir.read_events() == (event(1),)
    rundir.append_event(event(2))
    assert rundir.events_path.read_bytes() == whole


def test_a_broken_line_in_the_middle_is_named(rundir: RunDir) -> None:
    rundir.append_event(event(1))
    rundir.events_path.write_bytes(b"{broken\n" + rundir.events_path.read_bytes())
    with pytest.raises(BrokenFile, match=r"events\.jsonl"):
        rundir.read_events()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}', '{"schema_version": 1, "bogus": 2}'])
def test_a_result_that_is_none_is_refused_by_name(rundir: RunDir, text: str) -> None:
    (rundir.path / "result.json").write_text(text)
    with pytest.raises(BrokenFile, match=r"result\.json"):
        rundir.read_result()


def test_broken_predictions_are_refused_by_name(rundir: RunDir) -> None:
    (rundir.path / "predictions.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(BrokenFile, match=r"predictions\.npz"):
        rundir.read_predictions("test")


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(TypeError), atomic(target) as file:
        file.writelines([b"half", "not bytes"])  # type: ignore[list-item]
    assert target.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_json_without_a_word_for_nan_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file", {"value": float("nan")})
    assert not list(tmp_path.iterdir())


def test_an_unknown_failure_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="bogus"):
        Failure("bogus", "message")  # type: ignore[arg-type]


def test_a_new_attempt_begins_without_the_outcome_of_the_last(rundir: RunDir) -> None:
    rundir.write_result(RESULT)
    rundir.write_failure(Failure("error", "x"))
    rundir.clear_outcome()
    assert rundir.read_result() is None
    assert rundir.read_failure() is None


def test_the_tail_of_a_log_is_its_last_lines(rundir: RunDir) -> None:
    rundir.attempt(1)
    rundir.log_path(1).write_text("\n".join(f"line {n}" for n in range(100)))
    assert rundir.log_tail(1, 2) == "line 98\nline 99"
