"""Tell nine speakers apart by how they say two vowels: a classifier of sequences in ten lines.

The data set, JapaneseVowels (Kudo, Toyama and Shimbo 1999), comes with the aeon package: 270
sequences to learn from, 370 to be judged by, each of 7 to 29 steps of 12 cepstrum coefficients.

    python examples/japanese_vowels.py --plot gates.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from aeon.datasets import load_japanese_vowels

import cylstm


def load(split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (T_n, 12), which aeon has as (12, T_n), and the speakers' names "1" to "9"."""
    sequences, speakers = load_japanese_vowels(split=split)
    return [sequence.T for sequence in sequences], speakers


def train(epochs: int, seed: int) -> cylstm.SequenceModel:
    """Build a model and train it: unequal lengths and names as labels need no preparation."""
    sequences, speakers = load("train")
    model = cylstm.SequenceModel(
        task="classification",
        input_size=12,
        hidden_size=64,
        bidirectional=True,
        pooling="mean",
        output_size=9,
        seed=seed,
    )
    model.fit(sequences, speakers, epochs=epochs, optimizer="adam", learning_rate=3e-3, seed=seed)
    return model


def plot_gates(model: cylstm.SequenceModel, sequence: np.ndarray, path: str) -> None:
    """Draw what the forward direction does with a sequence, from a tape; needs matplotlib."""
    from matplotlib import pyplot

    mean, std = model.input_scale or (0.0, 1.0)
    _, _, tape = model.recurrent_layer().record((sequence - mean) / std)
    forward = tape.layers[0][0]
    panels = ("input_gate", "forget_gate", "output_gate", "cell_state")
    figure, axes = pyplot.subplots(1, len(panels), figsize=(12, 4), sharey=True)
    for panel, axis in zip(panels, axes, strict=True):
        image = axis.imshow(getattr(forward, panel)[:, 0].T, aspect="auto", cmap="viridis")
        axis.set(title=panel.replace("_", " "), xlabel="step")
        figure.colorbar(image, ax=axis)
    axes[0].set_ylabel("unit")
    figure.savefig(path, dpi=150, bbox_inches="tight")


def main(arguments: Sequence[str] | None = None) -> float:
    """Train, print and return the accuracy on the test part."""
    parser = argparse.ArgumentParser(description="Tell nine speakers of Japanese apart.")
    parser.add_argument("--epochs", type=int, default=60, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--plot", metavar="FILE", help="draw gates; needs matplotlib")
    options = parser.parse_args(arguments)

    model = train(options.epochs, options.seed)
    sequences, speakers = load("test")
    accuracy = model.evaluate(sequences, speakers)["accuracy"]
    print(f"accuracy on {len(speakers)} unseen sequences: {accuracy:.3f}")
    print(f"the first one: said by {model.predict(sequences[:1])[0]}, in truth by {speakers[0]}")
    if options.plot:
        plot_gates(model, sequences[0], options.plot)
    return accuracy


if __name__ == "__main__":
    main()
