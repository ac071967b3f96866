"""Values and files that the tests of images share."""

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def quiet_mrcfile() -> Iterator[None]:
    """Mrcfile sets the dtype of its header, which NumPy 2.5 deprecates."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting the dtype", DeprecationWarning)
        yield


def steps(ds):
    return {dim: (float(ds[dim][1] - ds[dim][0]), ds[dim].attrs["units"]) for dim in "zyx" if dim in ds.dims}


def ramp(*shape, dtype=np.uint16):
    """Values that say where they are: 100 first + 10 second + third index."""
    grids = np.indices(shape)
    weights = 10 ** np.arange(len(shape))[::-1]
    return np.tensordot(weights, grids, axes=1).astype(dtype)
