"""The training loop under `fit`: steps, epochs, early stopping, checkpoints and exact resume.

All that is random (the shuffle of an epoch, the dropout of a step) is drawn from the seed and a
counter, and schedules and early stopping look only at the history. So a run that goes on from the
end of an epoch needs the weights, the optimiser's slots and the history, and ends with the same
bits as one that was never stopped.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from . import _core, data
from .arrays import Float32, as_finite, as_number, as_size
from .checkpoint import Checkpoint, describe, digest
from .dataset import Batch, Classes, Dataset, Indices
from .history import History
from .losses import SCORE_NAMES, Loss, Mean
from .optim import Optimizer
from .schedules import Schedule, warm_up

#: What a random draw is for; with the seed and a counter it makes the key.
SPLIT, SHUFFLE, DROPOUT = range(3)

#: "input_scale" and "output_scale" of a model, as far as it has them: rows mean and deviation.
Scales = Mapping[str, Float32]
State = tuple[Float32, ...] | None


class Model(Protocol):
    """What training needs of a SequenceModel."""

    _network: Any
    classes: Classes | None

    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def input_scale(self) -> tuple[Float32, Float32] | None: ...
    @property
    def output_scale(self) -> tuple[Float32, Float32] | None: ...
    def set_input_scale(self, mean: Any, std: Any) -> None: ...
    def set_output_scale(self, mean: Any, std: Any) -> None: ...


class DivergenceError(FloatingPointError):
    """The loss, its gradient or the weights became NaN or infinite.

    Attributes
    ----------
    history : History
        The epochs that finished.
    """

    history: History


@dataclass(frozen=True)
class Plan:
    """How to train: the arguments of `fit` that the loop needs, checked."""

    epochs: int
    batch_size: int
    clip_norm: float | None
    schedule: Schedule
    warmup: int
    bptt_steps: int | None
    checkpoint_every: int | None
    patience: int | None
    seed: int
    num_threads: int
    checkpoint: str | os.PathLike[str] | None

    def __post_init__(self) -> None:
        as_size(self.epochs, "epochs")
        as_size(self.batch_size, "batch_size")
        as_size(self.warmup, "warmup", minimum=0)
        for name in ("bptt_steps", "checkpoint_every", "patience"):
            if getattr(self, name) is not None:
                as_size(getattr(self, name), name)
        if self.clip_norm is not None and not as_number(self.clip_norm, "clip_norm") > 0.0:
            raise ValueError(f"clip_norm: expected a number above 0, or None, got {self.clip_norm}")

    def rng(self, purpose: int, counter: int = 0) -> np.random.Generator:
        """The generator of one random draw."""
        return np.random.default_rng((self.seed, purpose, counter))

    def dropout_key(self, step: int) -> int:
        """Key of a step's dropout masks: 63 bits and never 0, which would mean no dropout."""
        words = np.random.SeedSequence((self.seed, DROPOUT, step)).generate_state(1, np.uint64)
        return int(words[0]) >> 1 | 1


class ProgressBar(Protocol):
    """What the loop tells a tqdm bar."""

    def update(self, n: float) -> Any: ...
    def set_description_str(self, desc: str, refresh: bool) -> Any: ...
    def set_postfix(self, ordered_dict: Mapping[str, str], refresh: bool) -> Any: ...


class Trainer:
    """One run of `fit`; making it changes nothing yet."""

    def __init__(
        self,
        model: Model,
        plan: Plan,
        optimizer: Optimizer,
        training: Dataset,
        validation: Dataset | None,
        scales: Scales,
    ) -> None:
        self.model, self.plan, self.optimizer, self.scales = model, plan, optimizer, scales
        self.training, self.validation = training, validation
        self.network = model._network
        self.scratch = _core.Scratch()
        self.lengths = training.lengths
        optimizer.bind(self.network)
        _, output_std = scales.get("output_scale", (None, None))
        self.loss = Loss.of(model.config, output_std)
        self.history = History(SCORE_NAMES[self.loss.task], self._unit())
        self.best_weights: Float32 = self.network.vector.copy()
        # The best weights that a step has started from without harm. Those of an epoch that has
        # just ended are not known to be good: its loss was that of the weights before its steps.
        self.good_weights = self.best_weights
        self.step = 0
        self.learning_rate = optimizer.learning_rate
        self.settings = self._settings()

    def _unit(self) -> str:
        if self.loss.task == "language":
            return "tokens"
        return "sequences" if self.plan.bptt_steps is None else "steps"

    def _settings(self) -> dict[str, str]:
        """What has to be the same when the run goes on, in words."""
        names = ("batch_size", "clip_norm", "schedule", "warmup", "bptt_steps", "seed")
        config = {key: value for key, value in self.model.config.items() if key != "seed"}
        clip_norm = self.plan.clip_norm
        given = {name: getattr(self.plan, name) for name in names}
        given["clip_norm"] = None if clip_norm is None else float(clip_norm)
        given |= {"model": config, "optimizer": self.optimizer}
        return {name: describe(value) for name, value in given.items()} | self._describe_data()

    def _describe_data(self) -> dict[str, str]:
        """The size of x and y; where a checkpoint is written, their digests, which take time."""
        parts = [part for part in (self.training, self.validation) if part is not None]
        held_out = 0 if self.validation is None else len(self.validation.inputs)
        size = f"{len(self.lengths)} + {held_out} sequences of {self.lengths.sum()} steps"
        found = {"x": size, "y": size}
        if self.plan.checkpoint is not None:
            found["x"] += f", digest {digest(x for part in parts for x in part.inputs)}"
            found["y"] += (
                f", digest {digest(np.asarray(y) for part in parts for y in part.targets)}"
            )
        return found

    @property
    def items(self) -> int:
        """How many of the history's units there are in an epoch."""
        return len(self.lengths) if self.history.unit == "sequences" else int(self.lengths.sum())

    # --- the run

    def resume(self, saved: Checkpoint) -> None:
        """Go on where a run stopped; ValueError, with nothing changed, if it was another run."""
        for name, value in self.settings.items():
            if saved.settings.get(name) != value:
                raise ValueError(
                    f"resume: expected the checkpoint's {name}, {saved.settings.get(name)}, "
                    f"got {value}"
                )
        shape = self.best_weights.shape
        weights = as_finite(saved.weights, "checkpoint weights", shape)
        best_weights = as_finite(saved.best_weights, "checkpoint best_weights", shape)
        self.optimizer.load_state_dict(saved.optimizer)
        self._set_weights(weights)
        self.best_weights = self.good_weights = best_weights
        self.history = saved.history
        self.step = sum(self.history.steps)

    def run(self, bar: ProgressBar) -> None:
        """Train until an end is reached, and leave the weights that it earned in the model."""
        try:
            for name, scale in self.scales.items():
                getattr(self.model, f"set_{name}")(*scale)
            self.finish(self._run_epochs(bar))
        except DivergenceError as error:
            self.finish("diverged")
            error.history = self.history
            raise
        finally:
            self.optimizer.learning_rate = self.learning_rate

    def _run_epochs(self, bar: ProgressBar) -> str:
        """Train until an end is reached; why it ended."""
        patience = math.inf if self.plan.patience is None else self.plan.patience
        while len(self.history) < self.plan.epochs:
            if len(self.history) - 1 - self.history.best_epoch >= patience:
                return "patience"
            self._run_epoch(bar)
        return "epochs"

    def finish(self, reason: str) -> None:
        """End the run; once more, as "interrupted", if a Ctrl-C came at any time during `run`."""
        self.optimizer.learning_rate = self.learning_rate
        self.history = replace(self.history, stopped=reason)
        if reason == "diverged" or not math.isfinite(_core.global_norm(self.network.vector)):
            self._set_weights(self.good_weights)
        elif len(self.history) and (reason == "interrupted" or self.plan.patience is not None):
            self._set_weights(self.best_weights)

    def _set_weights(self, weights: Float32) -> None:
        self.network.assign_vector(weights)

    def _save(self) -> None:
        if self.plan.checkpoint is not None:
            Checkpoint(
                settings=self.settings,
                seed=self.plan.seed,
                weights=self.network.vector.copy(),
                best_weights=self.best_weights,
                scales=self.scales,
                optimizer=self.optimizer.state_dict(),
                history=self.history,
            ).save(self.plan.checkpoint)

    # --- an epoch

    def _run_epoch(self, bar: ProgressBar) -> None:
        started = time.perf_counter()
        measured = self._train(bar)
        seconds = time.perf_counter() - started
        validation_loss, score = self._validate()
        history = self.history.extended(
            **measured,
            validation_loss=validation_loss,
            validation_score=score,
            learning_rate=self.optimizer.learning_rate,
            seconds=seconds,
            speed=self.items / seconds,
        )
        best = history.best_epoch == len(self.history)
        weights = self.network.vector.copy() if best else self.best_weights
        self.best_weights, self.history = weights, history  # a Ctrl-C comes before both or after
        self._save()

    def _train(self, bar: ProgressBar) -> dict[str, Any]:
        """Take the steps of an epoch; its loss, gradient norm and number of steps."""
        epoch, loss, norm = len(self.history), Mean(), Mean()
        batches = data.batches(self.lengths, self.plan.batch_size, self.plan.rng(SHUFFLE, epoch))
        steps = sum(self._count_chunks(self.lengths[indices].max()) for indices in batches)
        losses = self.history.monitored
        bar.set_description_str(f"epoch {epoch + 1}/{self.plan.epochs}", refresh=False)
        for indices in batches:
            state = None
            for chunk in self.training.chunks(indices, self.plan.bptt_steps):
                self._set_learning_rate(epoch + norm.weight / steps, losses)
                chunk_loss, chunk_norm, state = self._step(chunk, state)
                loss.add(chunk_loss, chunk.rows)
                norm.add(chunk_norm, 1)
                bar.set_postfix(self._postfix(loss.value), refresh=False)
                bar.update(len(indices) if self.history.unit == "sequences" else chunk.rows)
        return {"loss": loss.value, "gradient_norm": norm.value, "steps": steps}

    def _count_chunks(self, length: int) -> int:
        return 1 if self.plan.bptt_steps is None else -(-int(length) // self.plan.bptt_steps)

    def _set_learning_rate(self, epoch: float, losses: Sequence[float]) -> None:
        factor = self.plan.schedule.factor(epoch, self.plan.epochs, losses)
        factor *= warm_up(self.step, self.plan.warmup)
        self.optimizer.learning_rate = self.learning_rate * factor

    def _step(self, chunk: Batch, state: State) -> tuple[float, float, State]:
        """Take one optimiser step; the loss, the gradient's norm and the state to carry on."""
        threads = self.plan.num_threads
        key = self.plan.dropout_key(self.step)
        every = self.plan.checkpoint_every or 0
        scores, state, tape = self.network.record(
            chunk.x, state, chunk.lengths, key, every, threads, self.scratch
        )
        loss, dscores = self.loss(scores, chunk, self.scratch)
        self._require_finite("loss", loss)
        self.network.zero_grad()
        self.network.backward(tape, dscores, None, None, False, threads)
        norm = self.optimizer.step(self.model, self.plan.clip_norm)
        self._require_finite("norm of the gradient", norm)
        self.good_weights = self.best_weights
        self.step += 1
        return loss, norm, state

    def _validate(self) -> tuple[float, float]:
        self._require_finite("norm of the weights", _core.global_norm(self.network.vector))
        if self.validation is None:
            return math.nan, math.nan
        plan = self.plan
        loss, score = evaluate(
            self.network,
            self.validation,
            self.loss,
            data.batches(self.validation.lengths, plan.batch_size),
            bptt_steps=plan.bptt_steps,
            num_threads=plan.num_threads,
            scratch=self.scratch,
        )
        self._require_finite("validation loss", loss)
        return loss, score

    def _require_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        raise DivergenceError(
            f"the {what} became {value} in epoch {len(self.history) + 1}, at step {self.step + 1} "
            f"(learning rate {self.optimizer.learning_rate:.3g}, clip_norm {self.plan.clip_norm})."
            " Try a lower learning_rate or clip_norm, or look for extreme values in x and y. The "
            "model has the best weights that it had before."
        )

    def _postfix(self, loss: float) -> dict[str, str]:
        shown = {"loss": f"{loss:.4f}"}
        if self.validation is not None and len(self.history):
            shown[self.history.score_name] = f"{self.history.validation_score[-1]:.4g}"
        return shown


def evaluate(
    network: Any,
    dataset: Dataset,
    loss: Loss,
    batches: Sequence[Indices],
    *,
    bptt_steps: int | None = None,
    num_threads: int = 0,
    scratch: _core.Scratch | None = None,
) -> tuple[float, float]:
    """Mean loss and score over a dataset cut into these batches, without dropout."""
    losses, scores, scratch = Mean(), Mean(), scratch or _core.Scratch()
    for indices in batches:
        state = None
        for chunk in dataset.chunks(indices, bptt_steps):
            outputs, state = network.forward(
                chunk.x, state, chunk.lengths, num_threads, scratch=scratch
            )
            value, _ = loss(outputs, chunk, scratch)
            losses.add(value, chunk.rows)
            scores.add(loss.score(value, outputs, chunk), chunk.rows)
    return losses.value, scores.value
