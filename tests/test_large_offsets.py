"""Numbers whose size hides how they differ: coordinates, Unix seconds, meter readings."""

from __future__ import annotations

import ctypes
import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cylstm
from cylstm import data, formats

LIBRARY = next(Path(cylstm.get_library_dir()).glob("libcylstm.so.*"), None)
#: Mean and deviation of numbers that float32 holds to a quarter of the deviation, or worse.
OFFSETS = {"northing": (4_492_557.0, 0.25), "seconds": (1.7e9, 32.0), "meter": (1e8, 1.0)}


def regressor(**options):
    settings = {"input_size": 2, "hidden_size": 8, "output_size": 1, "seed": 0} | options
    return cylstm.SequenceModel(task="regression", **settings)


def waves(steps=300):
    """Numbers about 0 that float64 holds exactly, also beside a large offset: (T, 2), (T, 1)."""
    rng = np.random.default_rng(0)
    angle = np.arange(steps + 1) / 6
    wave = np.sin(angle) + 0.1 * rng.standard_normal(len(angle))
    wave = np.round(wave * 64) / 64
    return np.stack([wave[:-1], wave[:-1] ** 2], axis=1), wave[1:, np.newaxis]


def fitted(x, y, **options):
    model = regressor()
    history = model.fit(x, y, bptt_steps=50, epochs=4, learning_rate=0.02, seed=0, **options)
    return model, history


@pytest.mark.parametrize(("mean", "std"), OFFSETS.values(), ids=OFFSETS)
def test_an_offset_changes_nothing(mean, std):
    x, y = waves()
    near, history = fitted(x, y)
    far, other = fitted(x * std + mean, y * std + mean)
    assert far.input_scale[0].dtype == far.output_scale[0].dtype == np.float64
    assert near.input_scale[0].dtype == near.output_scale[0].dtype == np.float32
    np.testing.assert_allclose(other.loss, history.loss, rtol=1e-3)
    values = far.predict(x * std + mean)
    assert values.dtype == np.float64
    np.testing.assert_allclose((values - mean) / std, near.predict(x), atol=1e-3)
    ours = far.evaluate(x * std + mean, y * std + mean)["mse"] / std**2
    assert ours == pytest.approx(near.evaluate(x, y)["mse"], rel=1e-2)


def test_integers_are_learned_too():
    x, y = waves()
    seconds = np.round(x * 1000).astype(np.int64) + 1_700_000_000
    targets = np.round(y * 1000).astype(np.int64) + 1_700_000_000
    model, history = fitted(seconds, targets)
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert np.abs(model.predict(seconds) - targets).mean() < 500


def test_small_offsets_keep_scales_of_float32_and_their_numbers():
    x, y = waves()
    model, _ = fitted(x + 100.0, y + 100.0)
    rounded, _ = fitted((x + 100.0).astype(np.float32), (y + 100.0).astype(np.float32))
    assert model._to_bytes() == rounded._to_bytes()
    assert b'"format_version":"1"' in model._to_bytes()


def wide_model():
    mean, std = OFFSETS["seconds"]
    model = regressor()
    model.set_input_scale([mean, 5.0], [std, 2.0])
    model.set_output_scale([mean], [std])
    return model


def wide_inputs(steps=40):
    mean, std = OFFSETS["seconds"]
    return waves(steps)[0] * [std, 2.0] + [mean, 5.0]


COPIES = {
    "clone": lambda model, path: model.clone(),
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "file": lambda model, path: model.save(path) or cylstm.load(path),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_keep_float64(tmp_path, copy):
    model, x = wide_model(), wide_inputs()
    twin = copy(model, tmp_path / "model")
    assert_array_equal(twin.input_scale, model.input_scale)
    assert twin.input_scale[0].dtype == twin.output_scale[1].dtype == np.float64
    assert_array_equal(twin.predict(x), model.predict(x))


def test_every_way_in_takes_the_mean_away_in_float64():
    model, x = wide_model(), wide_inputs()
    plain = model.clone()
    plain.set_input_scale(None, None)
    expected = plain(waves(40)[0], reproducible=True)[0]
    assert_array_equal(model(x, reproducible=True)[0], expected)
    assert_array_equal(model.scores([x, x[:7]], reproducible=True)[1], expected[:7])
    stream = model.stream()
    assert_array_equal(np.stack([stream.step(x_t) for x_t in x]), expected)
    stream.reset()
    out = np.empty((1, 1), np.float32)
    assert_array_equal(stream.step(x[:1], out=out), expected[:1])
    assert not np.array_equal(model(x.astype(np.float32), reproducible=True)[0], expected)


def test_a_stream_follows_a_change_of_scale():
    model, x = wide_model(), wide_inputs()
    stream, plain = model.stream(), model.clone()
    model.set_input_scale(None, None)
    plain.set_input_scale(None, None)
    assert_array_equal(stream.step(waves(1)[0][0]), plain.stream().step(waves(1)[0][0]))
    model.set_input_scale([1.7e9, 5.0], [32.0, 2.0])
    stream.reset()
    assert_array_equal(stream.step(x[0]), plain.stream().step(waves(40)[0][0]))


def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path):
    mean, std = OFFSETS["northing"]
    x, y = (array * std + mean for array in waves())
    whole, _ = fitted(x, y)
    path = tmp_path / "run"
    regressor().fit(x, y, bptt_steps=50, epochs=2, learning_rate=0.02, seed=0, checkpoint=path)
    resumed, _ = fitted(x, y, checkpoint=path, resume=True)
    assert resumed._to_bytes() == whole._to_bytes()


@pytest.mark.parametrize(("name", "column"), [("x", 1), ("y", 0)])
def test_float32_that_hides_what_varies_is_said(name, column):
    x, y = (array.astype(np.float32) for array in waves())
    {"x": x, "y": y}[name][:, column] = (4_492_557 + 0.3 * waves()[1][:, 0]).astype(np.float32)
    with pytest.warns(UserWarning, match=f"{name}, column {column}: .* near 4492557 stand 0.5"):
        fitted(x, y)


def test_constant_columns_are_not_warned_of():
    x, y = (array.astype(np.float32) for array in waves())
    x[:, 1] = 4_492_557.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(x, y)
        fitted(x.astype(np.float64), y)


def test_a_constant_column_of_float64_needs_no_float64():
    mean, std = data.scaling([np.full((999, 1), 12_345.678)])
    assert mean.dtype == np.float32
    assert std.tolist() == [1.0]


@pytest.mark.skipif(LIBRARY is None, reason="a shared library that ctypes can open")
def test_the_c_library_gives_the_same_bits(tmp_path):
    model, x = wide_model(), np.ascontiguousarray(wide_inputs())
    model.save(tmp_path / "model")
    library = ctypes.CDLL(str(LIBRARY))
    loaded, state = ctypes.c_void_p(), ctypes.c_void_p()
    path = str(tmp_path / "model").encode()
    assert library.cylstm_load(path, None, ctypes.byref(loaded), None, 0) == 0
    assert library.cylstm_state_new(loaded, None, ctypes.byref(state)) == 0
    scores, values = np.empty((len(x), 1), np.float32), np.empty((len(x), 1))
    for x_t, y_t in zip(x, scores, strict=True):
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (x_t, y_t))
        assert library.cylstm_step_doubles(state, *pointers) == 0
    pointers = (ctypes.c_void_p(array.ctypes.data) for array in (scores, values))
    library.cylstm_values_doubles(loaded, ctypes.c_int64(len(x)), *pointers)
    library.cylstm_state_free(state)
    library.cylstm_model_free(loaded)
    assert_array_equal(values, model.predict(x, reproducible=True))


def test_files_of_version_2_say_so_and_hold_float64(tmp_path):
    model = wide_model()
    model.save(tmp_path / "model")
    content = (tmp_path / "model").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["__metadata__"]["format_version"] == "2"
    assert {name for name, entry in header.items() if entry.get("dtype") == "F64"} == {
        f"{scale}.{part}" for scale in ("input_scale", "output_scale") for part in ("mean", "std")
    }


def test_samples_folded_into_a_step_are_scaled_in_float64_too():
    mean, std = OFFSETS["northing"]
    x, y = waves(80)
    near, far = (regressor(fold=4, pooling="last") for _ in range(2))
    for model, inputs in ((near, x), (far, x * std + mean)):
        sequences = inputs.reshape(8, 10, 2)
        model.fit(list(sequences), y[::10], epochs=2, seed=0)
    assert far.input_scale[0].dtype == np.float64
    given = list((x * std + mean).reshape(8, 10, 2))
    np.testing.assert_allclose(
        far.predict(given), near.predict(list(x.reshape(8, 10, 2))), atol=1e-3
    )


def test_a_file_s_float64_stays_where_float32_would_do(tmp_path):
    """As C applies it."""
    model = regressor()
    contents = model._contents(model._network.copy_vector())
    scale = {"input_scale.mean": np.zeros(2), "input_scale.std": np.full(2, 3.0)}
    path = tmp_path / "model"
    path.write_bytes(formats.encode(contents._replace(tensors=contents.tensors | scale)))
    assert cylstm.load(path).input_scale[1].dtype == np.float64
