"""Optimisers against float64 formulas and torch.optim; schedules against closed forms."""

import copy
import math
import pickle

import numpy as np
import pytest

import cylstm
from cylstm.optim import get_optimizer
from cylstm.schedules import (
    Constant,
    Cosine,
    ReduceOnPlateau,
    StepDecay,
    get_schedule,
    warm_up,
)

STEPS = 50


def make_layer(seed=0):
    return cylstm.LSTM(3, 5, seed=seed)


def set_gradients(layer, gradient):
    """Give a layer or model a flat gradient."""
    start = 0
    for array in layer.grads.values():
        array[...] = gradient[start : start + array.size].reshape(array.shape)
        start += array.size


def flat(layer):
    """All parameters in one new vector."""
    return np.concatenate([array.ravel() for array in layer.parameters.values()])


def gradients(size, steps=STEPS, seed=1):
    """Gradients of very different sizes, some exactly zero."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((steps, size)) * 10.0 ** rng.uniform(-4, 1, size)
    found[:, ::7] = 0.0
    return found.astype(np.float32)


def run(optimizer, layer, all_gradients, clip_norm=None):
    """Step along these gradients; the weights after each step and the norms returned."""
    trace, norms = [], []
    for gradient in all_gradients:
        set_gradients(layer, gradient)
        norms.append(optimizer.step(layer, clip_norm))
        trace.append(flat(layer))
    return np.array(trace), np.array(norms)


# --- the updates in float64 ----------------------------------------------------------------------


def sgd(w, g, slots, step, *, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    slots["buffer"] = momentum * slots.get("buffer", 0.0) + g
    direction = g + momentum * slots["buffer"] if nesterov else slots["buffer"]
    return w - learning_rate * direction


def rmsprop(
    w, g, slots, step, *, learning_rate=1e-2, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0
):
    g = g + weight_decay * w
    slots["square"] = alpha * slots.get("square", 0.0) + (1 - alpha) * g**2
    direction = g / (np.sqrt(slots["square"]) + eps)
    slots["buffer"] = momentum * slots.get("buffer", 0.0) + direction
    return w - learning_rate * slots["buffer"]


def adam(w, g, slots, step, *, learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    return adamw(
        w,
        g + weight_decay * w,
        slots,
        step,
        learning_rate=learning_rate,
        betas=betas,
        eps=eps,
        weight_decay=0.0,
    )


def adamw(
    w, g, slots, step, *, learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2
):
    w = w * (1 - learning_rate * weight_decay)
    slots["m"] = betas[0] * slots.get("m", 0.0) + (1 - betas[0]) * g
    slots["v"] = betas[1] * slots.get("v", 0.0) + (1 - betas[1]) * g**2
    mean = slots["m"] / (1 - betas[0] ** step)
    root = np.sqrt(slots["v"] / (1 - betas[1] ** step))
    return w - learning_rate * mean / (root + eps)


CASES = [
    (cylstm.SGD, sgd, {"learning_rate": 0.05}),
    (cylstm.SGD, sgd, {"learning_rate": 0.05, "weight_decay": 0.1}),
    (cylstm.SGD, sgd, {"learning_rate": 0.05, "momentum": 0.9}),
    (cylstm.SGD, sgd, {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    (cylstm.SGD, sgd, {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    (
        cylstm.SGD,
        sgd,
        {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    ),
    (cylstm.RMSprop, rmsprop, {}),
    (cylstm.RMSprop, rmsprop, {"learning_rate": 0.03, "alpha": 0.9, "eps": 1e-3}),
    (cylstm.RMSprop, rmsprop, {"momentum": 0.9, "weight_decay": 0.1}),
    (cylstm.Adam, adam, {}),
    (cylstm.Adam, adam, {"learning_rate": 0.02, "betas": (0.8, 0.95), "eps": 1e-3}),
    (cylstm.Adam, adam, {"weight_decay": 0.1}),
    (cylstm.AdamW, adamw, {}),
    (cylstm.AdamW, adamw, {"learning_rate": 0.02, "betas": (0.7, 0.9), "weight_decay": 0.3}),
]
IDS = [f"{kind.__name__}-{'-'.join(options) or 'defaults'}" for kind, _, options in CASES]


@pytest.mark.parametrize(("kind", "formula", "options"), CASES, ids=IDS)
def test_updates_are_those_of_the_formula(kind, formula, options):
    layer = make_layer()
    weights, slots, expected = flat(layer).astype(np.float64), {}, []
    steps = gradients(weights.size)
    for number, gradient in enumerate(steps, start=1):
        weights = formula(weights, gradient.astype(np.float64), slots, number, **options)
        expected.append(weights)
    trace, _ = run(kind(**options), layer, steps)
    np.testing.assert_allclose(trace, expected, rtol=1e-5, atol=1e-5)


def torch_optimizer(torch, kind, weights, options):
    names = {"learning_rate": "lr"}
    renamed = {names.get(name, name): value for name, value in options.items()}
    return getattr(torch.optim, kind.__name__)([weights], **renamed)


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.parametrize(("kind", "_formula", "options"), CASES, ids=IDS)
def test_updates_are_those_of_torch(kind, _formula, options, clip_norm):
    torch = pytest.importorskip("torch")
    layer = make_layer()
    weights = torch.nn.Parameter(torch.tensor(flat(layer)))
    theirs = torch_optimizer(torch, kind, weights, options)
    steps, expected, norms = gradients(weights.numel()), [], []
    for gradient in steps:
        weights.grad = torch.tensor(gradient)
        norms.append(torch.nn.utils.clip_grad_norm_([weights], clip_norm or math.inf).item())
        theirs.step()
        expected.append(weights.detach().numpy().copy())
    trace, our_norms = run(kind(**options), layer, steps, clip_norm)
    np.testing.assert_allclose(our_norms, norms, rtol=1e-5)
    np.testing.assert_allclose(trace, expected, rtol=1e-5, atol=1e-5)


# --- clipping, rates and bad gradients -----------------------------------------------------------


@pytest.mark.parametrize("clip_norm", [1e-3, 1.0, 1e6])
def test_clipping_scales_the_whole_gradient(clip_norm):
    clipped, scaled = make_layer(), make_layer()
    gradient = gradients(flat(clipped).size)[0]
    norm = np.linalg.norm(gradient.astype(np.float64))
    _, norms = run(cylstm.SGD(0.1), clipped, [gradient], clip_norm)
    run(cylstm.SGD(0.1), scaled, [gradient * min(1.0, clip_norm / (norm + 1e-6))])
    assert norms[0] == pytest.approx(norm, rel=1e-6)
    np.testing.assert_allclose(flat(clipped), flat(scaled), rtol=1e-6, atol=1e-7)


def test_the_learning_rate_can_change():
    halves, whole = make_layer(), make_layer()
    steps = gradients(flat(whole).size, 4)
    optimizer = cylstm.SGD(0.1)
    run(optimizer, halves, steps[:2])
    optimizer.learning_rate = 0.2
    run(optimizer, halves, steps[2:])
    run(cylstm.SGD(0.1), whole, [*steps[:2], *(2 * steps[2:])])
    np.testing.assert_allclose(flat(halves), flat(whole), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("kind", "_formula", "options"), CASES, ids=IDS)
def test_a_gradient_that_is_not_finite_changes_nothing(kind, _formula, options, value):
    hit, spared = make_layer(), make_layer()
    steps = gradients(flat(hit).size, 4)
    ours, other = kind(**options), kind(**options)
    run(ours, hit, steps[:2])
    bad = steps[2].copy()
    bad[11] = value
    trace, norms = run(ours, hit, [bad], 1.0)
    np.testing.assert_array_equal(trace[0], run(other, spared, steps[:2])[0][-1])
    assert not np.isfinite(norms[0])
    np.testing.assert_array_equal(run(ours, hit, steps[3:])[0], run(other, spared, steps[3:])[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: cylstm.LSTM(2, 3, seed=0),
        lambda: cylstm.RNN(2, 3, num_layers=2, bidirectional=True, seed=0),
        lambda: cylstm.SequenceModel(
            task="regression", input_size=2, hidden_size=3, output_size=1, seed=0
        ),
    ],
    ids=["LSTM", "RNN", "SequenceModel"],
)
def test_layers_and_models_can_be_stepped(make):
    model = make()
    before = flat(model)
    gradient = np.ones_like(before)
    set_gradients(model, gradient)
    assert cylstm.SGD(0.25).step(model) == pytest.approx(math.sqrt(before.size), rel=1e-6)
    np.testing.assert_allclose(flat(model), before - 0.25, rtol=1e-6, atol=1e-7)
    for array in model.grads.values():
        assert (array == 1.0).all()


# --- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [0, 1, 10])
@pytest.mark.parametrize(("kind", "_formula", "options"), CASES, ids=IDS)
def test_a_loaded_state_goes_on_with_the_same_bits(kind, _formula, options, split):
    whole, stopped = make_layer(), make_layer()
    steps = gradients(flat(whole).size, 20)
    expected, _ = run(kind(**options), whole, steps)
    first = kind(**options)
    run(first, stopped, steps[:split])
    second = kind(**options | {"learning_rate": 99.0})
    second.load_state_dict(first.state_dict())
    trace, _ = run(second, stopped, steps[split:])
    np.testing.assert_array_equal(trace[-1], expected[-1])


def test_a_state_is_a_copy():
    layer = make_layer()
    optimizer = cylstm.Adam()
    steps = gradients(flat(layer).size, 2)
    run(optimizer, layer, steps[:1])
    state = optimizer.state_dict()
    kept = state["mean"].copy()
    run(optimizer, layer, steps[1:])
    np.testing.assert_array_equal(state["mean"], kept)
    assert state["step"] == 1


def test_states_that_do_not_fit_are_refused():
    layer = make_layer()
    optimizer = cylstm.Adam()
    run(optimizer, layer, gradients(flat(layer).size, 1))
    state = optimizer.state_dict()
    with pytest.raises(ValueError, match=r"state: expected the entries .*'momentum_buffer'"):
        cylstm.SGD(0.1).load_state_dict(state)
    short = state | {"mean": state["mean"][:-1]}
    with pytest.raises(ValueError, match="state: expected slots of shape"):
        optimizer.load_state_dict(short)
    unbound = cylstm.Adam()
    unbound.load_state_dict(short)
    with pytest.raises(ValueError, match="state: expected slots of shape"):
        unbound.step(layer)


def test_an_optimiser_serves_one_object():
    first, second = make_layer(), make_layer()
    before = flat(second)
    optimizer = cylstm.Adam()
    run(optimizer, first, gradients(flat(first).size, 1))
    with pytest.raises(ValueError, match="model: expected the object that this Adam stepped first"):
        run(optimizer, second, gradients(flat(second).size, 1))
    np.testing.assert_array_equal(flat(second), before)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cylstm.Adam(learning_rate=-1.0), "learning_rate: .* at least 0, got -1.0"),
        (lambda: cylstm.Adam(learning_rate=math.nan), "learning_rate: .*, got nan"),
        (lambda: cylstm.Adam(betas=(0.9, 1.0)), r"betas: expected a number in \[0, 1\), got 1.0"),
        (lambda: cylstm.AdamW(weight_decay=-0.1), "weight_decay: "),
        (lambda: cylstm.RMSprop(alpha=1.5), "alpha: "),
        (lambda: cylstm.RMSprop(eps=-1e-8), "eps: "),
        (lambda: cylstm.SGD(0.1, momentum=-0.5), "momentum: "),
        (lambda: cylstm.SGD(0.1, nesterov=True), "nesterov: expected False"),
        (lambda: cylstm.SGD(0.1).step(make_layer(), clip_norm=0.0), "clip_norm: "),
        (lambda: get_optimizer("adma"), "optimizer: expected one of sgd, .* got 'adma'"),
        (lambda: get_optimizer(cylstm.Adam(), 0.1), "learning_rate: expected None"),
        (lambda: get_schedule("linear"), "schedule: expected one of constant, .* got 'linear'"),
        (lambda: StepDecay(every=0), "every: "),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_setting_changed_for_the_worse_is_noticed():
    layer = make_layer()
    before = flat(layer)
    optimizer = cylstm.Adam()
    optimizer.learning_rate = math.inf
    with pytest.raises(ValueError, match="learning_rate"):
        run(optimizer, layer, gradients(before.size, 1))
    np.testing.assert_array_equal(flat(layer), before)


@pytest.mark.parametrize(
    ("name", "kind", "rate"),
    [
        ("sgd", cylstm.SGD, 0.1),
        ("rmsprop", cylstm.RMSprop, 0.01),
        ("adam", cylstm.Adam, 0.001),
        ("adamw", cylstm.AdamW, 0.001),
    ],
)
def test_optimisers_by_name(name, kind, rate):
    assert type(get_optimizer(name)) is kind
    assert get_optimizer(name).learning_rate == rate
    assert get_optimizer(name, 0.5).learning_rate == 0.5


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_a_copy_goes_on_where_the_optimiser_was(duplicate):
    layer, twin = make_layer(), make_layer()
    optimizer = cylstm.Adam()
    run(optimizer, layer, gradients(flat(layer).size, 3))
    twin.load_state_dict(layer.state_dict())
    later = duplicate(optimizer)
    more = gradients(flat(layer).size, 2)
    run(optimizer, layer, more)
    run(later, twin, more)
    np.testing.assert_array_equal(flat(layer), flat(twin))
    assert optimizer.state_dict()["step"] == 5


# --- schedules -----------------------------------------------------------------------------------


def test_constant_stays():
    assert [Constant().factor(epoch, 10, []) for epoch in (0, 3.5, 9.9)] == [1.0, 1.0, 1.0]


def test_cosine_is_half_a_cosine():
    for epoch, expected in ((0, 1.0), (2.5, 0.5 + math.sqrt(0.125)), (5, 0.5), (10, 0.0)):
        assert Cosine().factor(epoch, 10, []) == pytest.approx(expected, abs=1e-12)
    assert Cosine(floor=0.2).factor(5, 10, []) == pytest.approx(0.6)
    assert Cosine(floor=0.2).factor(10, 10, []) == pytest.approx(0.2)


def test_step_decay_falls_at_its_epochs():
    schedule = StepDecay(every=3, decay=0.5)
    found = [schedule.factor(epoch, 10, []) for epoch in (0, 2.99, 3, 5.5, 6, 9)]
    assert found == [1.0, 1.0, 0.5, 0.5, 0.25, 0.125]


def test_plateau_waits_and_starts_anew():
    schedule = ReduceOnPlateau(decay=0.5, patience=1)
    losses = [1.0, 0.9, 0.95, 0.91, 0.8, 0.9, 0.9, 0.9, 0.9]
    found = [schedule.factor(n, 10, losses[:n]) for n in range(len(losses) + 1)]
    assert found == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_plateau_is_that_of_torch():
    torch = pytest.importorskip("torch")
    losses = np.abs(np.random.default_rng(0).standard_normal(60)).round(2).tolist()
    weight = torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.SGD([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.5, patience=3)
    schedule = ReduceOnPlateau(decay=0.5, patience=3)
    for epoch, loss in enumerate(losses, start=1):
        scheduler.step(loss)
        expected = max(theirs.param_groups[0]["lr"], 0.5**20)
        assert max(schedule.factor(epoch, 60, losses[:epoch]), 0.5**20) == pytest.approx(expected)
    assert expected < 0.01


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Cosine(floor=math.nan), ValueError, "floor: expected a number in 0..1, got nan"),
        (lambda: Cosine(floor=-0.1), ValueError, "floor: "),
        (lambda: Cosine(floor="low"), TypeError, "floor: expected a number, got 'low'"),
        (lambda: StepDecay(every=0), ValueError, "every: "),
        (lambda: StepDecay(every=2.5), TypeError, "every: expected an integer"),
        (lambda: StepDecay(decay=math.inf), ValueError, "decay: expected a number finite"),
        (lambda: StepDecay(decay=-1), ValueError, "decay: "),
        (lambda: ReduceOnPlateau(decay=2.0), ValueError, "decay: expected a number in 0..1"),
        (lambda: ReduceOnPlateau(patience=-1), ValueError, "patience: "),
        (lambda: ReduceOnPlateau(threshold=math.nan), ValueError, "threshold: "),
    ],
)
def test_schedules_out_of_range_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_warm_up_rises_linearly():
    assert [warm_up(step, 5) for step in range(7)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])
    assert warm_up(0, 0) == 1.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [("constant", Constant), ("cosine", Cosine), ("step", StepDecay), ("plateau", ReduceOnPlateau)],
)
def test_schedules_by_name(name, kind):
    assert get_schedule(name) == kind()
    own = kind()
    assert get_schedule(own) is own
