"""Small labelled maps for the tests of cleaning: a Raman map with a known peak, and lines of given values."""

import dask.array as da
import numpy as np

import fusion
from fusion import Axis

ENERGY = 0.1 * np.arange(40)


def raman(lazy=False, dtype=np.float64):
    shift = np.linspace(600.0, 1800.0, 240)
    peak = 40.0 * np.exp(-(((shift - 1003.0) / 12.0) ** 2))
    slope = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    noise = np.random.default_rng(0).normal(scale=0.3, size=(2, 3, 240))
    values = (peak + slope[..., None] * (100.0 + 0.02 * shift + 2e-6 * shift**2) + noise).astype(dtype)
    ds = fusion.dataset(
        {"intensity": (("y", "x", "raman_shift"), da.from_array(values, chunks=(1, 2, 100)) if lazy else values)},
        {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "raman_shift": Axis("1/cm", values=shift)},
        name="map", cell_methods="mean", attrs={"technique": "Raman"},
    )  # fmt: skip
    return ds, peak


def line_map(values, axis=None, method="mean", dim="energy", unit="keV", error=None, **extra):
    values = np.asarray(values)
    axes = {"x": Axis("um", 1.0), dim: Axis(unit, values=ENERGY[: values.shape[1]] if axis is None else axis)}
    linked = {} if error is None else {"ancillary_variables": "signal_stderr"}
    found = {"signal": (("x", dim), values, linked), **extra}
    if error is not None:
        found["signal_stderr"] = (("x", dim), error)
    return fusion.dataset(found, axes, name="map", cell_methods=method)


def counts_in_space(dim="energy", unit="keV", **attrs):
    data = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
    return fusion.dataset(
        {"counts": (("z", "y", "x", dim), data, {"units": "count"})},
        {"z": Axis("um", 1.0), "y": Axis("um", 2.0, 5.0), "x": Axis("um", 3.0), dim: Axis(unit, 0.5, 1.0)},
        name="map", cell_methods="sum", attrs=attrs,
    )  # fmt: skip
