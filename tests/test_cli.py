"""The command line: what it trains and writes, what it says, and every way to get it wrong."""

from __future__ import annotations

import csv
import datetime
import errno
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import cylstm
from cylstm.cli import demo, main, scoring
from cylstm.cli.recipe import Recipe
from cylstm.ngram import ngram_bits
from cylstm.trainer import Trainer

pytest.importorskip("pandas")

from cylstm.cli.problem import make_problem
from cylstm.tables import Column, Timeline, read_table

QUICK = ["--epochs", "2", "--hidden-size", "8", "--quiet"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(folder, capsys, restore_num_threads):
    """Run a command line: its status, what it prints and its error line."""

    def run(*words):
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def write_rows(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def series(count=120, **columns):
    """Rows of a noisy wave with a trend, its phase and a label, and then some."""
    rng = np.random.default_rng(0)
    steps = np.arange(count)
    wave = np.sin(2 * np.pi * steps / 12) + 0.02 * steps + 0.1 * rng.standard_normal(count)
    table = {
        "sales": np.round(10 * wave, 3),
        "phase": np.round(np.cos(2 * np.pi * steps / 12), 3),
        "sky": np.where(wave > np.roll(wave, 1), "up", "down"),
    } | columns
    return list(table), list(zip(*table.values(), strict=True))


@pytest.fixture
def sales(folder):
    return write_rows(folder / "sales.csv", *series())


# --- train, predict, info -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "added"),
    [
        (["--target", "sales", "--horizon", "3", "--season", "12"], "sales_forecast"),
        (["--target", "phase", "--task", "regression", "--window", "5"], "phase_predicted"),
        (["--target", "sky", "--task", "classification", "--window", "5"], "sky_predicted"),
    ],
    ids=["forecast", "regression", "classification"],
)
def test_the_file_predicts_as_the_trained_model_does(cli, sales, monkeypatch, options, added):
    trained, save = [], cylstm.SequenceModel.save
    monkeypatch.setattr(
        cylstm.SequenceModel, "save", lambda model, path: (trained.append(model), save(model, path))
    )
    status, out, _ = cli("train", sales, *options, *QUICK, "-o", "m.safetensors")
    assert status == 0
    assert "held-out part" in out
    assert cli("predict", "m.safetensors", sales, "-o", "out.csv")[0] == 0

    recipe, table = Recipe.from_dict(trained[0].extras["table"]), read_table(sales)
    problem = make_problem(recipe, table, Timeline.of(table))
    values = problem.predict(trained[0], problem.ends())
    found = [row[added] for row in read_rows("out.csv")]
    if recipe.task == "forecast":
        expected = np.concatenate([values[:-3, -1], values[-1]])
        found = found[recipe.window + 2 :]
    else:
        expected = values
    if recipe.task == "classification":
        assert found == expected.tolist()
    else:
        np.testing.assert_allclose(np.array(found, float), expected, rtol=1e-6)


def test_regression_learns_and_beats_the_mean(cli, folder):
    header, rows = series(300)
    data = write_rows(folder / "waves.csv", header, rows)
    status, out, _ = cli(
        "train",
        data,
        "--target",
        "phase",
        "--task",
        "regression",
        "--inputs",
        "sales",
        "--window",
        "12",
        "--epochs",
        "30",
        "--hidden-size",
        "16",
        "--learning-rate",
        "0.01",
        "--quiet",
    )
    assert status == 0
    scores = cylstm.load("model.safetensors").extras["score"]
    error = "root mean squared error"
    assert scores["model"][error] < 0.7 * scores["training mean"][error]
    assert "below that of: training mean" in out


def test_forecast_of_many_series_goes_on_in_time(cli, folder):
    days = [f"2024-01-{day:02}" for day in range(1, 29)]
    rows = [
        (day, shop, scale * (10 + n % 7))
        for n, day in reversed(list(enumerate(days)))
        for shop, scale in (("a", 1), ("b", 1000))
    ]
    rows.append(("2024-01-01", "new", 5))
    data = write_rows(folder / "shops.csv", ["day", "shop", "sold"], rows)
    options = ["--target", "sold", "--group", "shop", "--time", "day", "--window", "7"]
    status, out, _ = cli(
        "train", data, *options, "--horizon", "2", "--validation-fraction", "0.2", *QUICK
    )
    assert status == 0
    assert "57 rows, 3 series, ordered by day" in out
    assert "1 series with too few training rows for the window: not learned" in out
    status, out, _ = cli("predict", "model.safetensors", data, "-o", "out.csv")
    assert status == 0
    assert "1 series shorter than the window of 7 rows: no forecast" in out
    future = read_rows("out.csv")[len(rows) :]
    assert [(row["shop"], row["day"], row["sold"], row["sold_rows_ahead"]) for row in future] == [
        ("a", "2024-01-29", "", "1"),
        ("a", "2024-01-30", "", "2"),
        ("b", "2024-01-29", "", "1"),
        ("b", "2024-01-30", "", "2"),
    ]
    by_shop = {row["shop"]: float(row["sold_forecast"]) for row in future}
    assert by_shop["a"] < 100 < by_shop["b"]


def test_forecasts_stand_beside_the_rows_they_are_of(cli, sales):
    assert cli("train", sales, "--target", "sales", "--horizon", "3", *QUICK)[0] == 0
    model = cylstm.load("model.safetensors")  # made one that forecasts the last value it sees
    model.extras["table"] |= {"linear": None, "network_share": [0.0, 0.0, 0.0]}
    model.save("model.safetensors")
    assert cli("predict", "model.safetensors", sales, "-o", "out.csv")[0] == 0
    rows = read_rows("out.csv")
    window = cylstm.load("model.safetensors").extras["table"]["window"]
    values = [row["sales"] for row in rows[:120]]
    forecasts = [row["sales_forecast"] for row in rows]
    assert forecasts[: window + 2] == [""] * (window + 2)
    np.testing.assert_allclose(
        np.array(forecasts[window + 2 : 120], float),
        np.array(values[window - 1 : 117], float),
        rtol=1e-6,
    )
    np.testing.assert_allclose(np.array(forecasts[120:], float), float(values[-1]), rtol=1e-6)
    assert [row["sales_rows_ahead"] for row in rows[119:]] == ["3", "1", "2", "3"]


def test_classes_and_probabilities(cli, sales):
    cli("train", sales, "--target", "sky", "--task", "classification", *QUICK)
    status, out, _ = cli("predict", "model.safetensors", sales, "-o", "out.csv")
    assert status == 0
    assert "accuracy" in out
    rows = read_rows("out.csv")
    assert {row["sky_predicted"] for row in rows} <= {"up", "down"}
    assert all(0.5 <= float(row["sky_probability"]) <= 1 for row in rows)


def test_a_table_without_the_target_is_predicted(cli, folder, sales):
    cli("train", sales, "--target", "phase", "--task", "regression", *QUICK)
    header, rows = series(10)
    bare = write_rows(folder / "bare.csv", [header[0], header[2]], [(r[0], r[2]) for r in rows])
    status, out, _ = cli("predict", "model.safetensors", bare, "-o", "out.csv")
    assert status == 0
    assert "score" not in out
    assert all(row["phase_predicted"] for row in read_rows("out.csv"))


def test_missing_values_and_columns_are_dealt_with_and_said(cli, folder):
    header, rows = series(100, name=[f"row {n}" for n in range(100)], number=range(100))
    rows = [list(row) for row in rows]
    rows[0][1] = rows[5][1] = "NA"
    rows[7][2] = ""
    rows[20][0] = rows[95][0] = ""
    data = write_rows(folder / "holes.csv", header, rows)
    status, out, _ = cli("train", data, "--target", "sales", "--horizon", "3", *QUICK)
    assert status == 0
    for line in (
        "phase: 2 cells, replaced by the value before, at the start by the training mean",
        "sky: 1 cell, which belong to no category",
        "sales: 2 rows neither learned nor judged",
        "name: 70 different texts in 70 rows",
        "number: rises with every row",
        "2 categories: sky",
        "split       70 rows for training, 10 to choose the epoch, 20 held out",
    ):
        assert line in out
    assert cli("predict", "model.safetensors", data, "-o", "out.csv")[0] == 0


def test_categories_forced_and_unknown_later(cli, folder, sales):
    header, rows = series(100, code=np.arange(100) % 3)
    data = write_rows(folder / "codes.csv", header, rows)
    options = ["--target", "sales", "--task", "regression", "--inputs", "code,sky"]
    status, out, _ = cli("train", data, *options, "--categories", "code", *QUICK)
    assert status == 0
    assert "3 categories: code" in out
    rows = [(*row[:-2], "sideways", 99) for row in rows]
    write_rows(data, header, rows)
    assert cli("predict", "model.safetensors", data, "-o", "out.csv")[0] == 0


def test_classes_that_come_only_later_count_as_errors(cli, folder):
    labels = np.where(np.arange(100) < 75, np.array(["a", "b"])[np.arange(100) % 2], "late")
    data = write_rows(folder / "late.csv", *series(100, label=labels))
    status, _, _ = cli("train", data, "--target", "label", "--task", "classification", *QUICK)
    assert status == 0
    model = cylstm.load("model.safetensors")
    assert model.classes == ["a", "b"]
    assert model.extras["score"]["model"]["accuracy"] == 0


def test_threads(cli, sales):
    cli("train", sales, "--target", "sales", "--threads", "3", *QUICK)
    assert cylstm.get_num_threads() == 3


def test_info(cli, sales):
    cli("train", sales, "--target", "sky", "--task", "classification", *QUICK)
    status, out, _ = cli("info", "model.safetensors")
    assert status == 0
    for word in ("classification of sky", "down, up", "accuracy", "LSTM, 1 layer of 8 units"):
        assert word in out
    facts = json.loads(cli("info", "model.safetensors", "--json")[1])
    assert facts["config"]["hidden_size"] == 8
    assert facts["tensors"]["head.bias"] == [2]
    assert facts["extras"]["table"]["target"] == "sky"


def test_info_of_a_layer_and_of_the_installation(cli, folder):
    cylstm.LSTM(3, 4).save("layer.safetensors")
    status, out, _ = cli("info", "layer.safetensors")
    assert status == 0
    assert "LSTM, 1 layer of 4 units, 144 parameters" in out
    assert "num_layers = 1\n" in out
    assert "threads" in cli("info")[1]
    assert json.loads(cli("info", "--json")[1])["version"] == cylstm.__version__


def test_the_same_seed_repeats_the_run(cli, sales):
    for name in ("a", "b"):
        cli("train", sales, "--target", "sales", "--seed", "3", *QUICK, "-o", name)
    a, b = (cylstm.load(name).state_dict() for name in "ab")
    assert all((a[key] == b[key]).all() for key in a)


def test_real_series_beats_the_naive_forecasts(cli, folder):
    datasets = pytest.importorskip("statsmodels.api").datasets
    table = datasets.elnino.load_pandas().data.drop(columns="YEAR")
    write_rows(folder / "elnino.csv", ["sst"], table.to_numpy().reshape(-1, 1))
    status, _, _ = cli(
        "train",
        "elnino.csv",
        "--target",
        "sst",
        "--season",
        "12",
        "--horizon",
        "3",
        "--quiet",
        "--hidden-size",
        "32",
        "--epochs",
        "20",
    )
    assert status == 0
    scores = cylstm.load("model.safetensors").extras["score"]
    scores.pop("linear path alone")
    errors = {name: values["root mean squared error"] for name, values in scores.items()}
    model = errors.pop("model")
    assert len(errors) == 3
    assert model < 0.9 * min(errors.values())


def test_naive_forecasts_are_those_of_their_definition(cli, folder):
    values = np.round(np.random.default_rng(0).standard_normal(120), 3)
    write_rows(folder / "noise.csv", ["x"], values[:, np.newaxis])
    options = ["--target", "x", "--season", "4", "--horizon", "6"]
    assert cli("train", "noise.csv", *options, *QUICK)[0] == 0
    held_out = np.lib.stride_tricks.sliding_window_view(values[-24:], 6)
    last, season = [], []
    for first, truth in enumerate(held_out, start=len(values) - 24):
        last.append(truth - values[first - 1])
        season.append(truth - np.resize(values[first - 4 : first], 6))
    scores = cylstm.load("model.safetensors").extras["score"]
    for name, errors in (("last value", last), ("last season (4 rows)", season)):
        assert scores[name] == {
            "mean absolute error": pytest.approx(np.abs(errors).mean(), rel=1e-6),
            "root mean squared error": pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6),
        }


# --- nothing of the future leaks ----------------------------------------------------------------


@pytest.mark.parametrize("task", ["forecast", "regression"])
def test_features_do_not_see_the_rows_after(folder, task):
    header, rows = series(40)
    recipe = Recipe(
        task,
        "sales",
        (Column("phase"),),
        None,
        None,
        window=6,
        horizon=2 * (task == "forecast"),
        season=4 * (task == "forecast"),
        spreads={"": 1.0},
    )
    features = []
    for change in (0, 100):
        changed = [
            row if n < 30 else (row[0] + change, row[1] + change, row[2])
            for n, row in enumerate(rows)
        ]
        table = read_table(write_rows(folder / "data.csv", header, changed))
        features.append(make_problem(recipe, table, Timeline.of(table)).features)
    np.testing.assert_array_equal(features[0][:30], features[1][:30])
    assert (features[0][30:] != features[1][30:]).any()


def test_the_held_out_rows_teach_nothing(cli, folder):
    header, rows = series(100)
    weights = []
    for change in (1, 50):
        changed = [
            row if n < 80 else (row[0] * change, row[1] * change, "new")
            for n, row in enumerate(rows)
        ]
        data = write_rows(folder / "data.csv", header, changed)
        assert cli("train", data, "--target", "sales", "--horizon", "2", *QUICK)[0] == 0
        model = cylstm.load("model.safetensors")
        weights.append((model.extras["table"], model.parameters["head.weight"].tolist()))
    assert weights[0] == weights[1]


def test_each_window_is_in_one_part_with_all_its_targets(folder):
    table = read_table(
        write_rows(folder / "data.csv", ["g", "y"], [("ab"[n % 2], n) for n in range(60)])
    )
    line = Timeline.of(table, "g")
    recipe = Recipe("forecast", "y", (), "g", None, window=4, horizon=3, spreads={})
    problem, parts = make_problem(recipe, table, line), line.parts(0.2, 0.2)
    seen = [
        {int(end + ahead) for end in problem.known_ends(parts == part) for ahead in (1, 2, 3)}
        for part in range(3)
    ]
    assert [set(parts[list(places)].tolist()) for places in seen] == [{0}, {1}, {2}]
    ends = problem.known_ends(np.ones(60, bool))
    assert (ends - line.start[ends] >= 3).all()
    assert (ends + 3 < line.stop[ends]).all()


# --- scores -------------------------------------------------------------------------------------


def test_scores_and_verdict():
    truth = np.array([[0.0, 0.0], [0.0, 0.0]])
    scores = scoring.score(
        "forecast", truth, {"model": truth + 3, "zero": truth + 4, "far": truth + 9}
    )
    assert scores["model"] == {"mean absolute error": 3, "root mean squared error": 3}
    assert "25.0 % below that of: zero" in scoring.verdict("forecast", scores)
    scores = scoring.score("forecast", truth, {"model": truth + 3, "last value": truth})
    assert "error is 3 above that of: last value" in scoring.verdict("forecast", scores)
    labels, predictions = (
        np.array(list("abaa")),
        {"model": "abbb", "always 'a'": "aaaa", "no": "zzzz"},
    )
    scores = scoring.score(
        "classification", labels, {name: np.array(list(text)) for name, text in predictions.items()}
    )
    assert scores["model"] == {"accuracy": 50}
    assert "25.0 points below that of: always 'a'" in scoring.verdict("classification", scores)


# --- times --------------------------------------------------------------------------------------


def hours(count):
    """Rows of hourly load, with a daily rhythm."""
    moments = np.datetime64("2024-03-01T00:00") + np.arange(count) * np.timedelta64(1, "h")
    load = 50 + 10 * np.sin(2 * np.pi * np.arange(count) / 24)
    rows = zip(np.datetime_as_string(moments), load.round(2), strict=True)
    return [(time.replace("T", " "), value) for time, value in rows]


def days(first, count):
    """Rows of daily load, dated day first."""
    dates = [datetime.date.fromisoformat(first) + datetime.timedelta(n) for n in range(count)]
    return [(f"{date:%d/%m/%Y}", 50 + date.weekday()) for date in dates]


def test_times_are_found_sorted_and_said(cli, folder):
    data = write_rows(folder / "load.csv", ["time", "load"], hours(200)[::-1])
    status, out, _ = cli("train", data, "--target", "load", "--horizon", "2", *QUICK)
    assert status == 0
    assert "200 rows, ordered by time (the file is newest first)" in out
    last = "2024-03-09 07:00 is 9 March 2024 07:00:00"
    assert f"time        time, %Y-%m-%d %H:%M: {last}\nfrequency   1 hour\n" in out
    assert cli("predict", "model.safetensors", data, "-o", "out.csv")[0] == 0
    rows = read_rows("out.csv")
    assert [row["time"] for row in rows[-2:]] == ["2024-03-09 08:00", "2024-03-09 09:00"]
    assert "time        time, %Y-%m-%d %H:%M; 1 hour" in cli("info", "model.safetensors")[1]
    assert rows[0]["time"] == "2024-03-09 07:00"

    status, out, _ = cli("train", data, "--target", "load", "--time", "none", *QUICK)
    assert status == 0
    assert "200 rows, ordered as in the file" in out
    assert "ignored     time: 140 different texts in 140 rows" in out
    assert cylstm.load("model.safetensors").extras["table"]["time"] is None


def test_day_first_stays_day_first(cli, folder):
    year = write_rows(folder / "year.csv", ["date", "load"], days("2023-01-01", 365))
    new = write_rows(folder / "new.csv", ["date", "load"], days("2024-03-01", 12))
    words = ["--target", "load", "--window", "7", "--horizon", "2", *QUICK]
    assert cli("train", year, *words)[0] == 0
    assert cli("predict", "model.safetensors", new, "-o", "out.csv")[0] == 0
    assert [row["date"] for row in read_rows("out.csv")[-2:]] == ["13/03/2024", "14/03/2024"]

    status, _, err = cli("train", new, "--target", "load", "--window", "2", *QUICK)
    assert status == 2
    assert "'01/03/2024' can be 1 March 2024 (%d/%m/%Y) or 3 January 2024 (%m/%d/%Y)" in err
    status, _, err = cli("train", new, "--target", "load", "--time-format", "%Y-%m-%d", *QUICK)
    assert status == 2
    assert "--time-format '%Y-%m-%d': no column is written like this" in err
    words = ["--window", "2", "--validation-fraction", "0", "--time-format", "%d/%m/%Y", *QUICK]
    assert cli("train", new, "--target", "load", *words)[0] == 0
    assert cli("predict", "model.safetensors", new, "-o", "out.csv")[0] == 0
    assert read_rows("out.csv")[-1]["date"] == "13/03/2024"


def test_other_times_than_in_training_are_said(cli, folder):
    data = write_rows(folder / "load.csv", ["time", "load"], hours(200))
    assert cli("train", data, "--target", "load", "--window", "4", *QUICK)[0] == 0
    other = [(f"{day} 00:00", load) for day, load in days("2024-03-13", 20)]
    other = write_rows(folder / "other.csv", ["time", "load"], other)
    status, out, _ = cli("predict", "model.safetensors", other, "-o", "out.csv")
    assert status == 0
    assert "times are written %d/%m/%Y %H:%M, in training %Y-%m-%d %H:%M" in out
    assert "rows are apart by 1 day, in training by 1 hour" in out
    assert read_rows("out.csv")[-1]["time"] == "02/04/2024 00:00"
    words = ["predict", "model.safetensors", other, "-o", "out.csv", "--time-format", "%m/%d/%Y"]
    status, _, err = cli(*words)
    assert status == 2
    assert "'13/03/2024 00:00' is not a number or a date as --time-format '%m/%d/%Y' says" in err


@pytest.mark.parametrize("task", ["forecast", "regression"])
def test_gaps_are_filled_and_no_row_is_added(cli, folder, task):
    rows = [row for n, row in enumerate(hours(240)) if n % 50 not in (7, 8, 9)]
    rows = [(*row, n % 5) for n, row in enumerate(rows)]
    data = write_rows(folder / "load.csv", ["time", "load", "extra"], rows)
    words = ["--target", "load", "--task", task, "--window", "5", *QUICK]
    status, out, _ = cli("train", data, *words)
    assert status == 0
    assert "gaps        15 rows absent, inserted as empty rows; --no-fill-gaps leaves them" in out
    assert "225 rows" in out
    assert "split       168 rows for training, 24 to choose the epoch, 48 held out" in out
    assert "missing" not in out
    status, out, _ = cli("predict", "model.safetensors", data, "-o", "out.csv")
    assert status == 0
    assert "gaps        15 rows absent: taken as empty" in out
    found = read_rows("out.csv")
    assert [row["time"] for row in found[:225]] == [row[0] for row in rows]
    assert [row["time"] for row in found[225:]] == ["2024-03-11 00:00"] * (task == "forecast")

    status, out, _ = cli("train", data, *words, "--no-fill-gaps")
    assert status == 0
    assert "gaps        15 rows absent; --fill-gaps inserts empty rows" in out
    assert "gaps" not in cli("predict", "model.safetensors", data, "-o", "out.csv")[1]


def test_gaps_of_weekdays_are_holidays(cli, folder):
    dates = [np.datetime64("2023-01-02") + n for n in range(200) if n % 7 < 5 and n != 46]
    data = write_rows(
        folder / "p.csv", ["Date", "Close"], [(d, n % 9) for n, d in enumerate(dates)]
    )
    words = ["train", data, "--target", "Close", "--window", "5", *QUICK]
    assert "1 row absent, taken for holidays; --fill-gaps inserts empty rows" in cli(*words)[1]
    assert "1 row absent, inserted as empty rows" in cli(*words, "--fill-gaps")[1]
    status, _, err = cli(*words, "--time", "none", "--fill-gaps")
    assert status == 2
    assert "without times of rows there are no gaps to fill" in err


def test_calendar_inputs(cli, folder):
    pytest.importorskip("holidays")
    data = write_rows(folder / "load.csv", ["time", "load"], hours(200))
    words = ["train", data, "--target", "load", "--calendar", "hour,weekday,month,holidays:DE"]
    status, out, _ = cli(*words, *QUICK)
    assert status == 0
    assert "calendar: hour, weekday, month, holidays:DE" in out
    of_a_row = 2 + 7 + 2 + 1  # the forecast sees those of the row that it is of, too
    assert cylstm.load("model.safetensors").config["input_size"] == 2 + 2 * of_a_row
    assert "calendar: hour, weekday" in cli("info", "model.safetensors")[1]
    assert cli("predict", "model.safetensors", data, "-o", "out.csv")[0] == 0
    status, _, err = cli(*words[:-1], "hour,tide", *QUICK)
    assert status == 2
    assert "calendar: expected hour, weekday, month or holidays:COUNTRY" in err


def test_date_and_time_of_day_in_two_columns(cli, folder):
    rows = [(*time.split(), load) for time, load in hours(200)]
    data = write_rows(folder / "load.csv", ["Date", "Time", "load"], rows)
    for words in ([], ["--time", "Date,Time"]):
        status, out, _ = cli("train", data, "--target", "load", *words, *QUICK)
        assert status == 0
        assert "ordered by Date and Time" in out
        assert cli("predict", "model.safetensors", data, "-o", "out.csv")[0] == 0
        last = read_rows("out.csv")[-1]
        assert (last["Date"], last["Time"]) == ("2024-03-09", "08:00")


def test_names_of_time_columns_may_hold_commas(cli, folder):
    rows = [(*time.split(), load) for time, load in hours(200)]
    data = write_rows(folder / "load.csv", ["Date, local", "Time", "load"], rows)
    status, out, _ = cli("train", data, "--target", "load", "--time", '"Date, local",Time', *QUICK)
    assert status == 0
    assert "ordered by Date, local and Time" in out
    data = write_rows(folder / "one.csv", ["time, UTC", "load"], hours(200))
    for name in ("time, UTC", '"time, UTC"'):
        status, out, _ = cli("train", data, "--target", "load", "--time", name, *QUICK)
        assert status == 0
        assert "ordered by time, UTC" in out
    status, _, err = cli("train", data, "--target", "load", "--time", "time,,UTC", *QUICK)
    assert status == 2
    assert "--time: expected column names between commas, got 'time,,UTC'" in err


def test_gaps_of_series_that_several_columns_name(cli, folder):
    rows = [
        (time, shop, item, f"{load + 10 * item:.2f}".replace(".", ","))
        for shop in "AB"
        for item in (1, 2)
        for n, (time, load) in enumerate(hours(100))
        if n % 40 != 7 + item
    ]
    data = folder / "shops.csv"
    lines = [";".join(map(str, row)) for row in [("time", "shop", "item", "load"), *rows]]
    data.write_text("\n".join(lines) + "\n")
    words = ["train", str(data), "--target", "load", "--window", "5", *QUICK]
    status, _, err = cli(*words)
    assert status == 2
    assert "'shop' and 'item' would tell apart: --group shop,item" in err
    assert "'item' would tell apart: --group shop,item" in cli(*words, "--group", "shop")[2]
    status, out, _ = cli(*words, "--group", "shop,item")
    assert status == 0
    assert f"{len(rows)} rows, 4 series, ordered by time" in out
    assert f"gaps        {400 - len(rows)} rows absent, inserted as empty rows" in out
    assert cli("predict", "model.safetensors", str(data), "-o", "out.csv")[0] == 0
    lines = (folder / "out.csv").read_text().splitlines()
    assert len(lines) == 1 + len(rows) + 4
    assert [line.split(";")[:4] for line in lines[-4:]] == [
        ["2024-03-05 04:00", shop, item, ""] for shop in "AB" for item in "12"
    ]


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("dance", "invalid choice: 'dance'"),
        ("train sales.csv", "the following arguments are required: --target"),
        ("train sales.csv --target nothing", "no column 'nothing'; it has sales, phase, sky"),
        ("train sales.csv --target sales --group shop", "no column 'shop'"),
        ("train sales.csv --target sales --time day", "no column 'day'"),
        ("train sales.csv --target sales --inputs phase,wind", "no column 'wind'"),
        ("train sales.csv --target sales --inputs phase,,", "expected column names between commas"),
        ("train sales.csv --target sales --time sky", "column 'sky', row 1: 'down' is not"),
        ("train sales.csv --target sky", "'sky' does not hold numbers but the like of 'down'; use"),
        ("train sales.csv --target sky --task regression", "does not hold numbers"),
        ("train sales.csv --target phase --task regression --horizon 2", "--horizon and --season"),
        ("train sales.csv --target sky --task classification --season 12", "for --task forecast"),
        ("train sales.csv --target sales --window 100", "too few rows: a window of 100"),
        ("train sales.csv --target sales --horizon 20", "too few rows: the validation part needs"),
        ("train sales.csv --target sales --season 12 --window 5", "expected at least the season"),
        ("train sales.csv --target sales --epochs 0", "expected a whole number of at least 1"),
        ("train sales.csv --target sales --window x", "expected a whole number of at least 1"),
        ("train sales.csv --target sales --learning-rate nan", "expected a number above 0"),
        ("train sales.csv --target sales --test-fraction 1", "expected a number from 0 to below 1"),
        (
            "train sales.csv --target sales --test-fraction 0.6 --validation-fraction 0.5",
            "nothing is left to train on",
        ),
        ("train sales.csv --target sky --task classification --inputs sky", "is the target"),
        ("train absent.csv --target sales", "absent.csv: No such file or directory"),
        ("train . --target sales", ".: Is a directory"),
        ("train latin.csv --target sales", "latin.csv: not UTF-8 text"),
        ("train empty.csv --target sales", "empty.csv: the file is empty"),
        ("train header.csv --target sales", "header.csv: no rows below the header"),
        ("train text.csv --target sales", "column 'sales', row 3: 'abc' is not a number"),
        ("train huge.csv --target x", "column 'x', row 1: '1e200' is not within 1e+30 of 0"),
        ("train sales.csv --target sales -o no/where", "there is no directory 'no'"),
        ("train sales.csv --target sales -o .", "it is a directory"),
        ("train sales.csv --target sales -o sales.csv", "it is an input"),
        ("train one.csv --target kind --task classification", "only one class"),
        ("train one.csv --target hole --task regression", "column 'hole' is empty"),
        ("predict absent.safetensors sales.csv -o out.csv", "absent.safetensors: No such file"),
        ("predict sales.csv sales.csv -o out.csv", "sales.csv: expected a cylstm model"),
        ("predict layer.safetensors sales.csv -o out.csv", "not from `cylstm train`"),
        ("predict plain.safetensors sales.csv -o out.csv", "not from `cylstm train`"),
        ("predict odd.safetensors sales.csv -o out.csv", "damaged description of the table"),
        ("predict layer.safetensors sales.csv", "the following arguments are required: -o"),
        ("predict layer.safetensors sales.csv -o no/where.csv", "there is no directory 'no'"),
        ("info cut.safetensors", "cut.safetensors: expected a cylstm model"),
        ("info absent.safetensors", "absent.safetensors: No such file"),
        ("demo --text absent.txt", "absent.txt: No such file"),
        ("demo --text latin.csv", "latin.csv: not UTF-8 text"),
        ("demo --text header.csv", "too few, at least 1,000 are needed"),
        ("demo --prompt=", "--prompt: expected at least one character"),
        ("demo --temperature -1", "expected a number of at least 0"),
        ("demo --threads 0", "expected a whole number of at least 1"),
    ],
)
def test_errors_are_one_line_and_status_2(cli, folder, sales, words, message):
    (folder / "latin.csv").write_bytes(b"sales\n\xe9\n")
    (folder / "empty.csv").touch()
    (folder / "header.csv").write_text("sales\n")
    (folder / "text.csv").write_text("sales\n1\n2\nabc\n4\n")
    write_rows(folder / "huge.csv", ["x"], [(f"{n % 5 + 1}e200",) for n in range(50)])
    write_rows(folder / "one.csv", ["kind", "hole", "x"], [("a", "", n % 5) for n in range(50)])
    cylstm.LSTM(3, 4).save("layer.safetensors")
    odd = cylstm.SequenceModel(task="regression", input_size=1, hidden_size=1, output_size=1)
    odd.save("plain.safetensors")
    odd.extras["table"] = {"task": "forecast", "target": "sales", "columns": [], "window": "all"}
    odd.save("odd.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "layer.safetensors").read_bytes()[:-1])
    before = sorted(os.listdir())
    status, _, err = cli(*words.split())
    assert status == 2
    assert err.startswith("cylstm: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_an_error_that_quotes_a_line_break_is_one_line(cli):
    assert cli("info", "two\nlines")[2] == "cylstm: error: two lines: No such file or directory\n"


def test_a_table_that_does_not_fit_the_model(cli, folder, sales):
    cli("train", sales, "--target", "sales", "--window", "6", *QUICK)
    header, rows = series(20)
    for name, columns, changed, message in (
        ("less.csv", header[:1], [row[:1] for row in rows], "no column 'phase', 'sky'"),
        ("text.csv", header, [(row[0], "x", row[2]) for row in rows], "'x' is not a number"),
        ("short.csv", header, rows[:5], "no series has the 6 that the model looks at"),
        ("again.csv", [*header, "sales_forecast"], [(*row, 1) for row in rows], "already"),
    ):
        write_rows(folder / name, columns, changed)
        status, _, err = cli("predict", "model.safetensors", name, "-o", "out.csv")
        assert status == 2
        assert message in err
        assert not os.path.exists("out.csv")


def test_without_pandas(cli, sales, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    status, _, err = cli("train", sales, "--target", "sales")
    assert status == 1
    assert "pip install pandas" in err


def test_training_that_diverges_fails(cli, sales):
    status, _, err = cli("train", sales, "--target", "sales", "--learning-rate", "1e30", *QUICK)
    assert status == 1
    assert "became" in err
    assert err.count("\n") == 1
    assert not os.path.exists("model.safetensors")


def test_what_was_learned_before_training_diverges_is_saved(cli, sales, monkeypatch):
    ours = Trainer._step

    def step(trainer, chunk, state):
        if len(trainer.history) == 1:
            trainer.loss = lambda scores, *_: (np.nan, np.zeros_like(scores))
        return ours(trainer, chunk, state)

    monkeypatch.setattr(Trainer, "_step", step)
    status, out, err = cli("train", sales, "--target", "sales", *QUICK)
    assert status == 1
    assert "became nan in epoch 2" in err
    assert "saved" in out
    assert cli("predict", "model.safetensors", sales, "-o", "out.csv")[0] == 0


def test_a_full_disk_leaves_the_old_file(cli, sales, monkeypatch):
    cli("train", sales, "--target", "sales", *QUICK)
    cli("predict", "model.safetensors", sales, "-o", "out.csv")
    files = {name: open(name, "rb").read() for name in os.listdir()}  # noqa: SIM115

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for name, words in (
        ("model.safetensors", ("train", sales, "--target", "sales", "--seed", "1", *QUICK)),
        ("out.csv", ("predict", "model.safetensors", sales, "-o", "out.csv")),
    ):
        status, _, err = cli(*words)
        assert status == 1
        assert err.startswith("cylstm: error: ")
        assert err.endswith(f"{name}: No space left on device\n")
    assert {name: open(name, "rb").read() for name in os.listdir()} == files  # noqa: SIM115


def test_interrupt_before_the_first_epoch_saves_nothing(cli, sales, monkeypatch):
    history = cylstm.History("mse", "sequences", stopped="interrupted")
    monkeypatch.setattr(cylstm.SequenceModel, "fit", lambda *_, **__: history)
    status, _, err = cli("train", sales, "--target", "sales", *QUICK)
    assert status == 130
    assert err == "cylstm: error: interrupted\n"
    assert not os.path.exists("model.safetensors")


def test_interrupt_keeps_the_best_weights(cli, sales, monkeypatch):
    fit = cylstm.SequenceModel.fit

    def interrupted(model, *args, **options):
        history = fit(model, *args, **options)
        return type(history)(**(history.to_dict() | {"stopped": "interrupted"}))

    monkeypatch.setattr(cylstm.SequenceModel, "fit", interrupted)
    status, out, _ = cli("train", sales, "--target", "sales", *QUICK)
    assert status == 130
    assert "interrupted after 2 epochs" in out
    assert cylstm.load("model.safetensors").extras["score"]


# --- demo ---------------------------------------------------------------------------------------


@pytest.fixture
def book(folder, monkeypatch):
    monkeypatch.setattr(demo, "HIDDEN_SIZE", 24)
    path = folder / "book.txt"
    path.write_text("the cat, naïve, sat on the mat, and the dog sat on the log.\n" * 80)
    return path


def bits_of(out):
    """What the demo's table says of each model, by its name."""
    rows = re.findall(r"^  ((?:n-grams|LSTM).*?) +([\d.]+)(?:  █+)?$", out, re.MULTILINE)
    return {name: float(bits) for name, bits in rows}


def test_demo(cli, book):
    words = ["demo", "--text", book, "--epochs", "3", "--length", "40", "-o", "d.safetensors"]
    status, out, _ = cli(*words)
    assert status == 0
    for line in ("4,800 characters, the last 480", "order 3 (2 characters of context)", "LSTM"):
        assert line in out
    bits = bits_of(out)
    names = [name.split(" (")[0] for name in bits]
    assert names == [
        *(f"n-grams, order {order}" for order in range(1, 6)),
        *(f"LSTM after epoch {epoch}" for epoch in (1, 2, 3)),
        "LSTM, as it is saved",
    ]
    assert all(0 < cost < 8 for cost in bits.values())
    written = out.rpartition("temperature 0.7\n\n")[2]
    assert written.startswith("The ")
    assert all(character.isprintable() or character in "\n\t" for character in written)
    assert cylstm.load("d.safetensors").task == "language"
    assert cli(*words)[1].rpartition("writing")[2] == out.rpartition("writing")[2]


def test_demo_bits_are_per_character_of_the_held_out_part(cli, book):
    out = cli("demo", "--text", book, "--epochs", "1", "--length", "0")[1]
    model, text = cylstm.load("demo.safetensors"), book.read_text()
    held_out = np.frombuffer(text[-480:].encode(), np.uint8).astype(np.int32)
    scores = model.scores(held_out[:-1]).astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    bits = -logs[np.arange(len(logs)), held_out[1:]].sum() / np.log(2) / 480
    expected = {"LSTM, as it is saved": bits}
    for order in range(1, 6):
        costs = ngram_bits(text[:-480].encode(), text[-480:].encode(), order)
        context = f"{order - 1} character" + "s" * (order != 2)
        expected[f"n-grams, order {order} ({context} of context)"] = costs[1:].sum() / 480
    said = bits_of(out)
    for name, value in expected.items():
        assert said[name] == pytest.approx(value, abs=2e-3)


@pytest.mark.slow
def test_demo_beats_its_ngrams(cli):
    bits = bits_of(cli("demo", "--length", "0")[1])
    print(f"\n{bits}")
    model = bits.pop("LSTM, as it is saved")
    assert model < min(cost for name, cost in bits.items() if name.startswith("n-grams"))


def test_default_text_is_pythons_manual():
    name, text = demo.read_text(None)
    assert name == "pydoc_data.topics"
    assert len(text) > 400_000


def test_generation_streams_what_the_model_says(book):
    model = demo.make_model(0)
    written = b"".join(demo.generate(model.stream(), b"The ", 5, 0, 0))
    text = b"The "
    for _ in range(5):
        text += bytes([int(model.scores(np.frombuffer(text, np.uint8))[-1].argmax())])
    assert b"The " + written == text
    warm = [b"".join(demo.generate(model.stream(), b"T", 30, 1.0, seed)) for seed in (1, 1, 2)]
    assert warm[0] == warm[1] != warm[2]


# --- as a program -------------------------------------------------------------------------------


def program(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "cylstm", *words],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        **options,
    )


def test_version_and_help():
    assert program("--version").stdout == f"cylstm {cylstm.__version__}\n"
    for command in ("demo", "train", "predict", "info"):
        done = program(command, "--help")
        assert done.returncode == 0
        assert f"cylstm {command}" in done.stdout
        assert "example" in done.stdout


def test_an_error_as_a_program(folder):
    done = program("info", "absent.safetensors", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == "cylstm: error: absent.safetensors: No such file or directory\n"
    assert done.stdout == ""


def test_a_reader_that_leaves_is_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "cylstm", "info"],
        env=os.environ | {"PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 1


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.usefixtures("control_c")
def test_ctrl_c_in_training(folder):
    write_rows(folder / "sales.csv", *series(400))
    process = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-m",
            "cylstm",
            "train",
            "sales.csv",
            "--target",
            "sales",
            "--epochs",
            "100000",
            "--patience",
            "100000",
            "--quiet",
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not process.stdout.readline().startswith("model"):
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert ("interrupted after" in out) == (folder / "model.safetensors").exists()
