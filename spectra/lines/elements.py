"""Which elements are in a spectrum, each with its counts, its error and the lines that speak for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

import fusion
from fusion.conventions import stderr_name
from fusion.errors import DataError
from fusion.progress import counted
from spectra.lines.response import ABSORBED_KEV, Shell, sum_peaks
from spectra.lines.search import Outcome, find
from spectra.lines.settings import require_beam_energy, require_resolution
from spectra.lines.sharing import Spectrum, binned, is_telling
from spectra.lines.totals import spectra_of
from spectra.lines.xrays import XrayLine, is_counts, width

Array = npt.NDArray[np.float64]

_FAINT: Final = 0.05
"""Weight below which a line proves nothing."""
_SURE: Final = 4.0
_COUNTED: Final = 2.0
"""Least counts over their standard error of a shell that need not be seen, from which they are counted."""
_TOLERANCE: Final = 2.0
"""Factor to which the ratio of two lines must hold."""
_FOREIGN: Final = 0.05
"""Relative error of what lies under a line: the continuum and other elements."""
_BESIDE: Final = 0.15
"""Relative error of other lines of the same element under a line."""
_PAIRS: Final = 0.02
"""Share of the counts that sum peaks may have before an element is said to be possibly one."""
_FEWEST_CHANNELS: Final = 10


class Evidence(NamedTuple):
    """What one line says within half a width to each side, other elements and the continuum taken off."""

    line: str
    energy: float
    """In keV."""
    counts: float
    error: float
    expected: float
    """By the fit."""


class Element(NamedTuple):
    """An element in a spectrum."""

    component: int
    element: str
    score: float
    """From 0 to 1; see `find_elements`."""
    counts: float
    """Of its lines on the axis, but for soft shells that do not stand out by two standard errors. Those of all elements
    together are never more than the counts of the spectrum."""
    seen: tuple[str, ...]
    """Its lines that stand out by four standard errors."""
    missing: tuple[str, ...]
    """Its lines that should but do not."""
    error: float = np.nan
    """Standard error of the counts: of counting, and of the weights, positions and widths of lines."""
    evidence: tuple[Evidence, ...] = ()
    """Its lines, strongest first."""
    alternatives: tuple[str, ...] = ()
    """What else its lines could be: elements that fit within three standard errors, best first, or ``"sum peak"``."""
    hidden: tuple[str, ...] = ()
    """Strong lines that the beam excites but the axis does not hold: a wider axis would confirm or refute."""
    named_by_file: bool = False
    """Whether the file lists it, so that less evidence sufficed."""

    def __str__(self) -> str:
        """Return one line for a report."""
        lines = ", ".join(f"{one.line} {one.counts:.0f} ± {one.error:.0f}" for one in self.evidence)
        notes = [
            f"could also be {', '.join(self.alternatives)}" if self.alternatives else "",
            f"missing {', '.join(self.missing)}" if self.missing else "",
            f"not on the axis {', '.join(self.hidden)}" if self.hidden else "",
            "named by the file" if self.named_by_file else "",
        ]
        text = f"{self.element}: {self.counts:.0f} ± {self.error:.0f} counts, score {self.score:.2f} ({lines})"
        return "; ".join([text, *(note for note in notes if note)])


def find_elements(
    ds: xr.Dataset,
    *,
    resolution: float | None = None,
    beam_energy: float | None = None,
    among: Collection[str] | None = None,
    least: float = 0.5,
) -> list[Element]:
    """Find the elements of a map, or of each endmember of its decomposition, by one fit of all their lines.

    Parameters
    ----------
    ds : Dataset
        A map with counts along energy, whose total spectrum is taken, or what `spectra.decompose` returned by a
        non-negative method. Elements in its attribute ``elements`` are taken to be likely.
    resolution : float, optional
        Full width at half maximum at Mn Kα, in eV; left out, what the file states.
    beam_energy : float, optional
        In keV; left out, the attribute of that name.
    among : collection of str, optional
        Only these elements. Noble gases and elements without a lasting isotope are only sought if named here or by
        the file.
    least : float
        Lowest score to be listed.

    Returns
    -------
    list of Element
        By component, then by falling counts. `str` of each is a line for a report.

    Raises
    ------
    DataError
        If resolution or beam energy are not known, there is no energy axis, it has fewer than 10 channels below the
        beam energy, or spectra are negative or not finite.

    Notes
    -----
    All shells of all elements found and a smooth continuum share the counts in one non-negative least squares, weighted
    with the variance of counting and with that of the shapes: weights, positions and widths of lines, escape and sum
    peaks, tails, bumps of the continuum (`spectra.lines.sharing`). Energy scale and resolution are corrected within
    what the file can be off by. Elements are added as long as one is significant, and dropped when others explain its
    lines (`spectra.lines.search`):

    - Its counts are at least four standard errors, in the shells between 1 and 18 keV that the beam excites twofold if
      there are any: soft lines alone do not name an element whose hard lines should be seen.
    - Two standard errors suffice for elements that the file lists; five are needed where a strong line is cropped.

    The score is likelihood × consistency. Likelihood is 1 / (1 + Σ exp(−½ Δ)) over the other elements that could take
    the place of this one, Δ by how much chi-square is then larger; being listed by the file counts as 9, a cropped line
    as −6. Consistency is the smallest, over the lines above 1 keV with a weight of 0.05 or more that do not merge
    with the strongest, of min(1, (n + 4 s) / (½ m)): n ± s net counts and m those expected. A Kβ that should be
    seen and is not brings it to zero.

    Examples
    --------
    >>> from fusion import Axis
    >>> energy = 0.01 * np.arange(1200)
    >>> pair = ((6.404, 1.0), (7.058, 0.13))
    >>> shape = sum(weight * np.exp(-0.5 * ((energy - at) / 0.057) ** 2) for at, weight in pair)
    >>> ds = fusion.dataset({"counts": (("x", "energy"), np.round([50.0 + 900.0 * shape] * 4))},
    ...                     {"x": Axis("um", 1.0), "energy": Axis("keV", 0.01)}, name="map", cell_methods="sum")
    >>> [(one.element, round(one.score, 1)) for one in find_elements(ds, resolution=130.0, beam_energy=20.0)]
    [('Fe', 1.0)]
    """
    outcomes = share_counts(ds, resolution=resolution, beam_energy=beam_energy, among=among)
    listed = _listed(ds)
    every = (_element(index, name, outcome, listed) for index, outcome in outcomes for name in outcome.elements)
    return sorted((one for one in every if one.score >= least), key=lambda one: (one.component, -one.counts))


def share_counts(
    ds: xr.Dataset, *, resolution: float | None, beam_energy: float | None, among: Collection[str] | None
) -> list[tuple[int, Outcome]]:
    """Return the fit of each spectrum that has counts, with its number."""
    array = spectra_of(fusion.check(ds))
    if "energy" not in array.dims:
        raise DataError(f"elements are sought along energy; {array.name} has the dims {array.dims}")
    fwhm, beam = require_resolution(ds, resolution), require_beam_energy(ds, beam_energy)
    energy = array["energy"].values
    if (energy <= beam).sum() < _FEWEST_CHANNELS:
        raise DataError(f"fewer than {_FEWEST_CHANNELS} channels lie below the beam energy of {beam:g} keV")
    spectra = zip(*_counts(ds, array), strict=True)
    prepared = [binned(energy, counts, extra, fwhm, beam) for counts, extra in spectra]
    return [
        (index, find(spectrum, fwhm, _listed(ds), among))
        for index, spectrum in enumerate(counted(prepared, "find elements", "spectra"))
        if spectrum.counts.any()
    ]


def can_share(ds: xr.Dataset, spectra: xr.DataArray) -> bool:
    """Whether spectra are counts of X-rays at a known beam energy, so that elements can share them."""
    array = ds.get("abundance", spectra)
    counted = is_counts(array) or array.attrs.get("units") == "count"
    return counted and "beam_energy" in ds.attrs and bool((spectra.values >= 0).all())


def _listed(ds: xr.Dataset) -> tuple[str, ...]:
    """Return the elements that the file names."""
    return tuple(np.atleast_1d(ds.attrs.get("elements", ())).astype(str))


def _counts(ds: xr.Dataset, array: xr.DataArray) -> tuple[Array, Array]:
    """Return spectra in counts, (spectrum, channel), and their variance beyond that of counting."""
    spectra = np.atleast_2d(array.transpose(..., "energy").values).astype(np.float64)
    if not (np.isfinite(spectra).all() and (spectra >= 0).all()):
        raise DataError(f"{array.name}: negative or not finite, so not counts; use the raw map or method='nmf'")
    if "component" not in array.dims:
        return spectra, np.zeros_like(spectra)
    # An endmember has the counts of all its abundances. Its error is larger than that of so many counts, as the
    # decomposition had to divide channels between endmembers; where that is not determined, counting alone is taken.
    abundance = ds["abundance"]
    amounts = abundance.sum([dim for dim in abundance.dims if dim != "component"]).values[:, None]
    counts = spectra * amounts
    error = stderr_name("endmember")
    if error not in ds:
        return counts, np.zeros_like(counts)
    errors = ds[error].transpose("component", "energy").values * amounts
    return counts, np.where(np.isfinite(errors), np.maximum(errors**2 - counts, 0.0), 0.0)


def _element(component: int, name: str, outcome: Outcome, listed: Collection[str]) -> Element:
    spectrum, fit = outcome.spectrum, outcome.fit
    counted = _counted(name, outcome)
    # each bin is shared in the ratio of the shapes, so that elements never have more than was counted
    counts = float((spectrum.counts * _own(outcome, counted) / np.maximum(fit.model, 1e-12)).sum())
    shells = sorted(map(int, np.flatnonzero(counted)), key=lambda index: -fit.per_shell[index])
    lines = [pair for index in shells for pair in _evidence(index, outcome)]
    consistency = min((_ratio(one, reference) for one, reference, refutes in lines if refutes), default=1.0)
    missing = tuple(one.line for one, reference, refutes in lines if refutes and _ratio(one, reference) < 1.0)
    others = outcome.alternatives[name]
    # The probability of this element among those that could be meant: exp(-χ²/2) is their likelihood, the excess of χ²
    # holds what is known beforehand.
    likelihood = 1.0 / (1.0 + sum(np.exp(-0.5 * max(other.excess, -20.0)) for other in others))
    evidence = tuple(one for one, _, _ in lines)
    return Element(
        component, name, float(likelihood * np.clip(consistency, 0.0, 1.0)), counts,
        tuple(one.line for one in evidence if one.counts > _SURE * one.error), missing, fit.error(counted), evidence,
        (*(other.element for other in others), *_pile_up(spectrum, outcome, evidence)), outcome.hidden[name],
        name in listed,
    )  # fmt: skip


def _counted(name: str, outcome: Outcome) -> npt.NDArray[np.bool_]:
    """Return which shells of an element are counted: those that must be seen, and those that stand out.

    A soft shell under the strong line of another element may have any number of counts: added to the others, it would
    drown what is known well.
    """
    # Variances add: 60 ± 5 counts of a K shell and 400 ± 900 of an L shell under another line would be 460 ± 900, and
    # no element at all.
    fit = outcome.fit
    mine = np.array([shell.element == name for shell in fit.shells])
    each = np.eye(len(fit.shells), dtype=bool)
    stands_out = np.array([fit.per_shell[one].sum() > _COUNTED * fit.error(one) for one in each])
    telling = np.array([is_telling(shell, outcome.spectrum.beam) for shell in fit.shells])
    counted = np.asarray(mine & (telling | stands_out))
    return counted if counted.any() else mine


def _own(outcome: Outcome, chosen: npt.NDArray[np.bool_]) -> Array:
    """Return the expected counts of some shells in each bin."""
    pairs = zip(outcome.fit.per_shell[chosen], np.flatnonzero(chosen), strict=True)
    none = np.zeros_like(outcome.spectrum.counts)
    return np.asarray(sum((count * outcome.fit.shells[index].shape for count, index in pairs), none))


def _evidence(index: int, outcome: Outcome) -> list[tuple[Evidence, Evidence, bool]]:
    """Return what each line of a shell says, the strongest line, and whether a line could refute."""
    shell, amount = outcome.fit.shells[index], float(outcome.fit.per_shell[index])
    own = _own(outcome, np.array([other.element == shell.element for other in outcome.fit.shells]))
    strongest, full = shell.lines[0], float(width(shell.lines[0].energy, outcome.detector.resolution))
    lines = [line for line in shell.lines if line.weight >= _FAINT * strongest.weight]
    every = [_of_line(line, shell, amount, outcome, own) for line in lines]
    shown = [one for one in every if one is not None]
    return [(one, shown[0], abs(one.energy - shown[0].energy) > full and one.energy > ABSORBED_KEV) for one in shown]


def _of_line(line: XrayLine, shell: Shell, amount: float, outcome: Outcome, own: Array) -> Evidence | None:
    spectrum, fit = outcome.spectrum, outcome.fit
    centres = (spectrum.edges[:-1] + spectrum.edges[1:]) / 2.0
    inside = np.abs(centres - line.energy) <= width(line.energy, outcome.detector.resolution) / 2.0
    expected = float(amount * shell.profiles[shell.lines.index(line)][inside].sum())
    if not inside.any() or expected <= 0:
        return None
    # What was counted less what everything else explains is what this line has plus the residual of the fit.
    counts = expected + float(fit.residual[inside].sum())
    foreign = float((fit.model - own)[inside].sum())
    beside = float(own[inside].sum()) - expected
    noise = max(fit.model[inside].sum(), 1.0)
    # Net counts are as uncertain as what is taken off: counting, a share of it, and the shapes of the lines of others,
    # of which the tail and the position matter most beside a strong one.
    others = [
        (count, one) for count, one in zip(fit.per_shell, fit.shells, strict=True) if one.element != shell.element
    ]
    shapes = sum(float(((count * one.doubts[:, inside].sum(axis=1)) ** 2).sum()) for count, one in others)
    error = float(np.sqrt(noise + (_FOREIGN * foreign) ** 2 + (_BESIDE * beside) ** 2 + shapes))
    return Evidence(line.name, line.energy, counts, error, expected)


def _ratio(one: Evidence, reference: Evidence) -> float:
    """Return how much of the least that the strongest line foretells can be there."""
    scale = max(reference.counts / reference.expected, 0.0)
    # Weights of lines hold to a factor of two, for absorption and detector windows differ: what is refuted is less than
    # half of what the strongest line foretells, by four standard errors.
    least = one.expected * scale / _TOLERANCE
    return (one.counts + _SURE * one.error) / least if least > 0 else 1.0


def _pile_up(spectrum: Spectrum, outcome: Outcome, evidence: tuple[Evidence, ...]) -> tuple[str, ...]:
    """Return a note where pairs of photons could make a good share of the strongest line."""
    if not evidence:
        return ()
    every = _own(outcome, np.ones(len(outcome.fit.shells), dtype=bool))
    centres = (spectrum.edges[:-1] + spectrum.edges[1:]) / 2.0
    half = width(evidence[0].energy, outcome.detector.resolution) / 2.0
    pairs = _PAIRS * sum_peaks(every, spectrum.edges)[np.abs(centres - evidence[0].energy) <= half].sum()
    return ("sum peak",) if pairs > evidence[0].counts / 2.0 else ()
