"""The examples run and show what they are for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def load_example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- the adding problem --------------------------------------------------------------------------


def test_adding_problem_draws_what_its_definition_says():
    x, y = load_example("adding_problem").draw(np.random.default_rng(0), 5000, 20)
    numbers, marked = x[..., 0], x[..., 1]
    assert x.shape == (20, 5000, 2) and x.dtype == np.float32
    assert (marked.sum(axis=0) == 2).all() and set(np.unique(marked)) == {0, 1}
    np.testing.assert_allclose((numbers * marked).sum(axis=0), y, rtol=1e-6)
    assert y.var() == pytest.approx(1 / 6, rel=0.1)


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_gradient_norms_are_those_of_finite_differences(cell):
    """The norm k steps back is that of d(score) / d(state), by the float64 reference."""
    import reference

    import cylstm

    example = load_example("adding_problem")
    model = cylstm.SequenceModel(
        task="regression",
        cell=cell,
        input_size=2,
        hidden_size=3,
        pooling="last",
        output_size=1,
        seed=0,
    )
    x, _ = example.draw(np.random.default_rng(0), 1, 6)
    mean, std = np.float32([0.5, 0.3]), np.float32([2, 3])
    model.set_input_scale(mean, std)
    norms = example.gradient_norms(model, x)
    x = (x - mean) / std
    form = reference.Model(
        reference.Stack("lstm" if cell == "lstm" else "rnn_tanh", 3, prefix="recurrent."), "last"
    )
    parameters = {name: reference.exact(value) for name, value in model.parameters.items()}
    for back, norm in enumerate(norms):
        start = len(x) - back
        zeros = reference.zero_state(form.stack, 1)
        _, state, _ = reference.model_forward(form, parameters, x[:start], zeros, [start])

        def score(state=state, start=start, back=back):
            return reference.model_forward(form, parameters, x[start:], state, [back])[0].item()

        slopes = [reference.finite_difference(score, part) for part in state]
        assert norm == pytest.approx(np.linalg.norm(slopes), rel=1e-4)


def test_adding_problem_in_short(tmp_path, capsys):
    pytest.importorskip("matplotlib").use("Agg")
    path = tmp_path / "norms.png"
    arguments = ["--length", "10", "--hidden-size", "24", "--batch-size", "32", "--goal", "0.02"]
    results = load_example("adding_problem").main([*arguments, "--plot", str(path)])
    assert results["LSTM"].error < 0.02
    assert len(results["LSTM"].after) == len(results["RNN"].after) == 10
    assert path.stat().st_size > 0
    assert "gradient norm that reaches each step back" in capsys.readouterr().out


def test_adding_problem_plots_where_matplotlib_is_installed(monkeypatch):
    example = load_example("adding_problem")
    for found, path in ((True, "adding_problem.png"), (None, None)):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, found=found: found)
        assert example.parse([]).plot == path


@pytest.mark.slow
def test_adding_problem_is_solved_by_the_lstm_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for its plot
    results = load_example("adding_problem").main([])
    assert results["LSTM"].error < 0.01 and results["LSTM"].steps <= 3000
    assert 0.15 < results["RNN"].error < 0.2
    assert results["LSTM"].after[-1] > 100 * results["RNN"].after[-1]


# --- JapaneseVowels ------------------------------------------------------------------------------


def test_japanese_vowels_in_short(tmp_path, capsys):
    pytest.importorskip("aeon")
    pytest.importorskip("matplotlib").use("Agg")
    path = tmp_path / "gates.png"
    accuracy = load_example("japanese_vowels").main(["--epochs", "15", "--plot", str(path)])
    assert accuracy > 0.9
    assert path.stat().st_size > 0
    assert f"{accuracy:.3f}" in capsys.readouterr().out


# --- Silero's voice detector ---------------------------------------------------------------------


@pytest.fixture
def silero_lstm():
    """The example, where all that it compares with is installed."""
    for module, package in SILERO.items():
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{package} is not installed")
    return load_example("silero_lstm")


SILERO = {"onnx": "onnx", "onnxruntime": "onnxruntime", "silero_vad": "silero-vad"}


def assert_detectors_agree(pairs):
    for ours, theirs in pairs.values():
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max(), rtol=0)
    p = pairs["p"][1]  # that both see speech and silence
    assert (p > 0.9).mean() > 0.2 and (p < 0.1).mean() > 0.2


def test_silero_s_lstm_does_what_it_does_in_onnxruntime(silero_lstm, tmp_path, capsys):
    path = tmp_path / "lstm.safetensors"
    assert_detectors_agree(silero_lstm.main(["-o", str(path), "--seconds", "4"]))
    assert path.stat().st_size > 4 * 512 * (128 + 128 + 2)
    assert "h differs from ONNX Runtime's by" in capsys.readouterr().out


def test_no_sound_is_refused(silero_lstm, tmp_path, capsys):
    with pytest.raises(SystemExit):
        silero_lstm.main(["-o", str(tmp_path / "lstm"), "--seconds", "0"])
    assert "--seconds: expected at least 1, got 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_silero_s_graph_holds_a_layer_too(silero_lstm):
    """With the weights that it comes with, which are not the file's, found by their own prefix."""
    import onnx

    import cylstm

    model = onnx.load(silero_lstm.data_folder() / "silero_vad_16k_op15.onnx")
    graph = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    names = {name: name.replace("model.decoder.rnn.", "lstm_cell.") for name in graph}
    names |= {theirs: ours for ours, theirs in silero_lstm.PLACES.items()}
    tensors = {names[name]: array for name, array in graph.items()}
    features, theirs, p = silero_lstm.run_detector(tensors, silero_lstm.make_signal(4))
    layer = cylstm.LSTM.from_state_dict(graph, prefix="model.decoder.rnn.")
    ours = silero_lstm.run_layer(layer, features)
    pairs = {
        "h": (ours[:, 0], theirs[:, 0]),
        "c": (ours[:, 1], theirs[:, 1]),
        "p": (silero_lstm.detect(ours[:, 0], tensors), p),
    }
    assert_detectors_agree(pairs)
