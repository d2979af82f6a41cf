"""LSTM and RNN layers with the shapes, names and numbers of `torch.nn.LSTM` and `torch.nn.RNN`.

Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from .arrays import (
    MAX_LAYERS,
    Extent,
    Float32,
    Shape,
    as_accumulators,
    as_choice,
    as_dropout,
    as_flag,
    as_seed,
    as_shaped,
    as_size,
)
from .formats import Contents, check_keys
from .network import Network, State, argument
from .state_dicts import find_layer

Gradients = Mapping[str, NDArray[np.floating]]

# A layer's arguments by where a file has them: among what C reads, or in the JSON object.
_READ_BY_C = ("input_size", "hidden_size", "num_layers", "bias", "bidirectional")
_PYTHON_ONLY = ("batch_first", "dropout", "seed")

_DRAWN_AT_ONCE = 2**16  # random numbers


# --- what record returns -------------------------------------------------------------------------


class LSTMTrace(NamedTuple):
    """What one layer did in one direction: read-only views of a tape, each (T, B, H)."""

    input_gate: Float32
    forget_gate: Float32
    candidate: Float32
    output_gate: Float32
    cell_state: Float32
    hidden: Float32


class RNNTrace(NamedTuple):
    """What one layer did in one direction: a read-only view of a tape, (T, B, H)."""

    hidden: Float32


class Tape:
    """What `record` keeps for `backward`, until it and all views of it are dropped.

    The layer keeps the memory of the last tape that was dropped, for the next one.

    Examples
    --------
    >>> import cylstm
    >>> y, state, tape = cylstm.LSTM(3, 4, seed=0).record([[0.1, 0.2, 0.3]])
    >>> tape.layers[0][0].forget_gate.shape
    (1, 1, 4)
    """

    def __init__(self, tape: _core.Tape, layer: Recurrent, extent: Extent) -> None:
        self._tape = tape
        self._layer = layer
        self._extent = extent

    @property
    def nbytes(self) -> int:
        """How many bytes it holds."""
        return self._tape.nbytes

    @property
    def layers(self) -> tuple[tuple[LSTMTrace | RNNTrace, ...], ...]:
        """What one plots to see an LSTM think: ``layers[layer][direction]``, 1 being reverse.

        Each has the gates, the cell state and the hidden state as read-only views, time-major
        (T, B, H) in any layout. Steps past a sequence's length have no meaning. ValueError where
        the tape was recorded with `checkpoint_every`, and so holds only what was put out.
        """
        layer, kind = self._layer, self._layer._trace
        return tuple(
            tuple(
                kind(*(self._tape.view(depth, direction, field) for field in kind._fields))
                for direction in range(1 + layer.bidirectional)
            )
            for depth in range(layer.num_layers)
        )

    def __repr__(self) -> str:
        steps, batch, _ = self._extent
        return f"<Tape of {steps} steps x {batch}, {self.nbytes} bytes>"


# --- layers --------------------------------------------------------------------------------------


class Recurrent(Network):
    """What `LSTM` and `RNN` share."""

    _prefix = "recurrent."
    _trace: ClassVar[type[LSTMTrace | RNNTrace]]
    _gates: ClassVar[int]

    input_size = argument("input_size")
    hidden_size = argument("hidden_size")
    num_layers = argument("num_layers")
    bias = argument("bias")
    batch_first = argument("batch_first")
    dropout = argument("dropout")
    bidirectional = argument("bidirectional")
    seed = argument("seed")

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        seed: int | None,
    ) -> None:
        config = {
            "input_size": as_size(input_size, "input_size"),
            "hidden_size": as_size(hidden_size, "hidden_size"),
            "num_layers": as_size(num_layers, "num_layers", maximum=MAX_LAYERS),
            "bias": as_flag(bias, "bias"),
            "batch_first": as_flag(batch_first, "batch_first"),
            "dropout": as_dropout(dropout),
            "bidirectional": as_flag(bidirectional, "bidirectional"),
            "seed": as_seed(seed),
        }
        network = {name: config[name] for name in (*_READ_BY_C, "dropout")}
        no_head = {"vocab_size": 0, "output_size": 0, "pooling": None}
        self._build(config, {"cell": cell, **network, **no_head})
        self._record_calls = 0
        self._lock = Lock()

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> Float32:
        return draw_uniform(shape, self.hidden_size, rng)

    @classmethod
    def from_state_dict(
        cls,
        state_dict: Mapping[str, ArrayLike] | str | os.PathLike[str],
        *,
        prefix: str = "",
        names: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Self:
        """A layer with parameters from elsewhere, of the sizes that these have.

        Parameters
        ----------
        state_dict : mapping of str to array_like, or path-like
            Tensors by name, as ``module.state_dict()`` of a PyTorch module gives them, or the path
            of any safetensors file. Converted to float32; a file's may be float64, float32, float16
            or bfloat16.
        prefix : str, default ""
            What the names of the layer's tensors begin with, such as ``"encoder.lstm."``; all that
            begin so have to be the layer's. After it come the names of `torch.nn.LSTM`, or of
            `torch.nn.LSTMCell`, which ends them before ``_l0``.
        names : mapping of str to str, optional
            Where tensors have other names: each name in `parameters` of the layer, and the tensor's
            after the prefix. Tensors that it does not name are passed over.
        **arguments
            Those of the constructor that tensors do not tell: `batch_first`, `dropout`, `seed`, and
            `nonlinearity` of an `RNN`.

        Returns
        -------
        LSTM or RNN

        Raises
        ------
        OSError
            If a file is not there or cannot be read.
        TypeError, ValueError
            If names are missing or unexpected, or a tensor has another shape than the first
            layer's imply, or does not hold real numbers.

        Examples
        --------
        A cell inside a larger network:

        >>> import cylstm
        >>> import numpy as np
        >>> tensors = {
        ...     "conv.weight": np.zeros((3, 1, 5)),
        ...     "cell.weight_ih": np.zeros((16, 3)),
        ...     "cell.weight_hh": np.zeros((16, 4)),
        ...     "cell.bias_ih": np.zeros(16),
        ...     "cell.bias_hh": np.zeros(16),
        ... }
        >>> cylstm.LSTM.from_state_dict(tensors, prefix="cell.")
        LSTM(input_size=3, hidden_size=4)

        One whose tensors have names of their own, or are surrounded by others:

        >>> tensors = {"W": np.zeros((16, 3)), "U": np.zeros((16, 4)), "V": np.zeros((2, 4))}
        >>> names = {"weight_ih_l0": "W", "weight_hh_l0": "U"}
        >>> cylstm.LSTM.from_state_dict(tensors, names=names)
        LSTM(input_size=3, hidden_size=4, bias=False)
        """
        sizes, parameters = find_layer(state_dict, prefix, names, cls._gates)
        layer = cls._without_parameters(**sizes, **arguments)
        layer._hand_over(parameters)
        return layer

    def record(
        self,
        x: ArrayLike,
        state: State = None,
        *,
        lengths: ArrayLike | None = None,
        key: int | None = None,
        checkpoint_every: int | None = None,
    ) -> tuple[Float32, State, Tape]:
        """Run as a call does, but with dropout, and keep what `backward` needs.

        Parameters
        ----------
        x, state, lengths
            As in a call.
        key : int, optional
            Which dropout masks to draw: the same key, the same masks, and none for 0. By default
            each call has a key of its own, made of the layer's seed and of how many calls came
            before it, a count that copies and files keep.
        checkpoint_every : int, optional
            Keep a state every so many steps (more, where that makes no difference to speed) instead
            of all gates and cell states, which `backward` then computes again between two of them.
            The tape is smaller, for I = H by three quarters, `backward` takes longer by about the
            time of a forward pass, and the results are the same bits.

        Returns
        -------
        y, state
            As of a call.
        tape : Tape
            To be passed to `backward`, and to be looked at.

        Notes
        -----
        Any number of threads may call this at once; with dropout and without a key, it depends on
        their order which call has which masks.
        """
        call = self._signature.read(x, state, lengths)
        mask_key = self._next_key() if key is None else as_seed(key, "key")
        every = 0 if checkpoint_every is None else as_size(checkpoint_every, "checkpoint_every")
        inputs = self._signature.convert(call.x, "x")
        y, last, tape = self._network.record(inputs, call.state, call.lengths, mask_key, every)
        state = self._signature.restore_state(last, call.extent)
        return call.extent.layout.restore(y), state, Tape(tape, self, call.extent)

    def _next_key(self) -> int:
        """A key that no call before had; 0, which drops nothing, only without dropout."""
        if self.dropout == 0.0:
            return 0
        with self._lock:
            number = self._record_calls
            self._record_calls += 1
        drawn = np.random.SeedSequence((self.seed, number)).generate_state(1, np.uint64)
        return int(drawn[0]) >> 1 | 1

    def backward(
        self,
        tape: Tape,
        dy: ArrayLike,
        dstate: State = None,
        *,
        grads: Gradients | None = None,
        need_dx: bool = True,
    ) -> tuple[Any, State]:
        """Gradients of a loss through a recorded call.

        Parameters
        ----------
        tape : Tape
            What `record` of this layer returned; it is not used up.
        dy : array_like
            The loss's gradient with respect to y, of its shape; not read past each length.
        dstate : optional
            Its gradient with respect to the returned state, in that form; by default zeros.
        grads : mapping of str to ndarray, optional
            Arrays of float, by the names and in the shapes of `parameters`, which the gradients
            of the parameters are added into; by default `self.grads`.
        need_dx : bool, default True
            Whether to compute dx.

        Returns
        -------
        dx : ndarray of float32 or None
            The loss's gradient with respect to x, of its shape.
        dstate
            Its gradient with respect to the first state, in the form of the argument.

        Raises
        ------
        TypeError, ValueError
            Naming the argument that does not fit; `grads` has not changed then.
        RuntimeError
            If the parameters have changed since the tape was recorded.

        Notes
        -----
        Any number of threads may call this at once, where each has `grads` of its own.
        """
        if not isinstance(tape, Tape):
            raise TypeError(f"tape: expected what record returned, got {type(tape).__name__}")
        if tape._layer is not self:
            raise ValueError(f"tape: expected one that this layer recorded, got {tape!r}")
        extent, need_dx = tape._extent, as_flag(need_dx, "need_dx")
        gradient = self._core_view(as_shaped(dy, "dy", self._output_shape(extent)), extent)
        last = self._signature.read_state(dstate, "dstate", extent)
        with self._adding_into(grads) as vector:
            dx, first = self._network.backward(tape._tape, gradient, last, vector, need_dx)
        first = self._signature.restore_state(first, extent)
        return None if dx is None else extent.layout.restore(dx), first

    @contextmanager
    def _adding_into(self, grads: Gradients | None) -> Iterator[Float32 | None]:
        """A flat vector for the core to add into, which then goes to grads; None: its own."""
        if grads is None:
            yield None
            return
        as_accumulators(grads, "grads", self._without_prefix(self._shapes))
        vector = np.zeros_like(self._network.grad_vector)
        yield vector
        for name, part in self._without_prefix(self._views(vector)).items():
            grads[name][...] += part

    def _contents(self, vector: Float32) -> Contents:
        python = {name: self._config[name] for name in _PYTHON_ONLY}
        return Contents(
            {**self._network_config, "task": None},
            {**python, "record_calls": self._record_calls},
            self._views(vector),
        )

    @classmethod
    def _from_contents(cls, contents: Contents) -> Self:
        network, python = contents.network, contents.python
        check_keys(python, {*_PYTHON_ONLY, "record_calls"}, "python")
        layer = cls._without_parameters(
            **{name: network[name] for name in _READ_BY_C},
            **{name: python[name] for name in _PYTHON_ONLY},
            **cls._cell_arguments(network["cell"]),
        )
        layer._record_calls = as_size(
            python["record_calls"], "record_calls", minimum=0, maximum=2**63 - 1
        )
        layer._load_parameters(contents)
        return layer

    @staticmethod
    def _cell_arguments(cell: str) -> dict[str, Any]:
        """What the constructor takes to build this cell, beside what all layers take."""
        raise NotImplementedError


class LSTM(Recurrent):
    """A stack of LSTM layers, as `torch.nn.LSTM`.

    Parameters
    ----------
    input_size : int
        Numbers per step, I.
    hidden_size : int
        Hidden units, H.
    num_layers : int, default 1
        Layers, L, each on top of the one before.
    bias : bool, default True
        Whether there are biases, two of each kind as in PyTorch.
    batch_first : bool, default False
        Arrays are (B, T, ...) instead of (T, B, ...). States are (L*D, B, H) in any case.
    dropout : float, default 0.0
        Probability with which `record` drops each output of every layer but the last; what it
        keeps is scaled up to the same mean. A call drops nothing.
    bidirectional : bool, default False
        Each layer reads the sequence from its end too, and puts both outputs side by side: D = 2.
    seed : int, optional
        Of the first parameters, which are uniform in ±1/sqrt(H), and of dropout. By default one
        that the operating system draws.

    Examples
    --------
    >>> import cylstm
    >>> import numpy as np
    >>> lstm = cylstm.LSTM(3, 4, num_layers=2, seed=0)
    >>> y, (h, c) = lstm(np.zeros((7, 5, 3)))
    >>> y.shape, h.shape, c.shape
    ((7, 5, 4), (2, 5, 4), (2, 5, 4))

    Sequences of unequal length stand padded, with their lengths beside them:

    >>> y, (h, c) = lstm(np.zeros((7, 2, 3)), lengths=[7, 3])

    One training step, the sum of all outputs being the loss:

    >>> y, state, tape = lstm.record(np.zeros((7, 5, 3)))
    >>> dx, dstate = lstm.backward(tape, np.ones_like(y))
    >>> with lstm.editing() as parameters:
    ...     for name, array in parameters.items():
    ...         array -= 0.01 * lstm.grads[name]
    >>> lstm.zero_grad()
    """

    _trace = LSTMTrace
    _gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            "lstm",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            seed=seed,
        )

    @staticmethod
    def _cell_arguments(cell: str) -> dict[str, Any]:
        return {}


class RNN(Recurrent):
    """A stack of Elman's layers, as `torch.nn.RNN`: h_t = tanh(W_i x_t + b_i + W_h h_{t-1} + b_h).

    Parameters
    ----------
    nonlinearity : {"tanh", "relu"}, default "tanh"
        What stands in tanh's place.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, seed
        As of `LSTM`. States are h alone.

    Examples
    --------
    >>> import cylstm
    >>> import numpy as np
    >>> y, h = cylstm.RNN(3, 4, nonlinearity="relu")(np.zeros((7, 5, 3)))
    >>> y.shape, h.shape
    ((7, 5, 4), (1, 5, 4))
    """

    _trace = RNNTrace
    _gates = 1
    nonlinearity = argument("nonlinearity")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        seed: int | None = None,
    ) -> None:
        as_choice(nonlinearity, "nonlinearity", ("tanh", "relu"))
        super().__init__(
            f"rnn_{nonlinearity}",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            seed=seed,
        )
        self._config["nonlinearity"] = nonlinearity

    @staticmethod
    def _cell_arguments(cell: str) -> dict[str, Any]:
        return {"nonlinearity": cell.removeprefix("rnn_")}


def draw_uniform(shape: Shape, fan: int, rng: np.random.Generator) -> Float32:
    """A parameter as PyTorch's recurrent and linear layers draw it: uniform in ±1/sqrt(fan)."""
    bound = fan**-0.5
    return draw(shape, lambda count: rng.uniform(-bound, bound, count))


def draw(shape: Shape, numbers: Callable[[int], NDArray[np.float64]]) -> Float32:
    """An array of random numbers, drawn in pieces: all in float64 would take twice as much."""
    array = np.empty(math.prod(shape), np.float32)
    for begin in range(0, array.size, _DRAWN_AT_ONCE):
        part = array[begin : begin + _DRAWN_AT_ONCE]
        part[...] = numbers(part.size)
    return array.reshape(shape)
