"""The linear path of forecasts, rows ahead, known future inputs and which rows are scored."""

from __future__ import annotations

import csv
from itertools import product

import numpy as np
import pytest

import cylstm
from cylstm.cli import main
from cylstm.forecasting import LinearPath, anchors, fit_linear, linear

QUICK = ["--epochs", "5", "--hidden-size", "8", "--quiet"]


def fitted(values, window, horizon, season=0):
    ends = np.arange(window - 1, len(values) - horizon)
    windows = np.lib.stride_tricks.sliding_window_view(values, window)[: len(ends)]
    targets = values[ends[:, None] + np.arange(1, horizon + 1)]
    none = np.zeros((len(ends), horizon, 0))
    every = np.ones(len(ends), bool)
    return fit_linear(windows, none, targets, ends / len(values), every, season)


@pytest.mark.parametrize("season", [0, 12])
def test_the_linear_path_follows_a_trend_with_a_season(season):
    steps = np.arange(160)
    values = 0.05 * steps + np.sin(2 * np.pi * steps / 12)
    path = fitted(values[:120], 24, 12, season)
    forecast = path(values[None, 96:120], np.zeros((1, 12, 0)))
    np.testing.assert_allclose(forecast[0], values[120:132], atol=0.05)


def test_the_linear_path_as_plain_data():
    path = LinearPath.last_value(3, 5, 2)
    again = LinearPath.from_dict(path.to_dict(), 3, 5, 2)
    np.testing.assert_array_equal(again.window, path.window)
    with pytest.raises(ValueError, match="window is not"):
        LinearPath.from_dict(path.to_dict(), 3, 6, 2)


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Writes sales that promotions raise, with unknown last targets; returns the truth."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    promo = rng.integers(0, 2, 200)
    sales = np.round(50 + 20 * promo + rng.standard_normal(200), 3)

    def write(name, known, flipped=False):
        with open(name, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["promo", "sales"])
            for n in range(200):
                is_known = n < known
                value = promo[n] if is_known or not flipped else 1 - promo[n]
                rows.writerow([value, sales[n] if is_known else ""])
        return name

    return write, sales


def read(name):
    with open(name, newline="") as file:
        return list(csv.DictReader(file))


def test_rows_without_a_target_are_forecast_from_the_last_known_one(plan, capsys):
    write, sales = plan
    options = ["--target", "sales", "--horizon", "4", "--future", "promo", *QUICK]
    assert main(["train", write("past.csv", 200), *options]) == 0
    forecasts = {}
    for flipped in (False, True):
        assert main(["predict", "model.safetensors", write("p.csv", 196, flipped), "-o", "o"]) == 0
        rows = read("o")
        assert len(rows) == 200
        assert [row["sales_rows_ahead"] for row in rows[195:]] == ["4", "1", "2", "3", "4"]
        forecasts[flipped] = np.array([row["sales_forecast"] for row in rows[196:]], float)
    np.testing.assert_allclose(forecasts[False], sales[196:], atol=6)
    assert (np.abs(forecasts[True] - forecasts[False]) > 10).all()


def test_rows_that_the_table_does_not_have_are_appended(plan):
    write, _ = plan
    assert main(["train", write("p.csv", 198), "--target", "sales", "--horizon", "4", *QUICK]) == 0
    assert main(["predict", "model.safetensors", "p.csv", "-o", "o"]) == 0
    assert [row["sales_rows_ahead"] for row in read("o")[198:]] == ["1", "2", "3", "4"]


def test_only_unseen_rows_are_scored(plan, capsys):
    write, _ = plan
    assert main(["train", write("p.csv", 200), "--target", "sales", *QUICK]) == 0
    held_out = cylstm.load("model.safetensors").extras["score"]["model"]["mean absolute error"]
    capsys.readouterr()
    assert main(["predict", "model.safetensors", "p.csv", "-o", "o"]) == 0
    out = capsys.readouterr().out
    assert "40 known targets of the 40 rows after those the model was trained on" in out
    assert f"mean absolute error {held_out:.4g}"[:23] in out
    assert main(["predict", "model.safetensors", write("q.csv", 150), "-o", "o"]) == 0
    assert main(["train", "p.csv", "--target", "sales", "--test-fraction", "0", *QUICK]) == 0
    assert main(["predict", "model.safetensors", "p.csv", "-o", "o"]) == 0
    assert "none: the model was trained on all rows" in capsys.readouterr().out


def write_days(name, rows):
    with open(name, "w", newline="") as file:
        csv.writer(file).writerows([["shop", "day", "sales"], *rows])
    return name


@pytest.fixture
def weekends(tmp_path, monkeypatch):
    """Two shops that sell more on weekends, with days that are absent; the last is a Saturday."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    days = np.datetime64("2022-01-03") + np.arange(300)
    sales = np.where((np.arange(300) % 7) >= 5, 150, 100) + rng.standard_normal(300)
    return [
        [shop, days[n], round(sales[n] + 30 * (shop == "b"), 3)]
        for shop in "ab"
        for n in range(300)
        if n % 37 != 5
    ]


WEEKENDS = [
    *["--target", "sales", "--group", "shop", "--time", "day", "--horizon", "5", "--window", "4"],
    *["--calendar", "weekday", *QUICK],
]


def test_the_calendar_of_rows_to_come_is_known(weekends):
    data = write_days("past.csv", weekends)
    assert main(["train", data, *WEEKENDS]) == 0
    assert main(["predict", "model.safetensors", data, "-o", "o"]) == 0
    rows = read("o")[len(weekends) :]
    assert [row["sales_rows_ahead"] for row in rows] == ["1", "2", "3", "4", "5"] * 2
    assert [row["day"] for row in rows[:2]] == ["2022-10-30", "2022-10-31"]
    forecasts = np.array([row["sales_forecast"] for row in rows], float).reshape(2, 5)
    expected = np.array([150, 100, 100, 100, 100]) + np.array([[0], [30]])
    np.testing.assert_allclose(forecasts, expected, atol=8)


def test_inserted_rows_are_steps_ahead_but_no_rows(weekends, capsys):
    data = write_days("past.csv", weekends)
    assert main(["train", data, *WEEKENDS]) == 0
    seen = cylstm.load("model.safetensors").extras["table"]["seen"]
    assert seen == dict.fromkeys("ab", "2022-08-30T00:00:00.000000")
    plan = [["a", f"2022-{day}", ""] for day in ("10-31", "11-01", "11-05", "11-08")]
    capsys.readouterr()
    assert (
        main(["predict", "model.safetensors", write_days("p.csv", weekends + plan), "-o", "o"]) == 0
    )
    out = capsys.readouterr().out
    late = sum(str(day) > "2022-08-30" for _, day, _ in weekends) + len(plan)
    assert f"of the {late} rows after those" in out
    assert "2 rows beyond the model's horizon" in out
    rows = read("o")[len(weekends) :]
    assert [(row["shop"], row["sales_rows_ahead"]) for row in rows] == [
        *[("a", "2"), ("a", "3"), ("a", ""), ("a", "")],
        *[("b", lead) for lead in "12345"],
    ]


# --- what the linear path is made of -------------------------------------------------------------


def smooth(values, horizon, level, trend, damping):
    """Damped exponential smoothing of numbers, one by one."""
    now, slope = values[0], damping * (values[-1] - values[0]) / (len(values) - 1)
    for value in values[1:]:
        before = now + damping * slope
        miss = value - before
        now, slope = before + level * miss, damping * slope + level * trend * miss
    ahead, forecasts, factor = now, [], 1.0
    for _ in range(horizon):
        factor *= damping
        ahead += factor * slope
        forecasts.append(ahead)
    return forecasts


def test_smoothing_by_weights_is_smoothing_by_numbers():
    values = np.random.default_rng(0).standard_normal(10).cumsum()
    _, (levels, trends) = anchors.make_anchors(10, 4, 0)
    expected = [[values.mean()] * 4, *(smooth(values, 4, a, 0, 0) for a in anchors.LEVELS)]
    np.testing.assert_allclose(levels @ values, expected)
    options = product(anchors.LEVELS, anchors.TRENDS, anchors.DAMPING)
    expected = [smooth(values, 4, *each) for each in options]
    np.testing.assert_allclose(trends @ values, expected)


def smooth_season(values, season, horizon, level, part, damping):
    """The same with a season; the trend follows at a tenth of the level's pace, if there is one."""
    first, second = np.mean(values[:season]), np.mean(values[season : 2 * season])
    slope = damping * (second - first) / season
    places = [
        values[n] - first - (n - (season - 1) / 2) * slope for n in range(season)
    ]  # of the season
    now = first + (season - 1) / 2 * slope
    for row in range(season, len(values)):
        before = now + damping * slope
        miss = values[row] - before - places[row % season]
        now, slope = before + level * miss, damping * slope + (0.1 * level * miss if damping else 0)
        places[row % season] += part * miss
    steps = damping ** np.arange(1, horizon + 1)
    return [
        now + steps[: n + 1].sum() * slope + places[(len(values) + n) % season]
        for n in range(horizon)
    ]


def test_smoothed_seasons_by_weights_are_those_by_numbers():
    values = np.random.default_rng(1).standard_normal(15).cumsum()
    _, (_, _, seasons) = anchors.make_anchors(15, 7, 5)
    options = product(anchors.LEVELS, anchors.SEASONS, (0.0, *anchors.DAMPING))
    expected = [smooth_season(values, 5, 7, *each) for each in options]
    np.testing.assert_allclose(seasons @ values, expected)


def test_a_season_on_a_straight_line_goes_on_where_its_trend_is_not_damped():
    values = 3 + 0.5 * np.arange(15) + np.tile([1.0, -2.0, 0.5, 0.5, 0.0], 3)
    _, (_, _, seasons) = anchors.make_anchors(15, 7, 5)
    ahead = 3 + 0.5 * np.arange(15, 22) + np.tile([1.0, -2.0, 0.5, 0.5, 0.0], 2)[:7]
    options = list(product(anchors.LEVELS, anchors.SEASONS, (0.0, *anchors.DAMPING)))
    for option, anchor in zip(options, seasons, strict=True):
        assert np.allclose(anchor @ values, ahead) == (option[2] == 1.0), option


def test_naive_anchors_are_the_naive_forecasts():
    values = np.arange(12.0) ** 2
    naive, _ = anchors.make_anchors(12, 6, 4)
    last_season = values[[8, 9, 10, 11, 8, 9]]
    expected = [[0.0] * 6, [121.0] * 6, last_season, last_season + 121.0 - values[7]]
    np.testing.assert_allclose(naive @ values, expected)


def test_candidates_are_weighted_by_what_their_errors_have_apart():
    """Errors of one's own, others twice as large, and a third's that add to the first's."""
    one, other, third = np.random.default_rng(0).standard_normal((3, 5000))
    errors = np.stack([one, 2 * other, 1.2 * one + third])
    products = errors @ errors.T
    shares = linear._stack(products, [slice(0, 1), slice(1, 2), slice(2, 3)], 5000.0)
    np.testing.assert_allclose(shares, [0.8, 0.2, 0.0], atol=0.02)
    shares = linear._stack(products, [slice(0, 1), slice(1, 3)], 5000.0)  # the third the better
    np.testing.assert_allclose(shares, [1.0, 0.0, 0.0], atol=0.02)


def test_regressions_beside_a_naive_forecast_do_not_depend_on_the_level():
    rng = np.random.default_rng(2)
    windows, targets = rng.standard_normal((50, 6)) + 9, rng.standard_normal((50, 1)) + 9
    moments = linear._Rows(windows, np.zeros((50, 1, 0)), targets).moments(0)
    naive, none = np.eye(6)[[0, 5]] * [[0.0], [1.0]], np.zeros((0, 6))
    sums = moments.candidates(naive, none, [2, 6])[:, :6].sum(axis=1).reshape(2, -1)
    np.testing.assert_allclose(sums[1], 1.0)
    assert abs(sums[0, -1]) > 0.01


def test_near_leads_are_judged_together():
    errors = [np.diag([lead, 10.0 * lead]) for lead in range(1, 7)]
    errors[3] = np.diag([8.0, 4.0])
    pooled = [np.diag(each).tolist() for each in linear._with_near_leads(errors)]
    assert pooled == [[1, 10], [1, 10], [4, 21], [4, 21], [4, 21], [4, 21]]


def test_a_random_walk_is_hardly_worse_than_its_last_value():
    """On average; what is left is the price of looking for more."""
    ratios = []
    for seed in range(10):
        values = np.random.default_rng(seed).standard_normal(240).cumsum()
        path = fitted(values[:192], 32, 3)
        origins = np.arange(191, 237)
        windows = np.lib.stride_tricks.sliding_window_view(values, 32)[origins - 31]
        truth = values[origins[:, None] + np.arange(1, 4)]
        errors = truth - path(windows, np.zeros((len(origins), 3, 0)))
        naive = truth - values[origins, None]
        ratios.append(np.sqrt(np.mean(errors**2) / np.mean(naive**2)))
    assert np.exp(np.mean(np.log(ratios))) < 1.06


def test_a_trend_goes_on_where_the_series_wanders():
    values = np.random.default_rng(4).standard_normal(200).cumsum() + 2.0 * np.arange(200)
    path = fitted(values[:160], 32, 12)
    forecast = path(values[None, 128:160], np.zeros((1, 12, 0)))[0]
    np.testing.assert_allclose(np.diff(forecast).mean(), 2.0, atol=0.4)
