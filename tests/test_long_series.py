"""Long series: samples folded into steps, forget gates that keep, training that learns nothing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import cylstm
from cylstm import data

RNG = np.random.default_rng(3)


def make(**options: Any) -> cylstm.SequenceModel:
    arguments = {
        "task": "classification",
        "input_size": 2,
        "hidden_size": 5,
        "pooling": "last",
        "output_size": 2,
        "seed": 7,
    }
    return cylstm.SequenceModel(**{**arguments, **options})  # type: ignore[arg-type]


def folded_by_hand(sequence: np.ndarray, samples: int) -> np.ndarray:
    """Step by step, the first sample standing before the first step as often as is needed."""
    rows = list(sequence)
    while len(rows) % samples:
        rows.insert(0, rows[0])
    return np.stack(
        [np.concatenate(rows[n : n + samples]) for n in range(0, len(rows), samples)]
    ).astype(np.float32)


SEQUENCES = [RNG.normal(size=(steps, 2)).astype(np.float32) for steps in (1, 7, 8, 9, 30)]
LABELS = np.array([0, 1, 1, 0, 1])


def test_fold_puts_consecutive_samples_into_a_step() -> None:
    for sequence in SEQUENCES:
        for samples in (1, 2, 4, 50):
            found = data.fold(sequence, samples)
            np.testing.assert_array_equal(found, folded_by_hand(sequence, samples))


@pytest.mark.parametrize(
    ("sequence", "samples", "message"),
    [
        (np.zeros((3, 2)), 0, r"samples: expected an integer in 1\.\."),
        (np.zeros(3), 2, r"sequence: expected shape \(T, I\), got \(3,\)"),
    ],
)
def test_what_cannot_be_folded(sequence: np.ndarray, samples: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.fold(sequence, samples)


def test_a_model_that_folds_is_one_of_folded_steps() -> None:
    folding, plain = make(fold=4), make(input_size=8)
    plain.load_state_dict(folding.state_dict())
    by_hand = [folded_by_hand(sequence, 4) for sequence in SEQUENCES]
    expected = plain.scores(by_hand, reproducible=True)
    np.testing.assert_array_equal(folding.scores(SEQUENCES, reproducible=True), expected)
    padded, lengths = data.pad(SEQUENCES)
    found = folding.scores(padded, lengths=lengths, reproducible=True)
    np.testing.assert_array_equal(found, expected)
    one = folding.scores(SEQUENCES[1], reproducible=True)
    np.testing.assert_array_equal(one, expected[1])
    y, _ = folding(by_hand[1], reproducible=True)
    np.testing.assert_array_equal(y, expected[1])


def test_training_and_evaluation_fold_too() -> None:
    folding, plain = make(fold=4), make(input_size=8)
    by_hand = [folded_by_hand(sequence, 4) for sequence in SEQUENCES]
    for model, x in ((folding, SEQUENCES), (plain, by_hand)):
        model.fit(x, LABELS, epochs=2, batch_size=2, seed=1, progress=False)
    for name, array in plain.state_dict().items():
        np.testing.assert_array_equal(folding.state_dict()[name], array)
    assert folding.input_scale is not None
    assert folding.input_scale[0].shape == (8,)
    assert folding.evaluate(SEQUENCES, LABELS) == plain.evaluate(by_hand, LABELS)


def test_a_file_keeps_fold_and_forget_bias(tmp_path: Any) -> None:
    model = make(fold=4, forget_bias=1.5)
    model.save(tmp_path / "model.safetensors")
    loaded: Any = cylstm.load(tmp_path / "model.safetensors")
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.scores(SEQUENCES), model.scores(SEQUENCES))


def test_a_file_that_needs_neither_says_nothing_of_them(tmp_path: Any) -> None:
    make().save(tmp_path / "model.safetensors")
    header = (tmp_path / "model.safetensors").read_bytes()[:1000]
    assert b"dropout" in header
    assert b"fold" not in header
    assert b"forget_bias" not in header


@pytest.mark.parametrize("damage", [b"3", b"0", b'"', b"-"])
def test_a_damaged_fold_is_refused(damage: bytes, tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    make(fold=4).save(path)
    content = path.read_bytes()
    place = b'fold\\": 4'
    assert place in content
    path.write_bytes(content.replace(place, place[:-1] + damage))
    with pytest.raises(ValueError, match=r"model\.safetensors: expected a cylstm model"):
        cylstm.load(path)


def test_fold_is_for_pooled_models_of_numbers() -> None:
    with pytest.raises(ValueError, match="fold: expected 1 for a model of tokens or without"):
        make(fold=2, pooling=None)
    with pytest.raises(ValueError, match="fold: expected 1 for a model of tokens or without"):
        make(fold=2, input_size=None, vocab_size=9, embedding_size=3)
    with pytest.raises(ValueError, match=r"fold: expected an integer in 1\.\.\d+, got 0"):
        make(fold=0)
    state = (np.zeros((1, 3, 5)),) * 2
    with pytest.raises(ValueError, match="state: expected None for a model that folds"):
        make(fold=2).scores(np.zeros((6, 3, 2)), state)


def test_forget_bias_is_what_the_forget_gates_begin_with() -> None:
    model = make(forget_bias=1.0, num_layers=2, bidirectional=True)
    usual = make(num_layers=2, bidirectional=True)
    for name, array in model.parameters.items():
        expected = np.array(usual.parameters[name])
        if "bias_ih" in name or "bias_hh" in name:
            expected[5:10] = 1.0 if "bias_ih" in name else 0.0
        np.testing.assert_array_equal(array, expected, err_msg=name)


def test_forget_bias_is_a_number_for_an_lstm() -> None:
    with pytest.raises(ValueError, match="forget_bias: expected None with cell='rnn'"):
        make(cell="rnn", forget_bias=1.0)
    with pytest.raises(ValueError, match="forget_bias: expected a finite number, got nan"):
        make(forget_bias=float("nan"))
    with pytest.raises(TypeError, match="forget_bias: expected a number, got 'one'"):
        make(forget_bias="one")


@pytest.mark.parametrize("task", ["classification", "binary", "regression", "per step", "language"])
def test_training_that_learns_nothing_is_said(task: str) -> None:
    """By a learning rate that is next to nothing; with a useful one nothing is said."""
    x = RNG.normal(size=(40, 30, 1)).astype(np.float32)
    signs = (x.mean(axis=1)[:, 0] > 0).astype(int)
    targets: dict[str, tuple[dict[str, Any], Any, Any]] = {
        "classification": ({"output_size": 2}, x, signs),
        "binary": ({"output_size": 1}, x, signs),
        "regression": ({"task": "regression", "output_size": 1}, x, x.sum(axis=1)),
        "per step": ({"output_size": 2, "pooling": None}, x, (x[..., 0] > 0).astype(int)),
        "language": (
            {"task": "language", "output_size": 2, "pooling": None},
            [np.arange(30) % 2] * 9,
            None,
        ),
    }
    options, x, y = targets[task]
    sizes = {"vocab_size": 2, "embedding_size": 3, "input_size": None}
    shape = sizes if task == "language" else {"input_size": 1}

    def train(learning_rate: float, epochs: int) -> None:
        model = make(**{"pooling": "mean", "batch_first": task != "language", **options, **shape})
        model.fit(x, y, epochs=epochs, learning_rate=learning_rate, seed=0, progress=False)

    with pytest.warns(cylstm.ConvergenceWarning, match="nothing was learned of x"):
        train(1e-9, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", cylstm.ConvergenceWarning)
        train(1e-9, 4)
        train(3e-2, 20)


def test_the_warning_of_long_series_names_what_helps() -> None:
    x, y = RNG.normal(size=(20, 150, 1)), np.arange(20) % 2
    model = make(input_size=1, batch_first=True)
    with pytest.warns(cylstm.ConvergenceWarning, match=r"Try fold= and forget_bias=1\.0"):
        model.fit(x, y, epochs=5, learning_rate=1e-9, seed=0, progress=False)


@pytest.mark.slow
def test_folding_learns_series_that_are_not_learned_as_they_are() -> None:
    """GunPoint with the benchmark's settings: seen are .967 and .493."""
    pytest.importorskip("aeon")
    from benchmarks.long_series import accuracy, load

    parts = load("GunPoint")
    assert accuracy(parts, {"fold": 10}, seed=0) > 0.9
    assert accuracy(parts, {}, seed=0) < 0.7
