"""The character model's training: embedding, LSTM and linear head over the bytes of a text."""

from __future__ import annotations

from dataclasses import dataclass
from pydoc_data.topics import topics

import numpy as np

from benchmarks.cells import Cell
from benchmarks.problem import parameter_shapes

VOCABULARY, EMBEDDING, HIDDEN = 256, 64, 256
BATCH, STEPS, UPDATES = 32, 100, 10
LEARNING_RATE, CLIP = 2e-3, 1.0
CHARACTERS = BATCH * STEPS * UPDATES  # what one timed pass trains on


@dataclass(frozen=True)
class Characters:
    """The same text and weights for every library.

    A pass makes `UPDATES` optimiser steps on chunks of `STEPS` characters, the state carried from
    chunk to chunk and cut off from the gradient there.

    Attributes
    ----------
    tokens : ndarray of int32, shape (CHARACTERS + 1,)
        To be cut into `BATCH` consecutive pieces, read side by side; the target of a character is
        the next one.
    weights : dict of str to ndarray
        ``embedding.weight``, ``recurrent.weight_ih_l0`` and so on, ``head.weight``, ``head.bias``.
    """

    tokens: np.ndarray
    weights: dict[str, np.ndarray]


def make_characters(seed: int = 0) -> Characters:
    """Take the beginning of the standard library's help texts, and draw weights."""
    text = "\n".join(topics[key] for key in sorted(topics)).encode()
    tokens = np.frombuffer(text, np.uint8, CHARACTERS + 1).astype(np.int32)
    rng = np.random.default_rng(seed)
    bound = HIDDEN**-0.5
    weights = {
        name: rng.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in shapes().items()
    }
    return Characters(tokens, weights)


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model's parameters."""
    recurrent = parameter_shapes(Cell("", BATCH, STEPS, EMBEDDING, HIDDEN))
    return {
        "embedding.weight": (VOCABULARY, EMBEDDING),
        **{f"recurrent.{name}": shape for name, shape in recurrent.items()},
        "head.weight": (VOCABULARY, HIDDEN),
        "head.bias": (VOCABULARY,),
    }
