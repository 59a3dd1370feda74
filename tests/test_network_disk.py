"""A directory on a network file system is told from others, and said to be one where it matters."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from benchmark import doctor, network_disk
from benchmark.errors import exit_code
from benchmark.lock import exclusive

REAL = network_disk.MOUNTS


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of mounts with two of networks, one of them at an odd place and another upon it."""
    odd = str(tmp_path / "кот 1").replace(" ", "\\040")
    path = tmp_path / "mounts"
    path.write_text(
        f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path}/home nfs4 rw 0 0\nserver:/y {odd} lustre rw 0 0\n"
        f"tmpfs {tmp_path}/home/local tmpfs rw 0 0\nserver:/z {tmp_path}/upon cifs rw 0 0\n"
        f"tmpfs {tmp_path}/upon tmpfs rw 0 0\n"
    )
    monkeypatch.setattr(network_disk, "MOUNTS", path)
    return path


def test_the_mount_that_lies_nearest_and_above_others_counts(mounts: Path, tmp_path: Path) -> None:
    found = [network_disk.kind(tmp_path / each) for each in ("home", "home/a/b", "homes", "home/local/a", "upon", "x")]
    assert found == ["nfs4", "nfs4", None, None, None, None]
    assert network_disk.kind(tmp_path / "кот 1" / "results") == "lustre"


def test_a_link_is_followed_to_where_it_leads(mounts: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "home")
    assert network_disk.kind(tmp_path / "link" / "results") == "nfs4"


def test_where_nothing_tells_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_disk, "MOUNTS", tmp_path / "not there")
    assert network_disk.caution(tmp_path) is None


@pytest.mark.skipif(not REAL.exists(), reason="no table of mounts here")
def test_this_machines_own_table_is_read() -> None:
    assert ("/proc", "proc") in network_disk._mounts()


def test_doctor_says_so_and_is_content(mounts: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    found = doctor._disk("results", tmp_path / "home" / "results")
    assert found.status == "ok"
    assert "nfs4" in str(found)
    assert "on one machine" in str(found)
    assert "one machine" not in str(doctor._disk("results", tmp_path))


def test_a_file_system_without_locks_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, what: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    said = r"results/lock cannot be locked \(No locks available\): .*--results"
    with pytest.raises(OSError, match=said) as error, exclusive(tmp_path / "results"):
        pass
    assert exit_code(error.value) == 3
