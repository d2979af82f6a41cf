"""SIGTERM and SIGHUP end long work as Ctrl-C does: what it has earned is saved first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Ending:
    """The signal that has ended the work; Ctrl-C's unless another came."""

    number = int(signal.SIGINT)

    @property
    def status(self) -> int:
        """The exit status, as a shell reports a process that the signal has ended."""
        return 128 + self.number


@contextlib.contextmanager
def as_interrupts() -> Iterator[Ending]:
    """Raise KeyboardInterrupt for the first of these signals; a second one acts as before.

    Signals that are ignored, as SIGHUP is by nohup, stay so. In other threads than the main one
    nothing changes.
    """
    ending = Ending()
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    def end(number: int, _: FrameType | None) -> None:
        ending.number = number
        restore()
        raise KeyboardInterrupt(number)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    try:
        yield ending
    finally:
        restore()
