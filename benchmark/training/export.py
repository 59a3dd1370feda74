"""Makes and tries an exported network: ``python -m benchmark.training.export``, a process of its own with torch.

Reads a JSON document from standard input: ``run`` (:meth:`benchmark.run.Run.to_json`), ``rundir``, ``data`` (the
prepared images), ``format``, ``output`` (the file to write), ``document`` (what the file says of itself), ``device``
(where the run was predicted) and ``answer`` (the file for the answer: ``{"agreement"}`` or ``{"error"}``).

The file is loaded again and tried on test images of the run, one by itself and then the others together.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark.data.datacache import DataError
from benchmark.durable import write_json
from benchmark.run import Run
from benchmark.rundir import BrokenFile, RunDir
from benchmark.training import agreement
from benchmark.training.agreement import Agreement
from benchmark.training.data import PreparedData, load
from benchmark.training.formats import READERS, WRITERS, Pixels, Predictor
from benchmark.training.outset import set_up
from benchmark.training.portable import Portable, WrongWeights, trained


class Disagrees(Exception):
    """The file does not give the answers that the run has recorded."""


EXPECTED = (WrongWeights, DataError, BrokenFile, Disagrees)
"""Errors whose message says all."""


def main() -> None:
    """Answers the request."""
    request = json.load(sys.stdin)
    try:
        answer: dict[str, Any] = {"agreement": dataclasses.asdict(make(request))}
    except EXPECTED as error:
        answer = {"error": str(error)}
    except Exception as error:  # an exporter raises anything at a network that it cannot follow
        answer = {"error": f"the network cannot be exported as {request['format']}: {type(error).__name__}: {error}"}
    write_json(Path(request["answer"]), answer)


def make(request: dict[str, Any]) -> Agreement:
    """Writes the file and tries it.

    Raises:
        WrongWeights, DataError, BrokenFile: what the run has left cannot be used.
        Disagrees: the file's answers are not the run's.
    """
    run, rundir, path = Run.from_json(request["run"]), RunDir(Path(request["rundir"])), Path(request["output"])
    set_up(dataclasses.replace(run, device="cpu"))
    data = load(Path(request["data"]))
    network = Portable.of(run, data, trained(run, data, rundir))
    example = torch.zeros((2, *data.test.images.shape[1:]), dtype=torch.uint8)
    WRITERS[request["format"]](network, example, request["document"], path)
    predict = READERS[request["format"]](path, run.threads)
    found = tried(predict, data, rundir, agreement.tolerance(request["device"]))
    if not found.holds:
        raise Disagrees(f"the exported network does not give the run's own answers: {found.words}")
    return found


def tried(predict: Predictor, data: PreparedData, rundir: RunDir, tolerance: float) -> Agreement:
    """The file's answers beside those that the run has recorded for the same test images.

    Raises:
        BrokenFile: the recorded predictions are of other images.
    """
    recorded = rundir.read_predictions("test")
    if not np.array_equal(recorded.ids, data.test.ids):
        raise BrokenFile(f"{rundir.path}: predictions.npz has other test images than the data; run the command again")
    places = agreement.some(len(data.test))
    images: Pixels = data.test.images.index_select(0, torch.from_numpy(places)).numpy()
    parts = [predict(each) for each in (images[:1], images[1:]) if len(each)]
    probabilities, logarithms = (np.concatenate(each) for each in zip(*parts, strict=True))
    return agreement.compare(recorded.log_probs[places], probabilities, logarithms, tolerance)


if __name__ == "__main__":
    main()
