"""The figures of a report and of a tracked run, and their bytes.

    png_bytes(confusion_figure(evaluation.confusion, classes, "resnet18"))

The same arguments give the same bytes under the same matplotlib: no date, no random identifiers.
"""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from reports.confusion import confusion_figure
from reports.curves import curves_figure
from reports.scatter import Point, pareto_figure
from reports.style import styled

__all__ = ["Point", "confusion_figure", "curves_figure", "pareto_figure", "png_bytes", "svg_bytes"]

DPI = 160


def png_bytes(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG."""
    with styled():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG, its text as outlines, so that it looks the same everywhere."""
    with styled():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
        return buffer.getvalue()
