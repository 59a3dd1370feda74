"""What a job leaves in S3: the model, and the program's other output."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from launch.rehearsal.job import TrainingJob
from launch.rehearsal.storage import Storage, joined
from launch.rehearsal.tree import ClientFault, Tree


def upload(job: TrainingJob, trees: Sequence[Tree], storage: Storage, *, model: bool) -> None:
    """Uploads ``output.tar.gz`` if there is anything for it, and ``model.tar.gz`` if the job has got so far.

    Raises:
        ClientFault: S3 does not take them.
    """
    try:
        _put(job, trees, storage, "output/data", "output")
        if model:
            job.artifacts = _put(job, trees, storage, "model", "model", empty=True)
    except Exception as error:
        raise ClientFault(f"Artifact upload failed: {error}") from error


def _put(
    job: TrainingJob, trees: Sequence[Tree], storage: Storage, folder: str, name: str, *, empty: bool = False
) -> str:
    config = job.request["OutputDataConfig"]
    uri = joined(config["S3OutputPath"], job.name, "output")
    found = _merged([each.ml / folder for each in trees])
    if config.get("CompressionType") == "NONE":
        for inside, path in found.items():
            storage.upload(path, joined(uri, name, inside))
        return joined(uri, name, "")
    if not found and not empty:
        return ""
    archive = job.directory / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for inside, path in found.items():
            tar.add(path, inside)
    storage.upload(archive, joined(uri, archive.name))
    archive.unlink()
    return joined(uri, archive.name)


def _merged(folders: Iterable[Path]) -> dict[str, Path]:
    """The files of all hosts by their paths; of two with the same path the first host's is taken."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                found.setdefault(path.relative_to(folder).as_posix(), path)
    return found
