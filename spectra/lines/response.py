"""What a silicon detector makes of the lines of an element: their shapes in its channels, and how sure these are."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from spectra.lines.xrays import FAMILIES, SIGMA, XrayLine, family, width

Array = npt.NDArray[np.float64]

SOFTEST_KEV: Final = 0.15
"""Below it stands the peak at zero energy, which is the clock of the detector."""
ABSORBED_KEV: Final = 1.0
"""Below it specimen and window absorb, so that the absence of a line proves nothing."""
TRANSPARENT_KEV: Final = 18.0
"""Above it a silicon detector misses most photons."""
_SI_KA, _SI_EDGE = 1.7397, 1.839
_ESCAPE_ERROR: Final = 1.0
"""Relative, as the programs of some detectors take escape peaks out."""
_TAIL, _SOFT_TAIL, _TAIL_KEV = 0.01, 0.05, 0.1
"""Share of a line whose charge is not collected in full, that of a line below 1 keV, whose photons are absorbed near
the surface of the detector, and the energy over which these counts spread downwards."""
_WIDTH_ERROR: Final = 0.02
_ENERGY_ERROR, _SOFT_ENERGY_ERROR = 0.002, 0.004
"""Standard error of a line's position, in keV: tables and chemical shifts; larger for lines below 1 keV and of L, M."""
_LEAST_ON_AXIS: Final = 0.05


class Detector(NamedTuple):
    """Resolution and energy scale of a detector: a line of energy E appears at gain · E + offset."""

    resolution: float
    """FWHM at Mn Kα, in eV."""
    offset: float = 0.0
    """In keV."""
    gain: float = 1.0


class Shell(NamedTuple):
    """The lines of an element from one shell, in channels; all arrays are for one count on the axis."""

    element: str
    lines: tuple[XrayLine, ...]
    """Strongest first."""
    shape: Array
    """With the escape peak, (channel,)."""
    profiles: Array
    """Of each line alone, (line, channel)."""
    doubts: Array
    """By what the shape may be off, a standard error each: weights, energy, width, escape, tail; (doubt, channel)."""
    slope: Array
    """Derivative of the shape by energy, 1/keV."""
    broadening: Array
    """Derivative by the logarithm of the width."""


def shells(element: str, edges: Array, beam: float, detector: Detector) -> list[Shell]:
    """Return the shells of an element that the beam excites and the axis holds, hardest first.

    Parameters
    ----------
    element : str
    edges : array, (channel + 1,)
        Of the channels, in keV.
    beam : float
        Energy that excites, in keV.
    detector : Detector

    Returns
    -------
    list of Shell
        Those with at least 5 % of their weight on the axis.
    """
    families = (family(element, name) for name in FAMILIES)
    excited = (tuple(line for line in lines if SOFTEST_KEV < line.energy < beam) for lines in families)
    return [shell for lines in excited if lines and (shell := _shell(element, lines, edges, detector))]


def _shell(element: str, lines: tuple[XrayLine, ...], edges: Array, detector: Detector) -> Shell | None:
    positions = np.array([detector.gain * line.energy + detector.offset for line in lines])
    weights = np.array([line.weight for line in lines])
    sigmas = width(positions, detector.resolution) / SIGMA
    profiles, slopes, broadenings = gaussians(edges, positions, sigmas)
    if weights @ profiles.sum(axis=1) < _LEAST_ON_AXIS * weights.sum():
        return None
    # The escape peak lies lower by the energy of Si Kα, which leaves the detector unseen.
    lower = positions - _SI_KA
    lost = gaussians(edges, lower, width(np.maximum(lower, 0.05), detector.resolution) / SIGMA)[0]
    escaping = (weights * escape_fraction(positions)) @ lost
    main = weights @ profiles
    total = main.sum() + escaping.sum()
    slope, broadening = weights @ slopes / total, (weights * sigmas) @ broadenings / total
    sharp = lines[0].family == "K" and lines[0].energy > ABSORBED_KEV
    errors = np.array([line.weight_stderr for line in lines])[:, None]
    doubts = [
        *(errors * profiles)[errors[:, 0] > 0] / total,
        (_ENERGY_ERROR if sharp else _SOFT_ENERGY_ERROR) * slope,
        _WIDTH_ERROR * broadening,
        _ESCAPE_ERROR * escaping / total,
        (_TAIL if lines[0].energy > ABSORBED_KEV else _SOFT_TAIL) * _tail(main, edges) / total,
    ]
    return Shell(
        element, lines, (main + escaping) / total, weights[:, None] * profiles / total, np.array(doubts), slope,
        broadening,
    )  # fmt: skip


def gaussians(edges: Array, positions: Array, sigmas: Array) -> tuple[Array, Array, Array]:
    """Return Gaussians of unit area integrated over channels, and their derivatives by position and by sigma.

    Parameters
    ----------
    edges : array, (channel + 1,)
    positions, sigmas : array, (line,)
        In the unit of the edges.

    Returns
    -------
    tuple of array, (line, channel)

    Examples
    --------
    >>> shape, slope, _ = gaussians(np.array([-1.0, 0.0, 1.0]), np.array([0.0]), np.array([0.2]))
    >>> shape.round(3), slope.round(3)
    (array([[0.5, 0.5]]), array([[-1.995,  1.995]]))
    """
    from scipy.special import ndtr

    z = (edges - positions[:, None]) / sigmas[:, None]
    height = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) / sigmas[:, None]
    return np.diff(ndtr(z)), -np.diff(height), -np.diff(z * height)


def escape_fraction(energy: Array) -> Array:
    """Return the counts of the escape peak over those of its line, in silicon.

    Parameters
    ----------
    energy : array, (line,)
        In keV.

    References
    ----------
    S. J. B. Reed and N. G. Ware, J. Phys. E 5, 582 (1972).

    Examples
    --------
    >>> escape_fraction(np.array([1.74, 4.51])).round(4)
    array([0.    , 0.0058])
    """
    # ε = ½ ω r [1 − (μ_K / μ) ln(1 + μ / μ_K)]: of the events in the K shell (share r) a share ω sends out Si Kα, half
    # of it towards the front, where it escapes if the photon was absorbed near enough. The attenuation of Si at its own
    # line is μ_K = 350 cm²/g; above the edge μ = 3192 cm²/g · (E / 1.839 keV)^−2.68, a fit to the tables of NIST up to
    # 10 keV.
    ratio = 3192.0 / 350.0 * (np.maximum(energy, _SI_EDGE) / _SI_EDGE) ** -2.68
    fraction = 0.5 * 0.047 * 0.92 * (1.0 - np.log1p(ratio) / ratio)
    return np.asarray(np.where(energy > _SI_EDGE, fraction, 0.0))


def sum_peaks(lines: Array, edges: Array) -> Array:
    """Return where pairs of photons appear that are taken for one, relative to the counts of the lines.

    Parameters
    ----------
    lines : array, (channel,)
        Counts of all lines.
    edges : array, (channel + 1,)
        In keV, positive.

    Returns
    -------
    array, (channel,)
        Sums to the counts of the lines where the axis holds all pairs.

    Examples
    --------
    >>> sum_peaks(np.array([0.0, 8.0, 0.0, 0.0]), np.array([0.0, 1.0, 2.0, 3.0, 4.0])).round(1)
    array([0., 0., 4., 4.])
    """
    from scipy.signal import fftconvolve

    # The energies of a pair add, so that its spectrum is that of the lines convolved with itself; on a fine even grid,
    # as channels may be uneven. Bin i and bin j of width h add up to energies about (i + j + 1) h.
    step = 0.01
    grid = step * np.arange(int(edges[-1] / step) + 2)
    fine = np.diff(np.interp(grid, edges, np.concatenate([[0.0], np.cumsum(lines)])))
    pairs = np.concatenate([[0.0], np.cumsum(fftconvolve(fine, fine)[: grid.size])])
    both = np.diff(np.interp(edges, step * (np.arange(pairs.size) + 0.5), pairs))
    return np.asarray(np.maximum(both, 0.0) / max(lines.sum(), 1e-9))


def _tail(shape: Array, edges: Array) -> Array:
    """Return a shape that is smeared exponentially towards low energies."""
    # Counts of bin j go to bins i ≤ j as w_i exp(−(E_j − E_i) / τ) / n_j; as the kernel is a product, two running sums
    # do it.
    centres = (edges[:-1] + edges[1:]) / 2.0
    rising = np.diff(edges) * np.exp((centres - centres[-1]) / _TAIL_KEV)
    share = shape / np.cumsum(rising)
    return np.asarray(rising * np.cumsum(share[::-1])[::-1])
