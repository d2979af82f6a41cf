"""Series of 150 and 251 samples, as users classify them first: default, folded, with a forget bias.

    python -m benchmarks long-series

Accuracy on the test part that the data sets come with, mean of three seeds, beside a ridge
classifier on the same samples. The data are those that the package aeon brings along.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import cylstm

SEEDS = (0, 1, 2)
DATASETS = ("GunPoint", "ArrowHead")
#: What is tried, as arguments of the model.
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "forget_bias=1": {"forget_bias": 1.0},
    "fold=5": {"fold": 5},
    "fold=10": {"fold": 10},
    "fold=10, forget_bias=1": {"fold": 10, "forget_bias": 1.0},
    "fold=10, bidirectional, mean": {"fold": 10, "bidirectional": True, "pooling": "mean"},
}
TRAINING: dict[str, Any] = {
    "epochs": 200,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "batch_size": 16,
}


def load(name: str) -> tuple[Any, Any, Any, Any]:
    """Samples (N, T, 1) and labels of the training and of the test part."""
    from aeon.datasets import load_classification

    parts = [load_classification(name, split=split) for split in ("train", "test")]
    (x, y), (test_x, test_y) = [(part[0].swapaxes(1, 2), part[1]) for part in parts]
    return x, y, test_x, test_y


def accuracy(data: tuple[Any, Any, Any, Any], options: dict[str, Any], seed: int) -> float:
    """Share of the test part that a model trained with these options gets right."""
    x, y, test_x, test_y = data
    arguments = {"pooling": "last", "hidden_size": 32, **options}
    model = cylstm.SequenceModel(
        task="classification",
        input_size=1,
        output_size=len(set(y)),
        batch_first=True,
        seed=seed,
        **arguments,
    )
    model.fit(x, y, seed=seed, progress=False, **TRAINING)
    return float((model.predict(test_x) == test_y).mean())


def ridge(data: tuple[Any, Any, Any, Any]) -> float:
    """The same share of a ridge classifier on the samples."""
    from sklearn.linear_model import RidgeClassifierCV

    x, y, test_x, test_y = data
    classifier = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)).fit(x[..., 0], y)
    return float(classifier.score(test_x[..., 0], test_y))


def print_accuracies() -> list[dict[str, Any]]:
    """Print a table for each data set and return the rows of all."""
    rows: list[dict[str, Any]] = []
    for name in DATASETS:
        data = load(name)
        print(f"{name}: {len(data[0])} series of {data[0].shape[1]} samples for training")
        share = ridge(data)
        rows.append({"data": name, "model": "ridge classifier", "accuracy": share})
        print(f"  {'ridge classifier':32} {share:.3f}")
        for variant, options in VARIANTS.items():
            begin = time.perf_counter()
            found = [accuracy(data, options, seed) for seed in SEEDS]
            seconds, share = (time.perf_counter() - begin) / len(SEEDS), float(np.mean(found))
            rows.append({"data": name, "model": variant, "accuracy": share, "seconds": seconds})
            shown = " ".join(f"{each:.3f}" for each in found)
            print(f"  {variant:32} {share:.3f}  ({shown}), {seconds:.1f} s each", flush=True)
    return rows
