"""The table of techniques as a chart: what each resolves, and how wide its field is."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Final

from fusion.display import color, length
from fusion.techniques.catalogue import PROBES, Technique, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY: Final = "#555555"
_PALE: Final = 0.28


def chart(path: str | PathLike[str] | None = None) -> Figure:
    """Draw technique against length: the range of resolution, and from there to the width of the field.

    Parameters
    ----------
    path : path-like, optional
        Where to save the picture; the suffix says how.

    Returns
    -------
    matplotlib.figure.Figure
        A dotted line goes on to a field for which no source is at hand.

    Examples
    --------
    >>> chart().axes[0].get_xlabel()
    'length'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 8.2), layout="constrained")
    ax = figure.subplots()
    rows = list(table().values())
    heights = [index + 0.9 * PROBES.index(technique.probe) for index, technique in enumerate(rows)]
    for height, technique in zip(heights, rows, strict=True):
        _bar(ax, height, technique)
    ax.set_yticks(heights, [technique.name for technique in rows])
    ax.set_ylim(heights[-1] + 0.8, -1.1)
    _furnish(ax, {technique.probe: height for height, technique in reversed(list(zip(heights, rows, strict=True)))})
    if path is not None:
        figure.savefig(path, dpi=130, facecolor="white")
    return figure


def _bar(ax: Axes, height: float, technique: Technique) -> None:
    """Draw one row: dark where it resolves, light up to its field."""
    if technique.lateral is None:
        return
    shade, low, high = _color(technique.probe), technique.lateral.low, technique.lateral.high
    if technique.field:
        ax.barh(height, technique.field.high - low, left=low, height=0.62, color=shade, alpha=_PALE, linewidth=0)
    else:
        ax.plot([high, 30 * high], [height, height], ":", color=shade, linewidth=2)
    ax.barh(height, max(high, low * 1.18) - low, left=low, height=0.62, color=shade, linewidth=0)


def _color(probe: str) -> str:
    return color(PROBES.index(probe))


def _furnish(ax: Axes, headings: Mapping[str, float]) -> None:
    """Write the axis in units of length, and each probe above its group."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    ticks = [10.0**power for power in range(-4, 6)]
    ax.set_xscale("log")
    ax.set_xlim(3e-5, 2e5)
    ax.set_xticks(ticks, [length(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("length")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#d9dee3", linewidth=0.8)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    for probe, height in headings.items():
        ax.text(3.4e-5, height - 0.75, probe, color=_GREY, fontweight="bold", va="center")
    keys = [
        Patch(color=_GREY, label="lateral resolution"),
        Patch(color=_GREY, alpha=_PALE, linewidth=0, label="up to the field of view"),
        Line2D([], [], color=_GREY, linestyle=":", linewidth=2, label="field: no source at hand"),
    ]
    ax.legend(handles=keys, loc="lower center", bbox_to_anchor=(0.42, 1.0), ncols=3, frameon=False)
