"""The C core: checked arrays in, one call each. See src/ for what it computes.

Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions, O outputs,
P parameters.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Float32: TypeAlias = NDArray[np.float32]
_State: TypeAlias = tuple[_Float32, ...]
_Lengths: TypeAlias = NDArray[np.int64] | None

class Scratch: ...

class Network:
    training_threads: int
    def __init__(
        self,
        cell: str,
        *,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        bidirectional: bool,
        dropout: float,
        vocab_size: int,
        output_size: int,
        pooling: str | None,
    ) -> None: ...
    @property
    def tensors(self) -> tuple[tuple[str, tuple[int, ...], int], ...]: ...
    @property
    def vector(self) -> _Float32: ...
    @property
    def grad_vector(self) -> _Float32: ...
    @property
    def parameters(self) -> dict[str, _Float32]: ...
    @property
    def grads(self) -> dict[str, _Float32]: ...
    @property
    def version(self) -> int: ...
    @property
    def packed_nbytes(self) -> int: ...
    @property
    def packings(self) -> int: ...
    def zero_grad(self) -> None: ...
    def assign_vector(self, vector: _Float32) -> None: ...
    def copy_vector(self) -> _Float32: ...
    def release_memory(self) -> None: ...
    def assign(self, arrays: dict[str, _Float32]) -> None: ...
    def set_input_scale(self, mean: _Float32 | None, std: _Float32 | None) -> None: ...
    def plan(
        self, steps: int, batch: int, num_threads: int, reproducible: bool
    ) -> dict[str, Any]: ...
    def try_forward(self, x: Any) -> tuple[_Float32, _State] | None: ...
    def forward(
        self,
        x: NDArray[Any],
        state: _State | None,
        lengths: _Lengths,
        num_threads: int = 0,
        reproducible: bool = False,
        out: _Float32 | None = None,
        scratch: Scratch | None = None,
    ) -> tuple[_Float32, _State]: ...
    def record(
        self,
        x: NDArray[Any],
        state: _State | None,
        lengths: _Lengths,
        key: int,
        checkpoint_every: int = 0,
        num_threads: int = 0,
        scratch: Scratch | None = None,
    ) -> tuple[_Float32, _State, Tape]: ...
    def backward(
        self,
        tape: Tape,
        dy: _Float32,
        dstate: _State | None,
        grad_vector: _Float32 | None,
        need_dx: bool,
        num_threads: int = 0,
    ) -> tuple[_Float32 | None, _State]: ...
    def stream(self, batch_size: int) -> Stream: ...

class Tape:
    @property
    def nbytes(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def batch(self) -> int: ...
    def view(self, layer: int, direction: int, what: str) -> _Float32: ...

class Stream:
    state: _State
    def try_step(self, x_t: Any) -> _Float32 | None: ...
    def step(self, x_t: NDArray[Any], out: _Float32 | None = None) -> _Float32: ...
    def reset(self) -> None: ...

def loss(
    kind: str,
    scores: _Float32,
    targets: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    scratch: Scratch | None = None,
) -> tuple[float, _Float32]: ...
def global_norm(vector: _Float32, threads: int = 1) -> float: ...
def sgd(
    network: Network,
    slots: list[_Float32],
    *,
    learning_rate: float,
    grad_scale: float,
    step: int,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None: ...
def rmsprop(
    network: Network,
    slots: list[_Float32],
    *,
    learning_rate: float,
    grad_scale: float,
    step: int,
    alpha: float,
    eps: float,
    momentum: float,
    weight_decay: float,
) -> None: ...
def adam(
    network: Network,
    slots: list[_Float32],
    *,
    learning_rate: float,
    grad_scale: float,
    step: int,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None: ...
def set_num_threads(num_threads: int) -> None: ...
def get_num_threads() -> int: ...
def thresholds() -> dict[str, int]: ...
def set_threshold(name: str, value: int) -> None: ...
def build_info() -> dict[str, Any]: ...
def count_processors() -> int: ...
def openmp_address() -> int: ...
