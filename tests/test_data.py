"""Sequences as arrays: each function against a few obvious lines, and what `fit` refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cylstm import data
from cylstm.dataset import read_dataset

NUMERIC = {
    "task": "regression",
    "input_size": 2,
    "vocab_size": None,
    "output_size": 1,
    "pooling": None,
    "batch_first": False,
    "fold": 1,
}
TOKENS = NUMERIC | {"task": "classification", "input_size": None, "vocab_size": 9, "output_size": 3}
POOLED = TOKENS | {"pooling": "mean"}
LANGUAGE = TOKENS | {"task": "language", "output_size": 9}


def ragged(lengths, width=2, seed=0):
    """Random sequences (T_n, I) of these lengths."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((length, width)).astype(np.float32) for length in lengths]


# --- padding and batches -------------------------------------------------------------------------


def test_batches_within_limits_count_their_padding():
    lengths = np.array([7, 3, 200, 3, 8, 1, 9])
    found = data.batches_within(lengths, 3, 24)
    assert sorted(np.concatenate(found).tolist()) == list(range(7))
    assert [sorted(lengths[batch].tolist()) for batch in found] == [[1, 3, 3], [7, 8], [9], [200]]


def test_pad_puts_sequences_side_by_side():
    sequences = ragged([3, 1, 4])
    padded, lengths = data.pad(sequences)
    assert padded.shape == (4, 3, 2)
    assert padded.dtype == np.float32
    assert lengths.tolist() == [3, 1, 4]
    for b, sequence in enumerate(sequences):
        np.testing.assert_array_equal(padded[: len(sequence), b], sequence)
        assert not padded[len(sequence) :, b].any()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(1, 40), st.integers(0))
def test_batches_hold_each_sequence_once(lengths, batch_size, seed):
    found = data.batches(np.array(lengths), batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    assert len(found) == -(-len(lengths) // batch_size)
    sizes = [len(batch) for batch in found]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def padding_fraction(lengths, found):
    cells = sum(len(batch) * lengths[batch].max() for batch in found)
    return 1.0 - lengths.sum() / cells


def test_batches_pad_little():
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 200, 1000)
    in_order = np.array_split(np.arange(1000), 32)
    assert padding_fraction(lengths, in_order) > 0.4
    assert padding_fraction(lengths, data.batches(lengths, 32, rng)) < 0.1
    assert padding_fraction(lengths, data.batches(lengths, 32)) < 0.03


def test_batches_repeat_by_seed_and_change_by_epoch():
    lengths = np.random.default_rng(0).integers(50, 60, 100)

    def drawn(epoch):
        found = data.batches(lengths, 8, np.random.default_rng((1, epoch)))
        return [batch.tolist() for batch in found]

    assert drawn(0) == drawn(0)
    assert not {tuple(sorted(batch)) for batch in drawn(0)} & {
        tuple(sorted(batch)) for batch in drawn(1)
    }


def test_batches_come_in_random_order_of_length():
    lengths = np.arange(1, 1001)
    means = [lengths[batch].mean() for batch in data.batches(lengths, 10, np.random.default_rng(0))]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_equal_lengths_are_shuffled_entirely():
    found = data.batches(np.full(1000, 7), 1000, np.random.default_rng(0))[0]
    assert abs(np.corrcoef(found, np.arange(1000))[0, 1]) < 0.1


# --- splits --------------------------------------------------------------------------------------


@given(st.integers(2, 500), st.floats(0.01, 0.99))
def test_split_sets_the_fraction_aside(count, fraction):
    for rng in (None, np.random.default_rng(0)):
        training, validation = data.split(count, fraction, rng)
        assert sorted([*training, *validation]) == list(range(count))
        assert abs(len(validation) - count * fraction) <= 1
        assert min(len(training), len(validation)) >= 1
    training, validation = data.split(count, fraction)
    assert training.max() < validation.min()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_split_refuses_other_fractions(fraction):
    with pytest.raises(ValueError, match="validation: expected a fraction between 0 and 1"):
        data.split(10, fraction)


def test_split_needs_two_items():
    with pytest.raises(ValueError, match="a fraction of 1 cannot be set aside"):
        data.split(1, 0.5)


# --- streams -------------------------------------------------------------------------------------


def test_streams_follow_each_other():
    found = data.streams(np.arange(25), 4)
    np.testing.assert_array_equal(found.ravel(), np.arange(24))
    assert found.shape == (4, 6)
    with pytest.raises(ValueError, match="expected at least 4 steps"):
        data.streams(np.arange(3), 4)


# --- scaling -------------------------------------------------------------------------------------


def test_scaling_is_that_of_all_steps(monkeypatch):
    monkeypatch.setattr(data, "BLOCK_STEPS", 10)
    sequences = ragged([3, 1, 25, 4, 10, 10, 2])
    mean, std = data.scaling(sequences)
    together = np.concatenate(sequences).astype(np.float64)
    np.testing.assert_allclose(mean, together.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, together.std(axis=0), rtol=1e-6)


def test_scaling_of_large_means_does_not_cancel():
    column = 1e6 + np.random.default_rng(0).standard_normal((1000, 1))
    np.testing.assert_allclose(data.scaling([column])[1], column.std(), rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
def test_constant_columns_have_a_deviation_of_one(value):
    mean, std = data.scaling([np.full((999, 1), value, np.float32)])
    assert std.tolist() == [1.0]
    assert mean.tolist() == [np.float32(value)]


# --- what `fit` is given -------------------------------------------------------------------------


def padded_with(content, lengths=(3, 5, 1)):
    """A padded x, y and lengths whose padding holds `content`."""
    x, sizes = data.pad(ragged(lengths))
    y = x.sum(axis=-1, keepdims=True)
    padding = np.arange(len(x))[:, None] >= sizes
    x[padding], y[padding] = content, content
    return x, y, sizes


def assert_same_batches(first, second):
    """Two datasets make the same arrays."""
    indices = np.arange(len(first.inputs))
    ours, theirs = first.batch(indices), second.batch(indices)
    for part, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("content", [7.0, np.nan, np.inf])
def test_padding_is_never_looked_at(content):
    clean, _ = read_dataset(NUMERIC, None, *padded_with(0.0))
    dirty, _ = read_dataset(NUMERIC, None, *padded_with(content))
    assert_same_batches(clean, dirty)


def test_layouts_and_lists_are_the_same():
    x, y, lengths = padded_with(0.0)
    expected, _ = read_dataset(NUMERIC, None, x, y, lengths)
    swapped, _ = read_dataset(
        NUMERIC | {"batch_first": True}, None, x.swapaxes(0, 1), y.swapaxes(0, 1), lengths
    )
    listed, _ = read_dataset(
        NUMERIC,
        None,
        [x[:length, b] for b, length in enumerate(lengths)],
        [y[:length, b, 0] for b, length in enumerate(lengths)],
        None,
    )
    assert_same_batches(expected, swapped)
    assert_same_batches(expected, listed)


def test_one_sequence_needs_no_batch_axis():
    x = ragged([6])[0]
    expected, _ = read_dataset(NUMERIC, None, [x], [x[:, :1]], None)
    assert_same_batches(expected, read_dataset(NUMERIC, None, x, x[:, 0], None)[0])


def test_chunks_cover_a_batch_with_its_lengths():
    dataset, _ = read_dataset(NUMERIC, None, *padded_with(0.0, lengths=(5, 7, 2)))
    batch = dataset.batch(np.arange(3))
    chunks = list(dataset.chunks(np.arange(3), 3))
    np.testing.assert_array_equal(np.concatenate([chunk.x for chunk in chunks]), batch.x)
    np.testing.assert_array_equal(np.concatenate([c.targets for c in chunks]), batch.targets)
    assert [c.lengths.tolist() for c in chunks] == [[3, 3, 2], [2, 3, 0], [0, 1, 0]]
    assert [c.rows for c in chunks] == [8, 5, 1]
    (whole,) = dataset.chunks(np.arange(3), None)
    np.testing.assert_array_equal(whole.x, batch.x)
    np.testing.assert_array_equal(whole.mask, batch.mask)


def test_split_in_time_keeps_targets_with_their_steps():
    dataset, _ = read_dataset(NUMERIC, None, *padded_with(0.0, lengths=(10, 20)))
    first, last = dataset.split_in_time(0.2)
    assert first.lengths.tolist() == [8, 16]
    assert last.lengths.tolist() == [2, 4]
    for part in (first, last):
        for x, y in zip(part.inputs, part.targets, strict=True):
            np.testing.assert_array_equal(x.sum(axis=-1), y[:, 0])


def test_language_targets_are_the_next_tokens():
    dataset, _ = read_dataset(LANGUAGE, None, [np.array([1, 2, 3]), np.array([5, 4])], None, None)
    assert [tokens.tolist() for tokens in dataset.inputs] == [[1, 2], [5]]
    assert [tokens.tolist() for tokens in dataset.targets] == [[2, 3], [4]]
    one, _ = read_dataset(LANGUAGE, None, np.arange(9), None, None)
    streams = one.streams(2)
    np.testing.assert_array_equal(streams.targets, np.add(streams.inputs, 1))


X = [np.array([1, 2]), np.array([3]), np.array([4, 5])]


@pytest.mark.parametrize(
    ("y", "classes", "expected"),
    [
        ([2, 0, 1], range(3), [2, 0, 1]),
        ([2.0, 0.0, 0.0], range(3), [2, 0, 0]),
        (["b", "c", "a"], ["a", "b", "c"], [1, 2, 0]),
        (np.array(["b", "c", "a"], dtype=object), ["a", "b", "c"], [1, 2, 0]),
        ([10, 30, 20], [10, 20, 30], [0, 2, 1]),
    ],
)
def test_labels_become_numbers_of_classes(y, classes, expected):
    dataset, found = read_dataset(POOLED, None, X, y, None)
    assert list(found) == list(classes)
    targets = dataset.batch(np.arange(3)).targets
    assert targets.tolist() == expected
    assert targets.dtype == np.int64


@pytest.mark.parametrize("y", [[1, 0, 1], [True, False, True], ["yes", "no", "yes"]])
@pytest.mark.parametrize("column", [False, True])
def test_binary_labels_become_zero_and_one(y, column):
    given_y = np.array(y)[:, None] if column else y
    dataset, found = read_dataset(POOLED | {"output_size": 1}, None, X, given_y, None)
    targets = dataset.batch(np.arange(3)).targets
    assert targets.tolist() == [[1.0], [0.0], [1.0]]
    assert targets.dtype == np.float32
    assert len(found) == 2


def test_known_classes_are_kept():
    dataset, found = read_dataset(POOLED, ["c", "a", "b"], X, ["a", "b", "a"], None)
    assert dataset.batch(np.arange(3)).targets.tolist() == [1, 2, 1]
    assert found == ["c", "a", "b"]
    with pytest.raises(ValueError, match=r"y: expected the labels .*got 'd'"):
        read_dataset(POOLED, ["c", "a", "b"], X, ["a", "d", "a"], None)


def test_labels_of_each_step():
    dataset, _ = read_dataset(TOKENS, None, X, [["u", "v"], ["w"], ["v", "v"]], None)
    assert [y.tolist() for y in dataset.targets] == [[0, 1], [2], [1, 1]]


GOOD = ragged([3, 2])
GOOD_Y = [np.zeros(3), np.zeros(2)]
NAN = np.array([[0, 0], [0, np.nan]], np.float32)


@pytest.mark.parametrize(
    ("config", "x", "y", "lengths", "message"),
    [
        (NUMERIC, [], [], None, "x: expected at least one sequence"),
        (NUMERIC, np.zeros((0, 3, 2)), np.zeros((0, 3)), None, "x, sequence 0: .*one step"),
        (NUMERIC, np.zeros((3, 0, 2)), np.zeros((3, 0)), None, "x: expected at least one sequence"),
        (NUMERIC, np.zeros((4, 3, 5)), np.zeros((4, 3)), None, r"x, sequence 0: .*shape \(T, 2\)"),
        (
            NUMERIC,
            np.zeros(4),
            np.zeros(4),
            None,
            r"x: expected shape \(T, B, 2\), as batch_first=False says, got \(4,\)",
        ),
        (NUMERIC, [GOOD[0], np.zeros((2, 3))], GOOD_Y, None, r"x\[1\]: expected shape \(T, 2\)"),
        (NUMERIC, [GOOD[0], NAN], GOOD_Y, None, r"x\[1\]: expected finite .*nan at \(1, 1\)"),
        (NUMERIC, np.stack([NAN, NAN], 1), np.zeros((2, 2)), None, r"x, sequence 0: .*\(1, 1\)"),
        (NUMERIC, GOOD, None, None, "y: expected a target for each input, got None"),
        (NUMERIC, GOOD, GOOD_Y[:1], None, "y: expected a list of 2 arrays"),
        (NUMERIC, GOOD, [np.zeros(3), np.zeros(3)], None, r"y\[1\]: expected shape \(2, 1\)"),
        (NUMERIC, GOOD, [np.zeros(3), [0, np.inf]], None, r"y\[1\]: expected finite .*\(1, 0\)"),
        (NUMERIC, GOOD, GOOD_Y, [3, 2], "lengths: expected None beside a list"),
        (NUMERIC, np.zeros((4, 3, 2)), np.zeros((3, 4)), None, r"y: expected shape \(4, 3\)"),
        (NUMERIC, np.zeros((4, 3, 2)), np.zeros((4, 3)), [1, 5, 2], "lengths: expected .*0..4"),
        (NUMERIC, np.zeros((4, 3, 2)), np.zeros((4, 3)), [1, 0, 2], "x, sequence 1: .*one step"),
        (TOKENS, [np.array([1, 9])], [[0, 1]], None, r"x\[0\]: expected tokens .*, got 9 at 1"),
        (TOKENS, [np.array([1, -1])], [[0, 1]], None, r"x\[0\]: expected tokens in 0..8, got -1"),
        (POOLED, X, [0, 1], None, r"y: expected shape \(3,\), got \(2,\)"),
        (POOLED, X, [0, 3, 3], None, "y: expected labels 0..2 or 3 different ones, got 2"),
        (POOLED, X, [0.5, 1, np.nan], None, r"y: expected finite numbers, got nan at \(2,\)"),
        (POOLED, X, ["a", "b", "b"], None, "y: expected labels 0..2 or 3 different ones, got 2"),
        (LANGUAGE, X, X, None, "y: expected None"),
        (LANGUAGE, X, None, None, "x: expected at least two tokens in a sequence, 1 has one"),
    ],
)
def test_unusable_data_is_refused_by_name(config, x, y, lengths, message):
    with pytest.raises(ValueError, match=message):
        read_dataset(config, None, x, y, lengths)


@pytest.mark.parametrize(
    ("config", "x", "y", "message"),
    [
        (NUMERIC, np.array([[object()]]), None, "x: expected real numbers"),
        (TOKENS, [np.array([0.5])], None, r"x\[0\]: expected integer tokens"),
        (POOLED, X, np.array([1, "b", None], dtype=object), "y: expected labels"),
        (NUMERIC, GOOD, [["a"] * 3, [0, 0]], r"y\[0\]: expected real numbers"),
    ],
)
def test_data_of_another_kind_is_refused_by_name(config, x, y, message):
    with pytest.raises(TypeError, match=message):
        read_dataset(config, None, x, y, None)


def test_messages_say_which_part():
    with pytest.raises(ValueError, match="validation x: expected at least one sequence"):
        read_dataset(NUMERIC, None, [], [], None, prefix="validation ")
