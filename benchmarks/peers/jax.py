"""JAX: the LSTM as one jitted lax.scan a layer, the input projection taken out of the loop."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.base import Peer, Stepper, Task, training_outputs
from benchmarks.problem import LEARNING_RATE, Problem, suffixes

Parameters = dict[str, jax.Array]


class Jax(Peer):
    """Weights are constants of the compiled function in inference, donated buffers in training.

    XLA has no setting for its threads: it makes one for each CPU the process may run on.
    """

    def inference(self, problem: Problem, threads: int) -> Task:
        parameters = to_jax(problem.weights)
        compiled = jax.jit(partial(forward, problem, parameters))
        x = jnp.asarray(problem.x)

        def run():
            return jax.block_until_ready(compiled(x))

        def outputs():
            y, h, c = run()
            return {"y": np.asarray(y), "h": np.asarray(h), "c": np.asarray(c)}

        return Task(run, outputs)

    def training(self, problem: Problem, threads: int, need_dx: bool) -> Task:
        def loss_of(parameters: Parameters, x: jax.Array, target: jax.Array) -> jax.Array:
            return jnp.mean((forward(problem, parameters, x)[0] - target) ** 2)

        # What the compiled step returns is what XLA has to compute: dx only where it is asked for.
        differentiate = jax.value_and_grad(loss_of, argnums=(0, 1) if need_dx else (0,))

        @partial(jax.jit, donate_argnums=0)
        def train(adam, x, target):
            loss, (gradients, *dx) = differentiate(adam[0], x, target)
            return adam_step(adam, gradients), loss, dx

        data = jnp.asarray(problem.x), jnp.asarray(problem.target)
        adam = start_adam(to_jax(problem.weights))

        def run():
            nonlocal adam
            adam, loss, dx = jax.block_until_ready(train(adam, *data))
            return loss, dx

        def outputs():
            run()
            gradients = from_jax(differentiate(adam[0], *data)[1][0])
            loss, dx = run()
            dx = np.asarray(dx[0]) if need_dx else None
            return training_outputs(loss, gradients, problem.weights, from_jax(adam[0]), dx)

        return Task(run, outputs)

    def stream(self, problem: Problem, threads: int) -> Stepper:
        parameters = to_jax(problem.weights)
        compiled = jax.jit(partial(step_once, parameters))
        shape = (problem.cell.batch, problem.cell.hidden)
        state = jnp.zeros(shape), jnp.zeros(shape)

        def step(x_t: np.ndarray) -> np.ndarray:
            nonlocal state
            state = compiled(state, x_t)
            return np.asarray(state[0])

        return step


def step_once(parameters: Parameters, state: tuple, x_t: jax.Array) -> tuple:
    """One step of a one-layer network."""
    projected = x_t @ parameters["weight_ih_l0"] + parameters["bias_ih_l0"]
    return lstm_cell(parameters["weight_hh_l0"], state, projected + parameters["bias_hh_l0"])


def forward(problem: Problem, parameters: Parameters, x: jax.Array) -> tuple:
    """All layers: y (T, B, D*H), h and c (L*D, B, H)."""
    mask = None if problem.lengths is None else jnp.asarray(problem.mask)
    states = []
    for layer in range(problem.cell.layers):
        outputs = []
        for end in suffixes(problem.cell, layer):
            state, y = direction(parameters, end, x, mask)
            states.append(state)
            outputs.append(y)
        x = jnp.concatenate(outputs, axis=-1)
    return x, jnp.stack([h for h, _ in states]), jnp.stack([c for _, c in states])


def direction(parameters: Parameters, end: str, x: jax.Array, mask: jax.Array | None) -> tuple:
    """One layer in one direction: the final (h, c) and y (T, B, H)."""
    biases = parameters["bias_ih" + end] + parameters["bias_hh" + end]
    projected = x @ parameters["weight_ih" + end] + biases
    recurrent = parameters["weight_hh" + end]

    def step(state, inputs):
        new = lstm_cell(recurrent, state, inputs[0])
        if mask is None:
            return new, new[0]
        real = inputs[1] > 0
        kept = tuple(jnp.where(real, n, old) for n, old in zip(new, state, strict=True))
        return kept, jnp.where(real, new[0], 0)

    batch, hidden = x.shape[1], recurrent.shape[0]
    zeros = jnp.zeros((batch, hidden))
    inputs = (projected,) if mask is None else (projected, mask)
    # Not unrolled: measured, unrolling by 8 gains nothing in inference and doubles training's time.
    return jax.lax.scan(step, (zeros, zeros), inputs, reverse="reverse" in end)


def lstm_cell(recurrent: jax.Array, state: tuple, projected: jax.Array) -> tuple:
    """The gates i, f, g, o and the new h and c."""
    h, c = state
    i, f, g, o = jnp.split(projected + h @ recurrent, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def start_adam(parameters: Parameters) -> tuple:
    """Parameters, first and second moments and the count of steps."""
    first, second = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
    return parameters, first, second, jnp.float32(0)


def adam_step(adam: tuple, gradients: Parameters) -> tuple:
    """Adam as Kingma and Ba (2015), with PyTorch's default constants."""
    parameters, m, v, step = adam
    step = step + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    rate = LEARNING_RATE / (1 - 0.9**step)
    correction = 1 / (1 - 0.999**step)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + 1e-8), parameters, m, v
    )
    return parameters, m, v, step


def to_jax(weights: dict[str, np.ndarray]) -> Parameters:
    """Weights with matrices transposed to (inputs, 4H), the way they are multiplied."""
    return {name: jnp.array(w.T) for name, w in weights.items()}


def from_jax(parameters: Parameters) -> dict[str, np.ndarray]:
    """The inverse of `to_jax`, copied: the buffers are donated to the next step."""
    return {name: np.array(w).T for name, w in parameters.items()}
