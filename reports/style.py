"""One look for every figure: settings, colours, markers, fonts.

Figures are made with matplotlib's objects, never with pyplot, whose global state does not belong in a library.  The
nine colours stay distinct for people with protanopia, deuteranopia and tritanopia (CIELAB distance at least 20, as
simulated after Machado et al. 2009; a test computes it) and have a contrast of 3:1 to white.  Beyond nine models they
come again with another marker and another dash.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

INK, SOFT, GRID, EMPTY = "#222222", "#666666", "#e4e4e4", "#f0f0f0"
COLOURS = ("#3b2a9d", "#bc4767", "#0ba69f", "#74083f", "#9a9852", "#08621b", "#8e3787", "#8190d1", "#be8d18")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
SEQUENTIAL = LinearSegmentedColormap.from_list(
    "benchmark", ["#ffffff", "#dfe3f3", "#b3bce2", "#7f88c9", "#4f4fa8", "#332288", "#1d1250"]
)
_CJK = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei", "Droid Sans Fallback")
_SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called $x$
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": "#999999",
    "ytick.color": "#999999",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "torch-image-benchmark",
}

LOOKS = len(COLOURS) * math.lcm(len(MARKERS), len(DASHES))
"""So many are different; then they come again."""


@dataclass(frozen=True)
class Look:
    """How one model is drawn, in every figure."""

    colour: str
    marker: str
    dash: Any


def looks(models: Sequence[str]) -> dict[str, Look]:
    """Model -> its look, given out in the order of ``models``."""
    unique = list(dict.fromkeys(models))
    return {model: _look(index) for index, model in enumerate(unique)}


@contextmanager
def styled() -> Iterator[None]:
    """Figures made, or saved, in this block have the style, whatever a user's own matplotlibrc says.  Characters that
    no installed font has are drawn as boxes, without a warning."""
    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if name != "backend"}
    settings: Any = {**defaults, **_SETTINGS, "font.family": families()}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, with an Agg canvas and a layout that keeps text inside."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def settle(figure: Figure) -> None:
    """Fixes the layout, so that what is placed by pixels afterwards stays in its place.  The layout takes some rounds
    where axes of a fixed aspect stand beside others."""
    engine = figure.get_layout_engine()
    if engine is not None:
        for _ in range(3 if len(figure.axes) > 1 else 1):
            engine.execute(figure)
        figure.set_layout_engine(None)  # "none" would leave one that has every figure drawn once more when it is saved
    figure.draw_without_rendering()


def _look(index: int) -> Look:
    turn, place = divmod(index, len(COLOURS))
    return Look(COLOURS[place], MARKERS[(place + turn) % len(MARKERS)], DASHES[turn % len(DASHES)])


def families() -> list[str]:
    """DejaVu Sans, which matplotlib brings, then installed fonts for the scripts that it lacks."""
    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _CJK if name in installed)]
