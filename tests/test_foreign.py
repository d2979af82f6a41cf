"""Tables of pandas and tensors of PyTorch as they come: what is read, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cylstm
from cylstm.arrays import as_labels, as_real

pd = pytest.importorskip("pandas")
FRAME = pd.DataFrame({"a": [0.5, 1.5, -2.0], "b": [True, False, True], "c": [1, 2, 3]})
NUMBERS = FRAME.to_numpy(np.float64)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.convert_dtypes(),
        FRAME.astype({"c": "Int64"}),
        FRAME.astype({"a": "Float32", "b": "boolean", "c": "UInt8"}),
        FRAME.astype(object),
        FRAME.set_axis(pd.date_range("2024-01-01", periods=3, tz="Europe/Paris")),
        FRAME.set_axis(["a", "a", "a"], axis=1),
    ],
    ids=["bool", "nullable", "Int64", "small types", "objects", "dates", "equal names"],
)
def test_columns_of_numbers_are_read_as_they_are(frame):
    array = as_real(frame, "x")
    assert array.dtype.kind == "f"
    assert_array_equal(array, NUMBERS)


@pytest.mark.parametrize("dtype", ["Int64", "UInt64", "Float64", "boolean", "int64[pyarrow]"])
def test_a_series_keeps_its_type(dtype):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    array = as_real(pd.Series([1, 0, 1], dtype=dtype), "y")
    assert array.dtype == (np.bool_ if dtype == "boolean" else dtype.split("[")[0].lower())
    assert_array_equal(array, [1, 0, 1])


def test_what_is_missing_in_a_nullable_column_is_nan():
    frame = FRAME.convert_dtypes()
    frame.iloc[1, 2] = pd.NA
    assert_array_equal(as_real(frame, "x")[:, 2], [1, np.nan, 3])
    model = cylstm.SequenceModel(task="regression", input_size=3, hidden_size=2, output_size=1)
    with pytest.raises(ValueError, match=r"x.*: expected finite numbers, got nan at \(1, 2\)"):
        model.fit(frame, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (["x", "y", "z"], ".*"),
        ([1, None, "3"], "object"),
        (pd.date_range("2024-01-01", periods=3), "datetime64.*"),
    ],
)
def test_a_column_that_is_no_number_is_named(column, dtype):
    message = f"x: expected real numbers, got column 'c' of dtype {dtype}"
    with pytest.raises(TypeError, match=message):
        as_real(FRAME.assign(c=column), "x")


def test_labels_keep_type_and_value():
    large = [2**63 + 1, 2.5]
    assert as_labels(pd.Series(large, dtype=object), "y").tolist() == large
    assert as_labels(pd.Series([3, 7], dtype="Int64"), "y").dtype == np.int64
    assert as_labels(pd.Categorical(["up", "down"]), "y").tolist() == ["up", "down"]
    assert as_labels([pd.Timestamp(0), pd.Timestamp(1)], "y").tolist() == [
        pd.Timestamp(0),
        pd.Timestamp(1),
    ]
    assert as_labels(pd.Series(["up", "down"], dtype="string"), "y").tolist() == ["up", "down"]


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32", "float64"])
def test_tensors_are_detached_and_converted_exactly(kind):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[0.5, -3.140625], [1e-3, 255.0]], requires_grad=True)
    tensor = tensor.to(getattr(torch, kind))
    expected = tensor.detach().double().numpy()
    for value in (tensor, [tensor[0], tensor[1]], (tensor[0], tensor[1])):
        assert_array_equal(as_real(value, "x"), expected)


def test_a_model_takes_tensors_and_frames_everywhere():
    torch = pytest.importorskip("torch")
    model = cylstm.SequenceModel(
        task="regression", input_size=3, hidden_size=2, output_size=1, seed=0
    )
    tensor = torch.tensor(NUMBERS, dtype=torch.float32, requires_grad=True)
    y = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    plain = NUMBERS.astype(np.float32)
    expected = model.clone().fit(plain, [1.0, 2.0, 3.0], epochs=2, seed=0).loss
    assert model.clone().fit(tensor, y, epochs=2, seed=0).loss == expected
    assert model.clone().fit([tensor], [y], epochs=2, seed=0).loss == expected
    frame = FRAME.convert_dtypes()
    assert model.clone().fit(frame, list(y), epochs=2, seed=0).loss == expected
    assert_array_equal(model.predict(tensor), model.predict(plain))
    assert_array_equal(model.predict([frame])[0], model.predict([plain])[0])


def test_neither_library_is_imported_for_other_arrays():
    code = (
        "import sys, numpy as np, cylstm; cylstm.LSTM(3, 4)([[[1.0, 2, 3]]]);"
        "print({'pandas', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
