"""Which elements the lines of a spectrum speak for, with a score."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion.errors import DataError
from spectra.lines.candidates import spectra_of
from spectra.lines.xrays import (
    FAMILIES,
    SIGMA,
    XrayLine,
    channel_edges,
    continuum,
    family,
    profile,
    require_beam_energy,
    require_resolution,
    width,
    xray_lines,
)

Array = npt.NDArray[np.float64]

_OVERVOLTAGE: Final = 1.5
"""Beam over line energy from which a line is expected to be seen."""
_SOFTEST_KEV: Final = 0.15
_ABSORBED_KEV: Final = 1.0
"""Below it the absence of a line proves nothing, as specimen and window absorb it."""
_WEIGHTS: Final = 2.0
"""Factor to which tabulated weights hold: subshells and absorption change them."""
_FAINT: Final = 0.05
_SURE: Final = 4.0
_SOUND: Final = 0.5
"""Score from which an element is taken to explain lines of others."""
_BACKGROUND: Final = 0.05
"""Relative error of the background under a line."""


class Element(NamedTuple):
    """An element that may be there."""

    component: int
    element: str
    score: float
    """From 0 to 1; see `find_elements`."""
    counts: float
    """Net counts within half a width to each side of its strongest line."""
    seen: tuple[str, ...]
    """Its lines that stand out of the background by four standard errors."""
    missing: tuple[str, ...]
    """Its lines that should but do not."""


class _Spectrum(NamedTuple):
    """One spectrum in counts, with what is the same for every element."""

    energy: Array
    edges: Array
    counts: Array
    background: Array
    peaks: Array
    resolution: float
    beam: float


class _Window(NamedTuple):
    """What is found and what is expected of one line within half a width to each side."""

    line: XrayLine
    net: float
    error: float
    expected: float


def find_elements(
    ds: xr.Dataset,
    *,
    resolution: float | None = None,
    beam_energy: float | None = None,
    among: Collection[str] | None = None,
    least: float = 0.5,
) -> list[Element]:
    """Rank the elements whose X-ray lines a map, or each endmember of its decomposition, shows in the right ratio.

    Parameters
    ----------
    ds : Dataset
        A map with counts along energy, whose total spectrum is taken, or what `spectra.decompose` returned by a
        non-negative method.
    resolution : float, optional
        Full width at half maximum at Mn Kα, in eV; left out, what the metadata state.
    beam_energy : float, optional
        In keV; left out, the attribute of that name.
    among : collection of str, optional
        Only these elements.
    least : float
        Lowest score to be listed.

    Returns
    -------
    list of Element
        By component, then by falling score.

    Raises
    ------
    DataError
        If resolution or beam energy are not known, there is no energy axis, or spectra are negative or not finite.

    Notes
    -----
    A line counts as visible if it lies on the axis, above 0.15 keV, and the beam has 1.5 times its energy. For each
    shell whose α line is visible the score is closeness × consistency:

    - closeness = exp(−½ (d/σ)²), with d from the α line to the nearest peak and σ the standard deviation of the
      detector there; 0 if its net counts are below four standard errors or no peak lies within one FWHM.
    - consistency = the smallest, over the other visible lines j of the shell with a weight of 0.05 or more that do not
      merge with the α line, of min(1, (n_j + 4 s_j) / (½ p_j n_α / p_α)): n are net counts within ±½ FWHM, s their
      standard errors, p what the tabulated weights put there. The ½ leaves room for weights, which change with
      subshell and absorption. A Kβ that should be seen and is not brings it to zero; one too faint to be seen does not.

    The score of an element is the mean over its shells that must be seen: those with a visible α line above 1 keV, or
    if there is none, the hardest one below. It is multiplied by the share of the α line that is left after the
    weaker lines of elements with more counts and a score of 0.5 or more are taken off: V Kα in the presence of Ti is
    Ti Kβ until there is more of it than that. The background is SNIP's, taken to be known to 5 %. Lines that lie
    closer than the detector resolves (S Kα, Mo Lα, Pb Mα) keep several elements on the list; a line hidden in the
    flank of a stronger one has no peak of its own and is missed.

    Examples
    --------
    >>> from fusion import Axis
    >>> energy = 0.01 * np.arange(1200)
    >>> pair = ((6.404, 1.0), (7.058, 0.13))
    >>> shape = sum(weight * np.exp(-0.5 * ((energy - at) / 0.057) ** 2) for at, weight in pair)
    >>> ds = fusion.dataset({"counts": (("x", "energy"), np.round([50.0 + 900.0 * shape] * 4))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.01)}, name="map", cell_methods="sum")
    >>> [(found.element, round(found.score, 1)) for found in find_elements(ds, resolution=130.0, beam_energy=20.0)]
    [('Fe', 1.0)]
    """
    found = spectra_of(fusion.check(ds))
    if "energy" not in found.dims:
        raise DataError(f"elements are sought along energy; {found.name} has the dims {found.dims}")
    width_known, beam = require_resolution(ds, resolution), require_beam_energy(ds, beam_energy)
    known = dict.fromkeys(line.element for line in xray_lines().values())
    wanted = [name for name in known if among is None or name in among]
    ranked = []
    for component, counts in enumerate(_counts(ds, found)):
        spectrum = _prepared(found["energy"].values, counts, width_known, beam)
        scored = _explained([one for name in wanted if (one := _scored(component, name, spectrum))], spectrum)
        ranked += sorted((one for one in scored if one.score >= least), key=lambda one: -one.score)
    return ranked


def _counts(ds: xr.Dataset, found: xr.DataArray) -> Array:
    """Return the spectra in counts; an endmember has those of all its abundances."""
    spectra = np.atleast_2d(found.transpose(..., "energy").values).astype(np.float64)
    if not (np.isfinite(spectra).all() and (spectra >= 0).all()):
        raise DataError(f"{found.name}: negative or not finite, so not counts; use the raw map or method='nmf'")
    if "component" in found.dims:
        amounts = ds["abundance"].sum([dim for dim in ds["abundance"].dims if dim != "component"])
        spectra = spectra * amounts.values[:, None]
    return spectra


def _prepared(energy: Array, counts: Array, resolution: float, beam: float) -> _Spectrum:
    background = continuum(energy, counts, resolution)
    return _Spectrum(
        energy,
        channel_edges(energy),
        counts,
        background,
        _peaks(energy, counts, background, resolution),
        resolution,
        beam,
    )


def _peaks(energy: Array, counts: Array, background: Array, resolution: float) -> Array:
    """Return the positions of peaks that stand out of the noise, after smoothing by half the width of the detector."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    step = (energy[-1] - energy[0]) / (energy.size - 1)
    sigma = float(width(1.0, resolution)) / SIGMA / 2.0 / step
    smooth = gaussian_filter1d(counts - background, sigma)
    # white noise smoothed by a Gaussian keeps 1 / (2 sqrt(pi) sigma) of its variance
    noise = np.sqrt(gaussian_filter1d(counts + 1.0, sigma) / max(1.0, 2.0 * np.sqrt(np.pi) * sigma))
    places, _ = find_peaks(smooth, prominence=_SURE * noise)
    return np.asarray(energy[places])


def _scored(component: int, element: str, spectrum: _Spectrum) -> Element | None:
    shells = list(_expected(element, spectrum))
    if not shells:
        return None
    score = float(np.mean([_shell_score(windows, spectrum) for windows in shells]))
    lines = [window for windows in shells for window in windows]
    seen = tuple(window.line.name for window in lines if window.net > _SURE * window.error)
    missing = tuple(window.line.name for windows in shells for window in windows if _is_missing(window, windows[0]))
    return Element(component, element, score, shells[0][0].net, seen, missing)


def _explained(scored: list[Element], spectrum: _Spectrum) -> list[Element]:
    """Lower the scores of elements whose strongest line is where others, found with more counts, have a weaker one."""
    kept: list[Element] = []
    for one in sorted(scored, key=lambda one: -one.counts):
        alpha = next(_expected(one.element, spectrum))[0]
        foreign = sum(_beside(other, alpha.line, spectrum) for other in kept if other.score >= _SOUND)
        left = 1.0 - foreign / alpha.net if alpha.net > 0 else 0.0
        kept.append(one._replace(score=one.score * float(np.clip(left, 0.0, 1.0))))
    return kept


def _beside(other: Element, line: XrayLine, spectrum: _Spectrum) -> float:
    """Return the counts that the weaker lines of a found element put under a line, its own α line left out."""
    windows = next(_expected(other.element, spectrum))
    alpha = windows[0]
    apart = float(width(alpha.line.energy, spectrum.resolution))
    weaker = [window.line for window in windows if abs(window.line.energy - alpha.line.energy) > apart]
    return alpha.net / alpha.expected * _foretold(weaker, _inside(line, spectrum), spectrum)


def _expected(element: str, spectrum: _Spectrum) -> Iterator[list[_Window]]:
    """Yield the visible lines of each shell that must be seen, strongest first; the hardest shell comes first."""
    shells = [lines for shell in FAMILIES if (lines := family(element, shell)) and _is_visible(lines[0], spectrum)]
    hard = [lines for lines in shells if lines[0].energy >= _ABSORBED_KEV] or shells[:1]
    for lines in hard:
        visible = [line for line in lines if line.weight >= _FAINT and _is_visible(line, spectrum)]
        yield [_window(line, lines, spectrum) for line in visible]


def _is_visible(line: XrayLine, spectrum: _Spectrum) -> bool:
    low, high = max(_SOFTEST_KEV, spectrum.edges[0]), min(spectrum.edges[-1], spectrum.beam / _OVERVOLTAGE)
    half = float(width(line.energy, spectrum.resolution)) / 2.0
    return bool(low <= line.energy - half and line.energy + half <= high)


def _window(line: XrayLine, lines: Iterable[XrayLine], spectrum: _Spectrum) -> _Window:
    inside = _inside(line, spectrum)
    counts, background = spectrum.counts[inside].sum(), spectrum.background[inside].sum()
    error = np.sqrt(counts + (_BACKGROUND * background) ** 2)
    return _Window(line, float(counts - background), float(error), _foretold(lines, inside, spectrum))


def _inside(line: XrayLine, spectrum: _Spectrum) -> slice:
    """Return the channels within half a width to each side of a line."""
    half = float(width(line.energy, spectrum.resolution)) / 2.0
    ends = np.searchsorted(spectrum.energy, [line.energy - half, line.energy + half])
    return slice(int(ends[0]), max(int(ends[1]), int(ends[0]) + 1))


def _foretold(lines: Iterable[XrayLine], inside: slice, spectrum: _Spectrum) -> float:
    """Return what the tabulated weights of lines put into a few channels."""
    edges = spectrum.edges[inside.start : inside.stop + 1]
    return float(sum(line.weight * profile(line, edges, spectrum.resolution).sum() for line in lines))


def _shell_score(windows: list[_Window], spectrum: _Spectrum) -> float:
    alpha = windows[0]
    if alpha.net <= _SURE * alpha.error or not spectrum.peaks.size:
        return 0.0
    distance = float(np.abs(spectrum.peaks - alpha.line.energy).min())
    full = float(width(alpha.line.energy, spectrum.resolution))
    if distance > full:
        return 0.0
    ratios = [_ratio(window, alpha) for window in windows[1:] if abs(window.line.energy - alpha.line.energy) > full]
    return float(np.exp(-0.5 * (distance * SIGMA / full) ** 2) * np.clip(min(ratios, default=1.0), 0.0, 1.0))


def _ratio(window: _Window, alpha: _Window) -> float:
    """Return how much of the least that the α line foretells can be there."""
    return (window.net + _SURE * window.error) / (window.expected / _WEIGHTS * alpha.net / alpha.expected)


def _is_missing(window: _Window, alpha: _Window) -> bool:
    if window.line == alpha.line:
        return alpha.net <= _SURE * alpha.error
    return alpha.net > _SURE * alpha.error and _ratio(window, alpha) < 1.0
