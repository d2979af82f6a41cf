"""Files written whole or not at all: drafts, permissions, and what a killed process leaves."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cylstm import atomic

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions and locks of POSIX")

#: Writes argv[1]; at the moment when the draft is complete, kills itself or waits to be told.
WRITER = """
import os, signal, sys
from cylstm import atomic
def at_fsync(descriptor):
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print("draft", flush=True)
    sys.stdin.readline()
os.fsync = at_fsync
atomic.write_file(sys.argv[1], b"by another")
"""


def writer(path: Path, how: str) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(path), how]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_a_draft_of_a_killed_process_goes_with_the_next_write(path):
    with writer(path, "die") as process:
        assert process.wait() == -signal.SIGKILL
    (draft,) = path.parent.iterdir()
    assert draft.read_bytes() == b"by another"
    atomic.write_file(path.with_name("other"), b"1")
    assert draft.exists()  # of another file, which has its own
    atomic.write_file(path, b"2")
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["model.safetensors", "other"]


def test_a_draft_that_is_written_is_left_alone(path):
    with writer(path, "wait") as process:
        assert process.stdout.readline() == "draft\n"
        atomic.write_file(path, b"by this one")
        assert path.read_bytes() == b"by this one"
        process.communicate("go on\n")
    assert process.returncode == 0
    assert path.read_bytes() == b"by another"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("wanted", [0o600, 0o644, 0o666, 0o640])
def test_a_draft_has_the_permissions_of_the_file_from_the_start(path, monkeypatch, wanted):
    path.write_bytes(b"before")
    path.chmod(wanted)
    seen = []
    monkeypatch.setattr(os, "fsync", lambda file: seen.append(stat.S_IMODE(os.fstat(file).st_mode)))
    atomic.write_file(path, b"after")
    assert (seen, mode(path)) == ([wanted], wanted)


def test_a_new_file_has_the_permissions_that_the_umask_leaves(path):
    before = os.umask(0o027)
    try:
        atomic.write_file(path, b"new")
    finally:
        os.umask(before)
    assert mode(path) == 0o640
