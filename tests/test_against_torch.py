"""Outputs and every gradient of the layers against PyTorch's, over the whole grid of options."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from reference import assert_gradients_close, assert_outputs_close

import cylstm

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # its threads gain nothing here, and crawl where the cores are busy

HIDDEN_SIZES = (1, 3, 17, 129)
BATCH_SIZES = (1, 5)
STEPS = (1, 2, 31)

SEED = 5


@dataclass(frozen=True)
class Options:
    """How the layers are built and called: one point of the grid, sizes aside."""

    cell: str
    num_layers: int
    bidirectional: bool
    bias: bool
    batch_first: bool
    form: str  # "padded" without lengths, "lengths", or "unbatched"
    with_state: bool

    def sizes(self):
        """H, B and T of every problem to try; an unbatched one has B = 1."""
        return product(HIDDEN_SIZES, (1,) if self.form == "unbatched" else BATCH_SIZES, STEPS)

    def layer_arguments(self) -> dict:
        arguments = {
            "num_layers": self.num_layers,
            "bias": self.bias,
            "batch_first": self.batch_first,
            "bidirectional": self.bidirectional,
        }
        if self.cell != "lstm":
            arguments["nonlinearity"] = self.cell.removeprefix("rnn_")
        return arguments

    def layers(self, inputs: int, hidden: int):
        """PyTorch's layer, and ours with its weights."""
        name = "LSTM" if self.cell == "lstm" else "RNN"
        theirs = getattr(torch.nn, name)(inputs, hidden, **self.layer_arguments())
        ours = getattr(cylstm, name)(inputs, hidden, **self.layer_arguments())
        ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
        return theirs, ours

    def __str__(self) -> str:
        flags = ("bidirectional", "bias", "batch_first", "with_state")
        chosen = [flag for flag in flags if getattr(self, flag)]
        return "-".join([self.cell, f"{self.num_layers}-layers", self.form, *chosen])


GRID = [
    Options(*point)
    for point in product(
        ("lstm", "rnn_tanh", "rnn_relu"),
        (1, 2, 3),
        (False, True),
        (True, False),
        (False, True),
        ("padded", "lengths", "unbatched"),
        (False, True),
    )
]


@dataclass
class Problem:
    """Input, state, and gradients of what comes out, time-major; lengths None if all are T."""

    x: np.ndarray
    state: tuple[np.ndarray, ...]
    dy: np.ndarray
    dlast: tuple[np.ndarray, ...]
    lengths: np.ndarray | None

    def in_double(self) -> Problem:
        def double(arrays):
            return tuple(array.astype(np.float64) for array in arrays)

        (x, dy), state, dlast = double((self.x, self.dy)), double(self.state), double(self.dlast)
        return Problem(x, state, dy, dlast, self.lengths)


def draw_problem(
    options: Options, hidden: int, batch: int, steps: int, seed: int = SEED
) -> Problem:
    rng = np.random.default_rng((seed, hidden, batch, steps))

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    directions = 1 + options.bidirectional
    parts = range(2 if options.cell == "lstm" else 1)
    state_shape = (options.num_layers * directions, batch, hidden)
    return Problem(
        x=normal(steps, batch, 7),
        state=tuple(normal(*state_shape) * options.with_state for _ in parts),
        dy=normal(steps, batch, directions * hidden),
        dlast=tuple(normal(*state_shape) for _ in parts),
        lengths=rng.integers(1, steps + 1, size=batch) if options.form == "lengths" else None,
    )


def with_empty_row(problem: Problem, row: int) -> Problem:
    """Insert a sequence of length 0, which only our layers can have."""

    def insert(array: np.ndarray) -> np.ndarray:
        return np.insert(array, row, 0.5, axis=1)

    return Problem(
        insert(problem.x),
        tuple(insert(part) for part in problem.state),
        insert(problem.dy),
        tuple(insert(part) for part in problem.dlast),
        np.insert(problem.lengths, row, 0),
    )


def to_layout(options: Options, sequences: np.ndarray) -> np.ndarray:
    """From (T, B, ...) to the layout that the layer was built for."""
    if options.form == "unbatched":
        return sequences[:, 0]
    return sequences.swapaxes(0, 1) if options.batch_first else sequences


def from_layout(options: Options, sequences: np.ndarray) -> np.ndarray:
    if options.form == "unbatched":
        return sequences[:, None]
    return sequences.swapaxes(0, 1) if options.batch_first else sequences


def to_state(options: Options, state):
    """From a tuple of (L*D, B, H) to what the layers take."""
    if options.form == "unbatched":
        state = tuple(part[:, 0] for part in state)
    return state if options.cell == "lstm" else state[0]


def from_state(options: Options, state) -> tuple[np.ndarray, ...]:
    state = state if options.cell == "lstm" else (state,)
    return tuple(part[:, None] if options.form == "unbatched" else part for part in state)


def run_ours(options: Options, layer, problem: Problem) -> dict[str, np.ndarray]:
    """Outputs and gradients by name, time-major."""
    state = to_state(options, problem.state) if options.with_state else None
    x, dy = (to_layout(options, array) for array in (problem.x, problem.dy))
    y, last, tape = layer.record(x, state, lengths=problem.lengths)
    dx, dstate = layer.backward(tape, dy, to_state(options, problem.dlast))
    results = {"y": from_layout(options, y), "dx": from_layout(options, dx)}
    results |= named("last", from_state(options, last))
    results |= named("dstate", from_state(options, dstate))
    return results | {f"d{name}": gradient for name, gradient in layer.grads.items()}


def named(name: str, state) -> dict[str, np.ndarray]:
    return {f"{name} {part}": value for part, value in zip("hc", state, strict=False)}


def run_theirs(options: Options, layer, problem: Problem) -> dict[str, np.ndarray]:
    """The same by PyTorch, which takes lengths as a PackedSequence."""
    x = torch.tensor(problem.x, requires_grad=True)
    state = tuple(torch.tensor(part, requires_grad=True) for part in problem.state)
    inputs = to_layout(options, x)
    if problem.lengths is not None:
        inputs = torch.nn.utils.rnn.pack_padded_sequence(
            inputs, torch.tensor(problem.lengths), options.batch_first, enforce_sorted=False
        )
    y, last = layer(inputs, to_state(options, state))
    if problem.lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(
            y, options.batch_first, total_length=len(problem.x)
        )
    y, last = from_layout(options, y), from_state(options, last)
    torch.autograd.backward((y, *last), [torch.tensor(d) for d in (problem.dy, *problem.dlast)])
    results = {"y": y, **named("last", last), "dx": x.grad}
    results |= named("dstate", [part.grad for part in state])
    results |= {f"d{name}": parameter.grad for name, parameter in layer.named_parameters()}
    return {name: result.detach().numpy() for name, result in results.items()}


def is_output(name: str) -> bool:
    return name == "y" or name.startswith("last")


def assert_same(ours: dict, theirs: dict, where: str) -> None:
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        check = assert_outputs_close if is_output(name) else assert_gradients_close
        check(ours[name], expected, f"{name} at {where}")


def ill_posed(options: Options, layer, problem: Problem) -> set[str]:
    """Names of what float32 cannot have the promised digits of, by PyTorch in float64.

    Such a tensor, often a single number where H = 1, is what is left of a sum that cancels out,
    or depends on a relu that is undecided: a change of the inputs and weights by a few roundings,
    which each step makes more of, changes it by a twelfth of the tolerance.
    """
    rng, exact = np.random.default_rng(0), problem.in_double()

    def blur(array: np.ndarray) -> np.ndarray:
        return array * (1 + rng.choice([-1, 1], size=array.shape) * 2.0**-22)

    def double() -> torch.nn.RNNBase:
        twin = copy.deepcopy(layer).double()
        twin.zero_grad()
        return twin

    results = run_theirs(options, double(), exact)
    found: set[str] = set()
    for _ in range(8):
        blurred = double()
        with torch.no_grad():
            for parameter in blurred.parameters():
                parameter.copy_(torch.from_numpy(blur(parameter.numpy())))
        others = run_theirs(options, blurred, replace(exact, x=blur(exact.x)))
        for name, result in results.items():
            limit = 8e-7 if is_output(name) else 8e-6
            change = np.max(np.abs(others[name] - result))
            found |= {name} if change > limit * np.max(np.abs(result)) else set()
    return found


@pytest.mark.parametrize("seed", [5, pytest.param(6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("options", GRID, ids=str)
def test_layer_equals_torch(options, seed):
    torch.manual_seed(seed)
    excused = []
    for hidden, batch, steps in options.sizes():
        theirs, ours = options.layers(7, hidden)
        problem = draw_problem(options, hidden, batch, steps, seed)
        found, expected = run_ours(options, ours, problem), run_theirs(options, theirs, problem)
        where = f"H {hidden}, B {batch}, T {steps}"
        try:
            assert_same(found, expected, where)
        except AssertionError:
            names = ill_posed(options, theirs, problem)
            excused.append(f"{sorted(names)} at {where}")
            for name in names:
                found[name] = expected[name]
            assert_same(found, expected, where)
    assert len(excused) <= 2, excused


@pytest.mark.parametrize(
    "options", [options for options in GRID if options.form == "lengths"], ids=str
)
def test_an_empty_sequence_leaves_the_others_as_torch_has_them(options):
    torch.manual_seed(SEED)
    theirs, ours = options.layers(7, 17)
    problem = draw_problem(options, hidden=17, batch=5, steps=31)
    with_empty = run_ours(options, ours, with_empty_row(problem, row=2))
    rowwise = [name for name in with_empty if name in ("y", "dx") or " " in name]
    empty = {name: with_empty[name][:, 2] for name in rowwise}
    rest = {name: np.delete(with_empty[name], 2, axis=1) for name in rowwise}
    assert_same(with_empty | rest, run_theirs(options, theirs, problem), "the other rows")
    for name, values in empty.items():
        unchanged = name.startswith("dstate") or (name.startswith("last") and options.with_state)
        np.testing.assert_array_equal(values, 0.5 if unchanged else 0.0, err_msg=name)


def test_state_dict_is_in_torch_s_order_and_loads_there():
    ours = cylstm.LSTM(7, 17, 2, bidirectional=True, seed=3)
    theirs = torch.nn.LSTM(7, 17, 2, bidirectional=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    x = np.random.default_rng(0).normal(size=(9, 4, 7)).astype(np.float32)
    assert_outputs_close(ours(x)[0], theirs(torch.from_numpy(x))[0].detach(), "y")


def test_layers_inside_a_module_are_found_by_their_prefix(tmp_path):
    theirs = torch.nn.ModuleDict(
        {
            "encoder": torch.nn.LSTM(7, 17, 2, bidirectional=True, bias=False),
            "cell": torch.nn.LSTMCell(7, 17),
            "head": torch.nn.Linear(17, 3),
        }
    )
    x = torch.randn(9, 4, 7)
    encoder = cylstm.LSTM.from_state_dict(theirs.state_dict(), prefix="encoder.")
    assert_outputs_close(encoder(x)[0], theirs["encoder"](x)[0].detach(), "y")
    cell = cylstm.LSTM.from_state_dict(theirs.state_dict(), prefix="cell.")
    h, c = theirs["cell"](x[0])
    assert_outputs_close(cell(x[:1])[1][0][0], h.detach(), "h")
    assert_outputs_close(cell(x[:1])[1][1][0], c.detach(), "c")


def test_a_file_of_bfloat16_is_read_exactly(tmp_path):
    from safetensors.torch import save_file

    theirs = torch.nn.LSTM(7, 17).bfloat16()
    save_file(theirs.state_dict(), tmp_path / "file")
    ours = cylstm.LSTM.from_state_dict(tmp_path / "file")
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.parameters[name], tensor.float().numpy())
