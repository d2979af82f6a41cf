"""SequenceModel: scores against the reference, labels, scales, lists, streams and copies.

What fit does is for test_training.py to show.
"""

from __future__ import annotations

import copy
import pickle
from itertools import product

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal

import cylstm

POOLINGS = (None, "last", "mean", "max")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def make_model(**arguments) -> cylstm.SequenceModel:
    """A small classification of numbers, unless told otherwise."""
    defaults = {"task": "classification", "hidden_size": 4, "output_size": 3, "seed": 1}
    if "vocab_size" not in arguments:
        defaults["input_size"] = 2
    return cylstm.SequenceModel(**{**defaults, **arguments})


def make_language_model(**arguments) -> cylstm.SequenceModel:
    tokens = {"vocab_size": 7, "embedding_size": 3, "output_size": 7}
    return make_model(task="language", **tokens, **arguments)


def sequences(*lengths: int) -> list[np.ndarray]:
    return [normal(length, 2, seed=length) for length in lengths]


def log_softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.float64(scores)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


# --- scores --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "pooling", "tokens", "bidirectional"),
    list(product(("lstm", "rnn_tanh", "rnn_relu"), POOLINGS, (False, True), (False, True))),
)
def test_scores_are_the_reference_s(cell, pooling, tokens, bidirectional):
    kind, _, nonlinearity = cell.partition("_")
    sizes = {"vocab_size": 7, "embedding_size": 3} if tokens else {"input_size": 3}
    model = make_model(
        cell=kind,
        nonlinearity=nonlinearity or "tanh",
        num_layers=2,
        bidirectional=bidirectional,
        pooling=pooling,
        **sizes,
    )
    x = np.arange(15).reshape(5, 3) % 7 if tokens else normal(5, 3, 3)
    lengths = [5, 0, 2]
    stack = reference.Stack(cell, 4, 2, bidirectional, "recurrent.")
    expected, expected_state, _ = reference.model_forward(
        reference.Model(stack, pooling, tokens),
        model.parameters,
        x,
        reference.zero_state(stack, 3),
        lengths,
    )
    scores, state = model(x, lengths=lengths)
    reference.assert_outputs_close(scores, expected, "scores")
    state = state if kind == "lstm" else (state,)
    for ours, truth in zip(state, expected_state, strict=True):
        reference.assert_outputs_close(ours, truth, "state")
    assert_array_equal(model.scores(x, lengths=lengths), scores)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_layouts_of_scores(pooling):
    model = make_model(pooling=pooling)
    columns = make_model(pooling=pooling, batch_first=True)
    x = normal(5, 3, 2)
    scores = model.scores(x)
    swapped = columns.scores(x.swapaxes(0, 1))
    alone = model.scores(x[:, 1])
    if pooling is None:
        assert scores.shape == (5, 3, 3)
        assert_array_equal(swapped.swapaxes(0, 1), scores)
        assert_allclose(alone, scores[:, 1], rtol=1e-5, atol=1e-7)
    else:
        assert scores.shape == (3, 3)
        assert_array_equal(swapped, scores)
        assert_allclose(alone, scores[1], rtol=1e-5, atol=1e-7)


def test_a_call_writes_its_scores_to_out():
    model = make_model(pooling="mean")
    x = normal(5, 3, 2)
    out = np.empty((3, 3), np.float32)
    assert model(x, out=out)[0] is out
    assert_array_equal(out, model.scores(x))
    row = np.empty(3, np.float32)
    assert model(x[:, 0], out=row)[0] is row
    assert_array_equal(row, model.scores(x[:, 0]))


def test_a_state_carries_on():
    model = make_model()
    x = normal(6, 2, 2)
    whole = model.scores(x, reproducible=True)
    first, state = model(x[:4], reproducible=True)
    second = model.scores(x[4:], state, reproducible=True)
    assert_array_equal(np.concatenate([first, second]), whole)


# --- lists of sequences --------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_list_gives_each_sequence_its_own_scores(monkeypatch, pooling, batch_first):
    monkeypatch.setattr("cylstm.model.BATCH_SEQUENCES", 2)
    model = make_model(pooling=pooling, batch_first=batch_first)
    x = sequences(5, 1, 7, 3, 6)
    scores = model.scores(x, reproducible=True)
    assert len(scores) == 5
    for one, sequence in zip(scores, x, strict=True):
        assert_array_equal(one, model.scores(sequence, reproducible=True))
    assert isinstance(scores, list) == (pooling is None)


def test_tokens_may_be_lists_of_lists():
    model = make_language_model()
    scores = model.scores(([1, 2, 3], [4, 5]))
    assert [one.shape for one in scores] == [(3, 7), (2, 7)]
    assert_allclose(scores[1], model.scores(np.array([4, 5])), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("steps", [1, 10, 2**17])
def test_a_batch_holds_no_more_steps_than_it_may(monkeypatch, steps):
    monkeypatch.setattr("cylstm.model.BATCH_STEPS", steps)
    model = make_model(pooling="last")
    x = sequences(5, 2, 4)
    widths = []
    pad = cylstm.data.pad
    monkeypatch.setattr("cylstm.data.pad", lambda parts: widths.append(len(parts)) or pad(parts))
    assert len(model.scores(x)) == 3
    assert max(widths) == {1: 1, 10: 2}.get(steps, 3)
    assert sum(widths) == 3


# --- labels and values ---------------------------------------------------------------------------


def test_a_classification_predicts_its_greatest_score():
    model = make_model(pooling="mean")
    x = sequences(5, 2, 4, 9)
    labels = model.scores(x).argmax(axis=1)
    assert_array_equal(model.predict(x), labels)
    model.classes = ["left", "right", "up"]
    assert model.predict(x).tolist() == [model.classes[label] for label in labels]
    model.classes = np.array([10, 20, 30])
    assert_array_equal(model.predict(x), (labels + 1) * 10)
    assert model.predict(x[0]) == (labels[0] + 1) * 10


def test_a_classification_of_steps_predicts_each():
    model = make_model()
    x = normal(5, 3, 2)
    assert_array_equal(model.predict(x), model.scores(x).argmax(axis=-1))
    labels = model.predict(sequences(5, 2))
    assert [label.shape for label in labels] == [(5,), (2,)]


def test_probabilities_are_the_softmax():
    model = make_model(pooling="last")
    x = normal(5, 30, 2) * 10
    probabilities = model.predict_proba(x)
    assert_allclose(probabilities, np.exp(log_softmax(model.scores(x))), rtol=1e-5)
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert_array_equal(probabilities.argmax(axis=1), model.predict(x))


def test_one_output_is_the_second_of_two_classes():
    model = make_model(pooling="last", output_size=1)
    with model.editing() as parameters:
        parameters["head.weight"][...] = 1000
    x = normal(5, 30, 2)
    scores = np.float64(model.scores(x)[:, 0])
    assert scores.min() < -50
    assert scores.max() > 50
    probabilities = model.predict_proba(x)
    assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-scores)), rtol=1e-4, atol=1e-30)
    assert_allclose(probabilities[:, 0], 1 / (1 + np.exp(scores)), rtol=1e-4, atol=1e-30)
    assert_array_equal(model.predict(x), scores > 0)
    model.classes = ["no", "yes"]
    assert_array_equal(model.predict(x), np.where(scores > 0, "yes", "no"))


def test_a_language_model_predicts_the_next_token():
    model = make_language_model()
    tokens = np.arange(14) % 7
    assert_array_equal(model.predict(tokens), model.scores(tokens).argmax(axis=-1))
    assert_allclose(model.predict_proba(tokens).sum(axis=-1), np.ones(14), rtol=1e-6)


def test_a_regression_predicts_in_the_units_of_its_targets():
    model = make_model(task="regression", pooling="last", output_size=2)
    x = normal(5, 3, 2)
    scores = model.scores(x)
    assert_array_equal(model.predict(x), scores)
    model.set_output_scale([10, 20], [0.5, 2])
    assert_array_equal(model.scores(x), scores)
    assert_allclose(model.predict(x), scores * [0.5, 2] + [10, 20], rtol=1e-6)
    model.set_output_scale(None, None)
    assert_array_equal(model.predict(x), scores)


# --- scales --------------------------------------------------------------------------------------


def test_the_input_scale_is_applied_to_whatever_comes_in():
    model, scaled = make_model(), make_model()
    mean, std = np.float32([10, -3]), np.float32([4, 0.5])
    scaled.set_input_scale(mean, std)
    x = normal(5, 3, 2) * 4 + mean
    expected = model.scores((x - mean) / std)
    assert_allclose(scaled.scores(x), expected, rtol=1e-5, atol=1e-6)
    stream = scaled.stream(3)
    assert_allclose([stream.step(x_t) for x_t in x], expected, rtol=1e-5, atol=1e-6)
    scaled.set_input_scale(None, None)
    assert scaled.input_scale is None
    assert_array_equal(scaled.scores(x), model.scores(x))


def test_scales_are_read_only_copies():
    model = make_model(task="regression")
    mean = np.zeros(2, np.float32)
    model.set_input_scale(mean, [1, 1])
    mean[0] = 7
    assert_array_equal(model.input_scale[0], 0)
    with pytest.raises(ValueError, match="read-only"):
        model.input_scale[0][0] = 7


# --- evaluate ------------------------------------------------------------------------------------


def test_evaluating_a_classification():
    model = make_model(pooling="mean")
    x, y = sequences(5, 2, 4, 9), np.array([0, 2, 1, 1])
    result = model.evaluate(x, y)
    losses = -log_softmax(model.scores(x))[range(4), y]
    assert_allclose(result["loss"], losses.mean(), rtol=1e-5)
    assert result["accuracy"] == (model.predict(x) == y).mean()
    model.classes = ["a", "b", "c"]
    assert model.evaluate(x, np.array(["a", "c", "b", "b"])) == pytest.approx(result)


def test_evaluating_steps_leaves_the_padding_out():
    model = make_model()
    x, y = sequences(5, 2), [np.array([0, 1, 2, 1, 0]), np.array([2, 2])]
    result = model.evaluate(x, y)
    parts = zip(model.scores(x), y, strict=True)
    losses = [-log_softmax(scores)[range(len(t)), t] for scores, t in parts]
    assert_allclose(result["loss"], np.concatenate(losses).mean(), rtol=1e-5)
    padded, lengths = cylstm.data.pad(x)
    targets, _ = cylstm.data.pad(y)
    assert model.evaluate(padded, targets, lengths=lengths) == pytest.approx(result)


def test_evaluating_a_regression_in_both_units():
    model = make_model(task="regression", pooling="last", output_size=1)
    model.set_output_scale([10], [4])
    x, y = normal(5, 3, 2), np.array([9.0, 12.0, 7.0])
    result = model.evaluate(x, y)
    mse = np.square(model.predict(x)[:, 0] - y).mean()
    assert_allclose(result["mse"], mse, rtol=1e-5)
    assert_allclose(result["loss"], mse / 16, rtol=1e-5)


def test_evaluating_a_language_model():
    model = make_language_model()
    tokens = np.arange(20) % 7
    result = model.evaluate([tokens])
    losses = -log_softmax(model.scores(tokens[:-1]))[range(19), tokens[1:]]
    assert_allclose(result["loss"], losses.mean(), rtol=1e-5)
    assert_allclose(result["bits_per_token"], losses.mean() / np.log(2), rtol=1e-5)


# --- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_a_stream_gives_the_scores_so_far(cell, pooling):
    model = make_model(cell=cell, pooling=pooling, num_layers=2)
    x = normal(5, 3, 2)
    stream = model.stream(3)
    for t, x_t in enumerate(x):
        scores = stream.step(x_t)
        expected = model.scores(x[: t + 1], reproducible=True)
        assert_array_equal(scores, expected[-1] if pooling is None else expected)


def test_a_stream_of_tokens_takes_them_one_by_one():
    model = make_language_model()
    tokens = np.array([1, 5, 0, 6])
    stream = model.stream()
    streamed = [stream.step(token) for token in tokens]
    assert_array_equal(streamed, model.scores(tokens, reproducible=True))
    assert_array_equal(model.stream(2).step(tokens[:2])[1], model.stream().step(5))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_state_of_a_pooled_stream_has_what_was_pooled(pooling):
    model = make_model(pooling=pooling)
    x = normal(6, 2, 2)
    stream, other = model.stream(2), model.stream(2)
    for x_t in x[:3]:
        stream.step(x_t)
    shapes = [part.shape for part in stream.state]
    assert shapes == [(1, 2, 4)] * 2 + ([(2, 5)] if pooling in ("mean", "max") else [])
    other.state = stream.state
    for x_t in x[3:]:
        assert_array_equal(other.step(x_t), stream.step(x_t))


# --- the first parameters ------------------------------------------------------------------------


def test_the_first_parameters_are_distributed_as_pytorch_s():
    model = make_model(
        vocab_size=50, embedding_size=40, hidden_size=25, bidirectional=True, output_size=60
    )
    parameters = model.parameters
    embedding = parameters["embedding.weight"]
    assert embedding.shape == (50, 40)
    assert abs(embedding.mean()) < 0.1
    assert_allclose(embedding.std(), 1, rtol=0.05)
    for name, bound in (("head.weight", 50**-0.5), ("recurrent.weight_ih_l0_reverse", 0.2)):
        assert 0.98 * bound < np.abs(parameters[name]).max() <= bound
        assert_allclose(parameters[name].std(), bound / np.sqrt(3), rtol=0.05)
    assert parameters["head.weight"].shape == (60, 50)
    assert np.abs(parameters["head.bias"]).max() <= 50**-0.5
    assert list(parameters)[:2] == ["embedding.weight", "recurrent.weight_ih_l0"]
    assert list(parameters)[-2:] == ["head.weight", "head.bias"]


def test_state_dicts_and_editing_cover_the_whole_model():
    model, other = make_model(), make_model(seed=2)
    x = normal(5, 3, 2)
    other.load_state_dict(model.state_dict())
    assert_array_equal(other.scores(x), model.scores(x))
    with other.editing() as parameters:
        parameters["head.bias"][...] += 1
    assert_allclose(other.scores(x), model.scores(x) + 1, rtol=1e-5)
    assert other.grads.keys() == model.parameters.keys()


# --- copies and descriptions ---------------------------------------------------------------------

COPIES = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "clone": lambda model: model.clone(),
}


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_copies_have_all_that_belongs_to_a_model(make_copy):
    model = make_model(pooling="max", dropout=0.25, num_layers=2, batch_first=True)
    model.classes = ["a", "b", "c"]
    model.extras = {"columns": ["x", "y"], "step": 0.1}
    model.set_input_scale([1, 2], [3, 4])
    twin = make_copy(model)
    x = normal(3, 5, 2)
    assert_array_equal(twin.scores(x), model.scores(x))
    assert (twin.config, twin.classes, twin.extras) == (model.config, model.classes, model.extras)
    assert_array_equal(twin.input_scale, model.input_scale)
    twin.extras["columns"].append("z")
    twin.classes = None
    twin.set_input_scale(None, None)
    assert model.extras["columns"] == ["x", "y"]
    assert model.classes == ["a", "b", "c"]
    assert model.input_scale is not None


def test_a_copy_of_a_regression_keeps_its_output_scale():
    model = make_model(task="regression")
    model.set_output_scale([1, 2, 3], [4, 5, 6])
    assert_array_equal(model.clone().output_scale, model.output_scale)


def test_config_has_the_arguments_of_the_constructor():
    model = make_model(cell="rnn", nonlinearity="relu", pooling="last")
    assert cylstm.SequenceModel(**model.config).config == model.config
    again = cylstm.SequenceModel(**model.config)
    assert_array_equal(again.parameters["head.weight"], model.parameters["head.weight"])
    model.config["task"] = "regression"
    assert model.config["task"] == "classification"


def test_repr_shows_what_is_not_default():
    assert repr(make_model(pooling="last")) == (
        "SequenceModel(task='classification', input_size=2, hidden_size=4, pooling='last', "
        "output_size=3)"
    )


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_the_recurrent_layer_is_what_the_model_runs(cell):
    model = cylstm.SequenceModel(
        task="regression", cell=cell, input_size=3, hidden_size=5, num_layers=2, output_size=2
    )
    x = np.random.default_rng(0).standard_normal((7, 4, 3)).astype(np.float32)
    hidden, _ = model.recurrent_layer()(x)
    head = model.parameters["head.weight"], model.parameters["head.bias"]
    np.testing.assert_allclose(hidden @ head[0].T + head[1], model.scores(x), atol=1e-6)
