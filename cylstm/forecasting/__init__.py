"""Forecasts in closed form, beside which a recurrent network learns what they leave over."""

from .linear import LinearPath, fit_linear

__all__ = ["LinearPath", "fit_linear"]
