"""Take the LSTM out of Silero's voice detector, save it, and see that it does what it did there.

The silero-vad package has its detector as a safetensors file, whose tensors are named as in
PyTorch, and as ONNX graphs, which were trained further. So that both compute the same, a graph is
given the tensors of the file. ONNX Runtime then runs the whole detector frame by frame, and cylstm,
from the file that it has saved, steps beside it on what the graph's LSTM node gets.

    pip install onnx onnxruntime && pip install --no-deps silero-vad  # the rest of it is not needed
    python examples/silero_lstm.py
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from safetensors.numpy import load_file

import cylstm

RATE = 16_000  # samples a second
FRAME, CONTEXT = 512, 64  # samples: of a frame, and of the one before that it is shown with
FEATURES = "/model/encoder/3/activation/Relu_output_0"  # (1, I, 1): what the LSTM gets
# What the graph calls the tensors of the file, beside the four of the LSTM.
PLACES = {
    "stft_conv.weight": "model.stft.forward_basis_buffer",
    **{
        f"conv{n + 1}.{kind}": f"model.encoder.{n}.reparam_conv.{kind}"
        for n in range(4)
        for kind in ("weight", "bias")
    },
    **{f"final_conv.{kind}": f"model.decoder.decoder.2.{kind}" for kind in ("weight", "bias")},
}
LSTM, GRAPHS_LSTM = "lstm_cell.", "model.decoder.rnn."

Floats = NDArray[np.float32]


def data_folder() -> Path:
    """Where the package keeps its models; it is not imported, which would take PyTorch."""
    spec = find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise SystemExit("silero-vad is not installed: pip install --no-deps silero-vad")
    return Path(spec.origin).parent / "data"


def make_detector(tensors: Mapping[str, Floats]) -> onnxruntime.InferenceSession:
    """The package's graph with these tensors, showing what its LSTM gets."""
    model = onnx.load(data_folder() / "silero_vad_16k_op15.onnx")
    theirs = {PLACES.get(name, name.replace(LSTM, GRAPHS_LSTM)): name for name in tensors}
    for initializer in model.graph.initializer:
        array = tensors[theirs[initializer.name]]
        initializer.CopyFrom(onnx.numpy_helper.from_array(array, initializer.name))
    features = onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, None)
    model.graph.output.append(features)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def make_signal(seconds: int, seed: int = 0) -> Floats:
    """Something like speech every other second: a voice on three vowels, and a little noise."""
    time = np.arange(seconds * RATE) / RATE
    pitch = 120 + 20 * np.sin(2 * np.pi * 2.5 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = np.array([[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240]])  # Hz: a, i, u
    spoken = formants[(4 * time).astype(int) % 3].T
    voice = np.zeros_like(time)
    for k in range(1, 40):
        resonance = np.exp(-(((k * pitch - spoken) / (80 + 0.05 * spoken)) ** 2))
        voice += (np.array([1, 0.5, 0.25]) @ resonance) * np.sin(k * phase) / k**0.3
    syllables = np.sin(2 * np.pi * 4 * time) ** 2 * (time % 2 < 1)
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.2 * syllables * voice + 0.003 * noise).astype(np.float32)


def cut(signal: Floats) -> Floats:
    """Whole frames, each after the end of the one before: (frames, CONTEXT + FRAME)."""
    frames = signal[: len(signal) // FRAME * FRAME].reshape(-1, FRAME)
    context = np.zeros((len(frames), CONTEXT), np.float32)
    context[1:] = frames[:-1, -CONTEXT:]
    return np.concatenate([context, frames], axis=1)


def run_detector(tensors: Mapping[str, Floats], signal: Floats) -> tuple[Floats, ...]:
    """By ONNX Runtime, for each frame: features (I,), states (h, c), (2, H), and p of speech."""
    detector = make_detector(tensors)
    state, rows = np.zeros((2, 1, 128), np.float32), []
    for frame in cut(signal):
        feed = {"input": frame[np.newaxis], "state": state, "sr": np.array(RATE)}
        p, state, features = detector.run(["output", "stateN", FEATURES], feed)
        rows.append((features[0, :, 0], state[:, 0], p[0, 0]))
    return tuple(np.stack(column) for column in zip(*rows, strict=True))


def run_layer(layer: cylstm.LSTM, features: Floats) -> Floats:
    """By cylstm, for each frame: states (h, c), (2, H)."""
    stream, states = layer.stream(), []
    for x_t in features:
        stream.step(x_t)
        states.append(np.concatenate(stream.state)[:, 0])
    return np.stack(states)


def detect(h: Floats, tensors: Mapping[str, Floats]) -> Floats:
    """What the detector makes of its LSTM's output: p = sigmoid(W relu(h) + b)."""
    weight, bias = tensors["final_conv.weight"].ravel(), tensors["final_conv.bias"]
    return 1 / (1 + np.exp(-(np.maximum(h, 0) @ weight + bias)))


def main(arguments: Sequence[str] | None = None) -> dict[str, tuple[Floats, Floats]]:
    """Save the layer, run both, print and return (ours, theirs) of h, c and p."""
    parser = argparse.ArgumentParser(description="Take the LSTM out of Silero's voice detector.")
    parser.add_argument(
        "-o", "--output", default="silero_lstm.safetensors", help="(%(default)s)", metavar="FILE"
    )
    parser.add_argument("--seconds", type=int, default=10, help="of sound to run (%(default)s)")
    options = parser.parse_args(arguments)
    if options.seconds < 1:
        parser.error(f"--seconds: expected at least 1, got {options.seconds}")

    file = data_folder() / "silero_vad_16k.safetensors"
    cylstm.LSTM.from_state_dict(file, prefix=LSTM).save(options.output)
    layer = cylstm.load(options.output)
    assert isinstance(layer, cylstm.LSTM)
    print(f"{options.output}: {layer}")

    tensors = load_file(file)
    features, theirs, p = run_detector(tensors, make_signal(options.seconds))
    ours = run_layer(layer, features)
    pairs = {
        "h": (ours[:, 0], theirs[:, 0]),
        "c": (ours[:, 1], theirs[:, 1]),
        "p": (detect(ours[:, 0], tensors), p),
    }
    print(f"speech in {(pairs['p'][0] > 0.5).sum()} of {len(p)} frames")
    for name, (mine, reference) in pairs.items():
        difference, largest = np.abs(mine - reference).max(), np.abs(reference).max()
        print(f"{name} differs from ONNX Runtime's by {difference:.1e} at most, of {largest:.3g}")
    return pairs


if __name__ == "__main__":
    main()
