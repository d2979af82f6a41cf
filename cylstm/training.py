"""`fit`: from what the user gives to a run of the trainer.

Shape letters: T steps, B sequences in a batch, N sequences in all, I inputs, O outputs.
"""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager
from numbers import Real
from typing import Any

import numpy as np

from . import data
from .arrays import Scale, as_flag, as_num_threads, as_seed
from .checkpoint import Checkpoint
from .dataset import Classes, Dataset, read_dataset
from .history import History
from .optim import Optimizer, get_optimizer
from .schedules import Schedule, get_schedule
from .trainer import SPLIT, Model, Plan, ProgressBar, Scales, Trainer

#: Steps of a chunk when a language model is trained on one long text.
DEFAULT_BPTT_STEPS = 100
#: A held-out text is cut into streams of at least so many chunks, so that their starts from a
#: state of zeros hardly count in its score.
VALIDATION_CHUNKS = 50
#: Fewer epochs than these may be no more than a beginning, and need no warning.
ENOUGH_EPOCHS = 5
#: What a training loss has to be below, of that of one answer for all inputs, to have learned.
LEARNED = 0.99
#: Targets that vary by less, in units of their scale, are constant but for rounding.
CONSTANT = 1e-9
#: Sequences of more steps are called long in advice.
LONG = 100


class ConvergenceWarning(UserWarning):
    """Training has ended, and the model is no better than the best answer that ignores its input.

    That is the mean of the targets, or the shares of the classes.
    """


def fit(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    lengths: Any = None,
    validation: Any = None,
    epochs: int = 20,
    batch_size: int = 32,
    optimizer: str | Optimizer = "adam",
    learning_rate: float | None = None,
    clip_norm: float | None = 1.0,
    schedule: str | Schedule = "constant",
    warmup: int = 0,
    bptt_steps: int | None = None,
    checkpoint_every: int | None = None,
    patience: int | None = None,
    scale_inputs: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    seed: int | None = None,
    num_threads: int | None = None,
    progress: bool | None = None,
) -> History:
    """Train a model; this is ``SequenceModel.fit``.

    The loss is the task's: cross-entropy (binary where there is one output), mean squared error,
    or cross-entropy of the next token. Steps past a sequence's length never count. A regression's
    targets are standardised by the mean and deviation of the training part, which the model keeps
    as its `output_scale` (one that it has already is left as it is); its losses are in those units.

    Parameters
    ----------
    model : SequenceModel
    x : array (T, B, I), list of N arrays (T_n, I), or without I for tokens
        (B, T, I) where the model is batch_first. A language model may be given one text as an
        array (T,): it is cut into `batch_size` streams that are read side by side.
    y : array or list, optional
        A label or number, or an array (O,), for each sequence where the model is pooled, otherwise
        for each step, in the layout of x. None for a language model.
    lengths : int array (B,), optional
        Steps of each sequence of a padded x.
    validation : float, (x, y) or (x, y, lengths), optional
        The part to judge by. A fraction sets random sequences aside, or with carried state (see
        `bptt_steps`) the end of each. A language model may be given just another x.
    epochs : int
        How many times to go through the training part, at most.
    batch_size : int
        Sequences in a batch, at most; those of similar length go together.
    optimizer : {"adam", "adamw", "rmsprop", "sgd"} or Optimizer
        An optimiser that has stepped this model before goes on with its slots.
    learning_rate : float, optional
        For an optimiser given by name; by default 1e-3 for Adam and AdamW, 1e-2 for RMSprop and
        1e-1 for SGD.
    clip_norm : float or None
        Gradients of a greater global norm are scaled down to it; None: never.
    schedule : {"constant", "cosine", "step", "plateau"} or Schedule
        What the learning rate is multiplied by: :class:`cylstm.Constant`,
        :class:`cylstm.Cosine`, :class:`cylstm.StepDecay`, :class:`cylstm.ReduceOnPlateau`, or what
        has their `factor`.
    warmup : int
        Optimiser steps over which the learning rate rises linearly to its value.
    bptt_steps : int, optional
        Cut sequences into chunks of so many steps, with one optimiser step for each, and carry the
        state from chunk to chunk (truncated back-propagation through time). By default 100 for a
        single text, otherwise whole sequences.
    checkpoint_every : int, optional
        Save memory on long sequences: keep of the forward pass a state every so many steps, and
        compute what lies between again in the backward pass (see `LSTM.record`). The results are
        the same bits. Not to be confused with `checkpoint`.
    patience : int, optional
        Stop when the monitored loss (of validation, else of training) has not improved for so many
        epochs. The model then gets, whenever training ends, the best epoch's weights; without
        patience, the last one's.
    scale_inputs : bool
        Learn the mean and deviation of numeric inputs from the training part and store them in the
        model, unless it has an `input_scale` already.
    checkpoint : path, optional
        File to write after each epoch, atomically.
    resume : bool
        Go on from the checkpoint if the file exists. Arguments must be the same, x and y (by a
        digest) included, but for `epochs` and `patience`; training then ends with the same bits as
        if it had not been stopped. A schedule of your own is told by its class and attributes.
    seed : int, optional
        Of shuffles, dropout and a random validation part; a random one by default.
    num_threads : int, optional
    progress : bool, optional
        Show a progress bar; by default where stderr is a terminal.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        When an argument is of no use (NaN and infinity in x and y are refused); nothing has
        changed then.
    OSError
        When the checkpoint cannot be read or written.
    DivergenceError
        A FloatingPointError: the loss, its gradient or the weights became NaN or infinite. The
        model has the best weights that it had before, at worst those it started with.

    Warns
    -----
    ConvergenceWarning
        When after five epochs or more the training loss is that of one answer for all inputs.

    Notes
    -----
    Ctrl-C ends training and returns the history, its `stopped` being "interrupted". The model then
    has the best epoch's weights (in the first epoch: those of the last step).
    """
    if progress is not None:
        as_flag(progress, "progress")
    saved = _load_checkpoint(checkpoint, resume)
    plan = Plan(
        epochs=epochs,
        batch_size=batch_size,
        clip_norm=clip_norm,
        schedule=get_schedule(schedule),
        warmup=warmup,
        bptt_steps=_choose_bptt_steps(model, x, bptt_steps),
        checkpoint_every=checkpoint_every,
        patience=patience,
        seed=as_seed(saved.seed if saved and seed is None else seed),
        num_threads=as_num_threads(num_threads),
        checkpoint=checkpoint,
    )
    training, held_out, classes = _read(model, plan, x, y, lengths, validation)
    scales = saved.scales if saved else _learn_scales(model, training, scale_inputs)
    both = [_scale_of(scales, name) for name in ("input_scale", "output_scale")]
    training = training.standardised(*both)
    held_out = held_out and held_out.standardised(*both)
    updates = get_optimizer(optimizer, learning_rate)
    trainer = Trainer(model, plan, updates, training, held_out, scales)
    if saved:
        trainer.resume(saved)
    if classes is not None and model.classes is None and classes != range(len(classes)):
        model.classes = classes
    try:
        with _progress_bar(progress, trainer) as bar:
            trainer.run(bar)
        _warn_unless_learned(trainer)
    except KeyboardInterrupt:
        trainer.finish("interrupted")
    return trainer.history


def _warn_unless_learned(trainer: Trainer) -> None:
    losses = trainer.history.loss
    if len(losses) < ENOUGH_EPOCHS:
        return
    ignorant = trainer.loss.of_one_answer(trainer.training.target_rows)
    if ignorant < CONSTANT or min(losses) < LEARNED * ignorant:
        return
    advice = "Try more epochs or another learning_rate."
    if trainer.training.pooled and trainer.lengths.mean() > LONG:
        advice = (
            "Try fold= and forget_bias=1.0 for such long sequences, and more epochs (see the guide "
            "to long series)."
        )
    warnings.warn(
        f"fit: the training loss is {min(losses):.4g}, no better than {ignorant:.4g}, which one "
        f"answer for every x has: nothing was learned of x. {advice}",
        ConvergenceWarning,
        stacklevel=3,
    )


def _load_checkpoint(path: str | os.PathLike[str] | None, resume: bool) -> Checkpoint | None:
    if path is None:
        if as_flag(resume, "resume"):
            raise ValueError("checkpoint: expected the file to resume from, got None")
        return None
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"checkpoint: expected a path, got {path!r}")
    if not os.fspath(path):
        raise ValueError("checkpoint: expected a path, got an empty one")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"checkpoint: expected a file, or none yet, {path} is neither")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):  # said now rather than after the first epoch
        raise FileNotFoundError(f"checkpoint: expected a file in a directory, {folder} is none")
    return Checkpoint.load(path) if as_flag(resume, "resume") and os.path.exists(path) else None


def _is_one_text(model: Model, x: Any) -> bool:
    language = model.config["task"] == "language"
    return language and not isinstance(x, list | tuple) and np.ndim(x) == 1


def _choose_bptt_steps(model: Model, x: Any, bptt_steps: int | None) -> int | None:
    config = model.config
    if bptt_steps is None:
        return DEFAULT_BPTT_STEPS if _is_one_text(model, x) else None
    if config["bidirectional"] or config["pooling"] is not None:
        raise ValueError(
            "bptt_steps: expected None for a model that is bidirectional or pooled, "
            f"which needs whole sequences, got {bptt_steps}"
        )
    return bptt_steps


def _read(
    model: Model, plan: Plan, x: Any, y: Any, lengths: Any, validation: Any
) -> tuple[Dataset, Dataset | None, Classes | None]:
    """The training part, the validation part and the classes."""
    training, classes = read_dataset(model.config, model.classes, x, y, lengths)
    held_out = None
    if isinstance(validation, Real):
        if plan.bptt_steps is None:
            training, held_out = training.split(float(validation), plan.rng(SPLIT))
        else:
            training, held_out = training.split_in_time(float(validation))
    elif validation is not None:
        arguments = _as_arguments(model, validation)
        held_out, _ = read_dataset(model.config, classes, *arguments, prefix="validation ")
    if plan.bptt_steps is not None and _is_one_text(model, x):
        training = training.streams(plan.batch_size)
        if held_out is not None and len(held_out.inputs) == 1:
            most = len(held_out.inputs[0]) // (VALIDATION_CHUNKS * plan.bptt_steps)
            held_out = held_out.streams(min(plan.batch_size, max(most, 1)))
    return training, held_out, classes


def _as_arguments(model: Model, validation: Any) -> tuple[Any, Any, Any]:
    """x, y and lengths of a validation part."""
    if model.config["task"] == "language" and not isinstance(validation, tuple):
        return validation, None, None
    if not isinstance(validation, tuple) or len(validation) not in (2, 3):
        raise TypeError(
            "validation: expected a fraction, (x, y) or (x, y, lengths), got "
            f"{type(validation).__name__}"
        )
    x, y, lengths = (*validation, None)[:3]
    return x, y, lengths


def _learn_scales(model: Model, training: Dataset, scale_inputs: bool) -> Scales:
    """The scales that the model has, and those that it needs, from the training part alone."""
    config = model.config
    scales = {"input_scale": model.input_scale, "output_scale": model.output_scale}
    numeric = config["vocab_size"] is None
    if as_flag(scale_inputs, "scale_inputs") and numeric and model.input_scale is None:
        scales["input_scale"] = data.scaling(training.inputs, "x")
    if config["task"] == "regression" and model.output_scale is None:
        scales["output_scale"] = data.scaling(training.target_rows, "y", predicted=True)
    return {name: np.stack(scale) for name, scale in scales.items() if scale is not None}


def _scale_of(scales: Scales, name: str) -> Scale | None:
    return (scales[name][0], scales[name][1]) if name in scales else None


def _progress_bar(progress: bool | None, trainer: Trainer) -> AbstractContextManager[ProgressBar]:
    """A tqdm bar over all epochs; None: shown where stderr is a terminal."""
    from tqdm import tqdm

    return tqdm(
        total=trainer.items * trainer.plan.epochs,
        initial=trainer.items * len(trainer.history),
        unit=f" {trainer.history.unit}",
        unit_scale=True,
        dynamic_ncols=True,
        disable=None if progress is None else not progress,
    )
