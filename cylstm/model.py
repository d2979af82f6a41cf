"""The sequence model: embedding or numbers in, a recurrent stack, a linear head, a task.

Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions, O outputs,
V tokens in the vocabulary, E width of the embedding.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import data, formats, training
from .arrays import (
    MAX_LAYERS,
    Float32,
    Scale,
    Shape,
    as_choice,
    as_dropout,
    as_flag,
    as_labels,
    as_num_threads,
    as_number,
    as_path,
    as_scale,
    as_seed,
    as_size,
    is_wide,
    quote,
)
from .dataset import read_dataset
from .losses import SCORE_NAMES, Loss
from .network import Network, State, argument
from .recurrent import LSTM, RNN, draw, draw_uniform
from .trainer import evaluate

TASKS = ("classification", "regression", "language")
POOLINGS = (None, "last", "mean", "max")

# Lists of sequences are run in batches of so many sequences, or of so many steps in all.
BATCH_SEQUENCES = 256
BATCH_STEPS = 2**17

Sequences = Any  # array_like, or a list of them
Scores = Float32 | list[Float32]

_READ_BY_C = ("hidden_size", "num_layers", "bidirectional", "pooling", "output_size")
_PYTHON_ONLY = ("batch_first", "dropout", "seed")
#: Arguments that a file has where they are not these values: so version 0.1 reads all others.
_NEWER = {"fold": 1, "forget_bias": None}


class SequenceModel(Network):
    """A trainable model of sequences, its task included.

    Numbers or embedded tokens go through a stack of LSTM or RNN layers; a linear head makes scores
    of each step's hidden state, or of a whole sequence's.

    Parameters
    ----------
    task : {"classification", "regression", "language"}
        classification: of 2 classes or more by softmax, or of two by one sigmoid where
        `output_size` is 1. regression: of numbers. language: of the token that comes next.
    cell : {"lstm", "rnn"}, default "lstm"
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Of an RNN.
    input_size : int
        Numbers per step, I. For tokens, instead:
    vocab_size, embedding_size : int
        Tokens are 0 to V - 1; each has a vector of E numbers, which is learned.
    hidden_size : int
        Hidden units, H.
    num_layers : int, default 1
    bidirectional : bool, default False
        Each layer reads the sequence from its end too. Not for a language model, which would see
        the tokens that it is to guess, and not for streams.
    dropout : float, default 0.0
        Probability with which training drops each output of every recurrent layer but the last.
    pooling : {None, "last", "mean", "max"}, default None
        What the head sees: each step's hidden state, or of each sequence the last, the mean, or
        the greatest of each unit. The last of a bidirectional network is h_n, where each direction
        ends: for the reverse one that is the first step, not y[:, -1].
    output_size : int
        Scores, O: classes, numbers to predict, or V.
    batch_first : bool, default False
        Arrays are (B, T, ...) instead of (T, B, ...).
    fold : int, default 1
        Samples in a step of the network, for long sequences: `fit`, `evaluate`, `scores` and
        `predict` put so many consecutive samples (T, I) into one step (T / fold, fold * I), the
        first sample standing before the sequence as often as is needed. For pooled models of
        numbers. Direct calls, streams, `input_scale` and C have the folded steps, which
        `cylstm.data.fold` makes.
    forget_bias : float, optional
        What the forget gates' biases of an LSTM begin with, instead of a number near 0: with 1 a
        cell keeps at first most of what it has, over a longer time [1]_.
    seed : int, optional
        Of the first parameters, which are distributed as PyTorch's. By default one that the
        operating system draws.

    References
    ----------
    .. [1] R. Jozefowicz, W. Zaremba, I. Sutskever, "An empirical exploration of recurrent network
       architectures", ICML 2015.

    Examples
    --------
    >>> import cylstm
    >>> import numpy as np
    >>> model = cylstm.SequenceModel(
    ...     task="classification", input_size=2, hidden_size=8, pooling="mean", output_size=3
    ... )
    >>> sequences = [np.zeros((5, 2)), np.zeros((9, 2))]
    >>> model.scores(sequences).shape
    (2, 3)
    >>> model.classes = ["left", "right", "straight"]
    >>> model.predict(sequences).shape
    (2,)
    """

    task = argument("task")
    batch_first = argument("batch_first")
    fit = training.fit

    def __init__(
        self,
        *,
        task: str,
        cell: str = "lstm",
        nonlinearity: str = "tanh",
        input_size: int | None = None,
        vocab_size: int | None = None,
        embedding_size: int | None = None,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        pooling: str | None = None,
        output_size: int,
        batch_first: bool = False,
        fold: int = 1,
        forget_bias: float | None = None,
        seed: int | None = None,
    ) -> None:
        config = {
            "task": as_choice(task, "task", TASKS),
            "cell": as_choice(cell, "cell", ("lstm", "rnn")),
            "nonlinearity": as_choice(nonlinearity, "nonlinearity", ("tanh", "relu")),
            **_read_input_sizes(input_size, vocab_size, embedding_size),
            "hidden_size": as_size(hidden_size, "hidden_size"),
            "num_layers": as_size(num_layers, "num_layers", maximum=MAX_LAYERS),
            "bidirectional": as_flag(bidirectional, "bidirectional"),
            "dropout": as_dropout(dropout),
            "pooling": as_choice(pooling, "pooling", POOLINGS),
            "output_size": as_size(output_size, "output_size"),
            "batch_first": as_flag(batch_first, "batch_first"),
            "fold": as_size(fold, "fold"),
            "forget_bias": _as_forget_bias(forget_bias),
            "seed": as_seed(seed),
        }
        _check_combination(config)
        self._build(config, _network_of(config))
        #: What a data set's sequences are like, before they are folded.
        self._samples = self._signature._replace(width=config["input_size"])
        self._classes: list[Any] | None = None
        self._input_scale: Scale | None = None
        self._output_scale: Scale | None = None
        self._extras: dict[str, Any] = {}

    def _draw(self, name: str, shape: Shape, rng: np.random.Generator) -> Float32:
        if name.startswith("embedding."):
            return draw(shape, rng.standard_normal)
        hidden = self._signature.hidden_size
        directions = self._signature.directions if name.startswith("head.") else 1
        array = draw_uniform(shape, directions * hidden, rng)
        if self._config["forget_bias"] is not None and ".bias_" in name:
            # the second of the gates i, f, g, o; the bias is the sum of two
            array[hidden : 2 * hidden] = self._config["forget_bias"] if "bias_ih" in name else 0.0
        return array

    # --- what belongs to the model beside its parameters

    @property
    def classes(self) -> list[Any] | None:
        """Labels in the order of the outputs; None: 0, 1, ...

        `fit` sets it from the labels that it is given. Setting it takes one word or number for
        each output, two where `output_size` is 1, all different.
        """
        return None if self._classes is None else list(self._classes)

    @classes.setter
    def classes(self, classes: Iterable[Any] | None) -> None:
        self._classes = None if classes is None else self._check_classes(classes)

    def _check_classes(self, classes: Iterable[Any]) -> list[Any]:
        if self.task != "classification":
            raise ValueError(f"classes: expected a classification, this is a {self.task} model")
        unordered = isinstance(classes, str | bytes | Mapping | Set)
        if unordered or not isinstance(classes, Iterable):
            raise TypeError(f"classes: expected a list of labels, got {quote(classes)}")
        labels = [label.item() if isinstance(label, np.generic) else label for label in classes]
        if not any(all(isinstance(label, kind) for label in labels) for kind in (str, int | float)):
            raise TypeError(f"classes: expected words or numbers, got {quote(labels)}")
        if any(isinstance(label, float) and not math.isfinite(label) for label in labels):
            raise ValueError(f"classes: expected finite numbers, got {quote(labels)}")
        count = max(self._output_width, 2)
        if len(labels) != count or len(set(labels)) != count:
            raise ValueError(f"classes: expected {count} different labels, got {quote(labels)}")
        return labels

    @property
    def extras(self) -> dict[str, Any]:
        """Whatever else belongs to the model and its file; JSON has to hold it."""
        return self._extras

    @extras.setter
    def extras(self, extras: dict[str, Any]) -> None:
        if not isinstance(extras, dict):
            raise TypeError(f"extras: expected a dict, got {type(extras).__name__}")
        self._extras = extras

    @property
    def input_scale(self) -> Scale | None:
        """(mean, std) of each input, (I,): the network sees (x - mean) / std. None: x itself.

        float32, or float64 where means are so large beside the deviations that float32 would lose
        much of the difference: it is taken in float64 then, so pass x as float64 or integers.
        """
        return self._input_scale

    def set_input_scale(self, mean: ArrayLike | None, std: ArrayLike | None) -> None:
        """Set `input_scale`, which `fit` learns from its training part; None and None remove it.

        Parameters
        ----------
        mean, std : array_like (I,)
            Finite numbers; each deviation above 0. float32 stays; what is not becomes float32 where
            no ``abs(mean)`` is more than 1024 deviations, else float64.
        """
        self._set_input_scale(as_scale(mean, std, self._scalable_inputs()))

    def _scalable_inputs(self) -> int:
        width = self._signature.width
        if width is None:
            raise ValueError("set_input_scale: expected a model of numbers, this one takes tokens")
        return width

    def _set_input_scale(self, scale: Scale | None) -> None:
        """The core applies one of float32, the signature a wide one to what it reads."""
        wide = is_wide(scale)
        self._network.set_input_scale(*((None, None) if wide or scale is None else scale))
        self._signature = self._signature._replace(input_scale=scale if wide else None)
        self._input_scale = scale

    @property
    def output_scale(self) -> Scale | None:
        """(mean, std) of each output, (O,): `predict` gives scores * std + mean.

        float32, or float64 where that needs it, as of `input_scale`; values then are float64 too.
        """
        return self._output_scale

    def set_output_scale(self, mean: ArrayLike | None, std: ArrayLike | None) -> None:
        """Set the `output_scale` of a regression, as `fit` does; None and None remove it.

        Parameters
        ----------
        mean, std : array_like (O,)
            As of `set_input_scale`.
        """
        self._output_scale = as_scale(mean, std, self._scalable_outputs())

    def _scalable_outputs(self) -> int:
        if self.task != "regression":
            raise ValueError(
                f"set_output_scale: expected a regression, this is a {self.task} model"
            )
        return self._output_width

    # --- inference

    def scores(
        self,
        x: Sequences,
        state: State = None,
        *,
        lengths: ArrayLike | None = None,
        num_threads: int | None = None,
        reproducible: bool = False,
    ) -> Scores:
        """Raw outputs of the head.

        Parameters
        ----------
        x : array_like, or list of array_like
            A padded array (T, B, I), (B, T, I) with ``batch_first``, or one sequence (T, I). A
            list or tuple is one of sequences (T_n, I), which are run in batches of similar
            lengths. Tokens have no axis I. NaN passes through.
        state, lengths, num_threads, reproducible
            As of a call; a list has neither state nor lengths, a model that folds no state.

        Returns
        -------
        ndarray of float32, or list of them
            (T, B, O) in the layout of x, zeros past each length; (B, O) for a pooled model; no
            axis B for one sequence. For a list (N, O) if the model is pooled, else a list of
            (T_n, O).

        Notes
        -----
        Any number of threads may call this at once.
        """
        if isinstance(x, list | tuple):
            for name, value in (("state", state), ("lengths", lengths)):
                if value is not None:
                    raise ValueError(f"{name}: expected None beside a list of sequences")
            if not x:
                raise ValueError("x: expected at least one sequence, got an empty list")
            read = [self._samples.read_sequence(item, f"x[{n}]") for n, item in enumerate(x)]
            return self._scores_of_list(read, num_threads, reproducible)
        if self._config["fold"] > 1:
            if state is not None:
                raise ValueError("state: expected None for a model that folds")
            sequences, batched = self._unpad(x, lengths)
            scores = self._scores_of_list(sequences, num_threads, reproducible)
            return scores if batched else scores[0]
        scores, _ = self(
            x, state, lengths=lengths, num_threads=num_threads, reproducible=reproducible
        )
        return scores

    def _unpad(self, x: ArrayLike, lengths: ArrayLike | None) -> tuple[list[NDArray[Any]], bool]:
        """The sequences of a padded array, and whether it has an axis of them."""
        call = self._samples.read(x, None, lengths)
        steps, batch, layout = call.extent
        sizes = np.full(batch, steps) if call.lengths is None else call.lengths
        return [call.x[:size, n] for n, size in enumerate(sizes)], layout.batched

    def _scores_of_list(
        self, sequences: Sequence[NDArray[Any]], num_threads: int | None, reproducible: bool
    ) -> Scores:
        samples = self._config["fold"]
        if samples > 1:
            sequences = [data.fold(sequence, samples) for sequence in sequences]
        results: list[Any] = [None] * len(sequences)
        lengths = np.array([len(sequence) for sequence in sequences])
        for indices in data.batches_within(lengths, BATCH_SEQUENCES, BATCH_STEPS):
            first = indices[0]
            if len(indices) == 1 and self._is_long(sequences[first].size):  # read where it lies
                results[first], _ = self(
                    sequences[first], num_threads=num_threads, reproducible=reproducible
                )
                continue
            padded, sizes = data.pad([sequences[n] for n in indices])
            scores, _ = self._network.forward(
                self._signature.convert(padded, "x"),
                None,
                sizes,
                num_threads=as_num_threads(num_threads),
                reproducible=as_flag(reproducible, "reproducible"),
            )
            for b, n in enumerate(indices):
                results[n] = scores[b] if self._pooled else scores[: sizes[b], b].copy()
        return np.stack(results) if self._pooled else results

    def predict(
        self,
        x: Sequences,
        *,
        lengths: ArrayLike | None = None,
        num_threads: int | None = None,
        reproducible: bool = False,
    ) -> NDArray[Any] | list[NDArray[Any]]:
        """Labels of a classification, values of a regression, or each step's likeliest next token.

        Parameters
        ----------
        x, lengths, num_threads, reproducible
            As of `scores`.

        Returns
        -------
        ndarray, or list of them
            As `scores` gives them, with values for scores (of the type of `output_scale`), or with
            one of `classes`, or one token, for the axis O. What stands past a length means nothing.
        """
        scores = self.scores(x, lengths=lengths, num_threads=num_threads, reproducible=reproducible)
        return _each(self._decide, scores)

    def _decide(self, scores: Float32) -> NDArray[Any]:
        if self.task == "regression":
            mean, std = self._output_scale or (np.float32(0), np.float32(1))
            values: NDArray[Any] = scores * std
            values += mean
            return values
        labels = self._class_scores(scores).argmax(axis=-1)
        return labels if self._classes is None else as_labels(self._classes, "classes")[labels]

    def predict_proba(
        self,
        x: Sequences,
        *,
        lengths: ArrayLike | None = None,
        num_threads: int | None = None,
        reproducible: bool = False,
    ) -> Scores:
        """Probabilities of the classes, or of the next token.

        Parameters
        ----------
        x, lengths, num_threads, reproducible
            As of `scores`.

        Returns
        -------
        ndarray of float32, or list of them
            As `scores` gives them; two probabilities where `output_size` is 1.
        """
        if self.task == "regression":
            raise ValueError("predict_proba: expected classes or tokens, this is a regression")
        scores = self.scores(x, lengths=lengths, num_threads=num_threads, reproducible=reproducible)
        return _each(self._softmax, scores)

    def _softmax(self, scores: Float32) -> Float32:
        scores = self._class_scores(scores)
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    def _class_scores(self, scores: Float32) -> Float32:
        """Scores of all classes: one sigmoid is the softmax of 0 and its score."""
        if self.task != "classification" or self._output_width > 1:
            return scores
        return np.concatenate([np.zeros_like(scores), scores], axis=-1)

    def evaluate(
        self,
        x: Sequences,
        y: Any = None,
        *,
        lengths: ArrayLike | None = None,
        num_threads: int | None = None,
    ) -> dict[str, float]:
        """How well the model does on sequences whose targets are known.

        Parameters
        ----------
        x, y, lengths
            As of `fit`. NaN and infinity are refused.
        num_threads : int, optional
            By default `get_num_threads`.

        Returns
        -------
        dict
            "loss", the one of training, and "accuracy", "mse" in the targets' own units, or
            "bits_per_token", each the mean over all targets.
        """
        dataset, _ = read_dataset(self._config, self._classes, x, y, lengths)
        std = None if self._output_scale is None else self._output_scale[1]
        longest = dataset.lengths.max()
        loss, score = evaluate(
            self._network,
            dataset.standardised(self._input_scale, self._output_scale),
            Loss.of(self._config, std),
            data.batches_within(dataset.lengths, BATCH_SEQUENCES, BATCH_STEPS),
            bptt_steps=self._steps_at_once(longest * (self._signature.width or 1), 1),
            num_threads=as_num_threads(num_threads),
        )
        return {"loss": loss, SCORE_NAMES[self.task]: score}

    def recurrent_layer(self) -> LSTM | RNN:
        """The recurrent stack as a layer of its own, with copies of the parameters.

        To look inside: what its `record` keeps shows the gates and the cell state. The layer takes
        what the stack sees, which is scaled inputs, or embedded tokens.
        """
        names = ("hidden_size", "num_layers", "dropout", "bidirectional", "batch_first", "seed")
        options = {name: self._config[name] for name in names}
        options["input_size"] = self._network_config["input_size"]
        if self._config["cell"] == "lstm":
            layer: LSTM | RNN = LSTM(**options)
        else:
            layer = RNN(nonlinearity=self._config["nonlinearity"], **options)
        layer.load_state_dict(
            {name: self.parameters[layer._prefix + name] for name in layer.parameters}
        )
        return layer

    # --- files

    def _contents(self, vector: Float32) -> formats.Contents:
        python = {name: self._config[name] for name in _PYTHON_ONLY}
        python |= {
            name: self._config[name]
            for name, default in _NEWER.items()
            if self._config[name] != default
        }
        scales = {
            f"{name}.{part}": array
            for name in ("input_scale", "output_scale")
            for part, array in zip(("mean", "std"), getattr(self, name) or (), strict=False)
        }
        return formats.Contents(
            {**self._network_config, "task": self.task},
            {**python, "classes": self._classes, "extras": self.extras},
            {**self._views(vector), **scales},
        )

    @classmethod
    def _from_contents(cls, contents: formats.Contents) -> Self:
        python = contents.python
        needed = {*_PYTHON_ONLY, "classes", "extras"}
        formats.check_keys(python, needed | (python.keys() & _NEWER.keys()), "python")
        model = cls._without_parameters(**_arguments_of(contents))
        tensors = contents.tensors
        scale = formats.take_scale(tensors, "input_scale")
        if scale is not None:
            model._set_input_scale(as_scale(*scale, model._scalable_inputs(), keep=True))
        scale = formats.take_scale(tensors, "output_scale")
        if scale is not None:
            model._output_scale = as_scale(*scale, model._scalable_outputs(), keep=True)
        model.classes, model.extras = python["classes"], python["extras"]
        model._load_parameters(contents)
        return model


def load(path: str | os.PathLike[str]) -> SequenceModel | LSTM | RNN:
    """Read a model file.

    Parameters
    ----------
    path : path-like
        What `save` of a model or a layer wrote; what others wrote, `LSTM.from_state_dict` reads.

    Returns
    -------
    SequenceModel, LSTM or RNN

    Raises
    ------
    OSError
        If the file is not there or cannot be read.
    ValueError
        If it is damaged or not a model; no file can do more harm than that.

    Examples
    --------
    >>> import cylstm, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "layer.safetensors")
    ...     cylstm.LSTM(3, 4).save(path)
    ...     cylstm.load(path)
    LSTM(input_size=3, hidden_size=4)
    """
    try:
        with open(as_path(path), "rb") as file:
            contents = formats.decode(file)
        return _kind_of(contents)._from_contents(contents)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{as_path(path)}: expected a cylstm model: {error}") from error


def _kind_of(contents: formats.Contents) -> type[SequenceModel | LSTM | RNN]:
    if contents.network["task"] is not None:
        return SequenceModel
    return LSTM if contents.network["cell"] == "lstm" else RNN


# --- from the constructor's arguments to the core's, and back ------------------------------------


def _check_combination(config: Mapping[str, Any]) -> None:
    """ValueError for arguments that exclude each other."""
    if config["cell"] == "lstm" and config["nonlinearity"] != "tanh":
        raise ValueError("nonlinearity: expected 'tanh' with cell='lstm', got 'relu'")
    if config["cell"] != "lstm" and config["forget_bias"] is not None:
        raise ValueError(
            f"forget_bias: expected None with cell={config['cell']!r}, which has no gates, got "
            f"{config['forget_bias']}"
        )
    if config["fold"] > 1 and (config["pooling"] is None or config["input_size"] is None):
        raise ValueError(
            "fold: expected 1 for a model of tokens or without pooling, whose every step has a "
            f"target, got {config['fold']}"
        )
    if config["task"] != "language":
        return
    if config["vocab_size"] is None:
        raise ValueError("vocab_size: expected one for a language model, got None")
    needed = {"output_size": config["vocab_size"], "pooling": None, "bidirectional": False}
    for name, value in needed.items():
        if config[name] != value:
            raise ValueError(
                f"{name}: expected {value!r} for a language model, got {config[name]!r}"
            )


def _as_forget_bias(value: Any) -> float | None:
    if value is None or math.isfinite(as_number(value, "forget_bias")):
        return None if value is None else float(value)
    raise ValueError(f"forget_bias: expected a finite number, got {value}")


def _read_input_sizes(
    input_size: Any, vocab_size: Any, embedding_size: Any
) -> dict[str, int | None]:
    sizes = {"input_size": input_size, "vocab_size": vocab_size, "embedding_size": embedding_size}
    given = {name for name, size in sizes.items() if size is not None}
    if given not in ({"input_size"}, {"vocab_size", "embedding_size"}):
        raise ValueError(
            "input_size: expected either input_size or both vocab_size and embedding_size, got "
            f"{' and '.join(sorted(given)) or 'none of them'}"
        )
    return {name: as_size(size, name) if name in given else None for name, size in sizes.items()}


def _network_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the core builds a model's network from."""
    cell = "lstm" if config["cell"] == "lstm" else f"rnn_{config['nonlinearity']}"
    return {
        "cell": cell,
        "bias": True,
        "dropout": config["dropout"],
        "vocab_size": config["vocab_size"] or 0,
        "input_size": config["fold"] * (config["input_size"] or config["embedding_size"]),
        **{name: config[name] for name in _READ_BY_C},
    }


def _arguments_of(contents: formats.Contents) -> dict[str, Any]:
    """The constructor's arguments of the model in a file."""
    network, tokens = contents.network, contents.network["vocab_size"] > 0
    cell, _, nonlinearity = network["cell"].partition("_")
    newer = {name: contents.python.get(name, default) for name, default in _NEWER.items()}
    samples = as_size(newer["fold"], "python fold")
    if network["input_size"] % samples:
        raise ValueError(
            f"python fold: expected a divisor of {network['input_size']}, got {samples}"
        )
    return {
        "cell": cell,
        "nonlinearity": nonlinearity or "tanh",
        "input_size": None if tokens else network["input_size"] // samples,
        "vocab_size": network["vocab_size"] if tokens else None,
        "embedding_size": network["input_size"] if tokens else None,
        **{name: network[name] for name in ("task", *_READ_BY_C)},
        **{name: contents.python[name] for name in _PYTHON_ONLY},
        **newer,
    }


# --- scales, batches and scores ------------------------------------------------------------------


def _each(function: Callable[[Float32], Any], scores: Scores) -> Any:
    """A function of scores, of an array of them or of each in a list."""
    return [function(item) for item in scores] if isinstance(scores, list) else function(scores)
