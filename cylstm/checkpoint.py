"""The file from which a stopped run of `fit` goes on: safetensors, written whole or not at all.

What the run computes with are tensors; what describes it is one JSON object in the metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from .arrays import Float32
from .formats import write_file
from .history import History

FORMAT = "cylstm checkpoint 1"

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
        content = safetensors.numpy.save(
            {"weights": self.weights, "best_weights": self.best_weights, **tensors},
            {"format": FORMAT, "python": json.dumps(run)},
        )
        write_file(path, content)

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
            return cls._from_file(json.loads(metadata["python"]), tensors)
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
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
            settings=run["settings"],
            seed=int(run["seed"]),
            weights=tensors["weights"],
            best_weights=tensors["best_weights"],
            scales=group("scales"),
            optimizer=group("optimizer"),
            history=History(**run["history"], **columns),
        )
