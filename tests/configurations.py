"""Every configuration that a model file can hold, and what Python computes with it."""

from __future__ import annotations

import itertools
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import cylstm
from cylstm import _core

ISA = _core.build_info()["isa"]
STEPS, BATCH = 7, 3
LENGTHS = np.array([3, STEPS, 0])

#: cell, bidirectional, bias, num_layers
LAYERS = tuple(itertools.product(("lstm", "tanh", "relu"), (False, True), (False, True), (1, 2)))
#: cell, tokens, bidirectional, pooling, scaled
MODELS = tuple(
    itertools.product(
        ("lstm", "rnn"),
        (False, True),
        (False, True),
        (None, "last", "mean", "max"),
        (False, True),
    )
)


def new_layer(cell: str, bidirectional: bool, bias: bool, num_layers: int) -> Any:
    options = {"bidirectional": bidirectional, "bias": bias, "num_layers": num_layers, "seed": 1}
    if cell == "lstm":
        return cylstm.LSTM(5, 19, **options)
    return cylstm.RNN(5, 19, nonlinearity=cell, **options)


def new_model(
    cell: str, tokens: bool, bidirectional: bool, pooling: str | None, scaled: bool
) -> cylstm.SequenceModel:
    sizes = {"vocab_size": 9, "embedding_size": 6} if tokens else {"input_size": 6}
    model = cylstm.SequenceModel(
        task="regression",
        cell=cell,
        hidden_size=21,
        num_layers=2,
        bidirectional=bidirectional,
        pooling=pooling,
        output_size=3,
        seed=2,
        **sizes,
    )
    model.extras = {"of no use to C": ['"', "é\n", {"deep": [1, [2, [3]]]}]}
    if scaled:
        model.set_output_scale([1.0, 2.0, 3.0], [0.5, 1.5, 2.5])
        if not tokens:
            model.set_input_scale(np.arange(6.0), np.arange(1.0, 7.0))
    return model


def layer_of_silero() -> cylstm.LSTM | None:
    """From the file of another package, if that is installed."""
    package = find_spec("silero_vad")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "data" / "silero_vad_16k.safetensors"
    return cylstm.LSTM.from_state_dict(path, prefix="lstm_cell.")


def input_of(network: Any) -> np.ndarray:
    """(T, B, I) or, of tokens, (T, B)."""
    rng = np.random.default_rng(0)
    if (vocabulary := network._network_config["vocab_size"]) > 0:
        return rng.integers(vocabulary, size=(STEPS, BATCH), dtype=np.int32)
    return rng.standard_normal((STEPS, BATCH, network._network_config["input_size"]), np.float32)


def output_of(network: Any, x: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Of the kernels whose bits depend on nothing but the sequence."""
    if isinstance(network, cylstm.SequenceModel):
        return network.scores(x, lengths=lengths, reproducible=True)
    return network(x, lengths=lengths, reproducible=True)[0]


def all_networks() -> dict[str, Any]:
    """By what to call them where their bits differ."""
    networks = {f"layer {options}": new_layer(*options) for options in LAYERS}
    networks |= {f"model {options}": new_model(*options) for options in MODELS}
    if (layer := layer_of_silero()) is not None:
        networks["silero"] = layer
    return networks


def check_program(command: list[str], folder: Path) -> None:
    """All networks, run by tests/c/run_models.c in one process, give Python's bits."""
    networks = all_networks()
    for i, network in enumerate(networks.values()):
        network.save(folder / f"modèle-{i}")
        input_of(network).tofile(folder / f"x-{i}")
    LENGTHS.tofile(folder / "lengths")
    kernels = "generic" if ISA == "generic" else "best"  # all others give the same bits
    arguments = [len(networks), STEPS, BATCH, kernels]
    subprocess.run([*command, *map(str, arguments)], check=True, cwd=folder, timeout=300)
    different = []
    for i, (name, network) in enumerate(networks.items()):
        x = input_of(network)
        expected = [output_of(network, x, lengths) for lengths in (None, None, LENGTHS, LENGTHS)]
        bits = np.concatenate([y.reshape(-1) for y in expected]).view(np.int32)
        if not np.array_equal(np.fromfile(folder / f"y-{i}", np.int32), bits):
            different.append(name)
    assert not different
