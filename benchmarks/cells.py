"""What is measured: one cell is one network on one shape of input."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Work:
    """What is done with a network: a forward call, or one whole step of training.

    Attributes
    ----------
    name : str
    training : bool
        Forward, mean squared error, backward and Adam, instead of forward alone.
    need_dx : bool
        The backward pass also gives the gradient of the input.
    """

    name: str
    training: bool = False
    need_dx: bool = False


INFERENCE = Work("inference")
TRAINING = Work("training", training=True)
TRAINING_DX = Work("training with dx", training=True, need_dx=True)


@dataclass(frozen=True)
class Cell:
    """One row of the benchmark's table.

    Attributes
    ----------
    group : str
        ``"grid"`` for the twelve cells of the geometric mean, ``"extended"`` for the others.
    batch, steps, inputs, hidden, layers : int
        B, T, I, H and L.
    bidirectional : bool
    shortest : int or None
        Sequences have lengths from `shortest` to `steps`, evenly spread; None: all have `steps`.
    streams : int
        How many Python threads each stream a sequence of their own, a step a call; 0: the whole
        sequence in one call.
    """

    group: str
    batch: int
    steps: int
    inputs: int
    hidden: int
    layers: int = 1
    bidirectional: bool = False
    shortest: int | None = None
    streams: int = 0

    @property
    def name(self) -> str:
        """Shape in words, such as ``"B1 T100 I64 H128"``."""
        steps = f"T{self.steps}" if self.shortest is None else f"T{self.shortest}-{self.steps}"
        words = [f"B{self.batch}", steps, f"I{self.inputs}", f"H{self.hidden}"]
        words += [f"L{self.layers}"] if self.layers > 1 else []
        words += ["bidirectional"] if self.bidirectional else []
        words += [f"{self.streams} stream" + "s" * (self.streams > 1)] if self.streams else []
        return " ".join(words)

    @property
    def directions(self) -> int:
        """Directions: D."""
        return 2 if self.bidirectional else 1

    @property
    def lengths(self) -> list[int] | None:
        """Length of each sequence, longest first, or None where all have `steps`."""
        if self.shortest is None:
            return None
        spread = (self.steps - self.shortest) / (self.batch - 1)
        return [round(self.steps - b * spread) for b in range(self.batch)]

    @property
    def steps_per_call(self) -> int:
        """Steps in time that one timed call makes, over all streams."""
        return self.steps * max(1, self.streams)

    @property
    def layer_inputs(self) -> list[int]:
        """Width of each layer's input."""
        return [self.inputs] + [self.directions * self.hidden] * (self.layers - 1)

    def flops(self, work: Work) -> int:
        """Multiplications and additions of the matrix products of one call.

        A product of the four gates' weights with an input of width K takes 2 * 4H * K operations a
        row. Backward makes two products for each one forward, except that the first layer's input
        needs no gradient unless asked for. Only real steps count, not padding.
        """
        rows = sum(self.lengths) if self.lengths else self.batch * self.steps_per_call
        widths = sum(self.layer_inputs) + self.layers * self.hidden
        times = 3 if work.training else 1
        skipped = self.inputs if work.training and not work.need_dx else 0
        return rows * self.directions * 8 * self.hidden * (times * widths - skipped)

    @property
    def weight_bytes(self) -> int:
        """Bytes of float32 weights that each step in time has to read from a cache.

        The recurrent weights; and the input weights where a call has one step alone, since a longer
        call shares theirs among its steps.
        """
        one_step = self.streams or self.steps == 1
        widths = self.layers * self.hidden + (sum(self.layer_inputs) if one_step else 0)
        return self.directions * 16 * self.hidden * widths


GRID = [
    Cell("grid", *shape)
    for shape in (
        (1, 1, 64, 64),
        (1, 100, 64, 128),
        (1, 100, 256, 256),
        (1, 100, 512, 512),
        (1, 100, 1024, 1024),
        (8, 100, 256, 256),
        (32, 100, 128, 128),
        (32, 100, 256, 256),
        (32, 50, 512, 512),
        (128, 50, 512, 512),
        (64, 100, 64, 64, 2),
        (256, 100, 64, 32),
    )
]

EXTENDED = [
    Cell("extended", 1, 1, 256, 256),
    Cell("extended", 1, 1000, 128, 128),
    Cell("extended", 16, 50, 500, 500),
    Cell("extended", 4, 30, 24, 48, bidirectional=True),
    Cell("extended", 32, 400, 128, 128, shortest=20),
    Cell("extended", 16, 100, 256, 256, layers=2, bidirectional=True),
    Cell("extended", 1, 1000, 64, 64, streams=1),
    Cell("extended", 1, 1000, 64, 64, streams=4),
]


def select(pattern: str) -> list[Cell]:
    """Cells whose name or group matches a shell pattern.

    Examples
    --------
    >>> [cell.name for cell in select("B64*")]
    ['B64 T100 I64 H64 L2']
    >>> len(select("grid"))
    12
    """
    return [c for c in GRID + EXTENDED if fnmatch(c.name, pattern) or fnmatch(c.group, pattern)]
