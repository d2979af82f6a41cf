"""The file from which a stopped run of `fit` goes on: safetensors, written whole or not at all.

What the run computes with are tensors; what describes it is one JSON object in the metadata. Beside
it stands a digest of both, since a run that goes on from a damaged file would end with other bits.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from .arrays import Float32
from .formats import write_file
from .history import History

FORMAT = "cylstm checkpoint 2"
_DAMAGE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A run after a finished epoch; all else follows from the arguments of `fit` and counters.

    Attributes
    ----------
    settings : dict of str to str
        What has to be the same for the run to go on.
    seed : int
    weights, best_weights : float32 arrays (P,)
    scales : mapping of str to float32 array
        Means and deviations of the model's inputs and outputs.
    optimizer : mapping
        As from ``Optimizer.state_dict``.
    history : History
    """

    settings: dict[str, str]
    seed: int
    weights: Float32
    best_weights: Float32
    scales: Tensors
    optimizer: Mapping[str, Any]
    history: History

    def save(self, path: str | os.PathLike[str]) -> None:
        """Put the file at path; one that was there stays until this one is whole."""
        columns = {name: getattr(self.history, name) for name in History.columns()}
        groups = {"scales": self.scales, "optimizer": self.optimizer, "history": columns}
        tensors = {
            f"{group}.{name}": np.asarray(value)
            for group, values in groups.items()
            for name, value in values.items()
        }
        run = {
            "settings": self.settings,
            "seed": self.seed,
            "history": {"score_name": self.history.score_name, "unit": self.history.unit},
        }
        tensors |= {"weights": self.weights, "best_weights": self.best_weights}
        metadata = {"format": FORMAT, "python": json.dumps(run)}
        metadata["digest"] = _digest_of_file(metadata, tensors)
        write_file(path, safetensors.numpy.save(tensors, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Checkpoint:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            When the file is damaged or of another kind.
        OSError
            When it cannot be read.
        """
        try:
            with safetensors.safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata.get("format") != FORMAT:
                raise ValueError(f"its format is {metadata.get('format')!r}")
            if metadata.get("digest") != _digest_of_file(metadata, tensors):
                raise ValueError("it is damaged: its digest is another")
            return cls._from_file(json.loads(metadata["python"]), tensors)
        except (safetensors.SafetensorError, *_DAMAGE) as error:
            raise ValueError(
                f"checkpoint: expected a {FORMAT} file, {os.fspath(path)} is none ({error})"
            ) from None

    @classmethod
    def _from_file(cls, run: dict[str, Any], tensors: Tensors) -> Checkpoint:
        def group(name: str) -> dict[str, Any]:
            named = (key.partition(".") for key in tensors)
            return {rest: tensors[f"{name}.{rest}"] for start, _, rest in named if start == name}

        columns = {name: column.tolist() for name, column in group("history").items()}
        if len({len(column) for column in columns.values()}) != 1:
            raise ValueError("its history's columns are of different lengths")
        return cls(
            settings={str(name): str(value) for name, value in run["settings"].items()},
            seed=int(run["seed"]),
            weights=tensors["weights"],
            best_weights=tensors["best_weights"],
            scales=group("scales"),
            optimizer=group("optimizer"),
            history=History(**run["history"], **columns),
        )


# --- what tells one run from another -------------------------------------------------------------


def describe(value: Any) -> str:
    """A setting in words that are equal where the setting is, in whichever process.

    Numbers are described by their value, objects without a `repr` of their own by their class and
    attributes, functions by their name.

    Examples
    --------
    >>> describe(np.float64(0.5)), describe(np.int64(3)), describe({"a": None})
    ('0.5', '3', "{'a': None}")
    """
    if value is None or isinstance(value, bool | str):
        return repr(value)
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, Mapping):
        return "{" + _describe_all(value.items(), "{!r}: {}") + "}"
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(describe, value)) + ")"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if "object at 0x" not in repr(value) and not hasattr(value, "__dataclass_fields__"):
        return repr(value)
    public = ((name, item) for name, item in _attributes(value) if not name.startswith("_"))
    return f"{type(value).__qualname__}({_describe_all(public, '{}={}')})"


def _describe_all(items: Iterable[tuple[str, Any]], form: str) -> str:
    return ", ".join(form.format(name, describe(item)) for name, item in items)


def _attributes(value: Any) -> Iterable[tuple[str, Any]]:
    return sorted(getattr(value, "__dict__", {}).items())


def digest(arrays: Iterable[NDArray[Any]]) -> str:
    """Name the contents of arrays, of about a gigabyte in a second."""
    state = hashlib.blake2b(digest_size=8)
    for array in arrays:
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return state.hexdigest()


def _digest_of_file(metadata: Mapping[str, str], tensors: Tensors) -> str:
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        state.update(f"{name} {digest([tensors[name]])}\n".encode())
    state.update(metadata["python"].encode())
    return state.hexdigest()
