"""What a host of a training job finds under ``/opt/ml``, and the fetching of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.rehearsal.inputs import no_objects
from launch.rehearsal.job import LOCAL_CHECKPOINTS, TrainingJob
from launch.rehearsal.storage import Storage

ROOT = "/opt/ml/"
FOLDERS = ("input/config", "input/data", "code", "model", "output/data", "checkpoints")


class ClientFault(Exception):
    """The job cannot run, and the request is to blame."""


@dataclass(frozen=True)
class Tree:
    """The directory of one host in one attempt at a job: ``ml`` becomes ``/opt/ml``."""

    job: TrainingJob
    number: int
    directory: Path

    @property
    def host(self) -> str:
        return f"algo-{self.number}"

    @property
    def ml(self) -> Path:
        return self.directory / "ml"

    @property
    def log(self) -> Path:
        return self.directory / "log.txt"

    @property
    def read_only(self) -> tuple[str, ...]:
        """The channels that are not copies in AWS."""
        streamed = [each["ChannelName"] for each in _channels(self.job) if _mode(self.job, each) == "FastFile"]
        return tuple(f"input/data/{each}" for each in streamed)

    @property
    def checkpoints(self) -> Path:
        """Where the program keeps its checkpoints, as seen from outside.

        Raises:
            ClientFault: that is not below ``/opt/ml``.
        """
        path: str = self.job.request.get("CheckpointConfig", {}).get("LocalPath", LOCAL_CHECKPOINTS)
        if not path.startswith(ROOT) or ".." in path:
            raise ClientFault(f"CheckpointConfig: LocalPath {path}: only folders below {ROOT} can be rehearsed")
        return self.ml / path.removeprefix(ROOT)

    def make(self, interface: str) -> None:
        """The folders, and the files that describe the job."""
        for each in FOLDERS:
            (self.ml / each).mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        self._write("hyperparameters", self.job.request.get("HyperParameters", {}))
        self._write("resourceconfig", self._resources(interface))
        self._write("inputdataconfig", {each["ChannelName"]: self._described(each) for each in _channels(self.job)})

    def fetch(self, storage: Storage, channels: Sequence[str] | None = None) -> None:
        """The ``channels``, by default all, and the checkpoints of earlier attempts.

        Raises:
            ClientFault: a channel has no objects, or the checkpoints no bucket.
        """
        for each in _channels(self.job):
            if channels is None or each["ChannelName"] in channels:
                self._fetch(each, storage)
        if "CheckpointConfig" in self.job.request:
            self._restore(self.job.request["CheckpointConfig"]["S3Uri"].rstrip("/") + "/", storage)

    def _restore(self, uri: str, storage: Storage) -> None:
        try:
            storage.download(uri, self.checkpoints)
        except FileNotFoundError as error:
            raise ClientFault(f"Checkpoint download failed: {error}") from None

    def _fetch(self, channel: Mapping[str, Any], storage: Storage) -> None:
        source = channel["DataSource"].get("S3DataSource", {})
        if source.get("S3DataType") != "S3Prefix":
            raise ClientFault(f"Channel {channel['ChannelName']}: only S3Prefix can be rehearsed")
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        target = self.ml / "input/data" / channel["ChannelName"]
        target.mkdir()
        uri = source["S3Uri"]
        try:
            if storage.download(uri, target, shard=(self.number - 1, self.job.count) if sharded else (0, 1)):
                return
        except FileNotFoundError:
            pass
        raise ClientFault(f"Data download failed: {no_objects(uri, self.job.region, self.job.request['RoleArn'])}")

    def _resources(self, interface: str) -> dict[str, Any]:
        hosts, group = [f"algo-{each + 1}" for each in range(self.job.count)], "homogeneousCluster"
        kind = self.job.instance_type
        return {
            "current_host": self.host,
            "current_instance_type": kind,
            "current_group_name": group,
            "hosts": hosts,
            "instance_groups": [{"instance_group_name": group, "instance_type": kind, "hosts": hosts}],
            "network_interface_name": interface,
        }

    def _described(self, channel: Mapping[str, Any]) -> dict[str, str]:
        source = channel["DataSource"].get("S3DataSource", {})
        found = {
            "TrainingInputMode": _mode(self.job, channel),
            "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        return found | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        (self.ml / f"input/config/{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def failure(trees: list[Tree], codes: Mapping[str, int | None]) -> str:
    """Why a job failed: what its program wrote, and the exit code of the first host that did not end well."""
    host, code = next((host, code) for host, code in codes.items() if code)
    written = next(each.ml / "output/failure" for each in trees if each.host == host)
    text = written.read_text(encoding="utf-8", errors="replace").strip() if written.is_file() else ""
    return f"AlgorithmError: {text[: 1024 - 40]}, exit code: {shown(code or 0)}"


def shown(code: int) -> int:
    """An exit code as a container has it: a signal's number plus 128."""
    return 128 - code if code < 0 else code


def _channels(job: TrainingJob) -> list[Mapping[str, Any]]:
    return list(job.request.get("InputDataConfig", ()))


def _mode(job: TrainingJob, channel: Mapping[str, Any]) -> str:
    return str(channel.get("InputMode", job.request["AlgorithmSpecification"]["TrainingInputMode"]))
