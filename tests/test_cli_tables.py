"""The command line on tables as people have them: notations, marks, names, groups, files."""

# ruff: noqa: E501 (a row of a table is a line)

from __future__ import annotations

import csv
import gzip
import math
import re
import sys
import unicodedata

import numpy as np
import pytest

import cylstm
from cylstm.cli import main
from cylstm.cli.recipe import Recipe
from cylstm.tables import Column, Notation, read_table

pytest.importorskip("pandas")

import pandas as pd

QUICK = ["--epochs", "2", "--hidden-size", "8", "--quiet"]


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder: its status and all that it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def write(path, header, rows, delimiter=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def waves(form=str, rows=120):
    """Rows of a number, a wave, and a few different values, each written by `form`."""
    rng = np.random.default_rng(0)
    return [
        (
            form(round(1500 + 900 * math.sin(n / 5) + float(rng.normal()), 2)),
            form(round(2 * math.sin(n / 20)) / 2),
        )
        for n in range(rows)
    ]


def english(value):
    return f"{value:,.2f}"


def german(value):
    return english(value).translate(str.maketrans(",.", ".,"))


# --- notations ----------------------------------------------------------------------------------


def test_a_model_is_the_same_in_every_notation(cli):
    weights, predictions = [], []
    for form, delimiter in ((str, ","), (english, ","), (german, ";")):
        write("data.csv", ["y", "x"], waves(form), delimiter)
        status, out = cli("train", "data.csv", "--target", "y", "--horizon", "2", *QUICK)
        assert status == 0
        assert "2 numbers" not in out
        assert "1 number: x" in out
        assert ("numbers     x" in out) == (form is german)
        weights.append(cylstm.load("model.safetensors").parameters["head.weight"].tolist())
        assert cli("predict", "model.safetensors", "data.csv", "-o", "out.csv")[0] == 0
        with open("out.csv", newline="", encoding="utf-8") as file:
            cells = [row["y_forecast"] for row in csv.DictReader(file, delimiter=delimiter)]
        assert any("," in cell for cell in cells) == (form is german)
        predictions.append([float(cell.replace(",", ".")) for cell in cells if cell])
    assert weights[0] == weights[1] == weights[2]
    assert predictions[0] == predictions[1] == predictions[2]


def test_how_numbers_are_read_is_said_and_stored(cli):
    rows = [
        (f"{1000 + n % 7:,}.50", f"{n % 5 + 1}.25M", f"{n % 3}.5%", f"${n % 4}") for n in range(80)
    ]
    write("data.csv", ["price", "volume", "change", "fee"], rows)
    status, out = cli("train", "data.csv", "--target", "price", *QUICK)
    assert status == 0
    for line in (
        "price: '1,000.50' is read as 1000.5",
        "volume: '1.25M' is read as 1250000",
        "change: '0.5%' is read as 0.5",
        "fee: '$0' is read as 0",
    ):
        assert line in out
    stored = Recipe.from_dict(cylstm.load("model.safetensors").extras["table"]).notations
    assert stored["price"] == Notation(".", ",")
    assert stored["change"] == Notation(".", "", "%")
    write("bare.csv", ["price", "volume", "change", "fee"], [(*row[:2], 0.5, 1) for row in rows])
    status, out = cli("predict", "model.safetensors", "bare.csv", "-o", "out.csv")
    assert status == 2
    assert "column 'change', row 1: '0.5' is not a number" in out


def test_predict_reads_as_training_did(cli):
    write("data.csv", ["y", "x"], [(f"{n % 7},5", f"{n % 5},25") for n in range(80)], ";")
    assert cli("train", "data.csv", "--target", "y", *QUICK)[0] == 0
    # Alone these could be thousands.
    write("new.csv", ["y", "x"], [(f"{n % 7 + 1},125", f"{n % 5 + 1},250") for n in range(80)], ";")
    assert cli("predict", "model.safetensors", "new.csv", "-o", "out.csv")[0] == 0
    with open("out.csv", newline="") as file:
        cells = [row["y_forecast"] for row in csv.DictReader(file, delimiter=";")]
    assert 0 < float(cells[-1].replace(",", ".")) < 10
    write("points.csv", ["y", "x"], [(f"{n % 7}.5", f"{n % 5}.25") for n in range(80)])
    status, out = cli("predict", "model.safetensors", "points.csv", "-o", "out.csv")
    assert status == 2
    assert "with ',' before decimals, as in training" in out


def test_two_readings_are_an_error_that_options_resolve(cli):
    write("data.csv", ["y"], [(f"{n % 7 + 1},125",) for n in range(80)], ";")
    status, out = cli("train", "data.csv", "--target", "y", *QUICK)
    assert status == 2
    assert "'1,125' can be read as 1.125 or 1125" in out
    for option, level in (("--decimal=,", 1), ("--thousands=,", 1000)):
        assert cli("train", "data.csv", "--target", "y", option, *QUICK)[0] == 0
        fill = cylstm.load("model.safetensors").extras["table"]["fill"]
        assert level < fill < 10 * level
    assert cli("train", "data.csv", "--target", "y", "--decimal=;", *QUICK)[0] == 2


# --- no value -----------------------------------------------------------------------------------


def test_a_value_that_may_mean_none_is_said_and_can_be_marked(cli):
    rows = [(-999 if n % 20 == 3 else y, x) for n, (y, x) in enumerate(waves(float))]
    write("data.csv", ["y", "x"], rows)
    _, out = cli("train", "data.csv", "--target", "y", *QUICK)
    assert "y: -999 comes 6 times" in out
    assert "--missing=-999" in out
    _, out = cli("train", "data.csv", "--target", "y", "--missing=-999", *QUICK)
    assert "y: 6 rows neither learned nor judged" in out
    assert "comes 6 times" not in out
    assert cli("predict", "model.safetensors", "data.csv", "-o", "out.csv")[0] == 0
    with open("out.csv", newline="") as file:
        forecasts = [float(row["y_forecast"] or "nan") for row in csv.DictReader(file)]
    assert np.nanmin(forecasts) > 0


def test_copies_of_rows_are_said(cli):
    rows = [(n, n % 7) for n in range(100) for _ in range(1 + (n % 10 == 0))]
    write("data.csv", ["t", "y"], rows)
    _, out = cli("train", "data.csv", "--target", "y", "--time", "t", *QUICK)
    assert "10 rows equal to another in every cell: left out" in out
    assert "the time of the row before" not in out
    assert "--group" not in out


# --- names, groups, files -----------------------------------------------------------------------


def test_names_with_commas_blanks_and_umlauts(cli):
    header = ["größe, m", "länge, m", "x y", "z"]
    write("data.csv", header, [(n % 5, n % 7, n % 3, n % 4) for n in range(80)])
    asked = [unicodedata.normalize("NFD", name) for name in header]
    words = ["train", "data.csv", "--target", asked[0], *QUICK]
    for inputs in (
        ["--input", asked[1], "--input", "x y"],
        ["--inputs", f'"{asked[1]}",x y'],
        ["--inputs", "x y", "--input", asked[1]],
    ):
        _, out = cli(*words, *inputs)
        assert "2 numbers:" in out
        columns = cylstm.load("model.safetensors").extras["table"]["columns"]
        assert {column["name"] for column in columns} == {"länge, m", "x y"}
    assert cli("predict", "model.safetensors", "data.csv", "-o", "out.csv")[0] == 0


@pytest.mark.parametrize("group", [["--group", "a,b"], ["--group", "a", "--group", "b"]])
def test_several_columns_name_a_series(cli, group):
    rows = [(a, b, n, 10 * a + b + n % 3) for a in (1, 2) for b in (1, 2) for n in range(60)]
    write("data.csv", ["a", "b", "t", "y"], rows)
    _, out = cli("train", "data.csv", "--target", "y", "--time", "t", *group, *QUICK)
    assert "240 rows, 4 series" in out
    assert cli("predict", "model.safetensors", "data.csv", "-o", "out.csv")[0] == 0
    with open("out.csv", newline="") as file:
        future = list(csv.DictReader(file))[240:]
    assert [(row["a"], row["b"], row["t"]) for row in future] == [
        (a, b, "60") for a in "12" for b in "12"
    ]


def test_packed_files_go_in_and_out(cli, tmp_path):
    write("data.csv", ["y", "x"], waves())
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress((tmp_path / "data.csv").read_bytes()))
    assert cli("train", "data.csv.gz", "--target", "y", *QUICK)[0] == 0
    for name in ("out.csv", "out.csv.gz"):
        assert cli("predict", "model.safetensors", "data.csv.gz", "-o", name)[0] == 0
    packed, plain = (tmp_path / name for name in ("out.csv.gz", "out.csv"))
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    status, out = cli("predict", "model.safetensors", "data.csv.gz", "-o", "out.ods")
    assert status == 2
    assert "only .xlsx, .parquet and CSV" in out


FORMATS = [(".xlsx", "openpyxl", pd.read_excel), (".parquet", "pyarrow", pd.read_parquet)]


def mixed_table():
    """Dates, numbers in German, identifiers, texts that look like formulas."""
    days = np.arange("2023-01-25", "2023-05-25", dtype="datetime64[D]").tolist()
    return [
        (f"{day:%d.%m.%Y}", german(1000.5 + n % 7), f"{n % 9:03}", "=1+1" if n % 2 else "b")
        for n, day in enumerate(days)
    ]


@pytest.mark.parametrize(("suffix", "package", "read"), FORMATS)
def test_excel_and_parquet_have_numbers_and_times(cli, suffix, package, read):
    pytest.importorskip(package)
    write("data.csv", ["day", "y", "code", "label"], mixed_table(), ";")
    assert cli("train", "data.csv", "--target", "y", "--horizon", "2", *QUICK)[0] == 0
    for name in ("out.csv", "out" + suffix):
        assert cli("predict", "model.safetensors", "data.csv", "-o", name)[0] == 0
    found, plain = read("out" + suffix, **dtypes(suffix)), pd.read_csv("out.csv", sep=";")
    days = pd.to_datetime(found["day"])
    assert (days == pd.date_range("2023-01-25", periods=122)).all()
    assert found["y"].isna().sum() == 2
    assert found["y"].iloc[:120].tolist() == [1000.5 + n % 7 for n in range(120)]
    assert found["code"].tolist()[:12] == [f"{n % 9:03}" for n in range(12)]
    assert found["label"].tolist()[:2] == ["b", "=1+1"]
    forecasts = plain["y_forecast"].str.replace(",", ".").astype(float)
    assert found["y_forecast"].iloc[-1] == forecasts.iloc[-1]
    assert found["y_rows_ahead"].iloc[-2:].tolist() == [1, 2]


def dtypes(suffix):
    return {"dtype": {"code": str}} if suffix == ".xlsx" else {}


@pytest.mark.parametrize(("suffix", "package", "read"), FORMATS)
def test_without_its_package_a_format_is_not_written(cli, monkeypatch, suffix, package, read):
    write("data.csv", ["y", "x"], waves())
    assert cli("train", "data.csv", "--target", "y", *QUICK)[0] == 0
    monkeypatch.setitem(sys.modules, package, None)
    status, out = cli("predict", "model.safetensors", "data.csv", "-o", "out" + suffix)
    assert status == 1
    assert f"{suffix} files need {package}" in out
    assert f"pip install {package}" in out


def test_a_forecast_from_excel_to_excel_keeps_integers(cli):
    pytest.importorskip("openpyxl")
    counts = pd.array([n % 5 if n % 7 else None for n in range(80)], "Int64")
    pd.DataFrame({"y": range(80), "n": counts}).to_excel("data.xlsx", index=False)
    assert cli("train", "data.xlsx", "--target", "y", "--input", "n", *QUICK)[0] == 0
    for name in ("out.csv", "out.xlsx"):
        assert cli("predict", "model.safetensors", "data.xlsx", "-o", name)[0] == 0
    with open("out.csv", newline="") as file:
        assert {row["n"] for row in csv.DictReader(file)} == {"", "0", "1", "2", "3", "4"}
    assert pd.read_excel("out.xlsx")["n"].tolist()[:80] == pytest.approx(
        counts.astype(float).tolist(), nan_ok=True
    )


def test_empty_rows_at_the_end_are_said(cli):
    write("data.csv", ["y", "x", ""], [(*row, "") for row in waves()] + [("", "", "")] * 3)
    _, out = cli("train", "data.csv", "--target", "y", *QUICK)
    assert "120 rows" in out
    assert "3 rows at the end without any value" in out
    assert "Unnamed" not in out


# --- the model file -----------------------------------------------------------------------------


def recipe(**changes):
    made = Recipe("regression", "y", (Column("x"),), ("g",), None, 4, missing=("-9",))
    return made.to_dict() | {"notations": {"x": {"decimal": ","}}} | changes


def test_a_recipe_survives_a_model_file():
    made = Recipe.from_dict(recipe())
    assert made.group == ("g",)
    assert made.missing == ("-9",)
    assert made.notations == {"x": Notation(",")}
    assert Recipe.from_dict(made.to_dict()) == made
    assert Recipe.from_dict(recipe(group="g")) == made
    assert Recipe.from_dict(recipe(group=None)).group == ()


@pytest.mark.parametrize(
    "damage",
    [
        {"network_share": [0.5]},
        {"task": "forecast", "horizon": 2, "network_share": [0.5]},
        {"task": "forecast", "horizon": 2, "network_share": [0.5, 2.0]},
        {"task": "forecast", "horizon": 1, "linear": {"window": [[1.0]]}},
        {"task": "forecast", "horizon": 1, "linear": 3},
        {"group": 3},
        {"group": [1]},
        {"missing": {"a": 1}},
        {"missing": [None]},
        {"notations": []},
        {"notations": {"x": {"decimal": "x"}}},
        {"notations": {"x": {"colour": "."}}},
        {"notations": {"x": None}},
    ],
)
def test_a_damaged_recipe_is_refused(damage):
    with pytest.raises(ValueError, match="damaged description of the table"):
        Recipe.from_dict(recipe(**damage))


@pytest.mark.parametrize("task", ["regression", "forecast"])
def test_small_changes_of_large_numbers_are_learned_and_written(cli, task):
    rng = np.random.default_rng(0)
    n = np.arange(400)
    meter = 1e8 + 0.3 * np.sin(2 * np.pi * n / 40) + 0.01 * rng.standard_normal(len(n))
    rows = [(f"{a:.3f}", f"{b:.3f}") for a, b in zip(np.roll(meter, 1), meter, strict=True)]
    write("readings.csv", ["before", "meter"], rows[1:])
    options = ["--target", "meter", "--task", task, "--epochs", "40", "--hidden-size", "16"]
    assert cli("train", "readings.csv", *options, "--window", "16", "--quiet")[0] == 0
    assert cli("predict", "model.safetensors", "readings.csv", "-o", "out.csv")[0] == 0
    with open("out.csv", encoding="utf-8") as file:
        found = list(csv.DictReader(file))[100:399]
    ending = "predicted" if task == "regression" else "forecast"
    cells = [row[f"meter_{ending}"] for row in found]
    errors = np.array(cells, float) - [float(row["meter"]) for row in found]
    # The wave has a deviation of 0.21; float32 numbers of this size are 8 apart.
    assert np.sqrt(np.mean(errors**2)) < 0.05
    assert max(len(cell.partition(".")[2]) for cell in cells) in (3, 4)


# --- what may be meant otherwise ----------------------------------------------------------------

WAVE = [f"{100 + 10 * math.sin(n / 4):.3f}" for n in range(80)]
DAYS = np.arange("2023-01-25", "2023-04-15", dtype="datetime64[D]").astype(str).tolist()


def with_y(name, cells):
    """A table of a column and a target."""
    return [name, "y"], [*zip(cells, WAVE, strict=True)]


@pytest.mark.parametrize(
    ("name", "cells", "said"),
    [
        (
            "date",
            [f"run {n}" for n in range(80)],
            "date: not read as times: rows keep the file's order",
        ),
        ("at", [*DAYS[:-1], "2023-13-01"], "at: not read as times: rows keep the file's order"),
        (
            "date",
            [44951 + n for n in range(80)],
            "44951 may be Excel's number of the day 2023-01-25",
        ),
        ("n", range(80, 0, -1), "warning     n: falls with every row"),
        ("n", range(80, 0, -1), "newest first? --time n sorts by it"),
        ("x", [-9999 if n == 7 else n % 4 for n in range(80)], "x: -9999 comes 1 time, all others"),
        ("id", [2**53 + 3 * (n % 7) for n in range(80)], "id: integers beyond 2^53 such as '9007"),
        ("plz", [f"{n % 9:05}" for n in range(80)], "plz: '00000' is read as the number 0"),
        ("t", [f"{n % 15}.5 °C" for n in range(80)], "t: 15 categories such as '0.5 °C'; without"),
        ("t", [f"{n} kg" for n in range(80)], "t: numbers with the unit 'kg'; leave it out"),
    ],
)
def test_a_doubtful_column_is_pointed_out(cli, name, cells, said):
    write("data.csv", *with_y(name, cells))
    status, out = cli("train", "data.csv", "--target", "y", *QUICK)
    assert status == 0
    assert said in out


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("date", DAYS),
        ("n", range(80)),
        ("x", [n % 4 for n in range(80)]),
        ("room", [f"{n % 4} beds" for n in range(80)]),
        ("text", [f"Model {n % 7 + 2010}" for n in range(80)]),
        ("hour", [n % 24 for n in range(80)]),
        ("weekly_price", [20000 + n % 5 for n in range(80)]),
    ],
)
def test_what_is_not_doubtful(cli, name, cells):
    write("data.csv", *with_y(name, cells))
    status, out = cli("train", "data.csv", "--target", "y", *QUICK)
    assert status == 0
    assert "warning" not in out


def test_excels_days_as_the_time_that_is_asked_for(cli):
    write("data.csv", *with_y("t", [44951 + n for n in range(80)]))
    _, out = cli("train", "data.csv", "--target", "y", "--time", "t", *QUICK)
    assert "warning     t: 44951 may be Excel's number of the day 2023-01-25" in out


def test_a_target_with_a_unit(cli):
    write("data.csv", ["y"], [(f"{n % 5}.5 kg",) for n in range(80)])
    status, out = cli("train", "data.csv", "--target", "y", *QUICK)
    assert status == 2
    assert (
        "column 'y' holds numbers with the unit 'kg', such as '0.5 kg'; leave the unit out" in out
    )
    assert "classification" not in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Sales of 2022\n\nday,y\n1,2\n2,3\n", "begin in line 3, below 'Sales of 2022'; remove"),
        ("# from me\n# for you\nday;y\n1;2,5\n2;3,5\n", "begin in line 3, below '# from me'"),
        ("Sales,,\nday,x,y\n1,2,3\n2,3,4\n", "begin in line 2, below 'Sales'"),
        ("day,y\n01.01.2022,50,25\n02.01.2022,51,25\n", "line 2 has 3 cells, more than the header's 2; "),
        ("day,y\n1,5\n\n2,51,25\n", "line 4 has 3 cells, more than the header's 2; is one the comma"),
        ("day;y\n1;5\n2;51;25\n", "line 3 has 3 cells, more than the header's 2"),
        ("day,y\n,kg\n2022-01-01,5\n2022-01-02,6\n", "'day', row 1: '' is not a number or a date; if row 1 holds units, remove it"),
        ("x,y\nm/s,kg\n3,5\n2,6\n4,7\n", "'x', row 1: 'm/s' is not a number; if row 1 holds units, remove it"),
        ("x,y\n3,5\n2,kg\n4,7\n", "'y', row 2: 'kg' is not a number"),
    ],
)  # fmt: skip
def test_files_whose_first_lines_or_commas_are_wrong(cli, tmp_path, text, said):
    (tmp_path / "data.csv").write_text(text)
    status, out = cli("train", "data.csv", "--target", "y", *QUICK)
    assert status == 2
    assert said in out
    assert ("units" in out) == ("units" in said)


@pytest.mark.parametrize(
    "text",
    ["y\n1,5\n2,5\n", "y\nhello, you\nand, me\n", ",y\n0,1\n1,2\n", "y;;\n1;2;3\n2;3;4\n", "a b,y\n1,2\n"],
)  # fmt: skip
def test_headers_that_are_none_of_a_title(tmp_path, text):
    (tmp_path / "data.csv").write_text(text)
    assert "y" in read_table(tmp_path / "data.csv").columns


def test_an_end_of_line_in_a_name_is_spelt_out(cli):
    names = ["height\nin m", "sky\nup", "wind\nall", "y\nsum"]
    rows = [(n % 5, "ab"[n % 2], "", y) for n, y in enumerate(WAVE)]
    write("data.csv", names, rows)
    _, out = cli("train", "data.csv", "--target", names[3], *QUICK)
    for name in names:
        assert name not in out
        assert name.replace("\n", "\\n") in out


def test_long_floats_are_not_worth_a_line(cli):
    write("data.csv", ["y"], [(repr(math.sin(n) / 3 + 1e-17),) for n in range(80)])
    assert "is read as" not in cli("train", "data.csv", "--target", "y", *QUICK)[1]


def test_decimal_and_thousands_have_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "--decimal , reads 1,234 as 1.234, --decimal . as 1234" in out
    assert "--thousands . reads 1.234 as 1234" in out


def test_accuracy_and_share_of_errors_are_shown_everywhere(cli):
    rows = [(n % 5, "ab"[n % 3 == 0]) for n in range(120)]
    write("data.csv", ["x", "y"], rows)
    write("new.csv", ["x", "y"], [*rows, *rows])
    shares = []
    for words in (
        ["train", "data.csv", "--target", "y", "--task", "classification", *QUICK],
        ["info", "model.safetensors"],
        ["predict", "model.safetensors", "new.csv", "-o", "out.csv"],
    ):
        status, out = cli(*words)
        assert status == 0
        assert "accuracy" in out and "share of errors" in out
        some = re.findall(r"(?:model|accuracy) +([\d.]+) %(?:, share of errors)? +([\d.]+) %", out)
        shares += [float(accuracy) + float(errors) for accuracy, errors in some]
    assert shares == pytest.approx([100] * 3, abs=0.02)


# --- a table to try the commands on -------------------------------------------------------------


def test_the_sample_is_the_same_each_time_and_replaces_nothing_else(cli, tmp_path):
    assert cli("sample")[0] == cli("sample", "again.csv")[0] == cli("sample")[0] == 0
    text = (tmp_path / "sales.csv").read_bytes()
    assert (tmp_path / "again.csv").read_bytes() == text
    rows = list(csv.DictReader(text.decode().splitlines()))
    assert all(row["sales"] for row in rows[:730])
    assert [row["sales"] for row in rows[730:]] == [""] * 7
    assert {row["promotion"] for row in rows[730:]} == {"0", "1"}
    (tmp_path / "sales.csv").write_text("my,own\n1,2\n")
    status, out = cli("sample")
    assert status == 2
    assert "another file of this name" in out
    assert (tmp_path / "sales.csv").read_text() == "my,own\n1,2\n"


def test_the_sample_has_what_a_forecast_can_use(cli):
    assert cli("sample")[0] == 0
    words = ["train", "sales.csv", "--target", "sales", "--horizon", "7", "--quiet"]
    errors = {}
    for future in ([], ["--future", "promotion"]):
        assert cli(*words, "--epochs", "5", *future)[0] == 0
        score = cylstm.load("model.safetensors").extras["score"]
        errors[len(future)] = score["model"]["root mean squared error"]
        assert errors[len(future)] < 0.6 * score["last value"]["root mean squared error"]
    assert errors[2] < 0.8 * errors[0]
