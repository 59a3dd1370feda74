"""Breaks images by chance and reads them: `python tests/fuzz_images.py --mutations 5000 --seed 1`.

Files of every kind and mode are cut, have bits flipped, bytes replaced and parts doubled.  Each is either decoded to
uint8 (height, width, 1 or 3) or refused with words.  Prints a tally as JSON; exit code 1 on anything else, or on more
than ten seconds for one file.
"""

import argparse
import io
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from benchmark.data.images import ImageError, decode, decoding

SECONDS = 10.0
KINDS = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "GIF": ("L", "P", "RGB"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "LAB"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("L", "RGB"),
}


def originals() -> Iterator[tuple[str, bytes]]:
    """One file of each kind and mode, an animation of the kinds that have them, and every EXIF orientation."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    for kind, modes in KINDS.items():
        for mode in modes:
            grey = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
            image = grey if mode == "I;16" else Image.new("LAB", (13, 9)) if mode == "LAB" else picture.convert(mode)
            yield f"{kind} {mode}", _saved(image, kind)
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        yield f"{kind} animated", _saved(picture, kind, save_all=True, append_images=[picture.rotate(180)])
    for orientation in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 60_000):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"JPEG orientation {orientation}", _saved(picture, "JPEG", exif=exif)


def _saved(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def broken(data: bytes, chance: random.Random) -> bytes:
    """``data`` with one to four changes."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(5):
            case 0:
                del found[place:]
            case 1 if place < len(found):
                found[place] ^= 1 << chance.randrange(8)
            case 2:
                found[place : place + 4] = chance.choice((b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"))
            case 3:
                found[place:place] = found[place : place + chance.randrange(64)]
            case _:
                del found[place : place + chance.randrange(8)]
    return bytes(found)


def fuzz(mutations: int, seed: int) -> dict:
    """The tally of so many broken files."""
    chance, files = random.Random(seed), list(originals())
    tally = {"seed": seed, "mutations": 0, "decoded": 0, "refused": 0, "violations": [], "slowest": 0.0}
    with decoding():
        for number in range(mutations):
            name, data = files[number % len(files)]
            _look(tally, name, broken(data, chance))
    return tally


def _look(tally: dict, name: str, data: bytes) -> None:
    started = time.process_time()
    try:
        pixels = decode(data)
        good = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] in (1, 3) and pixels.size > 0
        tally["decoded"] += 1
    except ImageError as error:
        good = bool(str(error))
        tally["refused"] += 1
    except Exception as error:
        good, name = False, f"{name}: {type(error).__name__}: {error}"
    took = time.process_time() - started
    tally["mutations"] += 1
    tally["slowest"] = max(tally["slowest"], round(took, 3))
    if not good or took > SECONDS:
        tally["violations"].append(f"{name}: {took:.1f} s: {data.hex()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tally = fuzz(arguments.mutations, arguments.seed)
    tally["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(tally, indent=1))
    sys.exit(bool(tally["violations"]))


if __name__ == "__main__":
    main()
