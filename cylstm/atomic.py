"""Files that are written whole or not at all.

Data go to a draft beside the file, which takes the file's place when all is on disk. A draft has
the file's permissions from the start, and its writer locks it; so what a process that was killed
has left is known by its lock, and goes with the next write of the same file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from .arrays import as_path

try:
    import fcntl
except ImportError:  # on Windows, where a file that somebody has open cannot be removed
    fcntl = None  # type: ignore[assignment]


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Put data at path whole or not at all: what was there stays until the last byte is on disk."""
    write_files({path: data})


def write_files(files: Mapping[str | os.PathLike[str], bytes]) -> None:
    """Put data at each path, as `write_file` does: nothing is replaced before all are on disk."""
    targets = {_target_of(path): data for path, data in files.items()}
    with contextlib.ExitStack() as stack:
        drafts = {
            target: stack.enter_context(_draft(target, data)) for target, data in targets.items()
        }
        for target, draft in drafts.items():
            os.replace(draft, target)


def _target_of(path: str | os.PathLike[str]) -> str:
    target = os.path.realpath(as_path(path))
    if os.path.exists(target) and not os.path.isfile(target):
        raise ValueError(f"path: expected a file, or none yet, got {target!r}, which is neither")
    return target


@contextlib.contextmanager
def _draft(target: str, data: bytes) -> Iterator[str]:
    """A file beside the target that holds the data, until it is moved or the block ends."""
    try:
        _remove_abandoned(target)
        draft, file = _open_draft(target)
    except OSError as error:
        error.filename = target  # the name that the caller knows
        raise
    try:
        with file:
            _write(target, file, data)
            if fcntl is None:
                file.close()  # else it could not be moved
            yield draft
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)


def _write(target: str, file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        error.filename = target
        raise


def _open_draft(target: str) -> tuple[str, BinaryIO]:
    """A new draft, locked, with the permissions that the target has or will have."""
    mode = os.stat(target).st_mode & 0o7777 if os.path.exists(target) else None
    while True:
        draft = f"{_draft_prefix(target)}{os.urandom(8).hex()}.tmp"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(draft, flags, 0o666 if mode is None else mode), "wb")
        if mode is not None:
            os.chmod(draft, mode)  # what the umask has taken away
        _lock(file, wait=True)
        if os.path.exists(draft):
            return draft, file
        file.close()  # another process took it for abandoned, before it was locked


def _draft_prefix(target: str) -> str:
    import hashlib  # later than a network that is never saved

    folder, name = os.path.split(target)
    of_target = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
    return os.path.join(folder, f".cylstm-{of_target}-")


def _remove_abandoned(target: str) -> None:
    """Remove drafts of the target that no process writes any more."""
    folder, prefix = os.path.split(_draft_prefix(target))
    for name in os.listdir(folder):
        if not (name.startswith(prefix) and name.endswith(".tmp")):
            continue
        with contextlib.suppress(OSError):  # gone meanwhile, another user's, or open on Windows
            draft = os.path.join(folder, name)
            with open(draft, "rb") as file:
                if _lock(file, wait=False):
                    os.unlink(draft)


def _lock(file: BinaryIO, *, wait: bool) -> bool:
    """Whether this process alone has the file now, until it is closed."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # another's, or a file system without locks
        return False
    return True
