"""SageMaker local mode through the SageMaker SDK, in a process of its own: the only file that imports the SDK.

The SDK writes the configuration that a training job finds under ``/opt/ml``, its drivers and a compose file, and starts
it.  Three steps of it are replaced here, since they would let a job change its inputs, mix up the files of two jobs, or
compress every model twice: what the compose file says of a container (:func:`launch.container.composed`), the process
group of ``docker compose``, and what is made of the outputs, which :mod:`launch.watch_container` collects.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import sagemaker.train.model_trainer as model_trainer  # noqa: TID251 - the one file that may
from sagemaker.core import image_uris  # noqa: TID251
from sagemaker.core.training.configs import Compute, InputData, SourceCode  # noqa: TID251
from sagemaker.train.local.local_container import DOCKER_COMPOSE_FILENAME, _LocalContainer  # noqa: TID251

from launch.container import OUTPUTS, Request, composed

_APART = "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])"
_SETTINGS = "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"


def train(request: Request, root: Path, code: Path) -> None:
    """Runs the containers of ``request`` and returns when they have ended.

    Whether the job succeeded is not told: an exit code of 130 and an interrupt look like success to the SDK.  What
    each host has put out is then in ``root/outputs/HOST``, the model in ``root/model``; the name of ``root`` becomes
    the compose project's.

    Raises:
        RuntimeError: a container ended with another exit code than 0 and 130, or could not be started.
    """
    _set_apart(root)
    model_trainer._LocalContainer = _containers(request)
    trainer = model_trainer.ModelTrainer(
        training_mode=model_trainer.Mode.LOCAL_CONTAINER,
        training_image=request.image,
        base_job_name=request.name,
        source_code=SourceCode(source_dir=str(code), command=request.command),
        compute=Compute(instance_type=request.instance_type, instance_count=request.hosts),
        environment=dict(request.environment),
        local_container_root=str(root),
    )
    channels = [InputData(channel_name=name, data_source=place) for name, place in request.channels.items()]
    trainer.train(input_data_config=channels, wait=True)


def deep_learning_image(version: str, region: str, instance_type: str) -> str:
    """The address of AWS's Deep Learning Container for training with PyTorch ``version``.

    Raises:
        ValueError: there is none of this version; the message lists those there are.
    """
    found = image_uris.retrieve(
        "pytorch", region=region, version=version, instance_type=instance_type, image_scope="training"
    )
    return str(found)


def _set_apart(root: Path) -> None:
    """No telemetry, no defaults of other projects; a region is asked for, and never called."""
    settings = root / "sdk.yaml"
    settings.write_text(_SETTINGS)
    os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = os.environ["SAGEMAKER_ADMIN_CONFIG_OVERRIDE"] = str(settings)
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")


def _containers(request: Request) -> type[_LocalContainer]:
    class Containers(_LocalContainer):  # type: ignore[misc]  # the SDK has no types
        """The SDK's containers, as ``request`` wants them."""

        def _generate_compose_file(self, environment: dict[str, str], volumes: list[str]) -> dict[str, Any]:
            content = composed(super()._generate_compose_file(environment, volumes), request)
            root = Path(self.container_root)
            for mount in (each for service in content["services"].values() for each in service["volumes"]):
                if root in Path(mount["source"]).parents:  # Docker itself would make it, as root
                    Path(mount["source"]).mkdir(parents=True, exist_ok=True)
            path = root / DOCKER_COMPOSE_FILENAME
            path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")  # JSON is YAML
            return content

        def _generate_compose_command(self, wait: bool) -> list[str]:
            """In a group of its own: a TERM for the watcher reaches a container once, and from the watcher."""
            return [sys.executable, "-c", _APART, *super()._generate_compose_command(wait)]

        def retrieve_artifacts(self, compose_data: dict[str, Any]) -> str:
            """Out of the way of the SDK, which removes the hosts' directories."""
            root = Path(self.container_root)
            for host in compose_data["services"]:
                (root / OUTPUTS / host).parent.mkdir(exist_ok=True)
                (root / host / "output").rename(root / OUTPUTS / host)
            return str(root)

    return Containers
