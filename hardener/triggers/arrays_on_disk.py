"""How triggers of any kind lie on disk: small arrays in an `.npz`, and a picture beside it."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hardener.arrays import AnyArray, FloatArray
from hardener.data.zips import open_zip
from hardener.errors import DataError

LARGEST_TRIGGER_BYTES = 256 << 20


def npz_of(arrays: Mapping[str, AnyArray], label: int) -> bytes:
    """Arrays and the target label as the content of an `.npz`, the same bytes each time."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays, label=np.int64(label))
    return buffer.getvalue()


def arrays_of(path: Path, content: bytes, names: Sequence[str]) -> tuple[list[FloatArray], int]:
    """Reads arrays and the target label from the content of the file that `path` names.

    Raises:
        DataError: it is no `.npz` with these arrays and a label, or holds pickled objects.
    """
    needed = ", ".join((*names, "label"))
    try:
        with open_zip(path, content) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_TRIGGER_BYTES:
                raise DataError("too large: at most 256 MiB unpacked")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            *values, label = (np.asarray(stored[name]) for name in (*names, "label"))
    except DataError as error:
        raise DataError(f"{path} is not a trigger .npz: {error}") from error
    except KeyError as error:
        raise DataError(f"{path} lacks an array: a trigger .npz holds {needed}") from error
    except Exception as error:  # damaged archives and headers make numpy raise anything
        raise DataError(f"{path} is not a trigger .npz with {needed}") from error
    if label.size != 1 or label.dtype.kind not in "iu":
        raise DataError(f"{path}: label is one whole number")
    if any(value.dtype.kind not in "fiub" for value in values):
        raise DataError(f"{path}: {' and '.join(names)} are numbers")
    return [value.astype(np.float32) for value in values], int(label.item())


def png_of(planes: FloatArray) -> bytes:
    """A picture (C, H, W) in [0, 1] as PNG; of other than 3 channels the first alone."""
    shown = np.rint(planes * 255).astype(np.uint8)
    pixels = np.moveaxis(shown, 0, -1) if len(shown) == 3 else shown[0]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
