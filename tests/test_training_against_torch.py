"""Fifty optimiser steps of `fit` and of PyTorch from the same weights: the same curve of losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import cylstm

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # its threads gain nothing here, and crawl where the cores are busy

STEPS = 50
WITHIN = 1e-3


@dataclass(frozen=True)
class Pair:
    """The same optimiser twice."""

    ours: Callable[[], cylstm.optim.Optimizer]
    theirs: Callable[[list], torch.optim.Optimizer]
    clip_norm: float | None = None


def sgd(clip_norm: float | None = None, **options) -> Pair:
    return Pair(
        lambda: cylstm.SGD(0.3, **options),
        lambda parameters: torch.optim.SGD(parameters, 0.3, **options),
        clip_norm,
    )


def rmsprop(**options) -> Pair:
    return Pair(
        lambda: cylstm.RMSprop(2e-3, **options),
        lambda parameters: torch.optim.RMSprop(parameters, 2e-3, **options),
    )


def adam(kind: str, **options) -> Pair:
    return Pair(
        lambda: getattr(cylstm, kind)(5e-3, **options),
        lambda parameters: getattr(torch.optim, kind)(parameters, 5e-3, **options),
    )


OPTIMIZERS = {
    "sgd": sgd(),
    "sgd-decay": sgd(weight_decay=0.01),
    "sgd-clipped": sgd(clip_norm=0.1),
    "momentum": sgd(momentum=0.8, weight_decay=0.01),
    "nesterov": sgd(momentum=0.8, nesterov=True, weight_decay=0.01),
    "rmsprop": rmsprop(),
    "rmsprop-momentum": rmsprop(momentum=0.5, alpha=0.9, eps=1e-6, weight_decay=0.01),
    "adam": adam("Adam"),
    "adam-decay": adam("Adam", betas=(0.8, 0.99), eps=1e-6, weight_decay=0.01),
    "adamw": adam("AdamW", weight_decay=0.1),
}


class Classifier(torch.nn.Module):
    """A SequenceModel's embedding, stack and head in PyTorch, by the same names."""

    def __init__(self, inputs: int, hidden: int, layers: int, outputs: int) -> None:
        super().__init__()
        self.recurrent = torch.nn.LSTM(inputs, hidden, layers)
        self.head = torch.nn.Linear(hidden, outputs)

    def forward(self, sequences: list) -> torch.Tensor:
        packed = torch.nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
        _, (h, _) = self.recurrent(packed)
        return self.head(h[-1])


class LanguageModel(torch.nn.Module):
    def __init__(self, vocabulary: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, embedding)
        self.recurrent = torch.nn.LSTM(embedding, hidden, batch_first=True)
        self.head = torch.nn.Linear(hidden, vocabulary)

    def forward(self, tokens: torch.Tensor, state) -> tuple[torch.Tensor, tuple]:
        hidden, state = self.recurrent(self.embedding(tokens), state)
        return self.head(hidden), state


def copy_weights(model: cylstm.SequenceModel, module: torch.nn.Module) -> None:
    module.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})


def take_step(module, optimizer, loss: torch.Tensor, clip_norm: float | None) -> float:
    optimizer.zero_grad()
    loss.backward()
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    optimizer.step()
    return loss.item()


def assert_same_curve(ours: list[float], theirs: list[float]) -> None:
    """Within 1e-3 at each step, and neither of them idle."""
    assert len(ours) == len(theirs) == STEPS
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=WITHIN)
    assert max(theirs) - min(theirs) > 100 * WITHIN


@pytest.mark.parametrize("pair", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_fifty_steps_follow_torch(pair):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(steps, 5)).astype(np.float32) for steps in rng.integers(3, 12, size=24)]
    labels = rng.integers(4, size=len(x))
    model = cylstm.SequenceModel(
        task="classification",
        input_size=5,
        hidden_size=16,
        num_layers=2,
        pooling="last",
        output_size=4,
        seed=1,
    )
    module = Classifier(5, 16, 2, 4)
    copy_weights(model, module)

    history = model.fit(
        x,
        labels,
        epochs=STEPS,
        batch_size=len(x),
        optimizer=pair.ours(),
        clip_norm=pair.clip_norm,
        scale_inputs=False,
        seed=0,
    )
    sequences, targets = [torch.from_numpy(sequence) for sequence in x], torch.from_numpy(labels)
    optimizer = pair.theirs(module.parameters())
    theirs = []
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(module(sequences), targets)
        theirs.append(take_step(module, optimizer, loss, pair.clip_norm))
    assert_same_curve(history.loss, theirs)


def test_fifty_steps_with_carried_state_follow_torch():
    streams, chunk = 4, 7
    rng = np.random.default_rng(0)
    text = np.repeat(rng.integers(11, size=streams * chunk * 5), 2)[: streams * chunk * 5 + 1]
    model = cylstm.SequenceModel(
        task="language", vocab_size=11, embedding_size=6, hidden_size=16, output_size=11, seed=1
    )
    module = LanguageModel(11, 6, 16)
    copy_weights(model, module)

    history = model.fit(
        text,
        epochs=STEPS // 5,
        batch_size=streams,
        bptt_steps=chunk,
        optimizer=cylstm.Adam(2e-2),
        clip_norm=0.5,
        seed=0,
    )
    pieces = torch.from_numpy(text[:-1]), torch.from_numpy(text[1:])
    inputs, targets = (piece.reshape(streams, -1) for piece in pieces)
    optimizer = torch.optim.Adam(module.parameters(), 2e-2)
    epochs = []
    for _ in range(STEPS // 5):
        state, losses = None, []
        for start in range(0, inputs.shape[1], chunk):
            part = slice(start, start + chunk)
            scores, state = module(inputs[:, part], state)
            state = tuple(each.detach() for each in state)
            loss = torch.nn.functional.cross_entropy(
                scores.flatten(0, 1), targets[:, part].flatten()
            )
            losses.append(take_step(module, optimizer, loss, 0.5))
        epochs.append(np.mean(losses))
    assert sum(history.steps) == STEPS
    np.testing.assert_allclose(history.loss, epochs, rtol=0, atol=WITHIN)
