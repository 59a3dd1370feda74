"""Full disks and directories that cannot be written, told before a sweep works (`test_full_disk.py`: while it does)."""

import errno
import os
from pathlib import Path

import pytest

from benchmark import room
from benchmark.durable import FULL
from benchmark.records import NO_SPACE, Failure
from benchmark.training.failures import describe_failure


def test_a_directory_that_can_be_written_is_made_and_left_empty(tmp_path: Path) -> None:
    room.check([tmp_path / "кот #1" / "new"])
    assert list((tmp_path / "кот #1" / "new").iterdir()) == []


def test_what_is_no_directory_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(room.NoRoom, match=r"file/x cannot be written .*choose another"):
        room.check([tmp_path / "file" / "x"])


def test_a_shortage_is_told_in_numbers_before_it_happens(tmp_path: Path) -> None:
    assert room.shortage(tmp_path, 0) is None
    assert "GiB are needed: free some space and run again" in str(room.shortage(tmp_path, 2**60))


@pytest.mark.parametrize("number", FULL)
def test_a_disk_and_a_quota_that_are_full_are_told_alike(number: int) -> None:
    failure = describe_failure(OSError(number, os.strerror(number)), [Path("/")])
    assert room.is_full(failure)
    assert "make room and run again" in failure.message


def test_only_a_full_disk_is_taken_for_one() -> None:
    message = f"cannot write: {os.strerror(errno.ENOSPC)}".lower()
    assert NO_SPACE in message
    assert room.is_full(Failure("infrastructure", message))
    assert not room.is_full(Failure("infrastructure", "the network is away"))
    assert not room.is_full(Failure("error", message))
