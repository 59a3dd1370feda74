"""Sweeps in SageMaker local mode, as a user types them: real containers, the same bits, and nothing lost or left."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.rundir import RunDir
from launch import containers
from tests.docker_support import CONTAINERS, docker, ours
from tests.test_cli import ROOT, Command, mlflow_runs, quality
from tests.tuning_support import weights_file

pytestmark = [pytest.mark.slow, CONTAINERS]

YAML = """
name: tiny
data: {source: synthetic, train_size: 300, test_size: 100, classes: 3, image_size: 32}
defaults: {epochs: 2, lr: 3e-3}
matrix: {model: MODELS}
launch: {mode: MODE, profile: PROFILE}
"""
LONG = YAML.replace("epochs: 2", "epochs: 40").replace("MODELS", "lenet5").replace("PROFILE", "false")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dict[str, Any]:
    """What a sweep ends with that nobody kills."""
    command = made(tmp_path_factory.mktemp("undisturbed") / "home", cache, LONG.replace("MODE", "fast_local"))
    command("run")
    return quality(command.leaderboard())


def made(home: Path, cache: Path, yaml: str) -> Command:
    home.mkdir(parents=True)
    (home / "experiments.yaml").write_text(yaml)
    return Command(home, cache)


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def only_run(command: Command) -> RunDir:
    (found,) = (command.home / "results" / "tiny" / "runs").iterdir()
    return RunDir(found)


def has_epochs(command: Command, number: int) -> bool:
    return any(
        len(RunDir(each).read_events()) >= number for each in (command.home / "results" / "tiny" / "runs").glob("*")
    )


@pytest.mark.nightly
def test_three_families_in_containers_side_by_side_give_the_bits_of_host_processes(tmp_path: Path, cache: Path) -> None:
    yaml = YAML.replace("MODELS", "[lenet5, mobilenetv3_small_100, small/vit]").replace("PROFILE", "false")
    found, most = {}, 0
    for mode in ("fast_local", "local"):
        command = made(tmp_path / f"{mode} кот: #1", cache, yaml.replace("MODE", mode))
        process = command.start("run", "--workers", "2")
        while process.poll() is None:
            most = max(most, len(ours(["container"])))
            time.sleep(0.2)
        assert process.stdout is not None
        output = process.stdout.read()
        process.stdout.close()
        assert "3 of 3 runs done" in output, output
        found[mode] = quality(command.leaderboard())
    assert most == 2, "the containers did not run at the same time"
    assert len(found["local"]) == 3
    assert all(len(metrics) > 20 for metrics in found["local"].values())
    assert found["local"] == found["fast_local"]
    assert len(mlflow_runs(command)) == 3
    assert ours() == []


PROBE = """
name: tiny
data: {source: synthetic, train_size: 120, test_size: 60, classes: 3, size: 32, planes: 3}
defaults: {model: test_resnet, epochs: 2, pretrained: given.safetensors}
matrix: {freeze: [none, backbone]}
launch: {mode: MODE, profile: false, network_isolation: ISOLATED}
"""


@pytest.mark.nightly
def test_pretrained_weights_reach_a_container_that_reaches_nothing_else(tmp_path: Path, cache: Path) -> None:
    found = {}
    for mode in ("fast_local", "local"):
        yaml = PROBE.replace("MODE", mode).replace("ISOLATED", str(mode == "local").lower())
        command = made(tmp_path / f"{mode} кот: #1", cache, yaml)
        weights_file(command.home / "given.safetensors")
        command("run", "--workers", "1")
        found[mode] = quality(command.leaderboard())
    assert len(found["local"]) == 2
    assert found["local"] == found["fast_local"]
    assert ours() == []


@pytest.mark.nightly
def test_epochs_are_live_on_the_terminal_and_in_mlflow_while_the_container_runs(tmp_path: Path, cache: Path) -> None:
    command = made(tmp_path / "home", cache, LONG.replace("MODE", "local").replace("epochs: 40", "epochs: 400"))
    process = command.start("run")
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2/400" in line:
            break
    assert ours(["container"])
    wait_for(lambda: _points(command) > 0)
    assert ours(["container"]), "the points came after the end"
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 130, rest
    assert ours() == [], "Ctrl-C left a container"
    assert only_run(command).read_failure() is None, "an interrupted run has not failed"


def _points(command: Command) -> int:
    database = sqlite3.connect(command.home / "mlflow.db")
    try:
        return int(database.execute("SELECT count(*) FROM metrics WHERE key = 'val/accuracy'").fetchone()[0])
    except sqlite3.OperationalError:  # not made yet, or being written
        return 0
    finally:
        database.close()


@pytest.mark.nightly
def test_an_orchestrator_killed_in_mid_sweep_finds_its_container_again(
    tmp_path: Path, cache: Path, undisturbed: dict[str, Any]
) -> None:
    killed = made(tmp_path / "killed", cache, LONG.replace("MODE", "local"))
    process = killed.start("run")
    wait_for(lambda: has_epochs(killed, 2))
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    (before,) = ours(["container"])
    again = killed.start("run")
    assert again.stdout is not None
    output = again.stdout.read()
    again.stdout.close()
    assert again.wait() == 0, output
    assert ": goes on" in output, output
    assert only_run(killed).last_attempt == 1, f"container {before} was not adopted"
    assert quality(killed.leaderboard()) == undisturbed
    assert len(mlflow_runs(killed)) == 1
    assert ours() == []


@pytest.mark.nightly
@pytest.mark.parametrize("dead", ["algo-1", "algo-2"])
def test_a_host_that_dies_ends_the_others_and_the_run_goes_on_by_itself(tmp_path: Path, cache: Path, dead: str) -> None:
    yaml = LONG.replace("epochs: 40", "epochs: 40, processes: 2").replace("MODE", "MODE, hosts: HOSTS")
    alone = made(tmp_path / "alone", cache, yaml.replace("MODE", "fast_local").replace("HOSTS", "1"))
    alone("run")
    command = made(tmp_path / "hosts", cache, yaml.replace("MODE", "local").replace("HOSTS", "2"))
    process = command.start("run")
    wait_for(lambda: has_epochs(command, 3) and list(command.home.rglob("epoch-*.pt")))
    (found,) = docker("ps", "--quiet", "--filter", f"label={containers.ATTEMPT}", "--filter", f"name={dead}")
    docker("kill", found)
    assert process.stdout is not None
    output = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0, output
    assert "1 of 1 runs done" in output
    assert only_run(command).last_attempt == 2
    assert "going on after epoch" in only_run(command).log_path(2).read_text()
    assert quality(command.leaderboard()) == quality(alone.leaderboard())
    assert ours() == []


@pytest.mark.nightly
def test_everything_killed_goes_on_from_the_checkpoint_with_the_same_bits(
    tmp_path: Path, cache: Path, undisturbed: dict[str, Any]
) -> None:
    killed = made(tmp_path / "killed", cache, LONG.replace("MODE", "local"))
    process = killed.start("run")
    wait_for(lambda: has_epochs(killed, 3))
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    os.killpg(int((only_run(killed).attempt(1) / "pid").read_text()), signal.SIGKILL)
    assert len(ours(["container"])) == 1, "the container is left behind, and still writes"
    assert "1 of 1 runs done" in killed("run")
    assert only_run(killed).last_attempt == 2
    assert quality(killed.leaderboard()) == undisturbed
    assert ours() == []
    left = {path.name for path in only_run(killed).attempt(1).iterdir() if path.is_dir()}
    assert left == {"config"}, "what the dead watcher had made"


@pytest.mark.parametrize(
    "point",
    [
        "container.started",
        *(
            pytest.param(point, marks=pytest.mark.nightly)
            for point in ("sweep.started", "container.requested", "container.finished", "container.collected")
        ),
    ],
)
def test_a_kill_at_any_named_place_loses_nothing(tmp_path: Path, cache: Path, point: str) -> None:
    yaml = YAML.replace("MODELS", "lenet5").replace("PROFILE", "false").replace("MODE", "local")
    command = made(tmp_path / "home", cache, yaml)
    command.environment["BENCHMARK_FAILPOINT"] = f"{point}:{tmp_path / 'reached'}"
    if point == "sweep.started":
        process = command.start("run")
        assert process.stdout is not None
        process.stdout.read()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
    assert "1 of 1 runs done" in command("run")
    assert (tmp_path / "reached").exists()
    assert len(mlflow_runs(command)) == 1
    assert ours() == []


@pytest.mark.nightly
def test_a_run_over_its_time_is_stopped_with_its_container(tmp_path: Path, cache: Path) -> None:
    yaml = LONG.replace("MODE", "local").replace("epochs: 40", "epochs: 9000")
    command = made(tmp_path / "home", cache, yaml.replace("profile: false", "time_limit: 20, retries: 0"))
    output = command("run", code=1)
    assert "stopped after 20 seconds" in output
    assert ours() == []


@pytest.mark.nightly
def test_one_configuration_without_any_other_argument(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch" / "run_training.py"), "--execution_mode", "local_mode"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 runs done" in done.stdout
    (result,) = tmp_path.glob("results/run-training/runs/*/result.json")
    assert RunDir(result.parent).read_profile(), "the speed was not measured"
    assert json.loads(result.read_text())["environment"]["image"].startswith("torch-image-benchmark:")


def test_what_is_missing_is_told_before_the_first_run(tmp_path: Path, cache: Path) -> None:
    yaml = LONG.replace("MODE", "local").replace("profile: false", "profile: false, image: no-such-image:1")
    command = made(tmp_path / "home", cache, yaml)
    output = command("run", code=3)
    assert "there is no image no-such-image:1 on this machine" in output
    assert not (command.home / "results" / "tiny" / "runs").exists()
    assert "no-such-image" in command("doctor", code=3)


@pytest.mark.nightly
def test_two_processes_and_two_hosts_train_one_run_to_the_same_bits(tmp_path: Path, cache: Path) -> None:
    """Without batch normalisation, close to what one process comes to."""
    yaml = YAML.replace("MODELS", "lenet5").replace("PROFILE", "false")
    found = {}
    for name, mode, processes, hosts in (
        ("alone", "fast_local", 1, 1), ("processes", "local", 2, 1), ("hosts", "local", 2, 2),
    ):  # fmt: skip
        text = yaml.replace("MODE", f"{mode}, hosts: {hosts}").replace(
            "epochs: 2", f"epochs: 2, processes: {processes}"
        )
        command = made(tmp_path / name, cache, text)
        command("run")
        (found[name],) = quality(command.leaderboard()).values()
    assert found["processes"] == found["hosts"]
    assert found["processes"] == pytest.approx(found["alone"], abs=1e-4)
    assert found["processes"] != found["alone"], "the same bits: did two processes train?"
    assert ours() == []
