"""A decomposition as a Matplotlib figure: endmembers beside the maps of their abundances."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import xarray as xr

from fusion.conventions import signal_dim, spatial_dims, stderr_name
from fusion.display import color, edges, with_unit, y_upwards
from fusion.errors import DataError
from spectra.drawing.panels import require_variables
from spectra.factorisation.sparse import Array
from spectra.lines.candidates import Candidate
from spectra.lines.elements import Element, can_share, find_elements
from spectra.lines.settings import find_resolution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK: Final = "#1c2733"
_LEAST_SHARE, _MOST_ELEMENTS = 0.05, 5
"""Share of the counts of a component from which an element names it, and how many do."""
_GREEK: Final = {"a": "α", "b": "β", "g": "γ"}
_ROW, _SPECTRUM, _GAP, _LETTER, _LINE = 1.5, 5.6, 0.75, 0.068, 0.14
"""Heights of a row, width of a spectrum, gap between panels, length and height of small letters, in inches."""


def plot(
    result: xr.Dataset,
    *,
    names: Sequence[str] | None = None,
    peaks: Mapping[str, float] | Iterable[Candidate] = (),
) -> Figure:
    """Draw each endmember with its named peaks beside the map of its abundance, both with their standard errors.

    Parameters
    ----------
    result : Dataset
        As `decompose` or `unmix` returns it, with one or two spatial dims; or `phase_spectra`, which has no maps.
    names : sequence of str, optional
        What the components are called. Left out, the names that `name_components` gave; or the elements that
        `find_elements` finds in each endmember, those with most counts first and with a question mark where another
        element fits as well; or their numbers.
    peaks : mapping of str to float, or iterable of Candidate
        Names with their positions on the signal axis, marked in all endmembers; or what `identify` returned, of which
        the candidate with most counts, or else the nearest, is marked for each peak in its own endmember.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each component: the endmember on a scale of its own, shaded by one standard error to each side; the
        abundance; and its standard error, if it is known. Where an error is infinite, nothing is shaded and the map
        is grey. The rows of images run down; y runs up where it does so in the frame ``stage`` and in Raman maps.

    Raises
    ------
    ConventionError
        If the dataset is no decomposition.
    DataError
        If it is a volume, or the names are not as many as the components.

    Examples
    --------
    >>> import fusion
    >>> from fusion import Axis
    >>> from spectra.decomposition.decompose import decompose
    >>> counts = np.random.default_rng(0).poisson(np.kron(np.eye(2), np.full((3, 4), 50.0)))[:, None, :]
    >>> axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 1.0)}
    >>> ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    >>> figure = plot(decompose(ds, 2), names=["iron", "oxygen"], peaks={"O_Ka": 0.52, "Fe_Ka": 6.4})
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['O Kα', 'Fe Kα', 'iron']
    """
    require_variables(result, "decompose", "endmember")
    count = result.sizes["component"]
    titles = _titles(result) if names is None else list(names)
    if len(titles) != count:
        raise DataError(f"{len(titles)} names for {count} components; give one for each")
    maps, marks = _maps(result), _marks(peaks, count)
    sheet = _Sheet.for_rows(count, maps, _LETTER * max((len(name) for row in marks for name in row), default=0))
    for row, title in enumerate(titles):
        axes = sheet.spectrum(row)
        _draw_spectrum(axes, result, row, color(row))
        _draw_guides(axes, marks[row])
        if row == 0:
            _draw_names(axes, {name: at for of_row in marks for name, at in of_row.items()})
        axes.text(0.99, 0.96, title, transform=axes.transAxes, ha="right", va="top", color=_INK, weight="bold")
        drawn = [axes, *_draw_maps(sheet, result, maps, row)]
        for panel in drawn:
            panel.tick_params(labelsize=8, labelbottom=row == count - 1)
            panel.set_xlabel(panel.get_xlabel() if row == count - 1 else "", fontsize=9)
    return sheet.figure


def _titles(result: xr.Dataset) -> list[str]:
    """Return the names that the components carry, else the elements in them, else their numbers."""
    labels = result["component"].values.tolist() if "component" in result.coords else range(result.sizes["component"])
    elements = _elements(result) if not all(isinstance(label, str) for label in labels) else {}
    return [
        label if isinstance(label, str) else _title(elements.get(index, [])) or f"component {label}"
        for index, label in enumerate(labels)
    ]


def _elements(result: xr.Dataset) -> dict[int, list[Element]]:
    """Return the elements of each component; none where the values are no counts or the file states too little."""
    endmember = result["endmember"]
    if "energy" not in endmember.dims or find_resolution(result) is None or not can_share(result, endmember):
        return {}
    elements: dict[int, list[Element]] = {}
    for one in find_elements(result):
        elements.setdefault(one.component, []).append(one)
    return elements


def _title(elements: Sequence[Element]) -> str:
    total = sum(one.counts for one in elements)
    strong = [one for one in elements if one.counts >= _LEAST_SHARE * total][:_MOST_ELEMENTS]
    return ", ".join(f"{one.element}{'?' if one.alternatives else ''}" for one in strong)


class _Sheet(NamedTuple):
    """A figure with a row for each component: a spectrum and maps beside it, placed in inches from its corner."""

    figure: Figure
    head: float
    map_width: float

    @classmethod
    def for_rows(cls, count: int, maps: Sequence[xr.DataArray], names: float) -> _Sheet:
        """Return an empty sheet with room above the first row for names of that height."""
        from matplotlib.figure import Figure

        head, wide = 0.45 + names, _map_width(maps[0]) if maps else 0.0
        size = 0.3 + _SPECTRUM + len(maps) * (wide + _GAP) + 0.65, head + count * (_ROW + 0.15) + 0.4
        return cls(Figure(figsize=size), head, wide)

    def spectrum(self, row: int) -> Any:
        """Return the axes of the spectrum of a row."""
        return self._axes(row, 0.3, _SPECTRUM)

    def map(self, row: int, column: int) -> Any:
        """Return the axes of a map of a row."""
        return self._axes(row, 0.3 + _SPECTRUM + 0.7 + column * (self.map_width + _GAP), self.map_width)

    def _axes(self, row: int, left: float, width: float) -> Any:
        wide, high = self.figure.get_size_inches()
        bottom = high - self.head - row * (_ROW + 0.15) - _ROW
        return self.figure.add_axes((left / wide, bottom / high, width / wide, _ROW / high))


def _draw_maps(sheet: _Sheet, result: xr.Dataset, maps: Sequence[xr.DataArray], row: int) -> Iterator[Any]:
    for column, values in enumerate(maps):
        axes = sheet.map(row, column)
        _draw_map(axes, values.isel(component=row), y_upwards(result), first=column == 0)
        if row == 0:
            axes.set_title(_with_unit("standard error" if column else "abundance", values), fontsize=9)
        yield axes


def _maps(result: xr.Dataset) -> list[xr.DataArray]:
    """Return what is drawn beside the spectra: abundances, and their errors where they are known."""
    maps = [result[name] for name in ("abundance", stderr_name("abundance")) if name in result]
    if maps and len(spatial_dims(maps[0])) not in (1, 2):
        raise DataError(f"abundances along {spatial_dims(maps[0])}; take a plane of a volume first, result.isel(z=0)")
    return maps


def _marks(peaks: Mapping[str, float] | Iterable[Candidate], count: int) -> list[dict[str, float]]:
    """Return for each component the names that are marked in it, with their positions."""
    if isinstance(peaks, Mapping):
        return [{_spelled(name): float(at) for name, at in peaks.items()}] * count
    best: dict[tuple[int, float], Candidate] = {}
    for one in peaks:
        best[one.component, one.position] = min(best.get((one.component, one.position), one), one, key=_likelihood)
    marks: list[dict[str, float]] = [{} for _ in range(count)]
    for one in best.values():
        marks[one.component][_spelled(one.name)] = one.position + one.distance
    return marks


def _likelihood(one: Candidate) -> tuple[float, float]:
    """Return what sorts candidates: those with most counts first, then the nearest."""
    return -np.nan_to_num(one.counts), abs(one.distance)


def _spelled(name: str) -> str:
    """Return Fe_Ka as it is printed, Fe Kα."""
    line = re.fullmatch(r"([A-Z][a-z]?)_([KLMN])([abg])(\d?)", name)
    return f"{line[1]} {line[2]}{_GREEK[line[3]]}{line[4]}" if line else name


def _draw_spectrum(axes: Any, result: xr.Dataset, row: int, shade: str) -> None:
    spectrum = result["endmember"].isel(component=row)
    dim = signal_dim(spectrum)
    at, values = spectrum[dim].values, spectrum.values
    axes.plot(at, values, color=shade, linewidth=1.0)
    if (name := stderr_name("endmember")) in result:
        error = result[name].isel(component=row).values
        known = np.isfinite(error)
        axes.fill_between(at, values - error, values + error, where=known, color=shade, alpha=0.3, linewidth=0)
    lowest, highest = min(values.min(), 0.0), max(values.max(), 0.0)
    axes.set(xlim=(at[0], at[-1]), ylim=(1.05 * lowest, 1.3 * highest or 1.0), yticks=[])
    axes.set_xlabel(_with_unit(dim.replace("_", " "), spectrum[dim]))
    axes.spines[["left", "right", "top"]].set_visible(False)


def _draw_guides(axes: Any, positions: Mapping[str, float]) -> None:
    low, high = axes.get_xlim()
    inside = [at for at in positions.values() if low <= at <= high]
    axes.vlines(inside, 0, 1, transform=axes.get_xaxis_transform(), color="#c8ced6", linewidth=0.7, zorder=0)


def _draw_names(axes: Any, positions: Mapping[str, float]) -> None:
    """Write the names above the axes, moved apart where they would overlap, each with a line to its position."""
    low, high = axes.get_xlim()
    inside = sorted((at, name) for name, at in positions.items() if low <= at <= high)
    wanted = np.array([(at - low) / (high - low) * _SPECTRUM for at, _ in inside])
    for (at, name), shifted in zip(inside, _spread(wanted, _LINE, _SPECTRUM), strict=True):
        line = {"arrowstyle": "-", "color": "#c8ced6", "linewidth": 0.7, "shrinkA": 0.0, "shrinkB": 0.0}
        axes.annotate(
            name, (at, 1.0), (shifted / _SPECTRUM, 1.0 + 0.2 / _ROW), axes.get_xaxis_transform(), axes.transAxes,
            arrowprops=line, rotation=90, ha="center", va="bottom", fontsize=7.5,
        )  # fmt: skip


def _spread(wanted: Array, gap: float, length: float) -> Array:
    """Return ascending positions moved as little as can be, so that none is nearer than `gap` to the next.

    The least squares of it: without the gaps, positions that are out of order join at their mean.

    Examples
    --------
    >>> _spread(np.array([1.0, 1.0, 5.0]), 1.0, 6.0)
    array([0.5, 1.5, 5. ])
    """
    from scipy.optimize import isotonic_regression

    if not wanted.size:
        return wanted
    steps = gap * np.arange(wanted.size)
    # With the gaps taken off, "no nearer than the gap" is "not descending": isotonic regression, whose pools are the
    # groups of names that touch, each centred on what it names.
    positions = isotonic_regression(wanted - steps).x
    return np.asarray(np.clip(positions, 0.0, max(length - steps[-1], 0.0)) + steps)


def _draw_map(axes: Any, values: xr.DataArray, upwards: bool, *, first: bool) -> None:
    shown = np.ma.masked_invalid(values.values)
    dims = values.dims
    axes.set_xlabel(_with_unit(str(dims[-1]), values[dims[-1]]))
    if len(dims) == 1:
        axes.plot(values[dims[0]].values, shown, color="#4d4d4d", linewidth=1.0)
        return
    if first:
        axes.set_ylabel(_with_unit(str(dims[0]), values[dims[0]]), fontsize=9, labelpad=2)
    axes.set_facecolor("#d0d0d0")
    lowest, highest = (float(bound(shown.filled(0.0))) for bound in (np.min, np.max))
    mesh = axes.pcolormesh(
        edges(values[dims[1]].values), edges(values[dims[0]].values), shown, cmap="viridis", rasterized=True,
        vmin=min(lowest, 0.0), vmax=highest if highest > min(lowest, 0.0) else 1.0,
    )  # fmt: skip
    axes.set_aspect("equal", anchor="C")
    axes.tick_params(labelleft=first)
    if not upwards:
        axes.invert_yaxis()
    inset = axes.inset_axes((1.04, 0.0, 0.05 * _ROW / _map_width(values), 1.0))
    bar = axes.figure.colorbar(mesh, cax=inset)
    bar.ax.tick_params(labelsize=7)
    bar.formatter.set_powerlimits((-2, 4))
    bar.ax.yaxis.get_offset_text().set(size=7, ha="left")
    bar.outline.set_visible(False)


def _map_width(values: xr.DataArray) -> float:
    """Return the width in inches of a map as high as a row, within limits."""
    spatial = spatial_dims(values)
    if len(spatial) == 1:
        return 2.0
    high, wide = (float(np.ptp(edges(values[dim].values))) for dim in spatial)
    return float(np.clip(_ROW * wide / high, 0.7, 3.0))


def _with_unit(name: str, values: xr.DataArray) -> str:
    return with_unit(name, str(values.attrs.get("units", "1")))
