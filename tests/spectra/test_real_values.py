"""What computes with spectra refuses values that are no real numbers."""

import numpy as np
import pytest

import spectra
from fusion import DataError
from tests.makers.maps import raman


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
