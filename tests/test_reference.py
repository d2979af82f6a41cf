"""Outputs and every gradient against the float64 reference and against finite differences."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference import Model, Stack, assert_gradients_close, assert_outputs_close, exact

import cylstm

VOCABULARY = 7


# --- cases ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One network's form and the shape of its input; everything random comes from seed."""

    cell: str = "lstm"
    layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    inputs: int = 3
    hidden: int = 4
    lengths: tuple[int, ...] = (5,)
    padding: int = 0
    with_state: bool = True
    tokens: bool = False
    pooling: str | None = None
    outputs: int = 3
    seed: int = 0

    @property
    def batch(self) -> int:
        return len(self.lengths)

    @property
    def steps(self) -> int:
        return max(1, max(self.lengths) + self.padding)

    def stack(self, prefix: str = "") -> Stack:
        return Stack(self.cell, self.hidden, self.layers, self.bidirectional, prefix)

    def model(self) -> Model:
        return Model(self.stack("recurrent."), self.pooling, self.tokens)

    def __str__(self) -> str:
        form = [self.cell, f"{self.layers}x{self.hidden}"]
        form += [flag for flag in ("bidirectional", "tokens") if getattr(self, flag)]
        return "-".join([*form, self.pooling or "steps"])


OPTIONS = {
    "cell": st.sampled_from(["lstm", "rnn_tanh", "rnn_relu"]),
    "layers": st.integers(1, 3),
    "bidirectional": st.booleans(),
    "inputs": st.integers(1, 19),
    "hidden": st.integers(1, 19),
    "lengths": st.lists(st.integers(0, 9), min_size=1, max_size=11).map(tuple),
    "padding": st.integers(0, 3),
    "with_state": st.booleans(),
    "seed": st.integers(0, 1000),
}
layer_cases = st.builds(Case, bias=st.booleans(), **OPTIONS)
model_cases = st.builds(
    Case,
    tokens=st.booleans(),
    pooling=st.sampled_from([None, "last", "mean", "max"]),
    outputs=st.integers(2, 5),
    **OPTIONS,
)

FEW_LAYERS = [
    Case(cell="lstm", layers=2, bidirectional=True, lengths=(4, 0, 1)),
    Case(cell="lstm", bias=False, lengths=(3,), padding=2),
    Case(cell="rnn_tanh", layers=3, bidirectional=True, lengths=(2, 5)),
    Case(cell="rnn_relu", layers=2, lengths=(3, 0, 2)),
]
FEW_MODELS = [
    Case(bidirectional=True, layers=2, lengths=(4, 0, 2), pooling="last"),
    Case(bidirectional=True, lengths=(4, 0, 2), pooling="mean", tokens=True),
    Case(cell="rnn_tanh", bidirectional=True, layers=2, lengths=(3, 5, 0), pooling="max"),
    Case(cell="rnn_relu", lengths=(3, 5), padding=1, tokens=True),
]


def stack_shapes(case: Case, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Names and shapes as torch.nn.LSTM and torch.nn.RNN have them."""
    stack = case.stack(prefix)
    rows = reference.CELLS[case.cell].gates * case.hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(case.layers):
        width = case.hidden * stack.directions if layer else case.inputs
        for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: stack.directions]:
            shapes[f"{prefix}weight_ih{suffix}"] = (rows, width)
            shapes[f"{prefix}weight_hh{suffix}"] = (rows, case.hidden)
            if case.bias:
                shapes[f"{prefix}bias_ih{suffix}"] = (rows,)
                shapes[f"{prefix}bias_hh{suffix}"] = (rows,)
    return shapes


def model_shapes(case: Case) -> dict[str, tuple[int, ...]]:
    embedding = {"embedding.weight": (VOCABULARY, case.inputs)} if case.tokens else {}
    head = {
        "head.weight": (case.outputs, case.hidden * case.stack().directions),
        "head.bias": (case.outputs,),
    }
    return embedding | stack_shapes(case, "recurrent.") | head


def draw_parameters(shapes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Float64 values that float32 holds exactly, so that both sides start from the same."""
    return {
        name: exact(rng.uniform(-0.5, 0.5, size=shape).astype(np.float32))
        for name, shape in shapes.items()
    }


def draw_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def draw_state(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    zeros = reference.zero_state(case.stack(), case.batch)
    return tuple(draw_normal(rng, *part.shape) * case.with_state for part in zeros)


def draw_targets(loss: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Targets for scores of this shape, of the dtype that cylstm's losses take."""
    if loss == "cross_entropy":
        return rng.integers(shape[-1], size=shape[:-1])
    if loss == "binary_cross_entropy":
        return rng.integers(2, size=shape).astype(np.float32)
    return draw_normal(rng, *shape)


def as_tuple(state) -> tuple[np.ndarray, ...]:
    """A layer's state as a tuple: (h, c) as it is, an RNN's h as (h,)."""
    return state if isinstance(state, tuple) else (state,)


def unwrap(state: tuple[np.ndarray, ...]):
    """The reverse of as_tuple."""
    return state if len(state) == 2 else state[0]


# --- layers --------------------------------------------------------------------------------------


class LayerProblem:
    """A layer, its input, and random gradients of all that it returns.

    Each method gives y, the last state and then the gradients: dx, dstate, grads.
    """

    def __init__(self, case: Case) -> None:
        self.case, rng = case, np.random.default_rng(case.seed)
        self.parameters = draw_parameters(stack_shapes(case), rng)
        self.x = draw_normal(rng, case.steps, case.batch, case.inputs)
        self.state = draw_state(case, rng)
        width = case.hidden * case.stack().directions
        self.dy = draw_normal(rng, case.steps, case.batch, width)
        self.dlast = tuple(draw_normal(rng, *part.shape) for part in self.state)

    def layer(self) -> cylstm.LSTM | cylstm.RNN:
        case = self.case
        cell, _, nonlinearity = case.cell.partition("_")
        make = cylstm.RNN if cell == "rnn" else cylstm.LSTM
        layer = make(
            case.inputs,
            case.hidden,
            case.layers,
            bias=case.bias,
            bidirectional=case.bidirectional,
            **({"nonlinearity": nonlinearity} if cell == "rnn" else {}),
        )
        layer.load_state_dict(self.parameters)
        return layer

    def ours(self):
        layer = self.layer()
        state = unwrap(self.state) if self.case.with_state else None
        y, last, tape = layer.record(self.x, state, lengths=self.case.lengths)
        dx, dstate = layer.backward(tape, self.dy, unwrap(self.dlast))
        return y, as_tuple(last), dx, as_tuple(dstate), layer.grads

    def forward(self, parameters, x, state):
        return reference.stack_forward(self.case.stack(), parameters, x, state, self.case.lengths)

    def truth(self):
        y, last, tape = self.forward(self.parameters, self.x, self.state)
        gradients = reference.stack_backward(
            self.case.stack(), self.parameters, tape, self.dy, self.dlast, self.case.lengths
        )
        return y, last, *gradients

    def differences(self):
        x, state = exact(self.x), tuple(exact(part) for part in self.state)

        def objective() -> float:
            y, last, _ = self.forward(self.parameters, x, state)
            ends = zip(last, self.dlast, strict=True)
            return np.vdot(y, self.dy) + sum(np.vdot(*pair) for pair in ends)

        def gradient(array: np.ndarray) -> np.ndarray:
            return reference.finite_difference(objective, array)

        y, last, _ = self.forward(self.parameters, x, state)
        grads = {name: gradient(array) for name, array in self.parameters.items()}
        return y, last, gradient(x), tuple(gradient(part) for part in state), grads


def assert_same(ours, truth, *, gradients_within: float = 1e-4) -> None:
    """Compare outputs and gradients, each as LayerProblem and ModelProblem return them."""
    y, last, dx, dstate, grads = ours
    true_y, true_last, true_dx, true_dstate, true_grads = truth
    assert_outputs_close(y, true_y, "y")
    for part, true_part, name in zip(last, true_last, "hc", strict=False):
        assert_outputs_close(part, true_part, name)
    assert grads.keys() == true_grads.keys()
    pairs = {"dh0": (dstate[0], true_dstate[0]), "dc0": (dstate[-1], true_dstate[-1])}
    pairs |= {name: (grads[name], true_grads[name]) for name in grads}
    if dx is not None or true_dx is not None:
        pairs["dx"] = (dx, true_dx)
    for name, pair in pairs.items():
        assert_gradients_close(*pair, name, gradients_within)


def is_well_posed(problem: LayerProblem | ModelProblem) -> bool:
    """Whether float32 can have four digits of every gradient.

    It cannot where a gradient is what is left of a sum that cancels out, or where a relu or a
    maximum is undecided: there the last bits of the numbers change the result.
    """
    rng, blurred = np.random.default_rng(0), copy.copy(problem)

    def blur(array: np.ndarray) -> np.ndarray:
        return array * (1 + rng.choice([-1, 1], size=array.shape) * 2.0**-24)

    blurred.parameters = {name: blur(value) for name, value in problem.parameters.items()}
    if not problem.case.tokens:
        blurred.x = blur(problem.x)
    try:
        assert_same(blurred.truth(), problem.truth(), gradients_within=2e-6)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("case", FEW_LAYERS, ids=str)
def test_reference_layer_has_the_gradients_of_its_forward(case):
    problem = LayerProblem(case)
    assert_same(problem.truth(), problem.differences(), gradients_within=1e-7)


@pytest.mark.parametrize("case", FEW_LAYERS, ids=str)
def test_layer_has_the_gradients_of_the_reference_forward(case):
    problem = LayerProblem(case)
    assert_same(problem.ours(), problem.differences())


@given(case=layer_cases)
@settings(max_examples=200)
def test_layer_matches_the_reference(case):
    problem = LayerProblem(case)
    assume(is_well_posed(problem))
    assert_same(problem.ours(), problem.truth())


@given(case=layer_cases)
def test_inference_gives_the_outputs_of_recording(case):
    problem = LayerProblem(case)
    state = unwrap(problem.state)
    y, last = problem.layer()(problem.x, state, lengths=case.lengths)
    true_y, true_last, _ = problem.forward(problem.parameters, problem.x, problem.state)
    assert_outputs_close(y, true_y, "y")
    for part, true_part in zip(as_tuple(last), true_last, strict=True):
        assert_outputs_close(part, true_part, "state")


# --- sequence models and losses ------------------------------------------------------------------

LOSSES = {
    "cross_entropy": reference.cross_entropy,
    "binary_cross_entropy": reference.binary_cross_entropy,
    "mse": reference.mse,
}
OUR_LOSSES = {
    "cross_entropy": cylstm.cross_entropy,
    "binary_cross_entropy": cylstm.binary_cross_entropy,
    "mse": cylstm.mean_squared_error,
}


class ModelProblem:
    """A sequence model, its input, and a loss of its scores and a random objective of its state.

    Numbers, unlike a layer's, are scaled: the network sees (x - mean) / std.

    Each method gives the scores, the last state and then the gradients: dx, dstate, grads.
    """

    def __init__(self, case: Case, loss: str) -> None:
        self.case, self.loss, rng = case, loss, np.random.default_rng(case.seed)
        self.parameters = draw_parameters(model_shapes(case), rng)
        self.state = draw_state(case, rng)
        self.dlast = tuple(draw_normal(rng, *part.shape) for part in self.state)
        shape = (case.steps, case.batch)
        if case.tokens:
            self.x = rng.integers(VOCABULARY, size=shape).astype(np.int32)
        else:
            self.x = draw_normal(rng, *shape, case.inputs)
            self.mean = draw_normal(rng, case.inputs)
            self.std = rng.uniform(0.5, 2, size=case.inputs).astype(np.float32)
        rows = shape if case.pooling is None else shape[1:]
        self.targets = draw_targets(loss, (*rows, case.outputs), rng)
        self.mask = None
        if case.pooling is None:
            self.mask = reference.counts(case.lengths, case.steps)

    def model(self) -> cylstm.SequenceModel:
        case = self.case
        cell, _, nonlinearity = case.cell.partition("_")
        tokens = {"vocab_size": VOCABULARY, "embedding_size": case.inputs}
        model = cylstm.SequenceModel(
            task="regression",
            cell=cell,
            nonlinearity=nonlinearity or "tanh",
            hidden_size=case.hidden,
            num_layers=case.layers,
            bidirectional=case.bidirectional,
            pooling=case.pooling,
            output_size=case.outputs,
            **(tokens if case.tokens else {"input_size": case.inputs}),
        )
        model.load_state_dict(self.parameters)
        if not case.tokens:
            model.set_input_scale(self.mean, self.std)
        return model

    def ours(self):
        model = self.model()
        network, lengths = model._network, np.array(self.case.lengths)
        scores, last, tape = network.record(self.x, self.state, lengths, 0)
        # cylstm's own losses have a test of their own, further down.
        dscores = LOSSES[self.loss](exact(scores), self.targets, self.mask)[1].astype(np.float32)
        gradients = network.backward(tape, dscores, self.dlast, None, need_dx=not self.case.tokens)
        return scores, last, *gradients, model.grads

    def forward(self, parameters, x, state):
        inputs = x if self.case.tokens else (x - exact(self.mean)) / self.std
        return reference.model_forward(
            self.case.model(), parameters, inputs, state, self.case.lengths
        )

    def truth(self):
        scores, last, tape = self.forward(self.parameters, self.x, self.state)
        _, dscores = LOSSES[self.loss](scores, self.targets, self.mask)
        dx, dstate, grads = reference.model_backward(
            self.case.model(), self.parameters, tape, dscores, self.dlast, self.case.lengths
        )
        return scores, last, None if dx is None else dx / self.std, dstate, grads

    def differences(self):
        x = self.x if self.case.tokens else exact(self.x)
        state = tuple(exact(part) for part in self.state)

        def objective() -> float:
            scores, last, _ = self.forward(self.parameters, x, state)
            ends = sum(np.vdot(*pair) for pair in zip(last, self.dlast, strict=True))
            return LOSSES[self.loss](scores, self.targets, self.mask)[0] + ends

        def gradient(array: np.ndarray) -> np.ndarray:
            return reference.finite_difference(objective, array)

        scores, last, _ = self.forward(self.parameters, x, state)
        grads = {name: gradient(array) for name, array in self.parameters.items()}
        dx = None if self.case.tokens else gradient(x)
        return scores, last, dx, tuple(gradient(part) for part in state), grads


@pytest.mark.parametrize("case", FEW_MODELS, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_reference_model_has_the_gradients_of_its_loss(case, loss):
    problem = ModelProblem(case, loss)
    assert_same(problem.truth(), problem.differences(), gradients_within=1e-7)


@pytest.mark.parametrize("case", FEW_MODELS, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_model_has_the_gradients_of_the_reference_loss(case, loss):
    problem = ModelProblem(case, loss)
    assert_same(problem.ours(), problem.differences())


@given(case=model_cases.filter(lambda case: any(case.lengths)), loss=st.sampled_from([*LOSSES]))
@settings(max_examples=200)
def test_model_matches_the_reference(case, loss):
    problem = ModelProblem(case, loss)
    assume(is_well_posed(problem))
    assert_same(problem.ours(), problem.truth())


@given(
    loss=st.sampled_from([*LOSSES]),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(2, 300)),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1000.0]),
    masked=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_loss_matches_the_reference(loss, shape, scale, masked, seed):
    rng = np.random.default_rng(seed)
    scores = draw_normal(rng, *shape) * np.float32(scale)
    targets = draw_targets(loss, shape, rng)
    mask = rng.random(shape[:-1]) < 0.5 if masked else None
    if masked:
        mask[0, 0] = True
    mean, dscores = OUR_LOSSES[loss](scores, targets, mask)
    truth, true_dscores = LOSSES[loss](exact(scores), targets, mask)
    assert mean == pytest.approx(truth, rel=1e-5, abs=1e-6)
    reference.assert_close(dscores, true_dscores, "dscores", 1e-5, at_least=1 / scores.size)


def test_a_saturated_cross_entropy_keeps_its_digits():
    scores = np.array([[11.4719, 2.5329], [30.0, 0.0]], np.float32)
    targets = np.zeros(2, np.int64)
    loss, dscores = cylstm.cross_entropy(scores, targets)
    gap = np.float64(scores[:, 1]) - np.float64(scores[:, 0])
    wrong = np.exp(gap) / (1 + np.exp(gap))  # the probability of the other class
    assert loss == pytest.approx(np.log1p(np.exp(gap)).mean(), rel=1e-5)
    np.testing.assert_allclose(dscores, np.stack([-wrong, wrong], axis=1) / 2, rtol=1e-5)
