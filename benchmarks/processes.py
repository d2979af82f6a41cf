"""Each library in a process of its own, as its users have it.

In one process libraries meet each other's threads and settings, and share a heap. Where the memory
of a training step goes back to the system, PyTorch takes up to 1.4 times as long, and whether it
does depends on what else lies on that heap.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from threading import Thread

import numpy as np

from benchmarks.measure import sample, settle
from benchmarks.peers import load_peer
from benchmarks.peers.base import Peer, Task

_tasks: dict[str, Task] = {}  # of a library's process: what was built in it last, by its name


def _end_with_parent() -> None:
    """Let this process end when the one that started it does, however that happens."""

    def wait() -> None:
        if parent := parent_process():
            parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _load(name: str) -> None:
    load_peer(name)  # which stays here: brought over it would import the library there


def _build(name: str, build: Callable[[Peer], Task]) -> None:
    _tasks[name] = build(load_peer(name))


def _outputs(name: str) -> dict[str, np.ndarray]:
    outputs = _tasks[name].outputs()
    settle()
    return outputs


def _sample(name: str, seconds: float) -> float:
    return sample(_tasks[name].run, seconds)


@dataclass(frozen=True)
class RemoteTask:
    """A library's task, in its process."""

    name: str
    process: ProcessPoolExecutor

    def outputs(self) -> dict[str, np.ndarray]:
        """Of `Task.outputs`."""
        return self.process.submit(_outputs, self.name).result()

    def sample(self, seconds: float) -> float:
        """Mean seconds of a call (`benchmarks.measure.sample`)."""
        return self.process.submit(_sample, self.name, seconds).result()


@dataclass(frozen=True)
class Library:
    """A library and its process.

    Attributes
    ----------
    name : str
        One of `benchmarks.peers.PEERS`.
    process : ProcessPoolExecutor
        Of one process, started by the first task.
    """

    name: str
    process: ProcessPoolExecutor

    def load(self) -> None:
        """Import the library; ImportError where it is absent."""
        self.process.submit(_load, self.name).result()

    def build(self, build: Callable[[Peer], Task]) -> RemoteTask:
        """Build a task there; `build` can be pickled, as what it raises."""
        self.process.submit(_build, self.name, build).result()
        return RemoteTask(self.name, self.process)


@contextmanager
def libraries(names: Sequence[str]) -> Iterator[dict[str, Library]]:
    """New processes, one for each of the named libraries; they end with the block."""
    context = get_context("spawn")  # nothing of this process is in it
    with ExitStack() as stack:
        found = {}
        for name in names:
            process = ProcessPoolExecutor(1, context, _end_with_parent)
            found[name] = Library(name, stack.enter_context(process))
        yield found


def find_libraries(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Look which of the named libraries can be imported.

    Returns
    -------
    present : list of str
    absent : dict of str to str
        Why a library takes no part: the error of its import.
    """
    present, absent = [], {}
    for name in names:
        with libraries([name]) as found:
            try:
                found[name].load()
            except (ImportError, BrokenExecutor) as error:
                absent[name] = f"absent: {error}"
            else:
                present.append(name)
    return present, absent
