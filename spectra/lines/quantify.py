"""X-ray intensities to composition, with error bars: Cliff–Lorimer, ζ-factors, cross-sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import xarray as xr

import fusion
from fusion import provenance
from fusion.conventions import cell_methods, error_of, spatial_dims, stderr_name
from fusion.errors import DataError
from fusion.model import like
from spectra.lines.xrays import atomic_weight, xray_line, xray_lines

Quantification: TypeAlias = Literal["CL", "zeta", "cross_section"]
Fraction: TypeAlias = Literal["atomic", "weight"]

_ELEMENTARY_CHARGE: Final = 1.602176634e-19
_NM2_PER_BARN: Final = 1e-10
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "CL": (),
    "zeta": ("dose",),
    "cross_section": ("dose", "probe_area"),
}


class _Amounts(NamedTuple):
    """Something proportional to the atoms or the mass of each element, with its variance; (..., component)."""

    values: xr.DataArray
    variance: xr.DataArray

    def times(self, factor: float | xr.DataArray) -> _Amounts:
        """Return both in another unit."""
        return _Amounts(self.values * factor, self.variance * factor**2)

    def total(self) -> _Amounts:
        """Return the sum over the elements."""
        return _Amounts(self.values.sum("component", skipna=False), self.variance.sum("component", skipna=False))


def quantify(
    intensities: xr.Dataset,
    *,
    method: Quantification,
    factors: Mapping[str, float],
    factor_stderr: Mapping[str, float] | None = None,
    units: Fraction = "atomic",
    dose: float | None = None,
    beam_current: float | None = None,
    live_time: float | None = None,
    probe_area: float | None = None,
) -> xr.Dataset:
    """Turn intensities of X-ray lines into the composition of a thin specimen, with standard errors.

    Parameters
    ----------
    intensities : Dataset
        A variable for each line, ``Fe_Ka(z, y, x)`` in counts with ``Fe_Ka_stderr``, as `line_map` and `fit_lines`
        return them.
    method : {"CL", "zeta", "cross_section"}
        ``"CL"``: the k-factors of Cliff and Lorimer, all to one reference. ``"zeta"``: ζ-factors in kg/m²; also gives
        the mass thickness. ``"cross_section"``: partial cross-sections in barn; also gives the number of atoms.
    factors : mapping of str to float
        Each line with its factor, ``{"Fe_Ka": 1.45, "Pt_La": 5.08}``, one line for each element of `intensities`.
        These elements are taken to be all there is.
    factor_stderr : mapping of str to float, optional
        Standard errors of the factors; those of lines that are not named are zero, as that of the reference is.
    units : {"atomic", "weight"}
        Which fraction.
    dose : float, optional
        Electrons on each pixel, for ``"zeta"`` and ``"cross_section"``. Left out, beam_current · live_time / e.
    beam_current : float, optional
        In nA.
    live_time : float, optional
        Of each pixel, in s.
    probe_area : float, optional
        Area on which the dose of a pixel falls, in nm², for ``"cross_section"``: that of a pixel, unless the probe is
        larger.

    Returns
    -------
    Dataset
        ``atomic_fraction(z, y, x, component)`` or ``weight_fraction``, from 0 to 1; the coordinate ``component`` holds
        the symbols of the elements. For ``"zeta"`` also ``mass_thickness(z, y, x)`` in kg/m², for
        ``"cross_section"`` also ``atoms(z, y, x, component)`` under the probe area. Each with its ``_stderr``. NaN
        where an intensity is NaN, and fractions where the sum is not positive. Lazy if the intensities are.

    Raises
    ------
    DataError
        If an intensity, its standard error, a factor, the dose or the probe area is missing or not positive, two
        lines are of one element, or an argument is set that the method has no use for.

    Notes
    -----
    Each method is a composition of amounts a_i = f_i I_i: the mass with f = k or ζ, the atoms with that over the atomic
    weight, or with f = A / (σ D), where D is the dose and A the probe area. Fractions are C_i = a_i / Σ a. With
    var(a_i) = f_i² var(I_i) + I_i² var(f_i) and ∂C_i/∂a_j = (δ_ij − C_i) / Σ a, to first order
    var(C_i) = Σ_j (δ_ij − C_i)² var(a_j) / (Σ a)². Lines count as independent. This holds while the sum is far above
    its error. The error of a factor is the same in all pixels and does not shrink in a mean over them. Dose and area
    count as exact. Absorption and fluorescence are not corrected.

    References
    ----------
    G. Cliff and G. W. Lorimer, J. Microsc. 103, 203 (1975): k-factors. M. Watanabe and D. B. Williams, J. Microsc. 221,
    89 (2006): ζ-factors. K. E. MacArthur et al., Microsc. Microanal. 22, 71 (2016): cross-sections.

    Examples
    --------
    >>> from fusion import Axis
    >>> attrs = {"units": "count", "cell_methods": "x: sum"}
    >>> maps = fusion.dataset(
    ...     {"Al_Ka": ("x", [400.0], {**attrs, "ancillary_variables": "Al_Ka_stderr"}),
    ...      "Ni_Ka": ("x", [900.0], {**attrs, "ancillary_variables": "Ni_Ka_stderr"}),
    ...      "Al_Ka_stderr": ("x", [20.0], attrs), "Ni_Ka_stderr": ("x", [30.0], attrs)},
    ...     {"x": Axis("um", 1.0)}, name="maps")
    >>> result = quantify(maps, method="CL", factors={"Al_Ka": 1.0, "Ni_Ka": 1.5}, units="weight")
    >>> result["weight_fraction"].values.round(3), result["weight_fraction_stderr"].values.round(3)
    (array([[0.229, 0.771]]), array([[0.011, 0.011]]))
    """
    ds = fusion.check(intensities)
    if not isinstance(factors, Mapping):
        raise DataError(f"factors name the line of each, as {{'Fe_Ka': 1.45, 'Pt_La': 5.08}}; received {factors!r}")
    errors = dict(factor_stderr or {})
    calibration = {
        "dose": _dose(dose, beam_current, live_time), "probe_area": _positive("probe_area in nm²", probe_area),
    }  # fmt: skip
    _require_choice(method, units, calibration)
    _require_factors(ds, factors, errors)
    amounts = _amounts(ds, factors, errors, inverse=method == "cross_section")
    quantities = {f"{units}_fraction": _fractions(amounts.times(_change(factors, method, units)))}
    dimension = {f"{units}_fraction": "1"}
    if method == "zeta":
        quantities["mass_thickness"] = amounts.total().times(1.0 / (calibration["dose"] or np.nan))
        dimension["mass_thickness"] = "kg/m**2"
    elif method == "cross_section":
        quantities["atoms"] = amounts.times(
            (calibration["probe_area"] or np.nan) / (calibration["dose"] or np.nan) / _NM2_PER_BARN
        )
        dimension["atoms"] = "1"
    parameters = {
        "method": method, "factors": dict(factors), "factor_stderr": errors, "units": units, **calibration,
    }  # fmt: skip
    return provenance.record(_labelled(ds, quantities, dimension, list(factors)), "spectra.quantify", parameters)


def _amounts(ds: xr.Dataset, factors: Mapping[str, float], errors: Mapping[str, float], *, inverse: bool) -> _Amounts:
    """Return factor times intensity of each line; for cross-sections, intensity over factor."""
    # The amount is a product a = f I of independent factors: var(a) = f² var(I) + I² var(f), to first order. For cross-
    # sections f = 1/σ, whose error is that of σ over σ². Intensities count as independent, which those of lines that
    # overlap are not: their covariance is negative, and the error of a ratio then comes out too small.
    # |
    values, variances = [], []
    for name, factor in factors.items():
        scale, spread = float(factor), float(errors.get(name, 0.0))
        if inverse:
            scale, spread = 1.0 / scale, spread / scale**2
        counts, error = (
            ds[key].astype(np.float64).reset_coords(drop=True).drop_attrs(deep=False)
            for key in (name, stderr_name(name))
        )
        values.append(scale * counts)
        variances.append((scale * error) ** 2 + (spread * counts) ** 2)
    return _Amounts(*(xr.concat(one, "component").transpose(..., "component") for one in (values, variances)))


def _change(factors: Mapping[str, float], method: str, units: str) -> xr.DataArray:
    """Return what turns amounts of the method, masses or atoms, into those of the unit."""
    # k- and ζ-factors give masses, cross-sections give atoms; the atomic weight (g/mol) converts one into the other.
    weights = np.array([atomic_weight(_element(name)) for name in factors])
    power = {("cross_section", "weight"): 1, ("CL", "atomic"): -1, ("zeta", "atomic"): -1}.get((method, units), 0)
    return xr.DataArray(weights**power, dims="component")


def _fractions(amounts: _Amounts) -> _Amounts:
    """Return each amount over their sum, with the variance to first order."""
    # C_i = a_i / Σ a has the derivatives (δ_ij − C_i) / Σ a. First order suffices while the sum is far above its error;
    # where it is not positive there is no fraction, and dividing by a clipped sum would invent one.
    total = amounts.values.sum("component", skipna=False)
    total = total.where(total > 0)
    share, relative = amounts.values / total, amounts.variance / total**2
    # (δ_ij − C_i)² summed over j: C_i² of every element, and 1 − 2 C_i more of its own
    variance = share**2 * relative.sum("component", skipna=False) + (1.0 - 2.0 * share) * relative
    return _Amounts(share, variance)


def _labelled(
    ds: xr.Dataset, quantities: Mapping[str, _Amounts], dimension: Mapping[str, str], lines: list[str]
) -> xr.Dataset:
    """Replace the intensities of a dataset by quantities and their standard errors."""
    # A variance a rounding below zero, of a fraction near 1, is zero.
    space = ds.drop_vars([key for key in ds.variables if key not in (*spatial_dims(ds), "z", "y", "x", "pose")])
    shell = space.assign_coords(component=np.array([_element(name) for name in lines]))
    shell["component"].attrs["long_name"] = "element"
    variables = {}
    for name, (values, variance) in quantities.items():
        dims = spatial_dims(values)
        attrs = {"units": dimension[name], "long_name": name.replace("_", " "), **cell_methods(dims, "mean")}
        variables[name] = values.assign_attrs(attrs)
        error = f"standard error of {attrs['long_name']}"
        variables[stderr_name(name)] = (variance.clip(min=0) ** 0.5).assign_attrs({**attrs, "long_name": error})
    return like(shell, variables)


def _element(line: str) -> str:
    return line.partition("_")[0]


def _dose(dose: float | None, beam_current: float | None, live_time: float | None) -> float | None:
    """Return the electrons on each pixel, or None where neither dose nor current and time are set."""
    current, time = _positive("beam_current in nA", beam_current), _positive("live_time in s", live_time)
    if dose is not None and (current is not None or time is not None):
        raise DataError("give either dose or beam_current and live_time, not both")
    if (current is None) != (time is None):
        missing = "live_time in s" if time is None else "beam_current in nA"
        raise DataError(f"{missing} is missing; a dose is beam_current times live_time over the elementary charge")
    if current is not None and time is not None:
        # Electrons on a pixel: I t / e.
        return current * 1e-9 * time / _ELEMENTARY_CHARGE
    return _positive("dose in electrons per pixel", dose)


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not (_is_number(value) and value > 0):
        raise DataError(f"{name} is a positive number; received {value!r}")
    return None if value is None else float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and bool(np.isfinite(value))


def _require_choice(method: str, units: str, calibration: Mapping[str, float | None]) -> None:
    if method not in _NEEDED:
        raise DataError(f"unknown method {method!r}; accepted are {', '.join(map(repr, _NEEDED))}")
    if units not in ("atomic", "weight"):
        raise DataError(f"unknown units {units!r}; accepted are 'atomic' and 'weight'")
    how = {
        "dose": "dose in electrons per pixel, or beam_current in nA and live_time in s",
        "probe_area": "probe_area in nm²",
    }
    for name, value in calibration.items():
        if name in _NEEDED[method] and value is None:
            raise DataError(f"method {method!r} needs the calibration {how[name]}")
        if name not in _NEEDED[method] and value is not None:
            raise DataError(f"method {method!r} has no use for {how[name]}")


def _require_factors(ds: xr.Dataset, factors: Mapping[str, float], errors: Mapping[str, float]) -> None:
    faults = [*_line_faults(ds, factors), *_factor_faults(factors, errors)]
    if faults:
        raise DataError("; ".join(faults))


def _line_faults(ds: xr.Dataset, factors: Mapping[str, float]) -> Iterator[str]:
    elements = [xray_line(name).element for name in factors]
    if len(set(elements)) < 2 or len(set(elements)) != len(elements):
        yield f"one line for each of at least two elements is needed; received {', '.join(factors) or 'none'}"
    without = sorted(name for name in map(str, ds.data_vars) if name in xray_lines() and _element(name) not in elements)
    if without:
        yield f"{', '.join(without)} have no factor; give one for each element, or leave them out with drop_vars"
    for name in factors:
        if name not in ds.data_vars:
            yield f"there is no intensity of {name}; the dataset has {', '.join(map(str, ds.data_vars))}"
        elif error_of(ds[name]) not in ds.data_vars:
            error = stderr_name(name)
            yield f"{name} has no standard error {error}; make it with spectra.line_map or spectra.fit_lines"


def _factor_faults(factors: Mapping[str, float], errors: Mapping[str, float]) -> Iterator[str]:
    for name, factor in factors.items():
        if not (_is_number(factor) and factor > 0):
            yield f"the factor of {name} is a positive number; received {factor!r}"
    for name, error in errors.items():
        if name not in factors:
            yield f"factor_stderr names {name}, which has no factor"
        elif not (_is_number(error) and error >= 0):
            yield f"the standard error of the factor of {name} is not negative; received {error!r}"
