"""Zip archives from strangers."""

import io
import zipfile
from pathlib import Path

from hardener.errors import DataError
from hardener.files import is_regular

_ENCRYPTED = 0x1


def open_zip(path: Path, content: bytes | None = None) -> zipfile.ZipFile:
    """Opens an archive whose members can be read in bounded memory.

    Members are stored or deflated, which Python unpacks no further than asked and no further
    than their header says; bzip2 and LZMA it unpacks whole.

    Args:
        path: the archive.
        content: its bytes, where they have been read.

    Raises:
        DataError: the file is no zip, or a member is encrypted, packed otherwise, there twice or
            without a name.
    """
    if content is None and not is_regular(path):
        raise DataError(f"{path} is no regular file")
    try:
        archive = zipfile.ZipFile(path if content is None else io.BytesIO(content))
    except Exception as error:  # a damaged directory makes zipfile raise anything
        raise DataError(f"{path} is no zip that can be read: {error}") from error
    names = archive.namelist()
    if len(set(names)) < len(names) or "" in names:
        raise DataError(f"{path} holds members of the same name, or of none: repack it")
    for member in archive.infolist():
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{path}: {member.filename!r} is neither stored nor deflated: repack it"
            )
        if member.flag_bits & _ENCRYPTED:
            raise DataError(f"{path}: {member.filename!r} is encrypted: unpack it first")
    return archive
