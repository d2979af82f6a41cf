"""How the core will do a call, in words.

Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _core
from .arrays import as_flag, as_num_threads, as_size
from .network import Network

_PROJECTIONS = {
    "steps": "by the steps themselves, in one chain of products with the state",
    "kernel": "by the library's kernels, a chunk of up to {rows} rows before its steps",
    "sgemm": "by SciPy's sgemm, a chunk of up to {rows} rows before its steps",
}
_GRADIENTS = {"kernel": "the library's kernels", "sgemm": "SciPy's sgemm"}


def explain(
    layer: Network,
    *,
    T: int,
    B: int = 1,
    num_threads: int | None = None,
    reproducible: bool = False,
) -> None:
    """Print how a call would be done: on how many threads, split how, which product by what.

    Parameters
    ----------
    layer : LSTM, RNN or SequenceModel
    T, B : int
        Steps and sequences of the call.
    num_threads, reproducible
        As in a call.

    Examples
    --------
    >>> import cylstm
    >>> cylstm.explain(cylstm.LSTM(3, 4), T=10, num_threads=1)
    ... # doctest: +ELLIPSIS
    10 steps of 1 sequence, 0.0 million multiply-adds forward, ... kernels
    threads: 1 of 1, as the work is worth
    ...
    """
    if not isinstance(layer, Network):
        raise TypeError(f"layer: expected an LSTM, RNN or SequenceModel, got {layer!r}")
    steps, batch = as_size(T, "T", maximum=2**31 - 1), as_size(B, "B", maximum=2**31 - 1)
    wanted = as_num_threads(num_threads) or _core.get_num_threads()
    plan = layer._network.plan(steps, batch, wanted, as_flag(reproducible, "reproducible"))
    print("\n".join(_in_words(plan, steps, batch, wanted)))


def _in_words(plan: dict[str, Any], steps: int, batch: int, wanted: int) -> Iterator[str]:
    walked, sequences = _count(steps, "step"), _count(batch, "sequence")
    millions = plan["multiply_adds"] / 1e6
    kernels = _core.build_info()["isa"]
    yield (
        f"{walked} of {sequences}, {millions:,.1f} million multiply-adds forward, {kernels} kernels"
    )
    yield f"threads: {plan['threads']} of {wanted}, as the work is worth"
    if plan["threads"] > 1:
        yield f"side by side: {_side_by_side(plan)}"
        yield f"a step: {_step_split(plan, batch)}"
    for number, by in enumerate(plan["projections"], start=1):
        yield f"layer {number}: inputs projected {_PROJECTIONS[by].format(rows=plan['chunk_rows'])}"
    for number, by in enumerate(plan["weight_gradients"], start=1):
        yield f"layer {number}, training: gradients of weights by {_GRADIENTS[by]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number > 1)


def _side_by_side(plan: dict[str, Any]) -> str:
    if plan["wave_steps"]:
        return (
            f"{plan['strands']} groups of layers as a wave, "
            f"each {plan['wave_steps']} steps behind the one below"
        )
    if plan["strands"] > 1:
        return "both directions of a layer, each on its own threads"
    return "nothing; all threads work on one layer and direction at a time"


def _step_split(plan: dict[str, Any], batch: int) -> str:
    threads = plan["threads"]
    if plan["split_rows"]:
        return f"each thread has sequences of its own, {-(-batch // threads)} at most; no barrier"
    own = max(1, threads // plan["strands"])
    if own == 1:
        return "a thread has all units of its layer; no barrier"
    return f"{own} threads share a layer's units; a barrier after each step"
