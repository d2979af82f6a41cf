"""How the tutorial's figures look, and how they get into its page.

They are put there as SVG and not as images, so that their text and axes have the colour of the
page's text, in the light and in the dark theme.
"""

from __future__ import annotations

import re
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

from matplotlib import pyplot

# Of Okabe and Ito's palette for all kinds of colour vision, what is seen on white and on black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
INK = "#000000"

STYLE = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": pyplot.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "figure.figsize": (8.0, 4.0),
    "font.size": 11.0,
    "grid.alpha": 0.15,
    "grid.color": INK,
    "image.cmap": "cividis",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.dpi": 150,
    "svg.hashsalt": "cylstm",  # the same file from the same figure
}

FIGURE = """
.. container:: drawing

    .. raw:: html
        :file: {}
"""


def use_style(gallery_conf: dict[str, Any], fname: str) -> None:
    """Begin a page with our style and nothing else's; sphinx-gallery calls it."""
    pyplot.close("all")
    pyplot.rcdefaults()
    pyplot.rcParams.update(STYLE)


def scrape(
    block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]
) -> str:
    """Put the figures that a block of code has left open under it; sphinx-gallery calls it."""
    found = []
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        image = Path(next(block_vars["image_path_iterator"]))
        figure.savefig(image, facecolor="white")  # for the thumbnail
        svg = image.with_suffix(".svg")
        svg.write_text(to_inline_svg(figure), encoding="utf-8")
        found.append(FIGURE.format(svg))
        pyplot.close(figure)
    return "".join(found)


def to_inline_svg(figure: Any) -> str:
    """A figure as an element of a page, whose ink is the page's; its name says what it shows."""
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = svg.replace(INK, "currentColor")
    opening = f'<svg role="img" aria-label="{escape(figure.get_label())}"'
    return svg.replace("<svg", opening, 1)
