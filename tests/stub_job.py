"""A job without torch, under the same contract: what it does is the name of its model.  For tests of the sweep."""

import ctypes
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark.records import CalibrationBin, ClassMetrics, Evaluation, Event, Failure, Result  # noqa: E402
from benchmark.rundir import RunDir  # noqa: E402

rundir = RunDir(Path(os.environ["SM_OUTPUT_DATA_DIR"]), checkpoint=Path(os.environ["SM_CHECKPOINT_DIR"]))
run = RunDir(Path(os.environ["SM_CHANNEL_CONFIG"])).read_run()
attempt = int(Path(os.environ["SM_OUTPUT_DIR"]).name)
print(f"attempt {attempt} of {run.model}", flush=True)


def succeed() -> None:
    for epoch in range(1, run.epochs + 1):
        rundir.append_event(Event(epoch, epoch, time.time(), {"train/loss": 1 / epoch, "val/accuracy": 0.5}))
    rows = tuple(ClassMetrics(name, 1, 1.0, 1.0, 1.0, 1.0) for name in "ab")
    bins = (CalibrationBin(0.0, 1.0, 2, 0.9, 1.0),)
    rundir.write_evaluation({"test": Evaluation(((1, 0), (0, 1)), rows, (), bins)}, ("a", "b"))
    now = time.time()
    metrics = {"test/accuracy": run.seed / 10, "val/accuracy": 0.5, "cost/train_seconds": 0.1}
    rundir.write_result(Result(run.run_id, metrics, {}, 1, run.epochs, now - 1, now, "a stub", {"torch": "0"}))


def wait_for_release() -> None:
    """Until somebody makes the file `release` beside the results, or for a minute."""
    release = rundir.path.parent.parent / "release"
    for _ in range(1200):
        if release.exists():
            return
        time.sleep(0.05)


if os.environ["BENCHMARK_TASKS"] == "profile":
    rundir.write_profile({"speed/latency_ms_p50": 1.5})
    sys.exit(0)
if run.model == "fails":
    rundir.write_failure(Failure("diverged", "loss NaN at step 3", "the traceback", 3, time.time()))
    sys.exit(1)
if run.model == "exits":
    print("last words", flush=True)
    sys.exit(7)
if run.model == "segfaults" or (run.model == "flaky" and attempt == 1):
    ctypes.string_at(0)  # reads where nothing is, as native code with a mistake does
if run.model == "works":  # for ever, without ending an epoch
    while True:
        sum(range(1000))
if run.model == "hangs":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
if run.model == "deadlocks":  # the loop waits for a batch of the reader's, the reader for what the loop holds
    held = threading.Lock()
    with held, ThreadPoolExecutor(1, "images") as readers:
        readers.submit(held.acquire).result()
if run.model == "waits":
    wait_for_release()
succeed()
