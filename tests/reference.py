"""The tests' oracle: a slow, obvious float64 version of what the C core computes.

Sequences are taken one at a time and step by step, so that unequal lengths need no masks and the
reverse direction is the same sequence read backwards. Forward stands beside backward. Parameters
are mappings named as PyTorch names them; a bias that is not in the mapping is not there.

Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions, O outputs,
V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

Parameters = Mapping[str, np.ndarray]


def exact(a) -> np.ndarray:
    return np.asarray(a, dtype=float)


def sigmoid(a: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -a))  # 1 / (1 + exp(-a)), which could overflow


# --- one step of one cell: pre-activations a and the old cell state in, h and c out -------------


class LSTMCell:
    """Hochreiter and Schmidhuber's cell with the forget gate of Gers et al.; gates i, f, g, o."""

    gates = 4

    @staticmethod
    def activate(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        i, f, g, o = np.split(a, 4)
        return sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)

    def forward(self, a: np.ndarray, c_old: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        i, f, g, o = self.activate(a)
        c = f * c_old + i * g
        return o * np.tanh(c), c

    def backward(
        self, a: np.ndarray, c_old: np.ndarray, dh: np.ndarray, dc: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of a and of the old cell state, from those of h and of the new one."""
        i, f, g, o = self.activate(a)
        tanh_c = np.tanh(f * c_old + i * g)
        dc = dc + dh * o * (1 - tanh_c**2)
        di, df, dg, do = dc * g, dc * c_old, dc * i, dh * tanh_c
        da = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)]
        return np.concatenate(da), dc * f


@dataclass(frozen=True)
class RNNCell:
    """Elman's cell. It has no cell state: c passes through untouched."""

    activation: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    gates = 1

    def forward(self, a: np.ndarray, c_old: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.activation(a), c_old

    def backward(
        self, a: np.ndarray, c_old: np.ndarray, dh: np.ndarray, dc: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return dh * self.slope(a), dc


CELLS: dict[str, LSTMCell | RNNCell] = {
    "lstm": LSTMCell(),
    "rnn_tanh": RNNCell(np.tanh, lambda a: 1 - np.tanh(a) ** 2),
    "rnn_relu": RNNCell(lambda a: np.maximum(a, 0), lambda a: (a > 0).astype(float)),
}


# --- one sequence through one direction of one layer ---------------------------------------------


class Weights(NamedTuple):
    """The four tensors of one direction of one layer; names has their keys, in this order."""

    names: list[str]
    ih: np.ndarray
    hh: np.ndarray
    bias: np.ndarray


class Step(NamedTuple):
    """What backward needs of one step: its input, both old states and the pre-activations."""

    x: np.ndarray
    h_old: np.ndarray
    c_old: np.ndarray
    a: np.ndarray


def sequence_forward(
    cell: LSTMCell | RNNCell, w: Weights, x: np.ndarray, h: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[Step]]:
    steps = []
    for x_t in x:
        a = w.ih @ x_t + w.hh @ h + w.bias
        steps.append(Step(x_t, h, c, a))
        h, c = cell.forward(a, c)
    return h, c, steps


def sequence_backward(
    cell: LSTMCell | RNNCell,
    w: Weights,
    steps: list[Step],
    dy: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
    grads: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add the parameters' gradients into grads; return those of x (T, I), h0 and c0."""
    dx = np.zeros((len(steps), w.ih.shape[1]))
    for t in reversed(range(len(steps))):
        step = steps[t]
        da, dc = cell.backward(step.a, step.c_old, dh + dy[t], dc)
        dx[t] = w.ih.T @ da
        dh = w.hh.T @ da
        contributions = [np.outer(da, step.x), np.outer(da, step.h_old), da, da]
        for name, contribution in zip(w.names, contributions, strict=True):
            if name in grads:
                grads[name] += contribution
    return dx, dh, dc


# --- a stack of layers ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Stack:
    """The form of a recurrent stack. prefix stands before each of its parameters' names."""

    cell: str
    hidden_size: int
    num_layers: int = 1
    bidirectional: bool = False
    prefix: str = ""

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def walk(self, layer: int, batch: int):
        """Every sequence in every direction of a layer: direction, b, row of the state."""
        for direction, b in product(range(self.directions), range(batch)):
            yield direction, b, layer * self.directions + direction

    def weights(self, parameters: Parameters, layer: int, direction: int) -> Weights:
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        names = [f"{self.prefix}{kind}{suffix}" for kind in kinds]
        ih, hh = (exact(parameters[name]) for name in names[:2])
        bias = sum(exact(parameters.get(name, 0.0)) for name in names[2:])
        return Weights(names, ih, hh, bias + np.zeros(len(ih)))

    def part(self, direction: int) -> slice:
        """Where a direction's hidden units stand in a layer's output."""
        return slice(direction * self.hidden_size, (direction + 1) * self.hidden_size)


def reading_order(length: int, direction: int) -> np.ndarray:
    """The steps of a sequence in the order in which a direction reads them."""
    return np.arange(length)[:: -1 if direction else 1]


def zero_state(stack: Stack, batch: int) -> tuple[np.ndarray, ...]:
    """(h,) or (h, c), each (L*D, B, H)."""
    shape = (stack.num_layers * stack.directions, batch, stack.hidden_size)
    return tuple(np.zeros(shape) for _ in range(2 if stack.cell == "lstm" else 1))


def with_cell_state(state: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """h and c as new arrays; an RNN's c, which nothing reads, is zeros."""
    h = exact(state[0]).copy()
    return [h, exact(state[1]).copy() if len(state) == 2 else np.zeros_like(h)]


def stack_forward(stack: Stack, parameters: Parameters, x, state, lengths):
    """Run a stack over x (T, B, I).

    Returns y (T, B, D*H), zero past each length; the final state, as given; and a tape.
    """
    h, c = with_cell_state(state)
    tape = {}
    for layer in range(stack.num_layers):
        y = np.zeros((*x.shape[:2], stack.directions * stack.hidden_size))
        for direction, b, row in stack.walk(layer, x.shape[1]):
            order = reading_order(lengths[b], direction)
            h[row, b], c[row, b], steps = sequence_forward(
                CELLS[stack.cell],
                stack.weights(parameters, layer, direction),
                exact(x[order, b]),
                h[row, b].copy(),
                c[row, b].copy(),
            )
            hidden = [step.h_old for step in steps[1:]] + [h[row, b]] if steps else []
            for t, h_t in zip(order, hidden, strict=True):
                y[t, b, stack.part(direction)] = h_t
            tape[row, b] = steps
        x = y
    return y, (h, c)[: len(state)], tape


def stack_backward(stack: Stack, parameters: Parameters, tape, dy, dstate, lengths):
    """The mirror image of stack_forward: gradients of x, of the first state and of parameters."""
    dh, dc = with_cell_state(dstate)
    grads = {
        name: np.zeros(value.shape)
        for name, value in parameters.items()
        if name.startswith(stack.prefix)
    }
    for layer in reversed(range(stack.num_layers)):
        inputs = stack.weights(parameters, layer, 0).ih.shape[1]
        dx = np.zeros((*dy.shape[:2], inputs))
        for direction, b, row in stack.walk(layer, dy.shape[1]):
            order = reading_order(lengths[b], direction)
            dx_b, dh[row, b], dc[row, b] = sequence_backward(
                CELLS[stack.cell],
                stack.weights(parameters, layer, direction),
                tape[row, b],
                dy[order, b, stack.part(direction)],
                dh[row, b].copy(),
                dc[row, b].copy(),
                grads,
            )
            dx[order, b] += dx_b
        dy = dx
    return dx, (dh, dc)[: len(dstate)], grads


# --- pooling: y (T, B, W) and the last hidden states of the top layer -> (B, W) ------------------


def pool_forward(kind: str, y: np.ndarray, last: np.ndarray, lengths) -> np.ndarray:
    if kind == "last":
        return last
    reduce = {"mean": np.mean, "max": np.max}[kind]
    pooled = np.zeros(last.shape)
    for b, length in enumerate(lengths):
        if length:
            pooled[b] = reduce(y[:length, b], axis=0)
    return pooled


def pool_backward(kind: str, y: np.ndarray, dpooled: np.ndarray, lengths):
    """Gradients of y and of the last hidden states."""
    dy = np.zeros(y.shape)
    if kind == "last":
        return dy, dpooled
    for b, length in enumerate(lengths):
        if kind == "mean" and length:
            dy[:length, b] = dpooled[b] / length
        elif length:
            best = np.argmax(y[:length, b], axis=0)
            dy[best, b, np.arange(y.shape[2])] = dpooled[b]
    return dy, np.zeros(dpooled.shape)


# --- embedding -> stack -> pooling -> head -------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """The form of a sequence model; pooling None puts the head on each step."""

    stack: Stack
    pooling: str | None = None
    tokens: bool = False

    def top(self, h: np.ndarray) -> np.ndarray:
        """The rows of a state that belong to the top layer, directions side by side: (B, D*H)."""
        return np.concatenate(h[-self.stack.directions :], axis=-1)


class ModelTape(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    pooled: np.ndarray | None
    steps: dict


def model_forward(model: Model, parameters: Parameters, x, state, lengths):
    """Scores (T, B, O), zero past each length, or (B, O) when pooled; the last state; a tape."""
    inputs = exact(parameters["embedding.weight"])[x] if model.tokens else x
    y, state, steps = stack_forward(model.stack, parameters, inputs, state, lengths)
    weight, bias = (exact(parameters[name]) for name in ("head.weight", "head.bias"))
    if model.pooling is not None:
        pooled = pool_forward(model.pooling, y, model.top(state[0]), lengths)
        return pooled @ weight.T + bias, state, ModelTape(x, y, pooled, steps)
    scores = (y @ weight.T + bias) * counts(lengths, len(x))[..., None]
    return scores, state, ModelTape(x, y, None, steps)


def model_backward(model: Model, parameters: Parameters, tape: ModelTape, dscores, dstate, lengths):
    """Gradients of x (None for tokens), of the first state and of all parameters."""
    weight = exact(parameters["head.weight"])
    dstate = tuple(exact(part).copy() for part in dstate)
    if model.pooling is not None:
        dy, dlast = pool_backward(model.pooling, tape.y, dscores @ weight, lengths)
        dstate[0][-model.stack.directions :] += np.split(dlast, model.stack.directions, axis=-1)
        features = tape.pooled
    else:
        dscores = dscores * counts(lengths, len(tape.y))[..., None]
        dy, features = dscores @ weight, tape.y
    dx, dstate, grads = stack_backward(model.stack, parameters, tape.steps, dy, dstate, lengths)
    rows = dscores.reshape(-1, len(weight))
    grads["head.weight"] = rows.T @ features.reshape(len(rows), -1)
    grads["head.bias"] = rows.sum(axis=0)
    if not model.tokens:
        return dx, dstate, grads
    grads["embedding.weight"] = np.zeros(parameters["embedding.weight"].shape)
    np.add.at(grads["embedding.weight"], tape.x, dx)
    return None, dstate, grads


def counts(lengths, steps: int) -> np.ndarray:
    """(T, B), True where a step is inside its sequence."""
    return np.arange(steps)[:, None] < np.asarray(lengths)


# --- losses: the mean over what the mask lets count, and its gradient ----------------------------


def cross_entropy(scores: np.ndarray, targets: np.ndarray, mask: np.ndarray | None = None):
    """-log softmax(scores)[target], averaged over rows."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    hit = np.arange(scores.shape[-1]) == targets[..., None]
    mask = np.ones(targets.shape, dtype=bool) if mask is None else mask
    scale = mask[..., None] / mask.sum()
    return -(log_probability * hit * scale).sum(), (np.exp(log_probability) - hit) * scale


def binary_cross_entropy(scores: np.ndarray, targets: np.ndarray, mask: np.ndarray | None = None):
    """-log sigmoid(score) where the target is 1, -log(1 - sigmoid(score)) where it is 0."""
    mask = np.ones(targets.shape[:-1], dtype=bool) if mask is None else mask
    scale = mask[..., None] / (mask.sum() * scores.shape[-1])
    losses = np.logaddexp(0, scores) - targets * scores
    return (losses * scale).sum(), (sigmoid(scores) - targets) * scale


def mse(scores: np.ndarray, targets: np.ndarray, mask: np.ndarray | None = None):
    mask = np.ones(targets.shape[:-1], dtype=bool) if mask is None else mask
    scale = mask[..., None] / (mask.sum() * scores.shape[-1])
    return ((scores - targets) ** 2 * scale).sum(), 2 * (scores - targets) * scale


# --- comparing -----------------------------------------------------------------------------------


def finite_difference(
    function: Callable[[], float], array: np.ndarray, step: float = 1e-5
) -> np.ndarray:
    """Central differences of function() by each element of array, which it reads in place."""
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = function()
        array[index] = kept - step
        gradient[index] = (above - function()) / (2 * step)
        array[index] = kept
    return gradient


def assert_close(ours, truth, what: str, tolerance: float, *, at_least: float = 0.0) -> None:
    """max|ours - truth| <= tolerance * max(max|truth|, at_least), shapes being equal."""
    ours, truth = exact(ours), exact(truth)
    assert ours.shape == truth.shape, f"{what}: shape {ours.shape}, expected {truth.shape}"
    error = np.max(np.abs(ours - truth), initial=0.0)
    scale = max(np.max(np.abs(truth), initial=0.0), at_least)
    assert error <= tolerance * scale, f"{what}: error {error:.3g} at a scale of {scale:.3g}"


def assert_outputs_close(ours, truth, what: str) -> None:
    """An output agrees within 1e-5 of its tensor's largest element."""
    assert_close(ours, truth, what, 1e-5)


def assert_gradients_close(ours, truth, what: str, tolerance: float = 1e-4) -> None:
    """A gradient agrees within 1e-4 of its tensor's largest element."""
    assert_close(ours, truth, what, tolerance)
