"""The colours of models, of :mod:`reports.style`, in the page's two themes, and those of matrices.

In the dark theme a colour is mixed with white until its contrast to the ground is 3:1, which keeps its hue; markers and
dashes tell models apart as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.colors import to_hex, to_rgb

from reports.style import SEQUENTIAL, Look

DARK = "#1b1e26"
"""The ground of plots in the dark theme, as in style.css."""
CONTRAST = 3.0
STOPS = 7
SCALES = {
    "light": [to_hex(SEQUENTIAL(place / (STOPS - 1))) for place in range(STOPS)],
    "dark": [DARK, "#2b2e4d", "#3f4179", "#5c5eaa", "#8286d2", "#abb1ec", "#e0e4ff"],
}
DIVERGING = {
    "light": ["#a8480f", "#e08a4a", "#f6cfae", "#ffffff", "#b9d3ee", "#5f97d0", "#1f5a9c"],
    "dark": ["#ffb27a", "#c2703a", "#6b4531", DARK, "#2d4a6b", "#4f86c0", "#9fcbff"],
}


def rules(looks: Mapping[str, Look]) -> str:
    """A rule of CSS for each model's colour, ``.m0`` the first."""
    lines = (
        f".m{number} {{ --c: light-dark({each.colour}, {lightened(each.colour)}); }}"
        for number, each in enumerate(looks.values())
    )
    return "\n".join(lines) + "\n"


def document(looks: Mapping[str, Look]) -> dict[str, Any]:
    """What the scripts draw with: each model's marker and dashes (in widths of the line), and the scales' colours."""
    marks = [
        {"marker": each.marker, "dash": list(each.dash[1]) if isinstance(each.dash, tuple) else []}
        for each in looks.values()
    ]
    return {"looks": marks, "scale": SCALES, "diverging": DIVERGING}


def lightened(colour: str) -> str:
    """The colour as it is in the dark theme."""
    mixed = ([c + (1 - c) * step / 20 for c in to_rgb(colour)] for step in range(21))
    return next(to_hex((r, g, b)) for r, g, b in mixed if contrast(to_hex((r, g, b)), DARK) >= CONTRAST)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
