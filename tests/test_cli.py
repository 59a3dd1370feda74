"""The commands as a user types them, each in a process of its own."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from benchmark.cli import main
from benchmark.cli_options import in_seconds
from tests.warm import warm

ROOT = Path(__file__).resolve().parent.parent
YAML = """
name: tiny
data: {source: synthetic, train_size: 300, test_size: 100, classes: 3}
defaults: {epochs: 2, lr: 3e-3}
matrix:
  model: lenet5
  seed: [0, 1]
"""


COMMANDS = (
    "run", "plan", "validate", "status", "report", "sync", "logs", "stop", "rm", "reproduce", "init", "data",
    "schema", "models", "doctor", "ui", "export", "compare", "diff",
)  # fmt: skip
CONTEXT = click.Context(main.commands["run"])


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "кот #1"
    path.mkdir()
    (path / "experiments.yaml").write_text(YAML)
    return path


NO_ACCOUNT = {
    "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip
"""Nobody's account of AWS is used by a test."""


class Command:
    """`python -m benchmark` in a directory."""

    def __init__(self, home: Path, cache: Path) -> None:
        self.home = home
        self.environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "TORCH_IMAGE_BENCHMARK_CACHE": str(warm(cache)), "NO_COLOR": "1",
            **NO_ACCOUNT,
        }  # fmt: skip
        for each in ("MLFLOW_TRACKING_URI", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION"):
            self.environment.pop(each, None)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", *arguments],
            cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=500,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "benchmark", *arguments],
            cwd=self.home, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )  # fmt: skip

    def leaderboard(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "results" / "tiny" / "leaderboard.json").read_text())
        return found


@pytest.fixture
def benchmark(home: Path, cache: Path) -> Command:
    return Command(home, cache)


def quality(document: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Run id -> its metrics, without time, memory and load."""
    return {
        run["run_id"]: {k: v for k, v in run["metrics"].items() if k.split("/")[0] in ("test", "val", "train", "model")}
        for row in document["rows"]
        for run in row["runs"]
    }


def test_help_names_the_commands_and_is_quick_to_import() -> None:
    program = (
        "import sys; sys.argv = ['benchmark', '--help']\n"
        "from benchmark.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'mlflow', 'pandas', 'sklearn', 'matplotlib', 'pydantic', 'numpy', 'sagemaker'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "heavy: []" in done.stdout
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    """As the installed command does it; README says how it is switched on."""
    program = "from benchmark.cli import main; main(prog_name='torch-image-benchmark')"
    name = "_TORCH_IMAGE_BENCHMARK_COMPLETE"

    def ask(kind: str, **words: str) -> str:
        variables = {**os.environ, name: f"{shell}_{kind}", **words}
        return subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True, cwd=ROOT
        ).stdout

    if shell != "bash" or shutil.which("bash"):
        assert name in ask("source")
    assert "plan" in ask("complete", COMP_WORDS="torch-image-benchmark pl", COMP_CWORD="1" if shell != "fish" else "pl")
    assert "--max-time" in ask(
        "complete", COMP_WORDS="torch-image-benchmark run --max", COMP_CWORD="2" if shell != "fish" else "--max"
    )


def test_plan_and_validate_never_import_torch(benchmark: Command) -> None:
    benchmark("validate")
    program = (
        "import sys; sys.argv = ['benchmark', 'plan', '--json']\n"
        "from benchmark.cli import main\n"
        "try: main()\nexcept SystemExit as stop: print(stop.code, file=sys.stderr)\n"
        "heavy = {'torch', 'timm', 'mlflow', 'matplotlib', 'boto3'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=benchmark.home, env=benchmark.environment
    )
    assert "heavy: []" in done.stderr, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert [cell["state"] for cell in cells] == ["new", "new"]
    assert not (benchmark.home / "results").exists()


def test_the_schema_is_printed_without_anything_heavy(benchmark: Command) -> None:
    assert json.loads(benchmark("schema"))["title"] == "an experiment of torch-image-benchmark"


@pytest.mark.parametrize(
    ("text", "code", "seconds"),
    [("90", 0, 90.0), ("45s", 0, 45.0), ("90m", 0, 5400.0), ("1h30m", 0, 5400.0), ("2H", 0, 7200.0), ("soon", 2, 0),
     ("", 2, 0), ("0", 2, 0), ("-1", 2, 0), ("1.5h", 2, 0)],
)  # fmt: skip
def test_times_are_read_as_people_write_them(text: str, code: int, seconds: float) -> None:
    if code:
        with pytest.raises(click.BadParameter, match="write 45s, 90m, 2h or 1h30m"):
            in_seconds(CONTEXT, CONTEXT.command.params[0], text)
    else:
        assert in_seconds(CONTEXT, CONTEXT.command.params[0], text) == seconds


def test_without_a_sweep_there_is_nothing_to_stop_and_no_log(benchmark: Command) -> None:
    assert "no sweep is under way" in benchmark("stop", code=2)
    run_id = json.loads(benchmark("plan", "--no-probe", "--json"))["cells"][0]["run_id"]
    assert "is not under way" in benchmark("stop", run_id[:4], code=2)
    assert "has not been started" in benchmark("logs", run_id[:4], code=2)
    assert "is the beginning of no run's id" in benchmark("logs", "xyz", code=2)
    assert "--drain is for the whole sweep" in benchmark("stop", run_id[:4], "--drain", code=2)


@pytest.mark.nightly
def test_a_sweep_in_the_background_is_followed_and_stopped(benchmark: Command) -> None:
    assert "epochs must be a whole number" in benchmark("run", "--detach", "--set", "epochs=0", code=2)
    long = ("--set", "epochs=5000")
    said = benchmark("run", "--detach", "--workers", "1", *long)
    assert "runs in the background" in said
    assert "is in use by process" in benchmark("run", "--detach", *long, code=3)
    cells = json.loads(benchmark("plan", "--no-probe", "--json", *long))["cells"]
    first = wait_for_run(benchmark, *long)
    with benchmark.start("logs", first, "-f", *long) as following:
        assert following.stdout is not None
        assert "epoch 1 " in following.stdout.readline()
        assert "is being stopped" in benchmark("stop", first, *long)
        assert following.wait(60) == 0
    second = wait_for_run(benchmark, *long)
    assert {first, second} == {cell["run_id"] for cell in cells}
    assert "ends now" in benchmark("stop", *long)
    output = benchmark.home / "results" / "tiny" / "output.txt"
    wait_until(lambda: "1 failed, 1 left" in output.read_text())
    assert "stopped by `stop`" in benchmark("status", *long)


@pytest.mark.nightly
def test_results_are_removed_after_a_confirmation_and_may_be_made_again(benchmark: Command) -> None:
    assert "nothing has run yet" in benchmark("rm", "--unplanned", code=2)
    benchmark("run")
    assert "name the runs to remove" in benchmark("rm", code=2)
    assert "one that the YAML asks for" in benchmark("rm", "--unplanned", "experiments.yaml", code=2)
    kept, gone = sorted(path.name for path in (benchmark.home / "results" / "tiny" / "runs").iterdir())
    said = benchmark("rm", gone[:6], code=1)  # nobody answers
    assert gone[:6] in said
    assert "Remove them for good?" in said
    assert "2 done" in benchmark("status")
    assert "removed 1 run" in benchmark("rm", gone[:6], "experiments.yaml", "--yes")
    assert [path.name for path in (benchmark.home / "results" / "tiny" / "runs").iterdir()] == [kept]
    with sqlite3.connect(benchmark.home / "mlflow.db") as store:
        query = "SELECT r.lifecycle_stage FROM runs r JOIN tags t USING (run_uuid) WHERE t.value = ?"
        assert store.execute(query, (gone,)).fetchall() == [("deleted",)]
    before = quality(benchmark.leaderboard())
    benchmark("run")
    assert quality(benchmark.leaderboard()) == before
    cells = json.loads(benchmark("plan", "--no-probe", "--json", "--set", "epochs=3"))["cells"]
    assert sorted(cell["why"] for cell in cells) == sorted(
        f"changed since {run_id[:6]}: epochs 2 then, 3 now" for run_id in (kept, gone)
    )
    (benchmark.home / "experiments.yaml").write_text(YAML.replace("[0, 1]", "0").replace("lr: 3e-3", "lr: 1e-3"))
    said = benchmark("rm", "--unplanned", code=1)
    assert "lenet5, lr 3e-3 · seed 0 (not in the YAML)" in said, "told from the run that is to come"
    (benchmark.home / "experiments.yaml").write_text(YAML.replace("[0, 1]", "0"))
    assert "not in the YAML" in benchmark("rm", "--unplanned", "-y")
    assert "1 done" in benchmark("status")


@pytest.mark.slow
def test_a_run_is_reproduced_bit_by_bit_apart_from_its_record(benchmark: Command) -> None:
    benchmark("run", "--only", "seed=1")
    before = benchmark.leaderboard()
    (run,) = [run for row in before["rows"] for run in row["runs"] if run["status"] == "done"]
    said = benchmark("reproduce", run["run_id"][:5])
    assert "lenet5 · seed 1: once more from its record, 2 epochs" in said
    assert "bit-identical" in said
    (other,) = {cell["run_id"] for cell in json.loads(benchmark("plan", "--json"))["cells"]} - {run["run_id"]}
    assert "has no result to compare with" in benchmark("reproduce", other, code=2)
    assert "is the beginning of no run's id" in benchmark("reproduce", "zzz", code=2)


def wait_for_run(benchmark: "Command", *options: str) -> str:
    """The id of the run that is under way."""
    found: list[str] = []

    def look() -> bool:
        found[:] = json.loads(benchmark("status", "--json", *options))["running"]
        return len(found) == 1

    wait_until(look)
    return found[0]


def wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_plan_shows_only_what_was_asked_for(benchmark: Command) -> None:
    assert "seed 1" in benchmark("plan", "--only", "seed=1")
    assert "seed 0" not in benchmark("plan", "--only", "seed=1")
    assert "no run of this experiment fits" in benchmark("plan", "--only", "seed=7", code=2)
    assert "did you mean 'seed'" in benchmark("plan", "--only", "seeed=7", code=2)


@pytest.mark.nightly
def test_some_runs_only_leave_the_others_pending_and_are_success(benchmark: Command) -> None:
    benchmark("run", "--only", "seed=1", "--set", "epochs=1")
    document = benchmark.leaderboard()
    assert [run["seed"] for row in document["rows"] for run in row["runs"] if run["status"] == "done"] == [1]
    assert document["counts"] == {"done": 1, "failed": 0, "pending": 1}
    output = benchmark("run", "--limit", "1", "--set", "epochs=1")
    assert "1 to run" in output
    assert benchmark.leaderboard()["counts"]["pending"] == 0


def test_every_error_is_named_at_its_place_at_once(benchmark: Command) -> None:
    (benchmark.home / "experiments.yaml").write_text(
        "name: tiny\ndata: digits\nmatrix:\n  model: [lenet55]\n  optimizer: adamm\n  lrr: [1]\n  lr: [-1]\n"
    )
    output = benchmark("validate", code=2)
    assert "experiments.yaml:4:11: unknown model 'lenet55'; did you mean 'lenet5'?" in output
    assert "experiments.yaml:5:14: unknown optimizer 'adamm'; did you mean 'adam" in output
    assert "experiments.yaml:6:3:" in output
    assert "experiments.yaml:7:8:" in output


def test_a_missing_file_account_or_mode_say_what_to_do(benchmark: Command) -> None:
    assert "nowhere.yaml" in benchmark("plan", "nowhere.yaml", code=2)
    assert "no region: write aws: {region: eu-west-1}" in benchmark("run", "--mode", "aws", code=3)
    benchmark.environment["AWS_REGION"] = "eu-west-1"
    assert "`aws sso login`" in benchmark("run", "--mode", "aws", code=3)
    benchmark.environment["AWS_PROFILE"] = "nobody"
    assert "`aws configure --profile NAME` makes one" in benchmark("run", "--mode", "aws", code=3)
    assert "the modes are" in benchmark("run", "--mode", "bogus", code=2)
    assert "`python -m benchmark run` comes first" in benchmark("report", code=2)


def test_models_are_listed_by_pattern(benchmark: Command) -> None:
    output = benchmark("models", "lenet*")  # at 32 pixels, RGB
    assert "83,126" in output
    assert "no model matches" in benchmark("models", "nothing-like-this", code=2)


@pytest.mark.slow
def test_a_sweep_from_yaml_to_leaderboard_and_again(benchmark: Command) -> None:
    first = benchmark("run")
    assert "2 of 2 runs done" in first
    assert "mlflow ui" in first
    assert (benchmark.home / "mlflow.db").exists()
    card = benchmark.home / "results" / "tiny" / "data_card.md"
    assert "sha256" in card.read_text()
    row = benchmark.leaderboard()["rows"][0]
    assert (row["n_seeds"], row["planned_seeds"]) == (2, 2)
    assert row["metrics"]["test/accuracy"]["mean"] > 0.5
    assert all(run["mlflow_run_id"] for run in row["runs"])

    again = benchmark("run")
    assert "0 to run" in again
    assert "started" not in again

    (benchmark.home / "experiments.yaml").write_text(YAML.replace("[0, 1]", "[1, 2]"))
    states = {cell["seed"]: cell["state"] for cell in json.loads(benchmark("plan", "--json"))["cells"]}
    assert states == {1: "done", 2: "new"}
    changed = benchmark("run")
    assert changed.count(": started") == 1
    assert {run["seed"] for row in benchmark.leaderboard()["rows"] for run in row["runs"]} == {1, 2}

    (benchmark.home / "results" / "tiny" / "leaderboard.md").unlink()
    benchmark("report")
    benchmark("report", "--set", "epochs=9", code=2)
    assert benchmark.leaderboard()["rows"]
    assert (benchmark.home / "results" / "tiny" / "leaderboard.md").exists()
    assert "2 done" in benchmark("status")


@pytest.mark.slow
def test_a_failed_run_is_shown_with_its_reason_and_the_others_count(benchmark: Command) -> None:
    (benchmark.home / "experiments.yaml").write_text(
        YAML.replace("seed: [0, 1]", "lr: [3e-3, 1e9]").replace("lr: 3e-3}", "optimizer: momentum}")
    )
    output = benchmark("run", code=1)
    assert "FAILED, diverged" in output
    document = benchmark.leaderboard()
    assert len(document["rows"]) == 1
    assert [each["kind"] for each in document["not_ranked"]] == ["diverged"]
    assert "0 to run" in benchmark("run", code=1)
    assert "why: python -m benchmark logs " in output
    assert "once more: python -m benchmark run --retry diverged" in output
    assert ": started, try 2" in benchmark("run", "--retry", "diverged", code=1)
    assert "no failed run of this kind" in benchmark("run", "--retry", "oom", code=2)


def mlflow_runs(command: Command) -> set[str]:
    """The runs in MLflow that are whole, asked of the store itself."""
    import sqlite3

    with sqlite3.connect(command.home / "mlflow.db") as database:
        rows = database.execute("SELECT run_uuid FROM tags WHERE key = 'benchmark.commit'").fetchall()
        active = {row[0] for row in database.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'")}
        kinds = database.execute("SELECT run_uuid FROM tags WHERE key = 'benchmark.kind' AND value = 'run'").fetchall()
    database.close()
    committed = {row[0] for row in rows} & active
    assert committed == {row[0] for row in kinds} & active, "a run of MLflow is not whole"
    return committed


@pytest.mark.slow
def test_ctrl_c_drains_and_running_again_goes_on(benchmark: Command) -> None:
    (benchmark.home / "experiments.yaml").write_text(YAML.replace("[0, 1]", "[0, 1, 2]"))
    process = benchmark.start("run", "--workers", "1")
    assert process.stdout is not None
    lines = iter(process.stdout)
    wait_for(lines, ": started")
    process.send_signal(signal.SIGINT)
    rest = "".join(lines)
    assert process.wait(200) == 130, rest
    process.stdout.close()
    assert "finished first" in rest
    assert "1 of 3 runs done, 2 left" in rest
    assert "3 of 3 runs done" in benchmark("run")


def wait_for(lines: Iterator[str], text: str) -> None:
    for line in lines:
        if text in line:
            return
    raise AssertionError(f"no line with {text!r}")


def test_ctrl_c_before_the_sweep_is_an_interruption_too(benchmark: Command, tmp_path: Path) -> None:
    benchmark.environment["TORCH_IMAGE_BENCHMARK_CACHE"] = str(tmp_path / "cold")  # describing models takes seconds
    process = benchmark.start("run")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert "Traceback" not in process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 130


def test_a_directory_that_cannot_be_made_is_named(benchmark: Command) -> None:
    (benchmark.home / "results").mkdir()
    (benchmark.home / "results" / "tiny").write_text("a file")
    assert "results/tiny" in benchmark("run", code=3)


@pytest.mark.slow
def test_a_primary_metric_that_is_undefined_is_no_failure(benchmark: Command) -> None:
    yaml = YAML.replace("seed: [0, 1]", "seed: 0").replace("test_size: 100", "test_size: 2")  # one class has no images
    yaml += "report: {primary: test/roc_auc_macro}\n"
    (benchmark.home / "experiments.yaml").write_text(yaml)
    output = benchmark("run")
    assert "1 of 1 runs done" in output
    assert "no run has a result to rank" in output


def test_a_place_that_cannot_be_written_is_told_before_anything_runs(benchmark: Command) -> None:
    benchmark.environment["MLFLOW_TRACKING_URI"] = "sqlite:////proc/nowhere/mlflow.db"
    output = benchmark("run", code=3)
    assert "/proc/nowhere cannot be written" in output
    assert not (benchmark.home / "results" / "tiny" / "journal.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", [pytest.param("clone", marks=pytest.mark.nightly), "elsewhere"])
def test_run_training_trains_with_no_other_argument(place: str, tmp_path: Path, cache: Path) -> None:
    command = Command(tmp_path, cache)
    directory = ROOT if place == "clone" else tmp_path
    script = "launch/run_training.py" if place == "clone" else str(ROOT / "launch" / "run_training.py")
    environment = {k: v for k, v in command.environment.items() if k != "PYTHONPATH"}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/mlflow.db"
    done = subprocess.run(
        [sys.executable, script, "--execution_mode", "fast_local_mode", "--results", str(tmp_path / "results")],
        cwd=directory, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 runs done" in done.stdout
    assert (tmp_path / "results" / "run-training" / "leaderboard.md").exists()


def test_a_mode_without_an_account_says_so(tmp_path: Path, cache: Path) -> None:
    command = Command(tmp_path, cache)
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch" / "run_training.py"), "--execution_mode", "aws_mode"],
        cwd=tmp_path, env=command.environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 3
    assert "mode aws: no region" in done.stderr
