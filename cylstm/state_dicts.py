"""A layer's parameters among other tensors: after a prefix, or by a map of names.

"ours" is what a layer calls a parameter, as `torch.nn.LSTM` does; "theirs" what holds it elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import Float32, Shape, as_array, as_shaped, check_names
from .formats import TensorFile

_FIRST = ("weight_ih_l0", "weight_hh_l0")  # what every layer has; their shapes tell its sizes
_OF_A_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # which does not number its layer
_CELLS = {  # by their gates
    4: "an LSTM (see cylstm.LSTM)",
    3: "a GRU, which cylstm does not have",
    1: "a plain RNN (see cylstm.RNN)",
}
_NUMBERED = re.compile("(?:weight|bias)_[ih]h_l([0-9]+)(?:_reverse)?")


def find_layer(
    state_dict: Any, prefix: Any, names: Any, gates: int
) -> tuple[dict[str, Any], dict[str, Float32]]:
    """The sizes of a layer, as its constructor takes them, and its parameters.

    Everything is checked before anything is allocated for it.

    Parameters
    ----------
    state_dict, prefix, names
        As of `LSTM.from_state_dict`, not yet checked.
    gates : int
        Of the layer's cell.
    """
    tensors = _as_tensors(state_dict)
    if not isinstance(prefix, str):
        raise TypeError(f"prefix: expected a str, got {prefix!r}")
    if names is None:
        theirs, where = _names_after(prefix, tensors), f"state_dict after {prefix!r}"
    else:
        theirs, where = _names_given(names, prefix, tensors), "names"
    if missing := [repr(ours) for ours in _FIRST if ours not in theirs]:
        raise ValueError(f"{where}: missing {', '.join(missing)}{_hint(tensors)}")
    sizes = _sizes_of(theirs, tensors)
    _check_cell(theirs, tensors, gates)
    shapes = parameter_shapes(gates, **sizes)
    check_names(theirs, where, shapes)
    return sizes, {
        ours: as_shaped(tensors[theirs[ours]], f"state_dict[{theirs[ours]!r}]", shape)
        for ours, shape in shapes.items()
    }


def parameter_shapes(
    gates: int,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
) -> dict[str, Shape]:
    """Names and shapes of a layer's parameters.

    Examples
    --------
    >>> parameter_shapes(4, 3, 5, num_layers=1, bias=False, bidirectional=False)
    {'weight_ih_l0': (20, 3), 'weight_hh_l0': (20, 5)}
    """
    directions = ("", "_reverse") if bidirectional else ("",)
    rows, width = gates * hidden_size, input_size
    shapes: dict[str, Shape] = {}
    for layer in range(num_layers):
        for end in (f"l{layer}{direction}" for direction in directions):
            shapes |= {f"weight_ih_{end}": (rows, width), f"weight_hh_{end}": (rows, hidden_size)}
            if bias:
                shapes |= {f"bias_ih_{end}": (rows,), f"bias_hh_{end}": (rows,)}
        width = len(directions) * hidden_size
    return shapes


def _as_tensors(state_dict: Any) -> Mapping[str, Any]:
    if isinstance(state_dict, str | bytes | os.PathLike):
        return TensorFile(state_dict)
    if not isinstance(state_dict, Mapping) or not all(isinstance(name, str) for name in state_dict):
        raise TypeError(
            "state_dict: expected a mapping of names to arrays, or the path of a safetensors "
            f"file, got {type(state_dict).__name__}"
        )
    return state_dict


def _names_after(prefix: str, tensors: Mapping[str, Any]) -> dict[str, str]:
    """Ours -> theirs of all tensors after a prefix."""
    theirs = {name.removeprefix(prefix): name for name in tensors if name.startswith(prefix)}
    for name in _OF_A_CELL:
        if name in theirs and f"{name}_l0" not in theirs:
            theirs[f"{name}_l0"] = theirs.pop(name)
    return theirs


def _names_given(names: Any, prefix: str, tensors: Mapping[str, Any]) -> dict[str, str]:
    """Ours -> theirs by the caller's map."""
    if not isinstance(names, Mapping) or not all(
        isinstance(ours, str) and isinstance(name, str) for ours, name in names.items()
    ):
        raise TypeError(f"names: expected a mapping of names to names, got {names!r}")
    theirs = {ours: f"{prefix}{name}" for ours, name in names.items()}
    if missing := [repr(name) for name in theirs.values() if name not in tensors]:
        raise ValueError(f"state_dict: missing {', '.join(missing)}")
    return theirs


def _hint(tensors: Mapping[str, Any]) -> str:
    """After which prefixes there is a layer."""
    ends = (re.fullmatch("(.*)weight_ih(_l0)?", name, re.DOTALL) for name in tensors)
    places = [repr(end[1]) for end in ends if end and f"{end[1]}weight_hh{end[2] or ''}" in tensors]
    return f"; there is a layer after {', '.join(places)}" if places else ""


def _check_cell(theirs: Mapping[str, str], tensors: Mapping[str, Any], gates: int) -> None:
    """ValueError for the parameters of another kind of layer, which is named."""
    if projections := [repr(name) for ours, name in theirs.items() if ours.startswith("weight_hr")]:
        raise ValueError(
            f"state_dict: {projections[0]} is of a projected LSTM (proj_size), which cylstm does "
            "not have"
        )
    (rows, width), recurrent = (np.shape(tensors[theirs[ours]]) for ours in _FIRST)
    units = recurrent[1]
    found = next((count for count in _CELLS if recurrent[0] == rows == count * units > 0), gates)
    if found != gates:
        raise ValueError(
            f"state_dict[{theirs[_FIRST[0]]!r}]: expected shape {(gates * units, width)}, "
            f"got {(rows, width)}, as of {_CELLS[found]}"
        )


def _sizes_of(theirs: Mapping[str, str], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """What the names and the first shapes say; whether the others agree is checked by them."""
    widths = []
    for name in (theirs[ours] for ours in _FIRST):
        item = f"state_dict[{name!r}]"
        shape = as_array(tensors[name], item).shape
        if len(shape) != 2:
            raise ValueError(f"{item}: expected a matrix, got shape {shape}")
        widths.append(shape[1])
    return {
        "input_size": widths[0],
        "hidden_size": widths[1],
        "num_layers": len({found[1] for found in map(_NUMBERED.fullmatch, theirs) if found}),
        "bias": any(ours.startswith("bias_") for ours in theirs),
        "bidirectional": any(ours.endswith("_reverse") for ours in theirs),
    }
