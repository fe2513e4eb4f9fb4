"""One picture file decoded to pixels, and many of them by a pool of threads."""

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, UnidentifiedImageError

from hardener.arrays import AnyArray, IntArray
from hardener.cores import available_cores
from hardener.errors import DataError
from hardener.files import read_regular, reason

LARGEST_PICTURE_BYTES = 64 << 20
LARGEST_PICTURE_PIXELS = 64_000_000
_CHANNELS_OF_MODE = {"1": 1, "L": 1, "P": 3, "RGB": 3, "LA": 2, "PA": 4, "RGBA": 4, "CMYK": 4}
# Pillow's other formats start foreign programs or decode what nobody trains on.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_BATCHES_AHEAD = 3
_PICTURES_PER_TASK = 16

Decoder: TypeAlias = Callable[
    [IntArray, tuple[int, int], int, int], Iterator[tuple[IntArray, Sequence[AnyArray | str]]]
]


class UnreadableError(Exception):
    """One picture cannot be decoded."""


def read_file(path: Path) -> bytes:
    """Reads a picture file of at most 64 MiB.

    Raises:
        UnreadableError: it is missing, too large or cannot be read.
    """
    try:
        return read_regular(path, LARGEST_PICTURE_BYTES)
    except (OSError, ValueError) as error:
        raise UnreadableError(reason(error)) from error


def digest_of(names: Sequence[str], read: Callable[[str], bytes]) -> Callable[[], str]:
    """Returns a function that digests all names and contents, in order."""

    def digest() -> str:
        total = hashlib.sha256()
        for name in names:
            try:
                content = hashlib.sha256(read(name)).hexdigest()
            except UnreadableError as error:
                content = str(error)
            total.update(f"{len(name)}:{name}={content}\n".encode(errors="surrogateescape"))
        return total.hexdigest()

    return digest


def decode_picture(
    name: str, read: Callable[[str], bytes], size: tuple[int, int], channels: int
) -> AnyArray | str:
    """Decodes and resizes one picture.

    JPEG is decoded in full. Scaled decoding, even to no less than three times the size wanted,
    halves the time of large photographs, but moved sharp, saturated details of the resized
    picture by up to 21 of 255: more than resizing itself does.

    Returns:
        Pixels (C, H, W) uint8, or a sentence why the picture cannot be decoded.

    Raises:
        DataError: the picture has another channel count than asked for.
    """
    try:
        with Image.open(io.BytesIO(read(name)), formats=_FORMATS) as picture:
            if picture.width * picture.height > LARGEST_PICTURE_PIXELS:
                return f"{picture.width}×{picture.height} pixels, 64 million allowed"
            found = _CHANNELS_OF_MODE.get(picture.mode)
            if picture.mode == "P" and "transparency" in picture.info:
                found = 4
            # Grey has one meaning in colour, which every training loader gives it.
            if found != channels and (found, channels) != (1, 3):
                raise DataError(
                    f"{name} has {found or picture.mode} channels, the model takes {channels}: "
                    f"convert it to {'RGB' if channels == 3 else 'grey'}"
                )
            mode = "RGB" if channels == 3 else "L"
            pixels = picture if picture.mode == mode else picture.convert(mode)
            array: AnyArray = np.array(pixels)
        planes = array[None] if channels == 1 else np.moveaxis(array, -1, 0)
        return resized(planes, size)
    except DataError:
        raise
    except UnreadableError as error:
        return str(error)
    except UnidentifiedImageError:
        return "no picture in a known format"
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        return f"{type(error).__name__}: {error}"


def resized(planes: AnyArray, size: tuple[int, int]) -> AnyArray:
    """Resizes pixels (C, H, W) uint8 bilinearly, averaging over what one new pixel covers.

    torch takes a third of Pillow's time for it; a value differs by 1 of 255 at most.
    """
    if planes.shape[1:] == size:
        return planes
    import torch  # noqa: PLC0415  two seconds that only pictures of another size have to pay

    given = torch.from_numpy(planes)[None]
    new = torch.nn.functional.interpolate(given, size, mode="bilinear", antialias=True)
    return new[0].numpy()


def picture_decoder(names: Sequence[str], read: Callable[[str], bytes]) -> Decoder:
    """Returns a decoder that keeps a pool of threads a few batches ahead of its consumer."""

    def decode(
        indices: IntArray, size: tuple[int, int], channels: int, batch_size: int
    ) -> Iterator[tuple[IntArray, Sequence[AnyArray | str]]]:
        def run(positions: IntArray) -> list[AnyArray | str]:
            return [decode_picture(names[p], read, size, channels) for p in positions]

        def submit(positions: IntArray) -> list[Future[list[AnyArray | str]]]:
            return [
                pool.submit(run, positions[start : start + _PICTURES_PER_TASK])
                for start in range(0, len(positions), _PICTURES_PER_TASK)
            ]

        pool = ThreadPoolExecutor(max_workers=available_cores())
        try:
            waiting: deque[tuple[IntArray, list[Future[list[AnyArray | str]]]]] = deque()
            for start in range(0, len(indices), batch_size):
                positions = indices[start : start + batch_size]
                waiting.append((positions, submit(positions)))
                if len(waiting) > _BATCHES_AHEAD:
                    yield _collect(*waiting.popleft())
            while waiting:
                yield _collect(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    return decode


def _collect(
    positions: IntArray, tasks: Sequence[Future[list[AnyArray | str]]]
) -> tuple[IntArray, list[AnyArray | str]]:
    return positions, [pixels for task in tasks for pixels in task.result()]
