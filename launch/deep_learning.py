"""The address of AWS's Deep Learning Container, asked of the SageMaker SDK in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from launch import Unavailable

_ASK = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from launch.sagemaker_sdk import deep_learning_image\n"
    "print(deep_learning_image(*sys.argv[2:]))"
)
_HOME = Path(__file__).resolve().parent.parent
DEFAULT_REGION = "us-east-1"
VERSION = "2.10"
"""Of PyTorch, where none is named: the newest that the SDK of today knows an image of."""


def image(version: str, instance_type: str, region: str | None = None) -> str:
    """The image for training with PyTorch ``version``, by default in ``AWS_REGION`` or ``AWS_DEFAULT_REGION``.

    Raises:
        Unavailable: the SDK knows none of this version; the message lists those it knows.
    """
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    command = [sys.executable, "-P", "-c", _ASK, str(_HOME), version, region, instance_type]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise Unavailable(f"launch: deep_learning_image: {said}")
    return done.stdout.split()[-1]
