"""Which elements a spectrum needs: added one by one to the shared fit, dropped where others explain their lines."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from spectra.lines.response import ABSORBED_KEV, TRANSPARENT_KEV, Detector, Shell, shells
from spectra.lines.sharing import Continuum, Fit, Spectrum, continuum_shapes, is_telling, least_ratio, share
from spectra.lines.xrays import FAMILIES, family, width, xray_lines

Array = npt.NDArray[np.float64]

UNLIKELY: Final = frozenset(["He", "Ne", "Ar", "Kr", "Xe", "Rn", "Tc", "Pm", "Po", "At", "Fr", "Ra", "Ac", "Pa"])
"""Noble gases and elements without a lasting isotope, which are only sought by name."""
_SELDOM: Final = frozenset(
    "Sc Se Br Rb Y Ru Rh Te I Cs La Ce Pr Nd Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Re Os Ir Hg Tl Bi Th U".split()  # noqa: SIM905
)
"""Elements that few specimens hold: where two fit alike, the other one is meant."""
_SURE, _SURE_IF_NAMED, _SURE_IF_DOUBTED = 4.0, 2.0, 5.0
"""Least counts over their standard error: of any element, of those that the file names, and where a line that would
refute it is cropped or few specimens hold it. One in 30 000 by chance times a hundred elements that are tried."""
_NAMED, _CROPPED, _RARE = 9.0, 6.0, 6.0
"""What the file's naming an element is worth, and what a cropped line and a seldom element cost, in chi-square."""
_CLOSE: Final = 9.0
"""Excess of chi-square up to which another element could be meant: three standard errors."""
_TRIED, _MOST = 3, 25
_PROMISING: Final = 0.3
"""Least gain by the score test, over that of a significant element, from which an element is fitted: the test is of
first order, and too low where the continuum has taken the counts of a line."""
_OFFSET, _GAIN, _RESOLUTION = 0.003, 0.0005, 0.03
"""Standard errors of the energy scale, in keV and relative, and of the resolution, relative."""
_WELL_EXCITED, _STRONG = 1.5, 0.1
"""Beam over line energy, and weight, from which a line that the axis does not hold is missed."""


class Alternative(NamedTuple):
    """Another element that could take the place of one, and how much worse it fits."""

    element: str
    excess: float
    """Of chi-square, with what is known beforehand; negative where it fits better."""


class Outcome(NamedTuple):
    """The shared fit of a spectrum and the elements in it."""

    spectrum: Spectrum
    detector: Detector
    fit: Fit
    elements: tuple[str, ...]
    alternatives: Mapping[str, tuple[Alternative, ...]]
    hidden: Mapping[str, tuple[str, ...]]
    """Of each element the strong lines that the beam excites and the axis does not hold."""


def find(spectrum: Spectrum, resolution: float, named: Collection[str], among: Collection[str] | None) -> Outcome:
    """Find the elements of a spectrum.

    Parameters
    ----------
    spectrum : Spectrum
    resolution : float
        FWHM at Mn Kα, in eV; known to 3 %.
    named : collection of str
        Elements that the file names: more likely before the spectrum is seen.
    among : collection of str, optional
        Only these.

    Returns
    -------
    Outcome
    """
    search = _Search(spectrum, resolution, named, among)
    search.run()
    return Outcome(
        spectrum, search.detector, search.fit, tuple(search.present), search.alternatives(), dict(search.hidden)
    )


class _Search:
    """The library of shapes of one spectrum, and the elements that are present so far."""

    def __init__(
        self, spectrum: Spectrum, resolution: float, named: Collection[str], among: Collection[str] | None
    ) -> None:
        self.spectrum, self.named = spectrum, set(named)
        self.resolution = resolution
        known = dict.fromkeys(line.element for line in xray_lines().values())
        self.sought = [name for name in known if (name in among if among is not None else self._is_likely(name))]
        self.under: Continuum = continuum_shapes(spectrum.edges, resolution)
        self.present: list[str] = []
        self._use(Detector(resolution))
        self.hidden = {name: _hidden(name, spectrum) for name in self.sought}
        self.fit = self._fit([], _smooth(spectrum.counts))

    def run(self) -> None:
        """Add elements until none is significant."""
        # Greedy: the element that lowers chi-square most comes first, so that a strong line is taken by the element
        # that also has its weaker lines, before others that share only one of them are tried. An all-at-once fit of
        # ninety elements would spread each line over all that are near it.
        dropped: dict[str, int] = {}
        while len(self.present) < _MOST and self._add(dropped):
            self._calibrate()
            for name in self._prune():
                dropped[name] = dropped.get(name, 0) + 1
        self._swap()

    def significance(self, name: str, fit: Fit) -> float:
        """Return counts over standard error in the shells that name an element; 0 if one of them is missing.

        The shells are free of each other in this fit.
        """
        mine = np.array([shell.element == name for shell in fit.shells])
        telling = np.array([is_telling(shell, self.spectrum.beam) for shell in fit.shells]) & mine
        chosen = telling if telling.any() else mine
        error = fit.error(chosen)
        hardest, *softer = np.flatnonzero(chosen)
        # Shells below a well excited one cannot be alone; two standard errors are granted to the harder one.
        highest = fit.amounts[hardest] + 2.0 * fit.error(np.arange(len(fit.shells)) == hardest)
        hard, beam = fit.shells[hardest], self.spectrum.beam
        least = [least_ratio(fit.shells[index], hard, beam) * fit.amounts[index] for index in softer]
        if telling.any() and highest < max(least, default=0.0):
            return 0.0
        return float(fit.per_shell[chosen].sum() / error) if error > 0 else 0.0

    def alternatives(self) -> dict[str, tuple[Alternative, ...]]:
        """Return for each element those that could be meant instead, best first."""
        return {name: self._instead_of(name) for name in self.present}

    def _is_likely(self, name: str) -> bool:
        return name not in UNLIKELY or name in self.named

    def _use(self, detector: Detector) -> None:
        """Compute all shapes for a detector."""
        self.detector = detector
        every = {name: shells(name, self.spectrum.edges, self.spectrum.beam, detector) for name in self.sought}
        self.library = {name: shapes for name, shapes in every.items() if shapes}
        # a corrected energy scale may take the only line of an element off the axis, or bring one onto it
        self.present = [name for name in self.present if name in self.library]

    def _fit(self, names: Sequence[str], start: Array, *, rounds: int = 2, linked: bool = True) -> Fit:
        every = [shell for name in names for shell in self.library[name]]
        return share(self.spectrum, every, self.under, start, rounds=rounds, linked=linked)

    def _telling(self, name: str) -> list[Shell]:
        """Return the shells of an element by which it is named: those that must be seen, or all if there is none."""
        every = self.library[name]
        return [shell for shell in every if is_telling(shell, self.spectrum.beam)] or every

    def _is_telling(self, name: str) -> bool:
        return is_telling(self.library[name][0], self.spectrum.beam)

    def _least(self, name: str) -> float:
        if name in self.named:
            return _SURE_IF_NAMED
        return _SURE_IF_DOUBTED if self.hidden[name] or name in _SELDOM else _SURE

    def _prior(self, name: str) -> float:
        if name in self.named:
            return _NAMED
        return -_CROPPED * bool(self.hidden[name]) - _RARE * (name in _SELDOM)

    def _gains(self, fit: Fit, names: Sequence[str]) -> list[tuple[float, str]]:
        """Return by how much each element would lower chi-square, to first order, best first."""
        # With the amounts of the fit free, a further shape s lowers chi-square by (s P r)² / (s P s − s P A (A P A)⁻¹ A
        # P s), P = V⁻¹ and A the shapes in use: the score test, one product for all elements instead of a fit for each.
        if not names:
            return []
        used = fit.shapes[fit.amounts > 0]
        inverse = np.linalg.pinv(fit.precision(used) @ used.T, hermitian=True)
        shapes = np.array([shell.shape for name in names for shell in self._telling(name)])
        weighted = fit.precision(shapes)
        crossed = weighted @ used.T
        own = (weighted * shapes).sum(axis=1)
        left = own - ((crossed @ inverse) * crossed).sum(axis=1)
        pull = np.maximum(weighted @ fit.residual, 0.0)
        gain = np.where(left > 1e-6 * own, pull**2 / np.maximum(left, 1e-300), 0.0)
        owner = np.repeat(np.arange(len(names)), [len(self._telling(name)) for name in names])
        sums = np.bincount(owner, gain, len(names))
        return sorted(zip(sums.tolist(), names, strict=True), key=lambda one: -one[0] - self._prior(one[1]))

    def _add(self, dropped: Mapping[str, int]) -> bool:
        """Add the best element, if any is significant."""
        absent = [name for name in self.library if name not in self.present and dropped.get(name, 0) < 2]
        for gain, name in self._gains(self.fit, absent)[: 2 * _TRIED]:
            if gain < _PROMISING * self._least(name) ** 2:
                continue
            alone = share(
                self.spectrum, [*self.fit.shells, *self._telling(name)], self.under, self.fit.model, linked=False
            )
            if self.significance(name, alone) >= self._least(name):
                self.present.append(name)
                self.fit = self._fit(self.present, alone.model)
                return True
        return False

    def _prune(self) -> list[str]:
        """Drop elements that are no longer significant, the least so first."""
        names: list[str] = []
        while self.present:
            free = self._fit(self.present, self.fit.model, rounds=1, linked=False)
            sureness = {
                name: self.significance(name, free if self._is_telling(name) else self.fit) / self._least(name)
                for name in self.present
            }
            worst = min(sureness, key=lambda name: sureness[name])
            if sureness[worst] >= 1.0:
                break
            self.present.remove(worst)
            names.append(worst)
            self.fit = self._fit(self.present, self.fit.model)
        return names

    def _calibrate(self) -> None:
        """Correct the energy scale and the resolution by the lines that are known so far."""
        # One Gauss-Newton step for offset, gain and relative width together with all amounts; each has a prior centred
        # on what the file says, so that a spectrum with few counts leaves them where they were.
        pairs = list(zip(self.fit.per_shell, self.fit.shells, strict=True))
        slope = sum(count * shell.slope for count, shell in pairs)
        gain = sum(count * shell.slope * shell.lines[0].energy for count, shell in pairs)
        wider = sum(count * shell.broadening * self._stiffness(shell) for count, shell in pairs)
        rows = np.array([_OFFSET * slope, _GAIN * gain, _RESOLUTION * wider, *self.fit.shapes[self.fit.amounts > 0]])
        weighted = self.fit.precision(rows)
        old, most = self.detector, 2.0
        now = [old.offset / _OFFSET, (old.gain - 1.0) / _GAIN, (old.resolution / self.resolution - 1.0) / _RESOLUTION]
        hessian, target = weighted @ rows.T, weighted @ self.fit.residual
        hessian[:3, :3] += np.eye(3)
        target[:3] -= now
        step = np.clip(np.linalg.lstsq(hessian, target, rcond=1e-12)[0][:3], -most, most)
        self._use(Detector(
            max(old.resolution + self.resolution * _RESOLUTION * float(step[2]), 122.0),
            old.offset + _OFFSET * float(step[0]), old.gain + _GAIN * float(step[1]),
        ))  # fmt: skip
        self.fit = self._fit(self.present, self.fit.model)

    def _stiffness(self, shell: Shell) -> float:
        """Return the relative change of a width over that of the resolution, as FWHM² shifts alike at all energies."""
        resolution = self.detector.resolution
        return float((resolution / 1e3 / width(shell.lines[0].energy, resolution)) ** 2)

    def _swap(self) -> None:
        """Put the better element in the place of one that was taken too early."""
        for _ in range(_TRIED):
            better = [(name, other[0]) for name, other in self.alternatives().items() if other and other[0].excess < 0]
            if not better:
                return
            name, other = min(better, key=lambda pair: pair[1].excess)
            before = list(self.present), self.fit
            self.present[self.present.index(name)] = other.element
            self.fit = self._fit(self.present, self.fit.model)
            if other.element in self._prune():
                self.present, self.fit = before
                return

    def _instead_of(self, name: str) -> tuple[Alternative, ...]:
        # What else could it be? The element is taken out, and others are tried in its place: those that explain at
        # least half of what is lost, by the score test, are fitted in full.
        rest = [other for other in self.present if other != name]
        now, without = (self._fit(names, self.fit.model, rounds=1) for names in (self.present, rest))
        worse = without.misfit - now.misfit
        absent = [other for other in self.library if other not in self.present]
        tried = [other for gain, other in self._gains(without, absent)[: 2 * _TRIED] if gain > worse / 2.0][:_TRIED]
        meant = []
        for other in tried:
            fit = self._fit([*rest, other], self.fit.model, rounds=1)
            free = self._fit([*rest, other], self.fit.model, rounds=1, linked=False)
            # what lowers chi-square beside `name` as well explains other counts, and does not stand for it
            beside = now.misfit - self._fit([*self.present, other], self.fit.model, rounds=1).misfit
            excess = fit.misfit - now.misfit - self._prior(other) + self._prior(name)
            excess += beside if beside > _CLOSE else 0.0
            if self.significance(other, free if self._is_telling(other) else fit) >= self._least(other) / 2.0:
                meant.append(Alternative(other, excess))
        return tuple(sorted((one for one in meant if one.excess < _CLOSE), key=lambda one: one.excess))


def _hidden(name: str, spectrum: Spectrum) -> tuple[str, ...]:
    """Return the lines of an element that should be seen if the axis held them."""
    low, high = spectrum.edges[0], spectrum.edges[-1]
    hardest = min(TRANSPARENT_KEV, spectrum.beam / _WELL_EXCITED)
    strong = (line for shell in FAMILIES for line in family(name, shell) if line.weight >= _STRONG)
    return tuple(line.name for line in strong if ABSORBED_KEV < line.energy < hardest and not low < line.energy < high)


def _smooth(counts: Array) -> Array:
    from scipy.ndimage import gaussian_filter1d

    # A first variance for the fit, from counts smoothed over a line's width: the counts themselves would give empty
    # channels infinite weight.
    return np.asarray(np.maximum(gaussian_filter1d(counts, 2.0), 0.3))
