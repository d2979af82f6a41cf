"""What layers and models share: calls, streams, named parameters, files and copies.

Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions, O outputs.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core, formats
from .arrays import (
    Call,
    Extent,
    Float32,
    Scale,
    Shape,
    Signature,
    as_flag,
    as_named_arrays,
    as_num_threads,
    as_out,
    as_real,
    as_size,
    as_state,
    as_tokens,
    count_weights,
    from_state,
    standardise,
)
from .atomic import write_file

MAX_WEIGHTS = 2**31  # 8 GiB

# A call of one direction over more than so many numbers (inputs and what layers put out) is done in
# blocks of some as many, since each needs memory to work in: 256 MiB and 64 MiB.
LONG_CALL = 2**26
BLOCK = 2**24

State = Any  # h, or (h, c): one array for an RNN, a tuple of two for an LSTM


def argument(name: str) -> property:
    """A read-only attribute that shows an argument of the constructor."""
    return property(lambda self: self._config[name], doc=f"The constructor's `{name}`.")


class Stream:
    """A network that is fed step by step, and its state.

    A stream is for one thread at a time: where another one is using it, `step`, `reset` and `state`
    raise a RuntimeError. Any number of streams may share a network.

    Examples
    --------
    >>> import cylstm
    >>> stream = cylstm.LSTM(3, 4, seed=0).stream()
    >>> stream.step([0.1, 0.2, 0.3]).shape
    (4,)
    >>> h, c = stream.state
    >>> h.shape
    (1, 1, 4)
    """

    def __init__(self, network: Network, batch_size: Any) -> None:
        signature, self._network = network._signature, network
        if signature.directions == 2:
            raise ValueError("stream: expected a network of one direction, got a bidirectional one")
        batch, width = as_size(batch_size, "batch_size"), signature.width
        self._stream = network._network.stream(batch)
        self._names = (*signature.state_names, "pooled")
        self._dtype = np.dtype(np.int32 if width is None else np.float32)
        self._shape: Shape = (batch,) if width is None else (batch, width)
        self._output_width = network._output_width

    def step(self, x_t: ArrayLike, out: Float32 | None = None) -> Float32:
        """Take one step.

        Parameters
        ----------
        x_t : array_like
            The next step of each sequence: (B, I), or tokens (B,). With a batch size of 1 also
            (I,), or one token.
        out : ndarray of float32, optional
            Where to write the result.

        Returns
        -------
        ndarray of float32
            A layer's output (B, H) or a model's scores (B, O); for a pooled model, those of the
            sequence so far. Without the axis B where `x_t` came without it.
        """
        scale = self._network._signature.input_scale
        if out is None and scale is None and (usual := self._stream.try_step(x_t)) is not None:
            return usual
        x, single = self._read(x_t, scale)
        if out is None:
            y = self._stream.step(x)
            return y[0] if single else y
        tail = (self._output_width,)
        as_out(out, tail if single else (self._shape[0], *tail), (x,))
        self._stream.step(x, out[np.newaxis] if single else out)
        return out

    def _read(self, x_t: ArrayLike, scale: Scale | None) -> tuple[NDArray[Any], bool]:
        """The step as the core takes it, and whether it came without the axis B."""
        tokens = self._dtype == np.int32
        x = as_tokens(x_t, "x_t") if tokens else as_real(x_t, "x_t")
        single = self._shape[0] == 1 and x.shape == self._shape[1:]
        if not single and x.shape != self._shape:
            raise ValueError(f"x_t: expected shape {self._shape}, got {x.shape}")
        x = x if tokens else standardise(x, scale, "x_t")
        return np.ascontiguousarray(x).reshape(self._shape), single

    @property
    def state(self) -> State:
        """A copy of the state; what is set is taken up by the next step.

        h, or (h, c) for an LSTM, each (L, B, H), as a call of the network takes and returns it.
        For a model that pools by mean or max there is one part more, (B, H + 1): the sum or the
        greatest of the hidden states so far, and how many they were.
        """
        return from_state(self._stream.state)

    @state.setter
    def state(self, state: State) -> None:
        parts = zip(self._names, self._stream.state, strict=False)
        self._stream.state = as_state(state, "state", {name: part.shape for name, part in parts})

    def reset(self) -> None:
        """Start new sequences: the state becomes zeros."""
        self._stream.reset()


def _lengths_within(lengths: NDArray[np.int64] | None, part: slice) -> NDArray[np.int64] | None:
    """How many of a block's steps each sequence has."""
    return None if lengths is None else np.clip(lengths - part.start, 0, part.stop - part.start)


class Network:
    """A `_core.Network` behind the interface that layers and models share.

    A subclass calls `_build` in its constructor, and knows the way to a file's contents and back.
    `_prefix` is what it leaves off the core's tensor names.
    """

    _prefix = ""
    _drawn = True  # the first parameters, at random
    _network: _core.Network
    _network_config: dict[str, Any]  # what the core was built from
    _config: dict[str, Any]  # what the constructor was given
    _signature: Signature

    def _build(self, config: dict[str, Any], network: dict[str, Any]) -> None:
        count = count_weights(network)
        if count > MAX_WEIGHTS:
            raise ValueError(
                f"hidden_size: expected sizes that make at most {MAX_WEIGHTS} weights, got "
                f"{network['hidden_size']}, which with the other sizes makes {count}"
            )
        self._config, self._network_config = config, network
        self._network = _core.Network(**network)
        self._signature = Signature(
            width=None if network["vocab_size"] else network["input_size"],
            layers=network["num_layers"],
            directions=2 if network["bidirectional"] else 1,
            hidden_size=network["hidden_size"],
            state_names=("h", "c") if network["cell"] == "lstm" else ("h",),
            batch_first=config["batch_first"],
        )
        if self._drawn:
            rng = np.random.default_rng(config["seed"])
            for name, shape, _ in self._network.tensors:
                self._network.assign({name: self._draw(name, shape, rng)})

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> Float32:
        """The first values of a parameter, by the core's name."""
        raise NotImplementedError

    @classmethod
    def _without_parameters(cls, **arguments: Any) -> Self:
        """A network of these arguments whose parameters are zeros, since they will be set."""
        network = cls.__new__(cls)
        network._drawn = False
        cls.__init__(network, **arguments)
        return network

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments; a seed that was None is the one that was drawn."""
        return dict(self._config)

    def __repr__(self) -> str:
        import inspect  # a fifth of what this package takes to import

        defaults = inspect.signature(type(self)).parameters
        shown = (
            f"{name}={value!r}"
            for name, value in self._config.items()
            if name != "seed" and value != defaults[name].default
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    # --- calls

    def __call__(
        self,
        x: ArrayLike,
        state: State = None,
        *,
        lengths: ArrayLike | None = None,
        num_threads: int | None = None,
        reproducible: bool = False,
        out: Float32 | None = None,
    ) -> tuple[Float32, State]:
        """Run over whole sequences, without dropout.

        Parameters
        ----------
        x : array_like
            (T, B, I), (B, T, I) with ``batch_first``, or one sequence (T, I); tokens have no axis
            I. Numbers are converted to float32; float32 whose last axis is contiguous is read in
            place. NaN passes through.
        state : optional
            The first state, by default zeros: h, or (h, c) for an LSTM, each (L*D, B, H), without
            the axis B for one sequence.
        lengths : array_like of int, optional
            (B,): how many steps of each sequence count, 0 to T. Steps past it are not read.
        num_threads : int, optional
            Threads of this call, by default `get_num_threads`.
        reproducible : bool, default False
            The same bits for a sequence in any batch, at any padding, and streamed.
        out : ndarray of float32, optional
            Where to write y: of its shape, its last axis contiguous, apart from other arguments.

        Returns
        -------
        y : ndarray of float32
            A layer's hidden states (T, B, D*H), or a model's scores (T, B, O), in the layout of x,
            zeros past each length; a pooled model's scores (B, O), for one sequence (O,).
        state
            After each sequence's last step, in the form of the argument.

        Raises
        ------
        TypeError, ValueError
            Naming the argument that does not fit.

        Notes
        -----
        Any number of threads may call one network at once.
        """
        if (
            state is None
            and lengths is None
            and num_threads is None
            and out is None
            and reproducible is False
            and not self._signature.batch_first
            and self._signature.input_scale is None
            and type(x) is np.ndarray
            and not self._is_long(x.size)
            and (usual := self._network.try_forward(x)) is not None
        ):
            return usual[0], from_state(usual[1])
        call = self._signature.read(x, state, lengths)
        shape, read = self._output_shape(call.extent), (call.x, *(call.state or ()))
        y = np.empty(shape, np.float32) if out is None else as_out(out, shape, read)
        threads, same_bits = as_num_threads(num_threads), as_flag(reproducible, "reproducible")
        view, state = self._core_view(y, call.extent), call.state
        for part in self._blocks(call):
            _, state = self._network.forward(
                self._signature.convert(call.x[part], "x"),
                state,
                _lengths_within(call.lengths, part),
                num_threads=threads,
                reproducible=same_bits,
                out=view if self._pooled else view[part],
            )
        return y, self._signature.restore_state(state, call.extent)

    def _is_long(self, inputs: int) -> bool:
        """Whether a call over so many numbers or tokens is done in blocks of steps."""
        return inputs * self._numbers_per_input > LONG_CALL

    def _blocks(self, call: Call) -> list[slice]:
        """The steps of a call in runs that each goes on from the state of the one before."""
        steps, batch, _ = call.extent
        most = self._steps_at_once(call.x.size, batch) or steps
        return [slice(first, first + most) for first in range(0, steps, most)]

    def _steps_at_once(self, inputs: int, batch: int) -> int | None:
        """How many steps a block of a call over so many numbers or tokens has; None: all."""
        pooling, signature = self._network_config["pooling"], self._signature
        if not self._is_long(inputs) or signature.directions == 2 or pooling in ("mean", "max"):
            return None
        return max(1, BLOCK // (self._numbers_per_input * (signature.width or 1) * batch))

    def stream(self, batch_size: int = 1) -> Stream:
        """Feed the network step by step; ValueError for a bidirectional one, which needs the end.

        Parameters
        ----------
        batch_size : int, default 1
            Sequences side by side, B.
        """
        return Stream(self, batch_size)

    @property
    def _output_width(self) -> int:
        signature = self._signature
        return self._network_config["output_size"] or signature.directions * signature.hidden_size

    @property
    def _numbers_per_input(self) -> int:
        """What a call works on, about, for each number or token that goes in."""
        config, signature = self._network_config, self._signature
        row = config["input_size"] + 3 * signature.directions * signature.hidden_size
        return math.ceil((row + config["output_size"]) / (signature.width or 1))

    @property
    def _pooled(self) -> bool:
        return self._network_config["pooling"] is not None

    def _output_shape(self, extent: Extent) -> Shape:
        """Of y, as the caller sees it."""
        steps, batch, layout = extent
        if not self._pooled:
            return layout.shape(steps, batch, self._output_width)
        return (batch, self._output_width) if layout.batched else (self._output_width,)

    def _core_view(self, y: Float32, extent: Extent) -> Float32:
        """A caller's y, or its gradient, as the core sees it: (T, B, ...) or (B, O)."""
        if not self._pooled:
            return extent.layout.time_major(y)
        return y if extent.layout.batched else y[np.newaxis]

    # --- parameters and gradients

    @property
    def parameters(self) -> Mapping[str, Float32]:
        """Read-only views of the parameters by name; see `editing` for how to change them."""
        return MappingProxyType(self._without_prefix(self._network.parameters))

    @property
    def grads(self) -> Mapping[str, Float32]:
        """Writable views of the gradients by name."""
        return MappingProxyType(self._without_prefix(self._network.grads))

    def zero_grad(self) -> None:
        """Set all of `grads` to zero; not to be called beside a call that adds into them."""
        self._network.zero_grad()

    @property
    def packed_nbytes(self) -> int:
        """Bytes that packed copies of the weights take beside the parameters, for the kernels.

        0 before the first call; more once `backward` has asked for copies of its own, and once it
        has for a gradient of the input. Weights that change are packed anew, into the same memory,
        by the next call: once for each version, whoever calls.

        Examples
        --------
        >>> import cylstm
        >>> lstm = cylstm.LSTM(64, 128)
        >>> lstm.packed_nbytes
        0
        >>> y = lstm.stream().step([0.0] * 64)
        >>> lstm.packed_nbytes == 4 * 4 * 128 * (64 + 128 + 1)  # W_ih, W_hh, b
        True
        """
        return self._network.packed_nbytes

    def release_memory(self) -> None:
        """Give back the memory that is kept for later calls.

        A network keeps the memory that its calls work in, and that of the last tape that was
        deleted: the next call is faster in memory that the process already has. After a long
        sequence, or after `fit`, that can be much. Calls that run and tapes that exist keep theirs;
        parameters, gradients and packed copies stay. The next call allocates anew.

        Examples
        --------
        >>> import cylstm
        >>> import numpy as np
        >>> lstm = cylstm.LSTM(3, 4)
        >>> y, state, tape = lstm.record(np.zeros((1000, 5, 3)))
        >>> dx, dstate = lstm.backward(tape, y)
        >>> del tape
        >>> lstm.release_memory()
        """
        self._network.release_memory()

    def state_dict(self) -> dict[str, Float32]:
        """Copies of the parameters by name, in PyTorch's order."""
        return self._without_prefix(self._views(self._network.copy_vector()))

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set all parameters.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            One array for each name in `parameters`, of its shape; converted to float32. That of
            a PyTorch module is ``{k: v.numpy() for k, v in module.state_dict().items()}``.

        Raises
        ------
        TypeError, ValueError
            If names are missing or unexpected, or an array has another shape or does not hold
            real numbers. Nothing has changed then.

        Notes
        -----
        See `editing` for what may run meanwhile.
        """
        self._assign(as_named_arrays(state_dict, "state_dict", self._without_prefix(self._shapes)))

    @contextmanager
    def editing(self) -> Iterator[Mapping[str, Float32]]:
        """Change parameters in place.

        Yields
        ------
        mapping of str to ndarray
            Writable copies of the parameters by name. They become the parameters, all at once,
            when the block ends; where it ends by an exception, nothing changes. In the block the
            network still computes with the old ones.

        Notes
        -----
        Two blocks, or a block and an optimiser's step, must not run side by side: what ends first
        would be lost. Calls that compute may go on meanwhile; each sees the old parameters or the
        new ones.

        Examples
        --------
        >>> import cylstm
        >>> lstm = cylstm.LSTM(3, 4)
        >>> with lstm.editing() as parameters:
        ...     parameters["bias_ih_l0"][4:8] = 1.0  # the forget gate's
        >>> lstm.parameters["bias_ih_l0"][4:8].tolist()
        [1.0, 1.0, 1.0, 1.0]
        """
        draft = self._network.copy_vector()
        yield MappingProxyType(self._without_prefix(self._views(draft)))
        self._network.assign_vector(draft)

    def _assign(self, arrays: Mapping[str, Float32]) -> None:
        """Set parameters by name, all at once."""
        self._network.assign({f"{self._prefix}{name}": array for name, array in arrays.items()})

    def _hand_over(self, arrays: dict[str, Float32]) -> None:
        """Set parameters of a new network one by one, and let go of each array that is set.

        The memory of a new network is taken as it is written, so that all together stay below the
        size of the weights and of the largest array.
        """
        while arrays:
            self._assign(dict([arrays.popitem()]))

    def _views(self, vector: Float32) -> dict[str, Float32]:
        """A vector of all parameters, or of all gradients, cut into the core's tensors."""
        return {
            name: vector[offset : offset + math.prod(shape)].reshape(shape)
            for name, shape, offset in self._network.tensors
        }

    @property
    def _shapes(self) -> dict[str, Shape]:
        return {name: shape for name, shape, _ in self._network.tensors}

    def _without_prefix(self, named: Mapping[str, Any]) -> dict[str, Any]:
        return {name.removeprefix(self._prefix): item for name, item in named.items()}

    # --- files and copies

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file, which `cylstm.load` reads.

        Parameters
        ----------
        path : path-like
            Where to. What is there is replaced once the new file is whole, and stays as it is
            where anything fails.
        """
        write_file(path, self._to_bytes())

    def clone(self) -> Self:
        """An independent copy, as `copy.copy`, `copy.deepcopy` and pickling make it too.

        Gradients are not copied.
        """
        return self._from_bytes(self._to_bytes())

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return self._from_bytes, (self._to_bytes(),)

    def _to_bytes(self) -> bytes:
        return formats.encode(self._contents(self._network.copy_vector()))

    @classmethod
    def _from_bytes(cls, data: bytes) -> Self:
        return cls._from_contents(formats.decode(io.BytesIO(data)))

    def _contents(self, vector: Float32) -> formats.Contents:
        """What a file says of this network with these parameters."""
        raise NotImplementedError

    @classmethod
    def _from_contents(cls, contents: formats.Contents) -> Self:
        """A network from what a file says; ValueError where that makes none."""
        raise NotImplementedError

    def _load_parameters(self, contents: formats.Contents) -> None:
        """Set all parameters from a file that this network was built from."""
        ours = self._contents(self._network.vector).network
        wrong = [key for key, value in contents.network.items() if ours[key] != value]
        if wrong:
            raise ValueError(f"metadata: no {type(self).__name__} has such {', '.join(wrong)}")
        arrays = as_named_arrays(contents.tensors, "tensors", self._shapes)
        contents.tensors.clear()  # which would keep what is handed over
        own = self._without_prefix(arrays)
        del arrays
        self._hand_over(own)
