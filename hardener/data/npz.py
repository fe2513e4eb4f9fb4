"""Images in an `.npz`, read as a stream instead of whole."""

import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from hardener.arrays import AnyArray, IntArray
from hardener.data.pictures import Decoder, resized
from hardener.data.zips import open_zip
from hardener.errors import DataError

_LARGEST_HEADER_BYTES = 8192


def npy_header(path: Path, member: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Reads shape and type of one array without reading the array.

    Raises:
        DataError: the array is missing, damaged, pickled or column-major.
    """
    with open_zip(path) as archive:
        try:
            with archive.open(member) as stream:
                shape, fortran, dtype = _read_npy_header(stream)
            if not all(type(size) is int and size >= 0 for size in shape):
                raise DataError(f"{path}: {member} has no readable shape")
            declared = math.prod(shape) * dtype.itemsize
            if archive.getinfo(member).file_size < declared:
                raise DataError(f"{path}: {member} is shorter than its header says")
        except KeyError as error:
            held = ", ".join(name.removesuffix(".npy") for name in archive.namelist()[:5])
            raise DataError(
                f"{path} lacks {member[:-4]} and holds {held or 'nothing'}: name the arrays images "
                "and labels"
            ) from error
        except DataError:
            raise
        except Exception as error:  # a damaged header makes numpy's parser raise anything
            raise DataError(f"{path}: {member} is no array: {error}") from error
    if fortran or dtype.hasobject:
        raise DataError(f"{path}: {member} is stored as objects or column-major: save it plainly")
    return shape, dtype


def _read_npy_header(
    stream: IO[bytes],
) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(stream)
    width = 2 if version == (1, 0) else 4
    start = stream.read(width)
    length = int.from_bytes(start, "little")
    if length > _LARGEST_HEADER_BYTES:
        raise ValueError(f"its header is said to take {length} bytes")
    header = io.BytesIO(start + stream.read(length))
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(header)
    return np.lib.format.read_array_header_2_0(header)


def read_array(path: Path, member: str) -> AnyArray:
    """Reads one small array whole, after `npy_header` has approved it.

    Raises:
        DataError: the array is damaged.
    """
    with open_zip(path) as archive, archive.open(member) as stream:
        try:
            return np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: {member} is damaged: {error}") from error


def npz_decoder(path: Path, shape: tuple[int, ...]) -> Decoder:
    """Returns a decoder that reads `images` (N, H, W, C) uint8 from front to back."""
    _, height, width, channels_stored = shape
    bytes_per_image = height * width * channels_stored

    def decode(
        indices: IntArray, size: tuple[int, int], channels: int, batch_size: int
    ) -> Iterator[tuple[IntArray, Sequence[AnyArray | str]]]:
        if channels_stored != channels:
            raise DataError(
                f"{path}: images have {channels_stored} channels, the model takes {channels}"
            )

        def fit(raw: bytes) -> AnyArray:
            pixels = np.frombuffer(bytearray(raw), np.uint8).reshape(height, width, channels)
            return resized(np.moveaxis(pixels, -1, 0), size)

        try:
            with open_zip(path) as archive, archive.open("images.npy") as stream:
                _read_npy_header(stream)
                position = 0
                for start in range(0, len(indices), batch_size):
                    wanted = indices[start : start + batch_size]
                    decoded: list[AnyArray | str] = []
                    for index in wanted:
                        _skip(stream, (int(index) - position) * bytes_per_image)
                        raw = stream.read(bytes_per_image)
                        if len(raw) != bytes_per_image:
                            raise DataError(f"{path}: images.npy ends before image {index}")
                        decoded.append(fit(raw))
                        position = int(index) + 1
                    yield wanted, decoded
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{path}: images.npy is damaged: {error}") from error

    return decode


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0 and (passed := len(stream.read(min(count, 1 << 20)))):
        count -= passed
