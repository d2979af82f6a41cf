"""LSTM and RNN networks on the CPU: fast, small, trainable, the same from Python and from C.

`LSTM` and `RNN` are layers shaped like PyTorch's. `SequenceModel` is a trainable model of
sequences: numbers or tokens in; classes, values or the next token out. `load` reads what either
has saved.
"""

from ._core import build_info
from .history import History
from .losses import binary_cross_entropy, cross_entropy, mean_squared_error
from .model import SequenceModel, load
from .optim import SGD, Adam, AdamW, RMSprop
from .planning import explain
from .recurrent import LSTM, RNN
from .schedules import Constant, Cosine, ReduceOnPlateau, StepDecay
from .threads import get_num_threads, set_default, set_num_threads, show_config
from .trainer import DivergenceError

__version__: str = build_info()["version"]

__all__ = [
    "LSTM",
    "RNN",
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "DivergenceError",
    "History",
    "RMSprop",
    "ReduceOnPlateau",
    "SequenceModel",
    "StepDecay",
    "__version__",
    "binary_cross_entropy",
    "cross_entropy",
    "explain",
    "get_num_threads",
    "load",
    "mean_squared_error",
    "set_num_threads",
    "show_config",
]

set_default()
del build_info, set_default
