"""`fit`: losses and masks, carried state, exact resume, early stopping, and how it ends badly."""

import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import cylstm
from cylstm import _core, data
from cylstm.checkpoint import Checkpoint
from cylstm.losses import Loss
from cylstm.schedules import ReduceOnPlateau
from cylstm.trainer import DivergenceError, Plan, Trainer

TIMES = ("seconds", "speed")


# --- models and data -----------------------------------------------------------------------------


def classifier(**options):
    """Two classes of whole sequences of two numbers per step."""
    settings = {"hidden_size": 4, "pooling": "mean", "output_size": 2, "seed": 0}
    return cylstm.SequenceModel(task="classification", input_size=2, **settings | options)


def regressor(**options):
    """One number for each step of one number."""
    settings = {"hidden_size": 4, "output_size": 1, "seed": 0}
    return cylstm.SequenceModel(task="regression", input_size=1, **settings | options)


def writer(**options):
    """A language model of five tokens."""
    settings = {"hidden_size": 6, "embedding_size": 3, "seed": 0}
    return cylstm.SequenceModel(task="language", vocab_size=5, output_size=5, **settings | options)


def labelled(count=24, seed=0):
    """Sequences whose label is the sign of their mean."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    x = [rng.standard_normal((rng.integers(3, 9), 2)) + 2 * label - 1 for label in y]
    return x, y


def running_sums(steps=24, batch=3, seed=0):
    """x (T, B, 1) and its running sum, far from zero."""
    x = np.random.default_rng(seed).standard_normal((steps, batch, 1))
    return x, 50.0 + 3.0 * x.cumsum(axis=0)


TEXT = np.tile([0, 3, 1, 4, 2], 60)


def weights(model):
    return np.concatenate([array.ravel() for array in model.parameters.values()])


def without_times(history):
    return {name: entry for name, entry in history.to_dict().items() if name not in TIMES}


def assert_same_history(first, second):
    """All but the times are equal, NaN included."""
    np.testing.assert_equal(without_times(first), without_times(second))


# --- what is learned -----------------------------------------------------------------------------


def test_a_classifier_learns():
    x, y = labelled(60)
    model = classifier()
    history = model.fit(x, y, validation=0.25, epochs=15, batch_size=8, learning_rate=0.05, seed=1)
    assert history.validation_score[-1] >= 0.9
    assert history.score_name == "accuracy"
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert np.mean(model.predict(x) == y) >= 0.9


def test_a_binary_classifier_of_steps_learns():
    x = np.random.default_rng(0).standard_normal((10, 30, 2))
    model = classifier(pooling=None, output_size=1)
    labels = np.where(x[..., 0] > 0, "up", "down")
    history = model.fit(x, labels, epochs=15, batch_size=8, learning_rate=0.05, seed=1)
    assert history.loss[-1] < 0.3
    assert model.classes == ["down", "up"]
    assert np.mean(model.predict(x) == labels) > 0.9


LABELS = {
    "beyond int64": np.array([5, 2**63 + 1], np.uint64),
    "a list beyond int64": [5, 2**63 + 1],
    "on both sides": [-5, 2**63 + 1],
    "beyond 64 bits": [5, 2**70],
    "beyond float64": [2**53, 2**53 + 1],
    "beside a fraction": [0.5, 2**53 + 1],
    "bools": [False, True],
    "floats": [0.0, 1.0],
    "integers": [0, 1],
    "NumPy's": [np.int8(3), np.int8(7)],
    "texts": ["no", "yes"],
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_keep_their_type_and_value(labels, tmp_path):
    x, codes = labelled(20)
    model = classifier()
    y = labels[codes] if isinstance(labels, np.ndarray) else [labels[code] for code in codes]
    model.fit(x, y, epochs=1, seed=0)
    model.save(tmp_path / "model.safetensors")
    plain = [label.item() if isinstance(label, np.generic) else label for label in labels]
    expected = {(type(label), label) for label in plain}
    for each in (model, cylstm.load(tmp_path / "model.safetensors")):
        found = {(type(label), label) for label in each.predict(x).tolist()}
        assert found <= expected
    assert model.evaluate(x, y)["accuracy"] >= 0


def test_labels_of_several_types_are_a_mixture():
    x, codes = labelled(20)
    for labels in (["a", 1], ["1", 1]):
        with pytest.raises(TypeError, match="y: expected labels that can be sorted"):
            classifier().fit(x, [labels[code] for code in codes], epochs=1)


@pytest.mark.parametrize("mean", [0.0, 1.0, -4e6])
@pytest.mark.parametrize("spread", [0.0, 1e-300, 1e-50, 1e-40])
def test_targets_that_hardly_vary_are_predicted_as_their_mean(mean, spread):
    x, _ = running_sums(5, 3)
    model = regressor()
    model.fit(x, mean + spread * x, epochs=1)
    np.testing.assert_allclose(model.predict(x), mean, rtol=1e-6, atol=1e-37)


def test_a_regression_learns_in_the_targets_units():
    x, y = running_sums(12, 40)
    model = regressor(hidden_size=8)
    history = model.fit(x, y, validation=0.2, epochs=40, batch_size=8, learning_rate=0.03, seed=1)
    assert history.validation_score[-1] < 0.3 * y.var()
    assert history.score_name == "mse"
    assert np.mean((model.predict(x) - y) ** 2) < 0.3 * y.var()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_squared_errors_in_the_targets_units_keep_their_digits(unit):
    x, y = running_sums(12, 40)
    plain, scaled = regressor(), regressor()
    plain.fit(x, y, epochs=2, seed=0)
    history = scaled.fit(x, y * unit, validation=(x, y * unit), epochs=2, seed=0)
    expected = plain.evaluate(x, y)["mse"] * unit**2
    assert history.validation_score[-1] == pytest.approx(expected, rel=1e-4, abs=0)


def test_a_language_model_learns_a_text():
    model = writer()
    history = model.fit(
        TEXT, validation=0.2, epochs=12, batch_size=4, bptt_steps=10, learning_rate=0.05, seed=1
    )
    assert history.score_name == "bits_per_token"
    assert history.unit == "tokens"
    assert history.validation_score[-1] < 0.3
    np.testing.assert_allclose(
        history.validation_score, np.array(history.validation_loss) / math.log(2)
    )


def test_a_language_model_learns_sentences():
    sentences = [TEXT[start : start + length] for start, length in ((0, 12), (3, 7), (1, 20))]
    model = writer()
    history = model.fit(sentences, validation=[TEXT[2:40]], epochs=40, learning_rate=0.05, seed=1)
    assert history.validation_score[-1] < 0.5


def test_the_first_loss_is_that_of_the_untrained_model():
    x, y = labelled()
    model = classifier()
    model.set_input_scale([0, 0], [1, 1])
    scores = np.asarray(model.scores(x), np.float64)
    expected = np.mean(np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(y)), y])
    history = model.fit(x, y, epochs=1, batch_size=len(y))
    assert history.loss[0] == pytest.approx(expected, rel=1e-5)


def test_validation_is_what_evaluate_says():
    x, y = labelled()
    model = classifier()
    history = model.fit(x, y, validation=(x[:7], y[:7]), epochs=1, batch_size=3, seed=0)
    found = model.evaluate(x[:7], y[:7])
    assert found["loss"] == pytest.approx(history.validation_loss[0], rel=1e-5)
    assert found["accuracy"] == pytest.approx(history.validation_score[0])


@pytest.mark.parametrize("bptt_steps", [None, 4])
def test_losses_and_scores_are_means_over_the_steps_that_count(bptt_steps):
    x, y = running_sums(9, 5)
    lengths = [9, 4, 6, 1, 9]
    model = regressor()
    history = model.fit(
        x,
        y,
        lengths=lengths,
        validation=(x, y, lengths),
        epochs=1,
        batch_size=2,
        bptt_steps=bptt_steps,
        optimizer=cylstm.SGD(0.0),
    )
    counted = np.arange(9)[:, None] < lengths
    errors = (model.predict(x, lengths=lengths) - y)[counted]
    expected = np.mean(errors.astype(np.float64) ** 2)
    std = model.output_scale[1][0]
    assert history.validation_score == pytest.approx([expected], rel=1e-5)
    assert history.validation_loss == pytest.approx([expected / std**2], rel=1e-5)
    assert history.loss == pytest.approx([expected / std**2], rel=1e-5)


def test_accuracy_is_over_the_steps_that_count():
    x = np.random.default_rng(0).standard_normal((7, 4, 2))
    y = (x[..., 0] > 0).astype(int)
    lengths = [7, 2, 5, 1]
    model = classifier(pooling=None)
    history = model.fit(
        x, y, lengths=lengths, validation=(x, y, lengths), epochs=1, optimizer=cylstm.SGD(0.0)
    )
    counted = np.arange(7)[:, None] < lengths
    hits = (model.predict(x, lengths=lengths) == y)[counted]
    assert history.validation_score == [pytest.approx(hits.mean())]


# --- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bptt_steps", [None, 4])
def test_padding_changes_nothing(bptt_steps):
    sums, _ = running_sums(9, 6)
    lengths = [9, 4, 6, 1, 9, 2]
    padding = np.arange(9)[:, None] >= lengths
    trained = []
    for content in (0.0, 1e3, np.nan):
        x, y = sums.copy(), sums.cumsum(axis=0)
        x[padding], y[padding] = content, content
        model = regressor()
        history = model.fit(
            x, y, lengths=lengths, epochs=3, batch_size=4, seed=5, bptt_steps=bptt_steps
        )
        trained.append((weights(model), history))
    for other, history in trained[1:]:
        np.testing.assert_array_equal(other, trained[0][0])
        assert_same_history(history, trained[0][1])


def test_steps_count_equally_in_a_batch():
    x, y = running_sums(6, 2)
    model = regressor()
    model.set_input_scale([0.0], [1.0])
    model.set_output_scale([0.0], [1.0])
    scores = model.scores(x, lengths=[6, 2])
    errors = np.concatenate([(scores - y)[:6, 0], (scores - y)[:2, 1]])
    history = model.fit(x, y, lengths=[6, 2], epochs=1)
    assert history.loss[0] == pytest.approx(np.mean(errors**2), rel=1e-5)


# --- carried state -------------------------------------------------------------------------------


def test_truncated_backpropagation_is_that_of_the_loop_by_hand():
    x, y = running_sums(10, 3)
    model, by_hand = regressor(), regressor()
    model.fit(x, y, epochs=1, bptt_steps=4, optimizer=cylstm.SGD(0.1), clip_norm=None, seed=0)
    by_hand.set_input_scale(*model.input_scale)
    mean, std = model.output_scale
    scaled = (y.astype(np.float32) - mean) / std
    network, optimizer, state = by_hand._network, cylstm.SGD(0.1), None
    for start in (0, 4, 8):
        part = slice(start, start + 4)
        chunk = np.ascontiguousarray(x[part], np.float32)
        scores, state, tape = network.record(chunk, state, None, 1)
        _, dscores = _core.loss("mse", scores, np.ascontiguousarray(scaled[part]))
        network.zero_grad()
        network.backward(tape, dscores, None, None, False)
        optimizer.step(by_hand)
    np.testing.assert_allclose(weights(model), weights(by_hand), rtol=1e-5, atol=1e-6)


def test_a_text_is_read_in_streams_with_the_state_carried(monkeypatch):
    calls = []

    def record(self, scores, batch, scratch):
        calls.append((batch.x.copy(), batch.targets.copy()))
        return _core.loss(self.kind, scores, batch.targets, batch.mask, scratch)

    monkeypatch.setattr(Loss, "__call__", record)
    text = np.arange(46) % 5
    writer().fit(text, epochs=1, batch_size=3, bptt_steps=6, seed=0)
    assert [x.shape for x, _ in calls] == [(6, 3), (6, 3), (3, 3)]
    x, targets = (np.concatenate(part) for part in zip(*calls, strict=True))
    order = np.argsort(x[0])
    np.testing.assert_array_equal(x[:, order].T.ravel(), text[:45])
    np.testing.assert_array_equal(targets[:, order].T.ravel(), text[1:46])


def test_a_text_has_chunks_of_a_hundred_steps():
    history = writer().fit(np.arange(2001) % 5, epochs=1, batch_size=8, seed=0)
    assert history.steps == [3]


@pytest.mark.parametrize("model", [classifier(), classifier(pooling=None, bidirectional=True)])
def test_models_that_need_whole_sequences_have_no_chunks(model):
    with pytest.raises(ValueError, match="bptt_steps: expected None"):
        model.fit(*labelled(), bptt_steps=2)


# --- scaling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [None, [9, 4, 6, 1, 9, 2]])
def test_scales_are_learned_from_the_training_part_alone(lengths):
    x, y = running_sums(9, 6)
    model = regressor()
    held_out = (x * 100.0 + 7.0, y - 1e4, lengths)
    model.fit(x, y, lengths=lengths, validation=held_out, epochs=1)
    counted = np.arange(9)[:, None] < (9 if lengths is None else lengths)
    counted = np.broadcast_to(counted, (9, 6))
    for (mean, std), array in ((model.input_scale, x), (model.output_scale, y)):
        assert mean[0] == pytest.approx(array[counted].mean(), abs=1e-5)
        assert std[0] == pytest.approx(array[counted].std(), rel=1e-5)


def test_a_validation_fraction_is_kept_out_of_the_scales():
    x = [np.full((3, 2), 2.0**n) for n in range(10)]
    model = classifier()
    model.fit(x, np.arange(10) % 2, validation=0.3, epochs=1, seed=4)
    total = float(model.input_scale[0][0]) * 7
    assert total == pytest.approx(round(total), abs=1e-3)
    assert round(total).bit_count() == 7  # seven different sequences


def test_a_fraction_of_streams_is_their_end():
    x, y = running_sums(20, 3)
    x[15:] += 1e4
    model = regressor()
    model.fit(x, y, validation=0.25, bptt_steps=5, epochs=1)
    assert model.input_scale[0][0] == pytest.approx(x[:15].mean(), abs=1e-5)


def test_scales_that_the_model_has_are_kept():
    model = regressor()
    model.set_input_scale([3.0], [2.0])
    model.set_output_scale([5.0], [7.0])
    model.fit(*running_sums(), epochs=1)
    assert model.input_scale[0].tolist() == [3.0]
    assert model.output_scale[1].tolist() == [7.0]


def test_inputs_can_stay_as_they_are():
    model = classifier()
    model.fit(*labelled(), epochs=1, scale_inputs=False)
    assert model.input_scale is None


# --- exact resume --------------------------------------------------------------------------------


def interrupt(monkeypatch, at):
    """Make training raise KeyboardInterrupt, once, instead of taking step `at`, counted from 0."""
    numbers, ours = itertools.count(), Trainer._step

    def step(*arguments):
        if next(numbers) == at:
            raise KeyboardInterrupt
        return ours(*arguments)

    monkeypatch.setattr(Trainer, "_step", step)


def fit_classifier(optimizer, **options):
    model = classifier(dropout=0.3, num_layers=2)
    x, y = labelled()
    settings = {"validation": 0.25, "epochs": 5, "batch_size": 6, "seed": 3}
    return model, model.fit(x, y, optimizer=optimizer, **settings | options)


def fit_streams(optimizer, **options):
    model = writer()
    settings = {"validation": 0.2, "epochs": 5, "batch_size": 5, "bptt_steps": 16, "seed": 3}
    return model, model.fit(TEXT, optimizer=optimizer, **settings | options)


RUNS = [
    (fit_classifier, lambda: cylstm.Adam(0.03), {}),
    (fit_classifier, lambda: cylstm.AdamW(0.03), {"schedule": "cosine", "warmup": 7}),
    (fit_classifier, lambda: cylstm.RMSprop(0.03, momentum=0.9), {"clip_norm": 0.1}),
    (fit_classifier, lambda: cylstm.SGD(0.3, momentum=0.9), {"patience": 1}),
    (fit_classifier, lambda: cylstm.SGD(0.3), {"schedule": ReduceOnPlateau(patience=1)}),
    (fit_streams, lambda: cylstm.Adam(0.03), {"schedule": "step", "validation": None}),
    (fit_streams, lambda: cylstm.Adam(0.2), {"schedule": ReduceOnPlateau(0.5, 1), "patience": 2}),
]


@pytest.mark.parametrize("stop_at", [0, 3, 4, 10])
@pytest.mark.parametrize(("run", "optimizer", "options"), RUNS)
def test_a_resumed_run_ends_with_the_same_bits(
    tmp_path, monkeypatch, run, optimizer, options, stop_at
):
    model, history = run(optimizer(), **options)
    files = {"checkpoint": tmp_path / "run", "resume": True}
    interrupt(monkeypatch, min(stop_at, sum(history.steps) - 1))
    _, stopped = run(optimizer(), **files, **options)
    assert stopped.stopped == "interrupted"
    resumed, found = run(optimizer(), **files, **options)
    np.testing.assert_array_equal(weights(resumed), weights(model))
    assert_same_history(found, history)
    np.testing.assert_equal(resumed.input_scale, model.input_scale)


def test_a_run_can_be_stopped_after_every_epoch(tmp_path):
    model, history = fit_classifier("adam")
    for epochs in range(1, 6):
        resumed, found = fit_classifier(
            "adam", epochs=epochs, checkpoint=tmp_path / "run", resume=True
        )
        assert len(found) == epochs
    np.testing.assert_array_equal(weights(resumed), weights(model))
    assert_same_history(found, history)


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    options = {"checkpoint": tmp_path / "run", "resume": True, "patience": 1}
    model, history = fit_classifier(cylstm.SGD(0.3), **options)
    interrupt(monkeypatch, 0)
    again, found = fit_classifier(cylstm.SGD(0.3), **options)
    assert_same_history(found, history)
    np.testing.assert_array_equal(weights(again), weights(model))


def test_a_drawn_seed_is_kept_for_the_resumed_run(tmp_path, monkeypatch):
    x, y = labelled()
    options = {"epochs": 3, "batch_size": 4, "checkpoint": tmp_path / "run"}
    model = classifier(seed=1)
    history = model.fit(x, y, **options)
    drawn = Checkpoint.load(tmp_path / "run").seed
    again = classifier(seed=1)
    assert_same_history(again.fit(x, y, seed=drawn, epochs=3, batch_size=4), history)
    interrupt(monkeypatch, 9)
    classifier(seed=1).fit(x, y, **options | {"checkpoint": tmp_path / "other"}, seed=drawn)
    resumed = classifier(seed=2)
    resumed.fit(x, y, **options | {"checkpoint": tmp_path / "other"}, resume=True)
    np.testing.assert_array_equal(weights(resumed), weights(model))


def test_a_resumed_run_keeps_the_scales_it_began_with(tmp_path):
    x, y = running_sums()
    first, second = regressor(), regressor()
    first.set_input_scale([3.0], [2.0])
    first.set_output_scale([5.0], [7.0])
    first.fit(x, y, epochs=1, checkpoint=tmp_path / "run", seed=0)
    second.fit(x, y, epochs=2, checkpoint=tmp_path / "run", seed=0, resume=True)
    assert second.input_scale[0].tolist() == [3.0]
    assert second.output_scale[1].tolist() == [7.0]


def test_without_resume_a_checkpoint_is_replaced(tmp_path):
    first, _ = fit_classifier("adam", checkpoint=tmp_path / "run", epochs=2)
    second, history = fit_classifier("adam", checkpoint=tmp_path / "run", epochs=2)
    np.testing.assert_array_equal(weights(first), weights(second))
    assert len(history) == 2


def test_seeds_make_runs_repeat():
    runs = [fit_classifier("adam", seed=seed) for seed in (3, 3, 4)]
    same, again, other = (weights(model) for model, _ in runs)
    np.testing.assert_array_equal(same, again)
    assert (same != other).any()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"batch_size": 7}, "batch_size"),
        ({"seed": 4}, "seed"),
        ({"clip_norm": 2.0}, "clip_norm"),
        ({"warmup": 5}, "warmup"),
        ({"schedule": "cosine"}, "schedule"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"learning_rate": 0.5}, "optimizer"),
        ({"validation": 0.5}, "x"),
    ],
)
def test_another_run_is_not_resumed(tmp_path, options, name):
    fit_classifier("adam", checkpoint=tmp_path / "run", epochs=1)
    with pytest.raises(ValueError, match=f"resume: expected the checkpoint's {name}, "):
        fit_classifier(
            **{"optimizer": "adam", "checkpoint": tmp_path / "run", "resume": True} | options
        )


class Halving:
    """A schedule without a repr."""

    def __init__(self, base=0.5):
        self.base = base

    def factor(self, epoch, epochs, losses):
        return self.base**epoch


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"clip_norm": 1.0}, {"clip_norm": 1}),
        ({"batch_size": 4}, {"batch_size": np.int64(4)}),
        ({"learning_rate": 1e-3}, {"learning_rate": np.float64(1e-3)}),
        ({"schedule": Halving()}, {"schedule": Halving()}),
        ({"optimizer": "adam"}, {"optimizer": cylstm.Adam(1e-3)}),
    ],
)
def test_settings_are_compared_by_value(tmp_path, first, then):
    usual = {"optimizer": "adam", "checkpoint": tmp_path / "run"}
    fit_classifier(**usual | first, epochs=1)
    assert len(fit_classifier(**usual | then, epochs=2, resume=True)[1]) == 2


def test_another_schedule_of_ones_own_is_not_resumed(tmp_path):
    usual = {"optimizer": "adam", "checkpoint": tmp_path / "run"}
    fit_classifier(**usual, schedule=Halving(), epochs=1)
    with pytest.raises(ValueError, match=r"schedule, Halving\(base=0.5\), got Halving\(base=0.6\)"):
        fit_classifier(**usual, schedule=Halving(0.6), epochs=2, resume=True)


@pytest.mark.parametrize("changed", ["x", "y"])
def test_a_run_on_other_data_is_not_resumed(tmp_path, changed):
    x, y = labelled()
    options = {"checkpoint": tmp_path / "run", "seed": 0}
    classifier().fit(x, y, epochs=1, **options)
    other = {"x": ([*x[:-1], x[-1] + 1e-3], y), "y": (x, [*y[:-1], 1 - y[-1]])}[changed]
    with pytest.raises(ValueError, match=f"resume: expected the checkpoint's {changed}, .* digest"):
        classifier().fit(*other, epochs=2, resume=True, **options)


def test_another_model_is_not_resumed(tmp_path):
    x, y = labelled()
    classifier().fit(x, y, epochs=1, checkpoint=tmp_path / "run")
    other = classifier(hidden_size=5)
    before = weights(other)
    with pytest.raises(ValueError, match="resume: expected the checkpoint's model, "):
        other.fit(x, y, epochs=1, checkpoint=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(weights(other), before)
    assert other.input_scale is None


def test_resume_needs_a_checkpoint():
    with pytest.raises(ValueError, match="checkpoint: expected the file to resume from"):
        classifier().fit(*labelled(), resume=True)


def test_a_checkpoint_without_a_directory_is_refused_before_the_work(tmp_path, monkeypatch):
    interrupt(monkeypatch, 0)
    with pytest.raises(FileNotFoundError, match="checkpoint: expected a file in a directory"):
        fit_classifier("adam", checkpoint=tmp_path / "missing" / "run")


def test_a_checkpoint_that_cannot_be_a_file_is_refused_before_the_work(tmp_path, monkeypatch):
    interrupt(monkeypatch, 0)
    with pytest.raises(ValueError, match="checkpoint: expected a file, or none yet"):
        fit_classifier("adam", checkpoint=tmp_path)
    with pytest.raises(TypeError, match="checkpoint: expected a path, got 3"):
        fit_classifier("adam", checkpoint=3)


# --- checkpoint files ----------------------------------------------------------------------------


def test_a_checkpoint_is_a_safetensors_file_alone(tmp_path):
    model, history = fit_classifier("adam", checkpoint=tmp_path / "run")
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    tensors = safetensors.numpy.load_file(tmp_path / "run")
    np.testing.assert_array_equal(tensors["weights"], weights(model))
    assert tensors["history.loss"].tolist() == history.loss
    assert tensors["optimizer.step"] == sum(history.steps)


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def damage_replace(path):
    path.write_bytes(b"not a checkpoint")


def damage_kind(path):
    classifier().save(path)


def damage_history(path):
    tensors = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata = file.metadata()
    tensors["history.loss"] = tensors["history.loss"][:-1]
    path.write_bytes(safetensors.numpy.save(tensors, metadata))


@pytest.mark.parametrize("damage", [damage_truncate, damage_replace, damage_kind, damage_history])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "run"
    fit_classifier("adam", checkpoint=path)
    damage(path)
    with pytest.raises(ValueError, match="checkpoint: expected a cylstm checkpoint 2 file"):
        fit_classifier("adam", checkpoint=path, resume=True)


def test_no_byte_of_a_checkpoint_can_change_unnoticed(tmp_path):
    path = tmp_path / "run"
    fit_classifier("adam", checkpoint=path)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    header = 8 + int.from_bytes(content[:8], "little")
    places = [*range(8), *rng.integers(8, header, 150), *rng.integers(header, len(content), 150)]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="checkpoint: expected a cylstm checkpoint 2 file"):
            Checkpoint.load(path)


def test_an_empty_checkpoint_is_refused_before_the_work():
    with pytest.raises(ValueError, match="checkpoint: expected a path, got an empty one"):
        fit_classifier("adam", checkpoint="")


# --- early stopping and schedules ----------------------------------------------------------------


def script_validation(monkeypatch, losses):
    """Make validation say these losses, and keep the weights that it saw."""
    seen = []

    def validate(trainer):
        seen.append(weights(trainer.model))
        return losses[len(seen) - 1], 0.0

    monkeypatch.setattr(Trainer, "_validate", validate)
    return seen


def test_early_stopping_restores_the_best_weights(monkeypatch):
    seen = script_validation(monkeypatch, [3.0, 2.0, 2.5, 2.0, 9.0, 1.0])
    model, history = fit_classifier("adam", epochs=6, patience=3)
    assert history.stopped == "patience"
    assert history.best_epoch == 1
    assert len(history) == 5
    np.testing.assert_array_equal(weights(model), seen[1])


def test_patience_gives_the_best_weights_when_epochs_run_out(monkeypatch):
    seen = script_validation(monkeypatch, [3.0, 2.0, 2.5])
    model, history = fit_classifier("adam", epochs=3, patience=5)
    assert history.stopped == "epochs"
    np.testing.assert_array_equal(weights(model), seen[1])


def test_without_patience_the_last_weights_stay(monkeypatch):
    seen = script_validation(monkeypatch, [3.0, 2.0, 2.5])
    model, _ = fit_classifier("adam", epochs=3)
    np.testing.assert_array_equal(weights(model), seen[2])


def test_plateaus_of_the_validation_loss_lower_the_rate(monkeypatch):
    script_validation(monkeypatch, [3.0, 2.0, 2.5, 2.5, 1.0, 1.0, 1.0])
    schedule = ReduceOnPlateau(decay=0.5, patience=1)
    optimizer = cylstm.Adam(0.08)
    _, history = fit_classifier(optimizer, epochs=7, schedule=schedule)
    assert history.learning_rate == [0.08, 0.08, 0.08, 0.08, 0.04, 0.04, 0.04]
    assert optimizer.learning_rate == 0.08


def test_the_rate_warms_up_and_follows_the_cosine():
    x, y = labelled(8)
    history = classifier().fit(
        x, y, epochs=4, batch_size=4, optimizer=cylstm.SGD(1.0), schedule="cosine", warmup=4
    )
    # two steps in an epoch; what is listed is the rate of the second
    expected = [
        min(1.0, (step + 1) / 4) * (1 + math.cos(math.pi * step / 8)) / 2 for step in (1, 3, 5, 7)
    ]
    assert history.learning_rate == pytest.approx(expected)


# --- Ctrl-C --------------------------------------------------------------------------------------


def test_an_interrupt_keeps_the_best_weights(monkeypatch):
    seen = script_validation(monkeypatch, [3.0, 2.0, 2.5])
    interrupt(monkeypatch, 10)  # three steps in an epoch: in the fourth
    model, history = fit_classifier("adam")
    assert history.stopped == "interrupted"
    assert len(history) == 3
    np.testing.assert_array_equal(weights(model), seen[1])


def test_an_interrupt_in_the_first_epoch_keeps_what_was_learned(monkeypatch):
    interrupt(monkeypatch, 2)
    model, history = fit_classifier("adam")
    assert len(history) == 0
    assert (weights(model) != weights(classifier(dropout=0.3, num_layers=2))).any()
    assert np.isfinite(weights(model)).all()
    assert len(model.predict(labelled()[0])) == 24


def test_an_interrupt_gives_the_optimiser_its_rate_back(monkeypatch):
    interrupt(monkeypatch, 2)
    optimizer = cylstm.Adam(0.08)
    fit_classifier(optimizer, warmup=100)
    assert optimizer.learning_rate == 0.08


# --- losses that are not finite ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "at", "kept"),
    [
        ([3.0, 2.0, 2.5], 11, 1),
        ([3.0, 2.0, 1.0], 11, 2),
        ([3.0, 2.0, 1.0], 10, 1),  # the first step from the weights of the best epoch goes wrong
    ],
)
def test_a_loss_that_becomes_nan_stops_with_the_best_weights(monkeypatch, losses, at, kept):
    seen = script_validation(monkeypatch, losses)
    ours = Trainer._step

    def step(trainer, chunk, state):
        if trainer.step == at - 1:
            trainer.loss = lambda scores, *_: (math.nan, np.zeros_like(scores))
        return ours(trainer, chunk, state)

    monkeypatch.setattr(Trainer, "_step", step)
    x, y = labelled()
    model = classifier()
    with pytest.raises(
        DivergenceError,
        match=f"loss became nan in epoch 4, at step {at} .*Try a lower learning_rate",
    ) as caught:
        model.fit(x, y, validation=0.25, batch_size=6, seed=3)
    assert isinstance(caught.value, FloatingPointError)
    assert caught.value.history.stopped == "diverged"
    assert len(caught.value.history) == 3
    np.testing.assert_array_equal(weights(model), seen[kept])


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_run_that_explodes_leaves_the_model_usable(clip_norm):
    x, y = running_sums()
    model = regressor()
    before = weights(model)
    with pytest.raises(DivergenceError, match="norm of the gradient became nan"):
        model.fit(x, y, optimizer=cylstm.SGD(1e38), clip_norm=clip_norm, epochs=50)
    np.testing.assert_array_equal(weights(model), before)
    assert np.isfinite(model.predict(x)).all()
    history = model.fit(x, y, epochs=2)
    assert np.isfinite(history.loss).all()


def test_weights_that_explode_in_the_last_step_are_noticed(monkeypatch):
    x, y = running_sums()
    model = regressor()
    before = weights(model)
    step = Trainer._step

    def explode(trainer, *arguments):
        result = step(trainer, *arguments)
        vector = trainer.network.copy_vector()
        vector[3] = np.inf
        trainer.network.assign_vector(vector)
        return result

    monkeypatch.setattr(Trainer, "_step", explode)
    with pytest.raises(DivergenceError, match="norm of the weights became inf"):
        model.fit(x, y, epochs=1)
    np.testing.assert_array_equal(weights(model), before)


# --- arguments -----------------------------------------------------------------------------------


def with_nan(arrays, at=1):
    spoilt = [array.copy() for array in arrays]
    spoilt[at][2] = np.nan
    return spoilt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": with_nan(labelled()[0])}, r"x\[1\]: expected finite numbers, got nan at \(2, 0\)"),
        ({"y": np.full(24, np.nan)}, r"y: expected finite numbers, got nan at \(0,\)"),
        ({"y": None}, "y: expected a target"),
        ({"epochs": 0}, "epochs: expected an integer in 1"),
        ({"batch_size": 0}, "batch_size: "),
        ({"warmup": -1}, "warmup: "),
        ({"bptt_steps": 0}, "bptt_steps: "),
        ({"patience": 0}, "patience: "),
        ({"clip_norm": 0.0}, "clip_norm: "),
        ({"checkpoint_every": 0}, "checkpoint_every: "),
        ({"num_threads": 0}, "num_threads: "),
        ({"seed": -1}, "seed: "),
        ({"learning_rate": -1.0}, "learning_rate: "),
        ({"optimizer": "adamm"}, "optimizer: "),
        ({"schedule": "linear"}, "schedule: "),
        ({"validation": 1.5}, "validation: expected a fraction"),
        ({"validation": ([np.zeros((3, 2))], ["new"])}, "validation y: expected the labels"),
        ({"validation": ([np.zeros((3, 3))], [0])}, r"validation x\[0\]: expected shape"),
    ],
)
def test_unusable_arguments_are_refused_with_nothing_changed(options, message):
    x, y = labelled()
    model = classifier()
    before = weights(model)
    arguments = {"x": x, "y": np.where(y, "yes", "no")} | options
    with pytest.raises(ValueError, match=message):
        model.fit(**arguments)
    np.testing.assert_array_equal(weights(model), before)
    assert model.classes is None
    assert model.input_scale is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": np.zeros(3)}, "validation: expected a fraction, "),
        ({"validation": (1, 2, 3, 4)}, "validation: expected a fraction, "),
        ({"epochs": 2.5}, "epochs: expected an integer"),
        ({"resume": "yes"}, "resume: expected True or False"),
        ({"schedule": cylstm.Cosine}, "schedule: expected a name or a Schedule"),
    ],
)
def test_arguments_of_another_kind_are_refused(options, message):
    with pytest.raises(TypeError, match=message):
        classifier().fit(*labelled(), **options)


def test_an_optimiser_of_another_model_is_refused_with_nothing_changed():
    optimizer = cylstm.Adam()
    classifier().fit(*labelled(), epochs=1, optimizer=optimizer)
    model = classifier()
    with pytest.raises(ValueError, match="model: expected the object that this Adam stepped"):
        model.fit(*labelled(), epochs=1, optimizer=optimizer)
    assert model.input_scale is None


# --- history and progress ------------------------------------------------------------------------


def test_history_lists_every_epoch():
    _, history = fit_classifier("adam")
    columns = {name: getattr(history, name) for name in history.columns()}
    assert {len(column) for column in columns.values()} == {5}
    assert history.steps == [3] * 5
    assert history.unit == "sequences"
    assert history.stopped == "epochs"
    speeds = [18 / seconds for seconds in history.seconds]
    assert history.speed == pytest.approx(speeds)
    assert json.loads(json.dumps(history.to_dict())) == history.to_dict()


def test_without_validation_the_training_loss_is_watched():
    _, history = fit_classifier("adam", validation=None)
    assert np.isnan(history.validation_loss).all()
    assert np.isnan(history.validation_score).all()
    assert history.best_epoch == int(np.argmin(history.loss))


@pytest.mark.parametrize(("validation", "lines"), [(0.25, 3), (None, 1)])
def test_history_plots(validation, lines):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    _, history = fit_classifier("adam", validation=validation)
    axes = history.plot()
    assert len(axes.lines) == lines
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), history.loss)
    assert history.plot(axes) is axes


def test_matplotlib_is_imported_only_to_plot():
    code = "import sys, cylstm; print('matplotlib' in sys.modules, 'tqdm' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("progress", [None, False])
def test_training_is_quiet_where_there_is_no_terminal(capfd, progress):
    fit_classifier("adam", progress=progress)
    assert capfd.readouterr() == ("", "")


def test_the_progress_bar_shows_losses_scores_and_speed(capfd):
    fit_classifier("adam", progress=True)
    out, err = capfd.readouterr()
    last = err.split("\r")[-1]
    assert out == ""
    for word in ("epoch 5/5", "100%", "loss=", "accuracy=", "sequences/s"):
        assert word in last


def test_the_progress_bar_shows_scores_of_small_units(capfd):
    x, y = running_sums(12, 40)
    y = y * 1e-4
    history = regressor().fit(x, y, validation=(x, y), epochs=2, seed=0, progress=True)
    assert f"mse={history.validation_score[0]:.4g}" in capfd.readouterr().err


def test_the_progress_bar_shows_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fit_classifier("adam")
    assert "epoch 5/5" in capsys.readouterr().err


def test_a_resumed_bar_starts_where_the_run_stopped(tmp_path, capfd):
    fit_classifier("adam", epochs=4, checkpoint=tmp_path / "run")
    fit_classifier("adam", checkpoint=tmp_path / "run", resume=True, progress=True)
    assert "80%" in capfd.readouterr().err.split("\r")[1]


def test_training_uses_the_threads_it_is_given(monkeypatch):
    seen = set()
    evaluate = Trainer._validate

    def validate(trainer):
        seen.add(trainer.plan.num_threads)
        return evaluate(trainer)

    monkeypatch.setattr(Trainer, "_validate", validate)
    one, _ = fit_classifier("adam", num_threads=1)
    two, _ = fit_classifier("adam", num_threads=2)
    assert seen == {1, 2}
    np.testing.assert_array_equal(weights(one), weights(two))


def test_batches_follow_the_seed_and_the_epoch(monkeypatch):
    drawn, ours = [], data.batches

    def batches(lengths, batch_size, rng=None):
        found = ours(lengths, batch_size, rng)
        if rng is not None:
            drawn.append([batch.tolist() for batch in found])
        return found

    monkeypatch.setattr(data, "batches", batches)
    fit_classifier("adam", epochs=2)
    fit_classifier("adam", epochs=2)
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]


def test_dropout_keys_differ_by_step_and_repeat_by_seed(monkeypatch):
    keys, ours = [], Plan.dropout_key

    def dropout_key(plan, step):
        keys.append(ours(plan, step))
        return keys[-1]

    monkeypatch.setattr(Plan, "dropout_key", dropout_key)
    for _ in range(2):
        fit_classifier("adam", epochs=3)
    assert keys[:9] == keys[9:]
    assert len(set(keys)) == 9
    assert all(0 < key < 2**63 for key in keys)
