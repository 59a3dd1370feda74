"""One image: a file's bytes to 8-bit pixels, and pixels to a square of a given size.

Numpy and Pillow only.  Pixels are always uint8 (height, width, channels).

What becomes of a file, whatever its mode:

* EXIF orientation is applied; of several frames the first is taken.
* Transparency is laid over white.  CMYK, YCbCr, LAB and palettes become RGB; 1-bit becomes 0 and 255.
* 16-bit grey is scaled to 8 bits (65535 becomes 255).  32-bit integers are taken for 16-bit ones where they fit, and
  are refused otherwise, as are floating-point pixels: their range is not known.
* An image whose three channels are equal in every pixel is grey and has one channel.
* More pixels than Pillow's ``Image.MAX_IMAGE_PIXELS`` are refused (a "decompression bomb").

How pixels become a square (:func:`fit`), by default with Pillow's bilinear filter, whose support grows when an image is
made smaller (antialiasing) and which interpolates when it is enlarged:

* ``crop``: the central square of the shorter side, resized.  ``auto`` is ``crop``.
* ``stretch``: the whole image, its aspect ratio not kept.
* ``pad``: the whole image, its longer side resized, centred on black.

With a ``crop_pct`` below 1, ``crop`` and ``stretch`` resize to a size so much larger (rounded down) and keep the
centre, pixel by pixel as timm's and torchvision's transformations for evaluation do.

One channel becomes three by repetition; three become one by ITU-R 601 luma (Pillow's ``convert("L")``), which leaves
grey pixels as they are.
"""

from __future__ import annotations

import io
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.machine import usable_cores

Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")
R = TypeVar("R")

FILTERS: Mapping[str, Image.Resampling] = {
    "auto": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class ImageError(ValueError):
    """A file is not an image that can be read, or pixels cannot be brought to the wanted form."""


@contextmanager
def decoding() -> Iterator[None]:
    """Around all decoding, opened once by the thread that starts the others (warning filters are global): Pillow's
    warning of a decompression bomb is an error, its remarks about metadata are not shown."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def parallel(function: Callable[[T], R], items: Sequence[T], window: int) -> Iterator[R]:
    """``function`` of each item, in order, by one thread for each core (Pillow and hashlib let others run), with at
    most ``window`` results waiting."""
    waiting = deque[Future[R]]()
    with decoding(), ThreadPoolExecutor(usable_cores()) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) == window:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


def decode(data: bytes) -> Pixels:
    """A file's bytes to uint8 (height, width, 1 or 3), every pixel read.

    Raises:
        ImageError: truncated, broken, of an unknown kind or range, or with too many pixels.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            _refuse_bomb(image)
            ImageOps.exif_transpose(image, in_place=True)
            return _without_equal_channels(_eight_bit(image))
    except ImageError:
        raise
    except (
        Exception
    ) as error:  # Pillow's decoders raise SyntaxError, struct.error, IndexError and others on broken files
        raise ImageError(_reason(error)) from error


def fit(
    pixels: Pixels, size: int, channels: int, resize: str, interpolation: str = "auto", crop_pct: float = 1.0
) -> Pixels:
    """``pixels`` as uint8 (size, size, channels), by the policies of the module.

    Args:
        interpolation: a filter of :data:`FILTERS`.
        crop_pct: the share of the resized image's side that is kept.

    Raises:
        ImageError: the channels cannot be converted (only one and three can).
    """
    if channels != pixels.shape[2] and {channels, pixels.shape[2]} != {1, 3}:
        raise ImageError(f"{pixels.shape[2]} channels cannot be made {channels}; only 1 and 3 can be converted")
    image = pixels
    if channels == 1 and pixels.shape[2] == 3:
        image = np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
    if image.shape[:2] != (size, size) or crop_pct < 1:
        frame = Frame(size, FILTERS[interpolation], crop_pct)
        planes = [_POLICIES[resize](Image.fromarray(plane), frame) for plane in _planes(image)]
        image = np.concatenate([_with_channels(np.asarray(plane)) for plane in planes], axis=2)
    return np.repeat(image, channels, axis=2) if image.shape[2] != channels else image


def _refuse_bomb(image: Image.Image) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise ImageError(f"{image.width} x {image.height} pixels are more than the limit of {limit}; make it smaller")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image, or broken at its start"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"has more pixels than the limit of {Image.MAX_IMAGE_PIXELS}; make it smaller"
    return str(error) or type(error).__name__


def _eight_bit(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        return _from_16_bit(np.asarray(image))
    if image.mode == "F":
        raise ImageError("floating-point pixels have no known range; save it with 8 or 16 bits a channel")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    mode = "L" if image.mode in {"1", "L"} else "RGB"
    return _with_channels(np.asarray(image if image.mode == mode else image.convert(mode)))


def _from_16_bit(values: npt.NDArray[np.generic]) -> Pixels:
    wide = values.astype(np.int64)
    if wide.size and (wide.min() < 0 or wide.max() > 65535):
        raise ImageError("32-bit pixels outside 0 to 65535 have no known range; save it with 8 or 16 bits a channel")
    return ((wide + 128) // 257).astype(np.uint8)[:, :, None]


def _without_equal_channels(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 3 and all(_is_grey(part) for part in (pixels[len(pixels) // 2], pixels)):
        return pixels[:, :, :1]
    return pixels


def _is_grey(pixels: Pixels) -> bool:
    """Whether all channels, the last axis, are equal; one row of a photograph tells as a rule."""
    return bool((pixels[..., :1] == pixels[..., 1:]).all())


def _with_channels(array: npt.NDArray[np.uint8]) -> Pixels:
    return array[:, :, None] if array.ndim == 2 else array


def _planes(pixels: Pixels) -> list[Pixels]:
    """What Pillow can resize at once: RGB whole, anything else plane by plane."""
    if pixels.shape[2] == 3:
        return [pixels]
    return [pixels[:, :, plane] for plane in range(pixels.shape[2])]


@dataclass(frozen=True)
class Frame:
    """The square that an image becomes: its side, the filter, the share of the resized image's side that is kept."""

    size: int
    filter: Image.Resampling
    share: float

    @property
    def whole(self) -> int:
        """The side of the resized image, of which the frame is the centre."""
        return math.floor(self.size / self.share)

    def centre(self, image: Image.Image) -> Image.Image:
        left, top = (round((side - self.size) / 2) for side in image.size)
        return image.crop((left, top, left + self.size, top + self.size))


def _crop(image: Image.Image, frame: Frame) -> Image.Image:
    short = min(image.size)
    if frame.share < 1:  # in torchvision's order, which rounds otherwise than a box of the original
        width, height = (frame.whole if side == short else int(frame.whole * side / short) for side in image.size)
        return frame.centre(image.resize((width, height), frame.filter))
    left, top = (image.width - short) // 2, (image.height - short) // 2
    return image.resize((frame.size, frame.size), frame.filter, box=(left, top, left + short, top + short))


def _stretch(image: Image.Image, frame: Frame) -> Image.Image:
    return frame.centre(image.resize((frame.whole, frame.whole), frame.filter))


def _pad(image: Image.Image, frame: Frame) -> Image.Image:
    scale = frame.size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = Image.new(image.mode, (frame.size, frame.size))
    fitted = image.resize((width, height), frame.filter)
    canvas.paste(fitted, ((frame.size - width) // 2, (frame.size - height) // 2))
    return canvas


_POLICIES: Mapping[str, Callable[[Image.Image, Frame], Image.Image]] = {
    "crop": _crop,
    "auto": _crop,
    "stretch": _stretch,
    "pad": _pad,
}
