"""What cylstm learns from real data, beside what PyTorch learns from it in the same run.

The data sets come inside Python packages, so nothing is downloaded. The full comparisons take
minutes and run by ``pytest -m slow tests/test_real_data.py -s``, which also shows the figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pydoc_data.topics import topics

import numpy as np
import pytest

import cylstm
from cylstm.cli import main

# --- JapaneseVowels: whole sequences of unequal lengths ------------------------------------------

VOWELS_EPOCHS, VOWELS_BATCH, VOWELS_RATE, VOWELS_HIDDEN = 60, 32, 3e-3, 64

Sequences = list[np.ndarray]


@pytest.fixture(scope="module")
def vowels() -> dict[str, tuple[Sequences, np.ndarray]]:
    """Sequences (T_n, 12) and speakers 0 to 8, of the train and the test part."""
    datasets = pytest.importorskip("aeon.datasets")
    parts = {}
    for split in ("train", "test"):
        sequences, speakers = datasets.load_japanese_vowels(split=split)
        parts[split] = [each.T.astype(np.float32) for each in sequences], speakers.astype(int) - 1
    return parts


def our_accuracy(vowels, seed: int, epochs: int = VOWELS_EPOCHS) -> float:
    model = cylstm.SequenceModel(
        task="classification",
        input_size=12,
        hidden_size=VOWELS_HIDDEN,
        bidirectional=True,
        pooling="mean",
        output_size=9,
        seed=seed,
    )
    model.fit(
        *vowels["train"],
        epochs=epochs,
        batch_size=VOWELS_BATCH,
        learning_rate=VOWELS_RATE,
        clip_norm=1.0,
        scale_inputs=False,
        seed=seed,
    )
    return model.evaluate(*vowels["test"])["accuracy"]


def torch_accuracy(vowels, seed: int) -> float:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)  # on busy cores, two that wait for each other take many times as long
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    lstm = torch.nn.LSTM(12, VOWELS_HIDDEN, bidirectional=True)
    head = torch.nn.Linear(2 * VOWELS_HIDDEN, 9)
    parameters = [*lstm.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, VOWELS_RATE)

    def scores(sequences: Sequences) -> torch.Tensor:
        packed = torch.nn.utils.rnn.pack_sequence(
            [torch.from_numpy(each) for each in sequences], enforce_sorted=False
        )
        y, lengths = torch.nn.utils.rnn.pad_packed_sequence(lstm(packed)[0])
        return head(y.sum(dim=0) / lengths[:, None])

    x, speakers = vowels["train"]
    for _ in range(VOWELS_EPOCHS):
        for batch in np.array_split(rng.permutation(len(x)), math.ceil(len(x) / VOWELS_BATCH)):
            loss = torch.nn.functional.cross_entropy(
                scores([x[n] for n in batch]), torch.from_numpy(speakers[batch])
            )
            take_step(optimizer, parameters, loss)
    x, speakers = vowels["test"]
    with torch.no_grad():
        return float((scores(x).argmax(dim=1).numpy() == speakers).mean())


def take_step(optimizer, parameters, loss) -> None:
    """One step of a PyTorch optimiser, clipped as ours is."""
    import torch

    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def test_vowels_are_learned(vowels):
    assert our_accuracy(vowels, seed=1, epochs=30) > 0.9


@pytest.mark.slow
def test_vowels_are_learned_as_well_as_by_torch(vowels):
    ours = [our_accuracy(vowels, seed) for seed in range(5)]
    theirs = [torch_accuracy(vowels, seed) for seed in range(5)]
    print(f"\naccuracy by seed: cylstm {np.round(ours, 3)}, torch {np.round(theirs, 3)}")
    assert np.mean(ours) >= np.mean(theirs) - 0.01


# --- the character model: one long text with carried state ---------------------------------------

VOCABULARY, EMBEDDING, HIDDEN = 256, 64, 256
STREAMS, CHUNK, RATE, EPOCHS = 32, 100, 2e-3, 4


def read_topics() -> tuple[np.ndarray, np.ndarray]:
    """The standard library's help texts as bytes: all but the last tenth, and the last tenth."""
    text = "\n".join(topics[name] for name in sorted(topics)).encode()
    tokens = np.frombuffer(text, np.uint8).astype(np.int64)
    cut = len(tokens) - len(tokens) // 10
    return tokens[:cut], tokens[cut:]


def our_bits(seed: int) -> float:
    """Bits per character of the held-out part, as one sequence."""
    training, held_out = read_topics()
    model = cylstm.SequenceModel(
        task="language",
        vocab_size=VOCABULARY,
        embedding_size=EMBEDDING,
        hidden_size=HIDDEN,
        output_size=VOCABULARY,
        seed=seed,
    )
    model.fit(
        training,
        epochs=EPOCHS,
        batch_size=STREAMS,
        bptt_steps=CHUNK,
        learning_rate=RATE,
        clip_norm=1.0,
        seed=seed,
    )
    return model.evaluate([held_out])["bits_per_token"]


def torch_bits(seed: int) -> float:
    torch = pytest.importorskip("torch")
    torch.manual_seed(seed)
    training, held_out = read_topics()
    modules = [
        torch.nn.Embedding(VOCABULARY, EMBEDDING),
        torch.nn.LSTM(EMBEDDING, HIDDEN, batch_first=True),
        torch.nn.Linear(HIDDEN, VOCABULARY),
    ]
    embedding, lstm, head = modules
    parameters = [each for module in modules for each in module.parameters()]
    optimizer = torch.optim.Adam(parameters, RATE)

    def loss_of(inputs, targets, state):
        y, state = lstm(embedding(inputs), state)
        return torch.nn.functional.cross_entropy(head(y).flatten(0, 1), targets.flatten()), state

    for _ in range(EPOCHS):
        state = None
        for inputs, targets in chunks(training):
            loss, state = loss_of(torch.from_numpy(inputs), torch.from_numpy(targets), state)
            state = tuple(part.detach() for part in state)
            take_step(optimizer, parameters, loss)
    tokens = torch.from_numpy(held_out)[None]
    with torch.no_grad():
        return loss_of(tokens[:, :-1], tokens[:, 1:], None)[0].item() / math.log(2)


def chunks(tokens: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Inputs and targets (B, T) of one epoch, in order: streams side by side, cut into chunks."""
    steps = (len(tokens) - 1) // STREAMS
    inputs = tokens[: STREAMS * steps].reshape(STREAMS, steps)
    targets = tokens[1 : STREAMS * steps + 1].reshape(STREAMS, steps)
    for start in range(0, steps, CHUNK):
        yield inputs[:, start : start + CHUNK], targets[:, start : start + CHUNK]


@pytest.mark.long
def test_the_character_model_learns_as_well_as_torch_s():
    ours = [our_bits(seed) for seed in range(3)]
    theirs = [torch_bits(seed) for seed in range(3)]
    print(f"\nbits per character by seed: cylstm {np.round(ours, 3)}, torch {np.round(theirs, 3)}")
    assert np.mean(ours) <= np.mean(theirs) + 0.02


# --- public-domain series through the command line -----------------------------------------------


def forecast(tmp_path, name: str, values: np.ndarray, *options: str) -> np.ndarray:
    """One-step forecasts of a series by `cylstm train` and `cylstm predict`; NaN where none is."""
    pandas = pytest.importorskip("pandas")
    table, model, out = (tmp_path / each for each in ("data.csv", "model.safetensors", "out.csv"))
    pandas.DataFrame({name: values}).to_csv(table, index=False)
    train = ["train", str(table), "--target", name, "--output", str(model), "--quiet", *options]
    assert main(train) == 0
    assert main(["predict", str(model), str(table), "-o", str(out)]) == 0
    return pandas.read_csv(out)[f"{name}_forecast"].to_numpy()[: len(values)]


def test_sunspots_are_forecast_better_than_naively(tmp_path):
    statsmodels = pytest.importorskip("statsmodels.api")
    values = statsmodels.datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    forecasts = forecast(tmp_path, "SUNACTIVITY", values)
    held_out = slice(-len(values) // 5, None)  # the command's default
    error = np.sqrt(np.mean((forecasts - values)[held_out] ** 2))
    naive = np.sqrt(np.mean(np.diff(values)[held_out] ** 2))
    print(f"\nroot mean squared error: cylstm {error:.1f}, naive {naive:.1f}")
    assert error < 0.9 * naive
