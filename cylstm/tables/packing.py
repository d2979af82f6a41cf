"""Compressed files, told by the ends of their names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class _Packing(NamedTuple):
    unpack: Callable[[bytes], bytes]
    pack: Callable[[bytes, str], bytes]


def _unzip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        if len(names) != 1:
            raise ValueError(f"expected one file in it, found {len(names)}")
        return archive.read(names[0])


def _zip(data: bytes, name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


_PACKINGS = {
    ".gz": _Packing(gzip.decompress, lambda data, _: gzip.compress(data, mtime=0)),
    ".bz2": _Packing(bz2.decompress, lambda data, _: bz2.compress(data)),
    ".xz": _Packing(lzma.decompress, lambda data, _: lzma.compress(data)),
    ".zip": _Packing(_unzip, _zip),
}


def is_packed(path: Path) -> bool:
    """Whether a file's name tells that it is compressed."""
    return path.suffix.lower() in _PACKINGS


def unpack(path: Path) -> bytes:
    """What a file holds, without the compression that its name tells.

    Raises
    ------
    ValueError
        If it is damaged, or a .zip of more than one file.
    OSError
        If it cannot be read.
    """
    data = path.read_bytes()
    if not (packing := _PACKINGS.get(path.suffix.lower())):
        return data
    try:
        return packing.unpack(data)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a sound {path.suffix} file: {error}") from None


def pack(path: Path, data: bytes) -> bytes:
    """What a file of this name should hold: compressed as its name tells."""
    packing = _PACKINGS.get(path.suffix.lower())
    return packing.pack(data, path.stem) if packing else data
