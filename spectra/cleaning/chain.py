"""A chain of cleaning steps, by name: run, read back from the provenance of a dataset, and repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import xarray as xr

from fusion import provenance
from fusion.errors import DataError
from spectra.cleaning.baselines import baseline
from spectra.cleaning.calibration import calibrate, to_raman_shift
from spectra.cleaning.channels import fill_channels, mask_channels
from spectra.cleaning.regions import crop
from spectra.cleaning.scaling import clip, normalise
from spectra.cleaning.smoothing import smooth
from spectra.cleaning.spikes import despike

Steps: TypeAlias = Sequence[str | tuple[str, Mapping[str, Any]]]
STEPS: Final[Mapping[str, Callable[..., xr.Dataset]]] = {
    "baseline": baseline, "calibrate": calibrate, "clip": clip, "crop": crop, "despike": despike,
    "fill_channels": fill_channels, "mask_channels": mask_channels, "normalise": normalise, "smooth": smooth,
    "to_raman_shift": to_raman_shift,
}  # fmt: skip
"""The cleaning steps by their name."""


def clean(ds: xr.Dataset, steps: Steps) -> xr.Dataset:
    """Run cleaning steps in their order; each one is recorded in the provenance.

    Parameters
    ----------
    ds : Dataset
        With one spectral variable, dims (z, y, x, signal).
    steps : sequence of str or (str, mapping)
        Names of functions of `spectra` with their arguments: ``["despike", ("baseline", {"lam": 1e5})]``. Known are
        baseline, calibrate, clip, crop, despike, fill_channels, mask_channels, normalise, smooth, to_raman_shift.

    Returns
    -------
    Dataset
        Lazy if it was.

    Raises
    ------
    DataError
        If a step is not known or refuses its arguments; before anything is done where the name is wrong.

    Examples
    --------
    >>> import numpy as np, fusion
    >>> ds = fusion.dataset({"intensity": (("x", "energy"), np.array([[-1.0, 2.0, 4.0]]))},
    ...                     {"x": fusion.Axis("um", 1.0), "energy": fusion.Axis("keV", 0.5)},
    ...                     name="map", cell_methods="mean")
    >>> done = clean(ds, ["clip", ("normalise", {"by": "max"})])
    >>> done["intensity"].values
    array([[0. , 0.5, 1. ]])
    >>> bool((clean(ds, cleaning_steps(done))["intensity"] == done["intensity"]).all())
    True
    """
    if isinstance(steps, str) or not all(map(_is_step, steps)):
        raise DataError(f"steps are a list of names, or of (name, arguments); received {steps!r}")
    chain = [(step, {}) if isinstance(step, str) else (step[0], dict(step[1])) for step in steps]
    unknown = [name for name, _ in chain if name not in STEPS]
    if unknown:
        raise DataError(f"no cleaning steps: {', '.join(map(repr, unknown))}; known are {', '.join(STEPS)}")
    for number, (name, options) in enumerate(chain, 1):
        try:
            ds = STEPS[name](ds, **options)
        except TypeError as error:  # arguments that the function does not have
            raise DataError(f"step {number} ({name}) does not take {options}: {error}") from error
    return ds


def cleaning_steps(ds: xr.Dataset) -> list[tuple[str, dict[str, Any]]]:
    """Return the cleaning steps in the provenance of a dataset, as `clean` takes them.

    Parameters
    ----------
    ds : Dataset

    Returns
    -------
    list of (str, dict)
    """
    recorded = [(step["name"].removeprefix("spectra."), step["parameters"]) for step in provenance.read(ds)["steps"]]
    return [(name, dict(parameters)) for name, parameters in recorded if name in STEPS]


def _is_step(step: object) -> bool:
    return isinstance(step, str) or (isinstance(step, (tuple, list)) and len(step) == 2)
