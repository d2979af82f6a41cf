"""Forecasts of known series by `cylstm train` beside those of simple methods.

Everything is chosen from a series' first 80 %; from then on each row is forecast at one lead, from
the values up to that many rows before it. The error is the root mean square.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LEADS = (1, 7, 12, 28)
HELD_OUT = 0.2


class Series(NamedTuple):
    """A series, the rows in its season (0: none) and its name."""

    name: str
    season: int
    values: np.ndarray


def known_series() -> list[Series]:
    """The series of statsmodels and vega-datasets."""
    from statsmodels import datasets
    from vega_datasets import data

    co2 = datasets.co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    elnino = datasets.elnino.load_pandas().data.drop(columns="YEAR")
    return [
        Series("sunspots", 11, datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()),
        Series("CO2", 12, co2.to_numpy()),
        Series("El Nino", 12, elnino.to_numpy().ravel()),
        Series("Seattle", 0, data("seattle-weather")["temp_max"].to_numpy()),
        Series("unemployment", 0, datasets.macrodata.load_pandas().data["unemp"].to_numpy()),
        Series("Nile", 0, datasets.nile.load_pandas().data["volume"].to_numpy()),
        Series("nonfarm", 12, data("us-employment")["nonfarm"].to_numpy()),
    ]


def print_forecasts() -> list[dict[str, Any]]:
    """Print the table and return its rows: errors, and ours over the best of the others'."""
    names = ("cylstm", "Ridge", "boosting", "Holt-Winters", "seasonal naive")
    print(f"{'series':14}{'lead':>5}" + "".join(f"{name:>15}" for name in names) + f"{'ratio':>8}")
    rows: list[dict[str, Any]] = []
    for series in known_series():
        for lead in LEADS:
            if 2 * lead > HELD_OUT * len(series.values):
                continue
            ours, window, origins = our_forecast(series, lead)
            truth = series.values[origins + lead]
            others = simple_forecasts(series, lead, window, origins)
            errors = [float(np.sqrt(np.mean((f - truth) ** 2))) for f in (ours, *others)]
            ratio = errors[0] / min(errors[1:])
            errors_by_name = dict(zip(names, errors, strict=True))
            rows.append({"series": series.name, "lead": lead, "ratio": ratio, **errors_by_name})
            cells = "".join(f"{error:15.4g}" for error in errors)
            print(f"{series.name:14}{lead:5}{cells}{ratio:8.2f}", flush=True)
    ratios = [row["ratio"] for row in rows]
    mean = float(np.exp(np.mean(np.log(ratios))))
    print(f"geometric mean of the ratios {mean:.3f}, the largest {max(ratios):.2f}")
    return rows


def our_forecast(series: Series, lead: int) -> tuple[np.ndarray, int, np.ndarray]:
    """What `cylstm train` with its defaults forecasts, its window, and from which rows."""
    from cylstm.cli import main
    from cylstm.cli.predict import load_trained
    from cylstm.cli.problem import make_problem
    from cylstm.tables import TEST, Timeline, read_table

    with tempfile.TemporaryDirectory() as folder:
        path, model_path = Path(folder, "series.csv"), Path(folder, "model.safetensors")
        path.write_text("y\n" + "\n".join(map(repr, series.values.tolist())) + "\n")
        options = ["--target", "y", "--horizon", str(lead), "-q", "-o", str(model_path)]
        season = ["--season", str(series.season)] if series.season else []
        with contextlib.redirect_stdout(io.StringIO()):
            if main(["train", str(path), *options, *season]):
                raise RuntimeError(f"{series.name}: training failed")
        model, recipe = load_trained(str(model_path))
        table = read_table(str(path))
        timeline = Timeline.of(table)
        problem = make_problem(recipe, table, timeline)
        origins = problem.known_ends(timeline.parts(0.0, HELD_OUT) == TEST)
        return problem.predict(model, origins)[:, -1], recipe.window, origins


def simple_forecasts(
    series: Series, lead: int, window: int, origins: np.ndarray
) -> Iterator[np.ndarray]:
    """Ridge, boosting, Holt-Winters and the seasonal naive forecast, in this order."""
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import RidgeCV

    y = series.values
    size = len(y) - round(HELD_OUT * len(y))
    lags = np.lib.stride_tricks.sliding_window_view(y, window)
    train = np.arange(window - 1, size - lead)
    ridge = RidgeCV(np.logspace(-3, 3, 13)).fit(lags[train - window + 1], y[train + lead])
    yield ridge.predict(lags[origins - window + 1])
    changes = lags - lags[:, -1:]  # trees do not leave the range of what they have seen
    boosting = GradientBoostingRegressor(random_state=0)
    boosting.fit(changes[train - window + 1], y[train + lead] - y[train])
    yield y[origins] + boosting.predict(changes[origins - window + 1])
    yield holt_winters(series, lead, size, origins)
    season = series.season or 1
    yield y[origins + lead - season * -(-lead // season)]


def holt_winters(series: Series, lead: int, size: int, origins: np.ndarray) -> np.ndarray:
    """Parameters from the first `size` rows; the states are carried on through the others."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    options = {"trend": "add", "damped_trend": True}
    if series.season:
        options |= {"seasonal": "add", "seasonal_periods": series.season}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ExponentialSmoothing(series.values[:size], **options).fit().params
        start = {"initial_level": found["initial_level"], "initial_trend": found["initial_trend"]}
        fixed = {name: found[name] for name in ("smoothing_level", "smoothing_trend")}
        fixed["damping_trend"] = found["damping_trend"]
        if series.season:
            start["initial_seasonal"] = found["initial_seasons"]
            fixed["smoothing_seasonal"] = found["smoothing_seasonal"]
        return np.array(
            [
                ExponentialSmoothing(
                    series.values[: end + 1], **options, initialization_method="known", **start
                )
                .fit(optimized=False, **fixed)
                .forecast(lead)[-1]
                for end in origins
            ]
        )
