"""Probabilities that mean what they say: a classifier's votes, corrected by randomly chosen, judged voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion import provenance
from fusion.conventions import spatial_dims, title
from volumes.segmentation.annotation import UNKNOWN, names_of
from volumes.segmentation.fractions import judged_at, judged_pairs
from volumes.segmentation.points import require_result

Array = npt.NDArray[Any]
_LEAST = 1e-3
"""A vote nearer to 0 or 1 is taken for this: a forest of a hundred trees cannot tell them apart."""


def calibrate_probability(result: xr.Dataset, judged: xr.Dataset) -> xr.Dataset:
    """Correct the probabilities of a segmentation so that of all voxels with 0.3 three in ten are of that class.

    Parameters
    ----------
    result : Dataset
        Of `volumes.segment`.
    judged : Dataset
        Points of `volumes.random_points` whose ``label`` a person has set, and which did not train the classifier.

    Returns
    -------
    Dataset
        With ``probability`` and ``label`` replaced. The attribute ``calibration`` of ``probability`` says by how many
        points.

    Raises
    ------
    ConventionError
        If this is no result of `volumes.segment`.
    DataError
        As `volumes.phase_fraction`.

    Notes
    -----
    Temperature scaling with a bias for each class: C. Guo et al., Proc. Mach. Learn. Res. 70, 1321 (2017);
    A. Alexandari et al., ibid. 119, 222 (2020). It has one parameter for each class, which a hundred points determine.

    Examples
    --------
    >>> from fusion import Axis, dataset
    >>> from volumes import random_points
    >>> x = np.linspace(-2.0, 2.0, 50) + np.zeros((40, 1))
    >>> truth = np.random.default_rng(0).random(x.shape) < 1 / (1 + np.exp(-2 * x))
    >>> share = 1 / (1 + np.exp(-x - 1.5))
    >>> axes = {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0), "component": ["resin", "cell"]}
    >>> flags = {"flag_values": [1, 2], "flag_meanings": "resin cell"}
    >>> result = dataset({"label": (("y", "x"), (share > 0.5) + 1, flags), "probability": (("y", "x", "component"),
    ...                   np.stack([1 - share, share], axis=-1))}, axes, name="cells", cell_methods="mean")
    >>> points = random_points(result, 200)
    >>> known = xr.DataArray(truth + 1, result["label"].coords)
    >>> points["label"][:] = known.sel(y=points["y"], x=points["x"]).values
    >>> found = calibrate_probability(result, points)["probability"].sel(component="cell").mean().item()
    >>> bool(abs(share.mean() - truth.mean()) > 0.2), bool(abs(found - truth.mean()) < 0.05)
    (True, True)
    """
    require_result(result)
    shares = result["probability"].transpose(*spatial_dims(result["label"]), "component")
    truth, there = judged_at(result, shares, judged)
    known = judged_pairs(truth, there.values, title(judged))
    slope, biases = _fitted(known[:, 0], known[:, 1])
    better = _scaled(shares, slope, biases).astype(shares.dtype).assign_attrs(shares.attrs)
    flags = np.array(list(names_of(result["label"])), dtype=result["label"].dtype)
    winner = better.fillna(0.0).argmax("component")
    label = xr.DataArray(flags, dims="flag")[winner].where(better.isel(component=0, drop=True).notnull(), UNKNOWN)
    label = label.astype(flags.dtype).assign_attrs(result["label"].attrs)
    better.attrs |= {"calibration": f"by {len(known)} judged points", "long_name": "probability"}
    changed = result.assign(probability=better, label=label)
    parameters = {"slope": slope, "biases": biases}
    return provenance.record(changed, "volumes.calibrate_probability", parameters, parents=[judged])


def _scaled(shares: Any, slope: float, biases: Array) -> Any:
    """Return softmax(slope log p + bias) over the last axis."""
    logits = slope * np.log(np.clip(shares, _LEAST, 1.0)) + biases
    powers = np.exp(logits)
    return powers / (powers.sum("component") if isinstance(powers, xr.DataArray) else powers.sum(-1, keepdims=True))


# Maximum of the likelihood of the judged classes under softmax(b log p + a), with the bias of the first class 0 and a
# standard normal prior on log b and on each a / 3: few points that agree would otherwise ask for an infinite slope. The
# slope is kept positive by fitting its logarithm.
def _fitted(truth: Array, shares: Array) -> tuple[float, Array]:
    from scipy.optimize import minimize

    def loss(theta: Array) -> float:
        found = _scaled(shares, float(np.exp(theta[0])), np.append(0.0, theta[1:]))
        surprise = -np.log(np.maximum((found * truth).sum(axis=1), 1e-12)).sum()
        return float(surprise + 0.5 * theta[0] ** 2 + 0.5 * ((theta[1:] / 3.0) ** 2).sum())

    best = minimize(loss, np.zeros(shares.shape[1]), method="BFGS").x
    return float(np.exp(best[0])), np.append(0.0, best[1:])
