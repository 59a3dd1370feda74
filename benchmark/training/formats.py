"""The two files a network leaves the house as: ONNX, and ``torch.export``'s ``.pt2``.  Each is written and read here.

A file is one file, holds the document that describes it, and takes any number of images at a time.  Input and outputs
are those of :class:`benchmark.training.portable.Portable`.

Limits: an ONNX file is at most 2 GB (protobuf's limit), so some 500 million parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmark.training.portable import Portable

INPUT = "images"
OUTPUTS = ("probabilities", "log_probabilities")
DOCUMENT = "model.json"
"""The document's name among the extra files of a ``.pt2``."""

Pixels = npt.NDArray[np.uint8]
Answers = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Predictor = Callable[[Pixels], Answers]


def write_onnx(network: Portable, example: torch.Tensor, document: Mapping[str, Any], path: Path) -> None:
    """``document`` becomes ``metadata_props``: texts as they are, all else as JSON.

    Args:
        example: two images or more, since a batch of one would fix the size of the batch.
    """
    program = torch.onnx.export(
        network,
        (example,),
        input_names=[INPUT],
        output_names=list(OUTPUTS),
        dynamic_shapes=({0: "batch"},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # places in our source files, which are of this machine
    program.model.metadata_props.update({name: _text(value) for name, value in document.items()})
    program.save(str(path), external_data=False)


def read_onnx(path: Path, threads: int) -> Predictor:
    """Runs the file by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(images: Pixels) -> Answers:
        probabilities, logarithms = session.run(list(OUTPUTS), {INPUT: images})
        return probabilities, logarithms

    return predict


def write_torch(network: Portable, example: torch.Tensor, document: Mapping[str, Any], path: Path) -> None:
    """``document`` becomes the extra file ``model.json``."""
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # has paths of this machine
    torch.export.save(program, path, extra_files={DOCUMENT: json.dumps(document, ensure_ascii=False)})


def read_torch(path: Path, threads: int) -> Predictor:
    """Runs the file by torch; ``threads`` are the process's own."""
    module = torch.export.load(path).module()

    def predict(images: Pixels) -> Answers:
        with torch.inference_mode():
            probabilities, logarithms = module(torch.from_numpy(images))
        return probabilities.numpy(), logarithms.numpy()

    return predict


WRITERS = {"onnx": write_onnx, "torch": write_torch}
READERS: Mapping[str, Callable[[Path, int], Predictor]] = {"onnx": read_onnx, "torch": read_torch}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
