"""Each library in a process of its own, as its users have it.

In one process libraries meet each other's threads and settings, and share a heap. Where the memory
of a training step goes back to the system, PyTorch takes up to 1.4 times as long, and whether it
does depends on what else lies on that heap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from benchmarks.measure import sample, settle
from benchmarks.peers import load_peer
from benchmarks.peers.base import Peer, Task

_task: Task  # of a library's process: what was built in it


def _build(name: str, build: Callable[[Peer], Task]) -> None:
    global _task  # noqa: PLW0603
    _task = build(load_peer(name))


def _outputs() -> dict[str, np.ndarray]:
    outputs = _task.outputs()
    settle()
    return outputs


def _sample(seconds: float) -> float:
    return sample(_task.run, seconds)


@dataclass(frozen=True)
class RemoteTask:
    """A library's task, in its process."""

    process: ProcessPoolExecutor

    def outputs(self) -> dict[str, np.ndarray]:
        """Of `Task.outputs`."""
        return self.process.submit(_outputs).result()

    def sample(self, seconds: float) -> float:
        """Mean seconds of a call (`benchmarks.measure.sample`)."""
        return self.process.submit(_sample, seconds).result()


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
        self.process.submit(load_peer, self.name).result()

    def build(self, build: Callable[[Peer], Task]) -> RemoteTask:
        """Build a task there; `build` can be pickled, as what it raises."""
        self.process.submit(_build, self.name, build).result()
        return RemoteTask(self.process)


@contextmanager
def libraries(names: Sequence[str]) -> Iterator[dict[str, Library]]:
    """New processes, one for each of the named libraries; they end with the block."""
    context = get_context("spawn")  # nothing of this process is in it
    with ExitStack() as stack:
        yield {
            name: Library(name, stack.enter_context(ProcessPoolExecutor(1, mp_context=context)))
            for name in names
        }


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
            except ImportError as error:
                absent[name] = f"absent: {error}"
            else:
                present.append(name)
    return present, absent
