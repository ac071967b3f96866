"""What computes with spectra refuses values that are no real numbers."""

import dask.array as da
import numpy as np
import pytest

import fusion
import spectra
from fusion import Axis, DataError


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


@pytest.mark.parametrize(
    ("function", "arguments"),
    [("despike", {}), ("baseline", {}), ("smooth", {"window": 3}), ("normalise", {"by": "max"}), ("clip", {}),
     ("mask_channels", {}), ("fill_channels", {}), ("faulty_channels", {}), ("cluster", {"clusters": 2}),
     ("decompose", {"components": 1, "method": "pca"}), ("decompose_jointly", {"components": 1}),
     ("identify", {}), ("band_map", {"bands": {"C": (990.0, 1020.0)}, "side": 20.0})],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.complex128, np.str_])
def test_values_that_are_no_real_numbers_are_refused(function, arguments, dtype):
    ds = raman()[0]
    turned = ds.assign(intensity=ds["intensity"].astype(dtype))
    with pytest.raises(DataError, match="values and real numbers are needed"):
        getattr(spectra, function)([turned] if function == "decompose_jointly" else turned, **arguments)
