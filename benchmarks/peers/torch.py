"""PyTorch, eager, as its documentation uses it: nn.LSTM, packed sequences, fused Adam."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks import characters
from benchmarks.characters import Characters
from benchmarks.peers.base import NotOfferedError, Peer, Stepper, Task, training_outputs
from benchmarks.problem import LEARNING_RATE, Problem

State = tuple[torch.Tensor, torch.Tensor]
Forward = Callable[[torch.Tensor], tuple[torch.Tensor, State]]


class Torch(Peer):
    """torch.nn.LSTM; sequences of unequal length go through PackedSequence."""

    def inference(self, problem: Problem, threads: int) -> Task:
        lstm = make_lstm(problem, threads)
        return inference_task(problem, lstm, packed(problem, lstm))

    def training(self, problem: Problem, threads: int, need_dx: bool) -> Task:
        lstm = make_lstm(problem, threads)
        return training_task(problem, lstm, packed(problem, lstm), need_dx)

    def stream(self, problem: Problem, threads: int) -> Stepper:
        """LSTMCell: it takes a quarter of the time of nn.LSTM over one step."""
        torch.set_num_threads(threads)
        cell = torch.nn.LSTMCell(problem.cell.inputs, problem.cell.hidden)
        load(cell, {name.removesuffix("_l0"): w for name, w in problem.weights.items()})
        h, c = torch.zeros(2, problem.cell.batch, problem.cell.hidden)

        def step(x_t: np.ndarray) -> np.ndarray:
            nonlocal h, c
            with torch.inference_mode():
                h, c = cell(torch.from_numpy(x_t), (h, c))
            return h.numpy()

        return step

    def characters(self, problem: Characters, threads: int) -> Task:
        torch.set_num_threads(threads)
        model = CharacterModel()
        load(model, problem.weights)
        adam = torch.optim.Adam(model.parameters(), lr=characters.LEARNING_RATE, fused=True)
        tokens = torch.from_numpy(problem.tokens).long()
        inputs, targets = (
            part.reshape(characters.BATCH, -1).T.contiguous().split(characters.STEPS)
            for part in (tokens[:-1], tokens[1:])
        )

        def run() -> list[float]:
            state, losses = None, []
            for x, y in zip(inputs, targets, strict=True):
                scores, (h, c) = model(x, state)
                state = h.detach(), c.detach()
                loss = cross_entropy(scores.flatten(0, 1), y.flatten())
                adam.zero_grad()
                loss.backward()
                clip_grad_norm_(model.parameters(), characters.CLIP)
                adam.step()
                losses.append(loss.item())
            return losses

        return Task(run, lambda: {"loss": np.asarray(np.mean(run()))})


class TorchPadded(Peer):
    """torch.nn.LSTM run over the padding of sequences of unequal length.

    Its outputs there have to be masked, which is timed in training alone.
    """

    def inference(self, problem: Problem, threads: int) -> Task:
        if problem.lengths is None:
            raise NotOfferedError
        lstm = make_lstm(problem, threads)
        task = inference_task(problem, lstm, lstm)
        # The state after the padding is not the sequences' final one.
        return Task(task.run, lambda: {"y": task.outputs()["y"] * problem.mask})

    def training(self, problem: Problem, threads: int, need_dx: bool) -> Task:
        if problem.lengths is None:
            raise NotOfferedError
        lstm = make_lstm(problem, threads)
        mask = torch.from_numpy(problem.mask)

        def forward(x: torch.Tensor) -> tuple[torch.Tensor, State]:
            y, state = lstm(x)
            return y * mask, state

        return training_task(problem, lstm, forward, need_dx)


class CharacterModel(torch.nn.Module):
    """Embedding, LSTM and linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(characters.VOCABULARY, characters.EMBEDDING)
        self.recurrent = torch.nn.LSTM(characters.EMBEDDING, characters.HIDDEN)
        self.head = torch.nn.Linear(characters.HIDDEN, characters.VOCABULARY)

    def forward(self, tokens: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """Scores (T, B, V) of the next character, and the state to carry."""
        y, state = self.recurrent(self.embedding(tokens), state)
        return self.head(y), state


def make_lstm(problem: Problem, threads: int) -> torch.nn.LSTM:
    """The cell's network with the problem's weights."""
    torch.set_num_threads(threads)
    cell = problem.cell
    lstm = torch.nn.LSTM(cell.inputs, cell.hidden, cell.layers, bidirectional=cell.bidirectional)
    load(lstm, problem.weights)
    return lstm


def load(module: torch.nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Copy weights into a module."""
    module.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})


def packed(problem: Problem, lstm: torch.nn.LSTM) -> Forward:
    """The forward call, through PackedSequence where lengths differ."""
    if problem.lengths is None:
        return lstm
    lengths = torch.from_numpy(problem.lengths)

    def forward(x: torch.Tensor) -> tuple[torch.Tensor, State]:
        y, state = lstm(pack_padded_sequence(x, lengths))
        return pad_packed_sequence(y)[0], state

    return forward


def inference_task(problem: Problem, lstm: torch.nn.LSTM, forward: Forward) -> Task:
    """Forward in inference mode."""
    lstm.eval()
    x = torch.from_numpy(problem.x)

    def run() -> tuple[torch.Tensor, State]:
        with torch.inference_mode():
            return forward(x)

    def outputs() -> dict[str, np.ndarray]:
        y, (h, c) = run()
        return {"y": y.numpy(), "h": h.numpy(), "c": c.numpy()}

    return Task(run, outputs)


def training_task(problem: Problem, lstm: torch.nn.LSTM, forward: Forward, need_dx: bool) -> Task:
    """Forward, loss, backward and fused Adam."""
    adam = torch.optim.Adam(lstm.parameters(), lr=LEARNING_RATE, fused=True)
    x = torch.tensor(problem.x, requires_grad=need_dx)
    target = torch.from_numpy(problem.target)

    def run() -> torch.Tensor:
        adam.zero_grad()
        x.grad = None
        loss = mse_loss(forward(x)[0], target)
        loss.backward()
        adam.step()
        return loss

    def outputs() -> dict[str, np.ndarray]:
        run()
        loss = run().item()
        gradients = {name: np.asarray(p.grad) for name, p in lstm.named_parameters()}
        after = {name: p.detach().numpy() for name, p in lstm.named_parameters()}
        dx = np.asarray(x.grad) if need_dx else None
        return training_outputs(loss, gradients, problem.weights, after, dx)

    return Task(run, outputs)
