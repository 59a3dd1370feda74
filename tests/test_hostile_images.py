"""Images that were broken, or made to do harm: decoded as documented, or refused with words; soon."""

import io
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmark.data.images import ImageError, decode, decoding
from tests.fuzz_images import KINDS, fuzz, originals


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, width: int = 2, height: int = 2, bits: int = 8) -> bytes:
    """Grey, with further chunks before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\1\2" * 2))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


UNFOLDING = zlib.compress(bytes(300_000_000), 9)
BOMBS = {
    "a billion pixels": png(width=2**31 - 1, height=2**31 - 1),
    "one line of two billion": png(width=2**31 - 1, height=1),
    "no pixels": png(width=0, height=2),
    "of 16 bits, cut": png(width=3000, height=3000, bits=16),
    "a profile that unfolds": png(chunk(b"iCCP", b"x\0\0" + UNFOLDING)),
    "a text that unfolds": png(chunk(b"iTXt", b"x\0\1\0\0\0" + UNFOLDING)),
    "a short text that unfolds": png(chunk(b"zTXt", b"x\0\0" + UNFOLDING)),
    "a huge GIF": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x2c" + bytes(9) + b"\x02\x02L\x01\0;",
    "BMP of a negative size": b"BM" + bytes(8) + struct.pack("<IIiiHH", 54, 40, -5, -5, 1, 24) + bytes(24),
}  # fmt: skip
BOUNDED = """
import resource, sys
from benchmark.data.images import ImageError, decode, decoding
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with decoding():
    try:
        decode(sys.stdin.buffer.read())
    except ImageError as error:
        assert str(error)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "memory"
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_neither_memory_nor_time(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", BOUNDED], input=BOMBS[name], capture_output=True, check=False,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (10, 10)))  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()


def test_every_kind_mode_and_animation_is_read() -> None:
    with decoding():
        for name, data in originals():
            if name.split()[-1] == "F":
                with pytest.raises(ImageError, match="known range"):
                    decode(data)
            else:
                assert decode(data).size, name


def test_an_orientation_that_there_is_not_leaves_the_image_as_it_is() -> None:
    found = {name: decode(data) for name, data in originals() if "orientation" in name}
    upright = found["JPEG orientation 1"]
    for number in (0, 9, 60_000):
        assert np.array_equal(found[f"JPEG orientation {number}"], upright)
    assert found["JPEG orientation 6"].shape[:2] == upright.shape[1::-1]


def test_an_exif_block_of_garbage_or_as_large_as_may_be_does_not_lose_the_pixels() -> None:
    for exif in (
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0" + b"\xff" * 60_000,
        b"Exif\0\0MM\0*" + struct.pack(">I", 8) * 9_000,
    ):
        buffer = io.BytesIO()
        Image.new("RGB", (5, 3), "red").save(buffer, "JPEG", exif=exif)
        with decoding():
            assert decode(buffer.getvalue()).shape == (3, 5, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_images_of_one_line_are_read(size: tuple[int, int]) -> None:
    for kind in KINDS:
        buffer = io.BytesIO()
        Image.new("RGB", size, "red").save(buffer, kind)
        assert decode(buffer.getvalue()).shape[:2] == size[::-1]


def test_broken_files_are_decoded_or_refused_with_words() -> None:
    tally = fuzz(1_500, seed=7)
    assert not tally["violations"]
    assert tally["decoded"] > 100
    assert tally["refused"] > 100


def test_the_tally_sees_what_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz_images.decode", lambda data: 1 / 0)
    assert len(fuzz(3, seed=1)["violations"]) == 3
