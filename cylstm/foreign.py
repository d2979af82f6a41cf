"""Doors for what other libraries hold numbers in: pandas' tables and columns, PyTorch's tensors.

Neither library is imported here: an object of one is told by its type, and its own methods do the
conversion, which is exact. What has no exact conversion is left to NumPy, or as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBERS = "fiub"


def to_numpy(value: Any) -> Any:
    """What NumPy can read without loss in place of a value of another library.

    pandas: columns of bool, of nullable types (a missing number becomes NaN) and of objects that
    are all numbers become numbers. PyTorch: tensors that require gradients are detached; bfloat16
    becomes float32, which holds each of its values. A list or tuple of such objects becomes a list
    of arrays. All else is returned as it is.
    """
    if isinstance(value, list | tuple):
        return [to_numpy(item) for item in value] if value and _library(value[0]) else value
    library = _library(value)
    if library == "torch":
        return _of_tensor(value)
    return _of_pandas(value) if library == "pandas" else value


def describe(value: Any, array: NDArray[Any]) -> str:
    """What is no number in `array`, made of `value`: the first column of a table, or the dtype."""
    if _library(value) == "pandas" and hasattr(value, "columns"):
        for name, column in value.items():
            if _of_pandas(column).dtype.kind not in _NUMBERS:
                return f"column {name!r} of dtype {column.dtype}"
    return f"dtype {array.dtype}"


def _library(value: Any) -> str | None:
    """The library that a value is of, "pandas" or "torch", or None."""
    name = type(value).__module__.partition(".")[0]
    return name if name in ("pandas", "torch") else None


def _of_tensor(value: Any) -> Any:
    if not hasattr(value, "detach"):  # a dtype, a module
        return value
    tensor = value.detach()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).cpu()


def _of_pandas(value: Any) -> Any:
    """A DataFrame, a Series or an array of pandas; its scalars stay as they are."""
    if not hasattr(value, "shape"):
        return value
    if not hasattr(value, "columns"):
        return _of_column(value)
    types = set(value.dtypes)
    if len(types) < 2 and all(map(_is_plain, types)):
        return np.asarray(value)
    columns = [_of_column(column) for _, column in value.items()]
    kinds = {column.dtype.kind for column in columns}
    return np.column_stack(columns) if kinds <= set(_NUMBERS) else np.asarray(value, object)


def _of_column(column: Any) -> NDArray[Any]:
    """A Series or one of pandas' arrays: numbers where it holds them, however it does."""
    dtype = getattr(column.dtype, "numpy_dtype", column.dtype)  # of nullable types, their numbers'
    if not isinstance(dtype, np.dtype) or _is_plain(column.dtype):
        return np.asarray(column)
    if dtype.kind == "O":
        return _of_objects(np.asarray(column, object))
    if dtype.kind not in _NUMBERS or not column.isna().any():
        return column.to_numpy(dtype)
    return column.to_numpy(np.float64, na_value=np.nan)


def _of_objects(objects: NDArray[Any]) -> NDArray[Any]:
    """Objects as numbers, if all are, and if an array of numbers holds each as it is."""
    if not all(isinstance(item, int | float | np.number | np.bool_) for item in objects):
        return objects
    numbers = np.array(objects.tolist())
    kept = numbers.dtype.kind in _NUMBERS and (numbers.astype(object) == objects) | (
        objects != objects  # NaN equals nothing
    )
    return numbers if np.all(kept) else objects


def _is_plain(dtype: Any) -> bool:
    """Whether NumPy has this type of numbers itself."""
    return isinstance(dtype, np.dtype) and dtype.kind in _NUMBERS
