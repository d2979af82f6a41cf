"""LSTM and RNN networks on the CPU: fast, small, trainable, the same from Python and from C.

`LSTM` and `RNN` are layers shaped like PyTorch's. `SequenceModel` is a trainable model of
sequences: numbers or tokens in; classes, values or the next token out. `load` reads what either
has saved.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from ._core import build_info
except ModuleNotFoundError as error:
    if error.name != f"{__name__}._core":
        raise
    raise ImportError(
        f"cylstm: {__path__[0]} has no compiled modules for this Python; where that is the source "
        'tree, start Python in another folder, or install the tree by "pip install -e ."'
    ) from error
from .planning import explain
from .recurrent import LSTM, RNN
from .threads import get_num_threads, set_default, set_num_threads

if TYPE_CHECKING:
    from .clibrary import get_include, get_library_dir
    from .export import ExportedSizes, export_c
    from .history import History
    from .losses import binary_cross_entropy, cross_entropy, mean_squared_error
    from .model import SequenceModel, load
    from .optim import SGD, Adam, AdamW, RMSprop
    from .report import show_config
    from .schedules import Constant, Cosine, ReduceOnPlateau, StepDecay
    from .trainer import DivergenceError
    from .training import ConvergenceWarning

__version__: str = build_info()["version"]

__all__ = [
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "ConvergenceWarning",
    "Cosine",
    "DivergenceError",
    "ExportedSizes",
    "History",
    "RMSprop",
    "ReduceOnPlateau",
    "SequenceModel",
    "StepDecay",
    "__version__",
    "binary_cross_entropy",
    "cross_entropy",
    "explain",
    "export_c",
    "get_include",
    "get_library_dir",
    "get_num_threads",
    "load",
    "mean_squared_error",
    "set_num_threads",
    "show_config",
]

# Imported when first asked for: a service that runs a layer does not wait for what trains one.
_LATER = {
    "clibrary": ("get_include", "get_library_dir"),
    "export": ("ExportedSizes", "export_c"),
    "history": ("History",),
    "losses": ("binary_cross_entropy", "cross_entropy", "mean_squared_error"),
    "model": ("SequenceModel", "load"),
    "optim": ("SGD", "Adam", "AdamW", "RMSprop"),
    "report": ("show_config",),
    "schedules": ("Constant", "Cosine", "ReduceOnPlateau", "StepDecay"),
    "trainer": ("DivergenceError",),
    "training": ("ConvergenceWarning",),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name == module or name in names:
            found = import_module(f".{module}", __name__)
            globals()[name] = found if name == module else getattr(found, name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


set_default()
del build_info, set_default
