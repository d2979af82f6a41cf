"""Numbers as people write them: what a column's cells are read as, alone and beside others."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("pandas")

import pandas as pd

from cylstm.tables import Notation, find_suspect, read_table
from cylstm.tables.digits import read_digits

NAN = float("nan")


@pytest.fixture
def read(tmp_path):
    """Read a table of columns given as lists of cells, with tabs between them."""

    def read_columns(options=None, **columns):
        rows = zip(*columns.values(), strict=True)
        lines = ["\t".join(cells) for cells in [columns, *rows]]
        path = tmp_path / "data.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_table(path, **(options or {}))

    return read_columns


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        # decimal points, as programs write them
        (["1.5", "2", "-3e2", "+4"], [1.5, 2, -300, 4]),
        (["1.234", "5.678"], [1.234, 5.678]),
        ([".5", "5.", "0.25"], [0.5, 5, 0.25]),
        # decimal commas
        (["1,5", "2", "-3,25"], [1.5, 2, -3.25]),
        (["0,512", "1,234"], [0.512, 1.234]),
        (["1234,567", "1,234"], [1234.567, 1.234]),
        (["1,5e3", "2,5E-1"], [1500, 0.25]),
        ([",5", "1,25"], [0.5, 1.25]),
        # groups of thousands
        (["4,051.86", "985.20"], [4051.86, 985.2]),
        (["1.234,5", "12"], [1234.5, 12]),
        (["1,234,567", "12"], [1234567, 12]),
        (["1.234.567", "1.234"], [1234567, 1234]),
        (["1,23,456.50", "12.5"], [123456.5, 12.5]),
        (["1 234,5", "1 234 567,25"], [1234.5, 1234567.25]),
        (["1\u00a0234", "12"], [1234, 12]),
        (["1\u202f234.5", "12"], [1234.5, 12]),
        (["1\u2009234", "12\u2009345"], [1234, 12345]),
        (["1'234.50", "12"], [1234.5, 12]),
        (["1\u2019234", "-1\u2019234\u2019567"], [1234, -1234567]),
        # shares, magnitudes, currencies
        (["0.52%", "-1.5 %", "0"], [0.52, -1.5, 0]),
        (["12,5 %", "7 %"], [12.5, 7]),
        (["7.11M", "985.2k", "1.2B", "3"], [7.11e6, 985200, 1.2e9, 3]),
        (["1,5M", "2,25M"], [1.5e6, 2.25e6]),
        (["$1,234.50", "-$5.25", "$-6"], [1234.5, -5.25, -6]),
        (["1.234,50 €", "7 €"], [1234.5, 7]),
        (["EUR 12.5", "EUR 7"], [12.5, 7]),
        (["CHF 1'234.50", "12.75"], [1234.5, 12.75]),
        (["£1.5B", "£2M"], [1.5e9, 2e6]),
        (["R$ 1.234,50", "R$ 2"], [1234.5, 2]),
        (["₹1,23,456.00", "₹99.50"], [123456, 99.5]),
        # signs
        (["(1,234.5)", "12.5"], [-1234.5, 12.5]),
        (["($5.50)", "$6"], [-5.5, 6]),
        (["\u22125.5", "7"], [-5.5, 7]),
        (["1.234,50-", "7,25"], [-1234.5, 7.25]),
        # no value
        (["1.5", "?", "-", "--", "N/A", "2"] * 2, [1.5, NAN, NAN, NAN, NAN, 2] * 2),
        (["1,5", "#DIV/0!", "M", "", "\u2014", "2"], [1.5, NAN, NAN, NAN, NAN, 2]),
        (["#VALUE!", "12%", "#N/A", "n.a."], [NAN, 12, NAN, NAN]),
    ],
)
def test_what_it_was_and_what_is_read(read, cells, values):
    table = read(x=cells, other=["word"] * len(cells))
    assert table.looks_numeric("x")
    np.testing.assert_array_equal(table.numbers("x"), values)
    np.testing.assert_array_equal(table.missing("x"), np.isnan(values))


@pytest.mark.parametrize(
    "cells",
    [
        ["2024-01-01", "2024-01-02"],
        ["01.02.2015", "02.02.2015"],
        ["18.00.00", "19.00.00"],
        ["12:30", "13:45"],
        ["12h", "13h"],
        ["1_000", "2_000"],
        ["A1", "B2"],
        ["030 123 456", "040 234 567"],
        ["12.30.000", "13.30.000"],
        ["1/2", "3/4"],
        ["$5%", "$6%"],
        ["--5", "+-6"],
        ["(5", "6)"],
        ["M", "F"],
        ["-", "?"],
        ["True", "False"],
    ],
)
def test_what_is_no_number(read, cells):
    assert not read(x=cells, other=["1", "2"]).looks_numeric("x")


@pytest.mark.parametrize(
    ("cells", "row", "cell"),
    [
        (["1,5", "2.5", "3,5", "4,5"], 2, "2.5"),
        (["1.5", "2,5", "3.5", "4.5"], 2, "2,5"),
        (["50%", "7%", "0.5"], 3, "0.5"),
        (["50.5%"] * 9 + ["42"], 10, "42"),
        (["$5", "$6", "€7"], 3, "€7"),
        (["1,234.5", "12,34.5", "1.5"], 2, "12,34.5"),
        (["1,5", "2,5", "inf"], 3, "inf"),
        (["1.5", "1.5", "12 km"], 3, "12 km"),
    ],
)
def test_a_cell_in_another_notation_is_an_error(read, cells, row, cell):
    with pytest.raises(ValueError, match=f"column 'x', row {row}: '{cell}' is not a number"):
        read(x=cells, other=["word"] * len(cells)).numbers("x")


def test_half_in_one_notation_and_half_in_another_are_no_categories(read):
    table = read(x=["1,5", "2.5"] * 4)
    assert table.looks_numeric("x")
    with pytest.raises(ValueError, match="is not a number"):
        table.numbers("x")


# --- two readings -------------------------------------------------------------------------------


def test_the_other_columns_decide_what_a_comma_is(read):
    german = read(x=["1,234", "5,678"], other=["1,5", "2,5"])
    assert german.numbers("x").tolist() == [1.234, 5.678]
    english = read(x=["1,234", "5,678"], other=["1.5", "2.5"])
    assert english.numbers("x").tolist() == [1234, 5678]


def test_the_other_columns_decide_what_a_point_is(read):
    assert read(x=["1.234", "5.678"], other=["1,5", "2,5"]).numbers("x").tolist() == [1234, 5678]
    assert read(x=["1.000", "5.000"], other=["1,5", "2,5"]).numbers("x").tolist() == [1000, 5000]
    assert read(x=["1.234", "5.678"], other=["1.5", "2.5"]).numbers("x").tolist() == [1.234, 5.678]


@pytest.mark.parametrize("other", [["1", "2"], ["1.5", "2,5"]])
def test_a_comma_that_nothing_decides_is_an_error_that_says_how_to(read, other):
    with pytest.raises(ValueError, match=r"'x': '1,234' can be read as 1.234 or 1234.*--decimal"):
        read(x=["1,234", "567"], other=other).numbers("x")


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"decimal": ","}, [1.234, 567]),
        ({"decimal": "."}, [1234, 567]),
        ({"thousands": ","}, [1234, 567]),
        ({"thousands": "."}, [1.234, 567]),
    ],
)
def test_options_decide(read, options, values):
    assert read(options, x=["1,234", "567"]).numbers("x").tolist() == values


def test_options_do_not_override_what_cells_show(read):
    for decimal in ".,":
        assert read({"decimal": decimal}, x=["1.5", "2.25"]).numbers("x").tolist() == [1.5, 2.25]
        assert read({"decimal": decimal}, x=["1,5", "2,25"]).numbers("x").tolist() == [1.5, 2.25]
    assert read({"decimal": ","}, x=["1.234", "567.125"]).numbers("x").tolist() == [1234, 567125]


def test_columns_that_show_it_late_decide_too(read):
    table = read(x=["1.234"] * 3000, other=["1"] * 2999 + ["1,5"])
    assert table.numbers("x")[0] == 1234


def test_all_cells_are_looked_at(read):
    many = [f"{n}.5" for n in range(5000)]
    for place in range(2, 5):  # a sample of every fifth would not have them all
        cells = [*many[:place], "1,234.5", *many[place:]]
        assert read(x=cells, y=["a"] * 5001).numbers("x")[place] == 1234.5
    unclear = [f"{n},{k:03}" for n in range(1, 30) for k in range(100)]
    assert read(x=[*unclear, "1,5"], y=["a"] * 2901).numbers("x")[:2].tolist() == [1.0, 1.001]
    late = read(x=["5"] * 5000 + ["text"])
    with pytest.raises(ValueError, match="row 5001: 'text' is not a number"):
        late.numbers("x")


# --- learned once, used again -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notation", "cells", "message"),
    [
        (Notation(","), ["1.5", "2.5"], "'1.5' is not a number with ',' before decimals"),
        (Notation("."), ["1,234", "2,345"], "'1,234' is not a number with '.' before decimals"),
        (Notation(".", "", "%"), ["0.5", "0.25"], "'0.5' is not a number"),
        (Notation(".", "", "$"), ["€5", "€6"], "'€5' is not a number"),
    ],
)
def test_a_learned_notation_is_not_guessed_anew(read, notation, cells, message):
    table = read({"notations": {"x": notation}}, x=cells)
    with pytest.raises(ValueError, match=message):
        table.numbers("x")


def test_a_learned_notation_reads_what_alone_could_be_two_numbers(read):
    for notation, values in ((Notation(","), [1.234, 2]), (Notation(".", ","), [1234, 2])):
        assert (
            read({"notations": {"x": notation}}, x=["1,234", "2"]).numbers("x").tolist() == values
        )


@pytest.mark.parametrize(
    "data",
    [
        {"decimal": ";"},
        {"decimal": ",", "thousands": ","},
        {"thousands": "x"},
        {"unit": "parsec"},
        {"decimal": 1},
        {"decimal": []},
    ],
)
def test_a_damaged_notation_is_refused(data):
    with pytest.raises(ValueError, match="no notation of numbers"):
        Notation.from_dict(data)


# --- no value -----------------------------------------------------------------------------------


def test_marks_of_ones_own(read):
    table = read({"missing": ["-200", "bad"]}, x=["-200", "-200,0", "1,5", "bad"], y=["bad"] * 4)
    np.testing.assert_array_equal(table.numbers("x"), [NAN, NAN, 1.5, NAN])
    assert table.missing("y").all()
    plain = read({"missing": ["-999"]}, x=["-999.0", "1", "-999"])
    np.testing.assert_array_equal(plain.numbers("x"), [NAN, 1, NAN])


def test_marks_among_numbers_are_categories_among_texts(read):
    assert not read(sex=["M", "F", "M", "-"], y=["1"] * 4).missing("sex").any()


def test_a_value_far_from_all_others_that_repeats_is_suspect():
    values = np.linspace(0.5, 3.5, 100)
    suspect = find_suspect(np.concatenate([values, [-200] * 5, [np.nan]]))
    assert suspect == (-200, 5, 0.5, 3.5)
    assert find_suspect(np.concatenate([values, [9999] * 3])).value == 9999
    assert find_suspect(np.concatenate([np.linspace(0, 1, 9), [-9999]])).times == 1
    assert find_suspect(np.array([15.5, 16.0, 14.5, -99.99])).value == -99.99
    assert find_suspect(np.concatenate([np.linspace(0, 1000, 100), [-1] * 3])).value == -1


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(-5, 5, 100),
        np.array([0, 1] * 50),
        np.concatenate([np.linspace(0, 1, 100), [-998] * 2]),
        np.concatenate([np.linspace(0, 998, 100), [999]]),
        np.array([5, 6, -9999]),
        np.concatenate([np.zeros(50), np.linspace(0.1, 20, 50)]),
        np.full(10, np.nan),
        np.array([]),
        np.full(10, 3.0),
    ],
)
def test_what_is_not_suspect(values):
    assert find_suspect(values.astype(float)) is None


@pytest.mark.parametrize(
    "notation",
    [Notation(".", ","), Notation(",", "."), Notation(","), Notation(",", "'"), Notation(".", " ")],
    ids=str,
)
def test_cells_of_a_fixed_width_are_read_as_their_texts_are(notation):
    generator = np.random.default_rng(0)
    weights = np.array([9, 9, 9, 9, 3, 3, 1, 1, 1, 1, 1]) / 47
    cells = [
        "".join(generator.choice([*"0129.,' -+e"], generator.integers(1, 13), p=weights))
        for _ in range(5000)
    ]
    texts = [f"{value:,.3f}" for value in generator.normal(0, 1e5, 1000)]
    swapped = str.maketrans({",": notation.thousands, ".": notation.decimal})
    cells += [text.translate(swapped) for text in texts]
    values, read = read_digits(np.array([cell.encode() for cell in cells]), notation)
    plain = re.compile("[-+]?" + notation.digits_pattern)
    assert read.tolist() == [plain.fullmatch(cell) is not None for cell in cells]
    assert np.array_equal(values[read], notation.parse(pd.Series(cells, dtype=object)[read]))


def test_numbers_that_do_not_fit_into_an_integer_are_left_to_others():
    cells = np.array([b"9,007,199,254,740,991", b"9,007,199,254,740,993", b"0." + 23 * b"0"])
    values, read = read_digits(cells, Notation(".", ","))
    assert read.tolist() == [True, False, False]
    assert values[0] == 2**53 - 1
