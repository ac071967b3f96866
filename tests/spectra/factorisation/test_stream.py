"""Maps larger than memory: the same as in memory for any chunks, and within a limit that the system enforces."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import subspace_angles

import fusion
import spectra
from fusion import Axis, DataError
from spectra.decomposition import unfolding
from spectra.factorisation.stream import Streamed, rows_of

CHANNELS = 24


def as_map(counts, dims=("y", "x", "energy")):
    axes = {dim: Axis("keV" if dim == "energy" else "um", 0.1) for dim in dims}
    return fusion.dataset({"counts": (dims, counts, {"units": "count"})}, axes, name="map", cell_methods="sum")


def mixture(seed=0, shape=(7, 8), dose=3000.0):
    """Return counts with pure pixels, a dead pixel and a dead channel."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.ones(3), shape)
    share[0, :3] = np.eye(3)
    share *= rng.uniform(0.5, 2.0, (*shape, 1))
    counts = rng.poisson(dose * share @ rng.dirichlet(np.full(CHANNELS, 0.8), 3))
    counts[3, 4], counts[..., 5] = 0, 0
    return counts


@pytest.fixture
def streamed(monkeypatch):
    """Let every lazy map that is dense be read block by block."""
    monkeypatch.setattr(unfolding, "MOST_VALUES", 0)


@pytest.mark.usefixtures("streamed")
@given(
    chunks=st.tuples(st.integers(1, 7), st.integers(1, 8), st.integers(1, CHANNELS)),
    method=st.sampled_from(["pca", "ica", "nfindr", "vca"]),
    weighting=st.sampled_from(["poisson", None]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_block_by_block_is_what_it_is_in_memory(chunks, method, weighting):
    ds = as_map(mixture())
    cut = ds.chunk(dict(zip(("y", "x", "energy"), chunks, strict=True)))
    assert isinstance(unfolding.problem(cut["counts"], weighting, stream=True).matrix, Streamed)
    whole, parts = (spectra.decompose(one, 3, method=method, weighting=weighting) for one in (ds, cut))
    angle = subspace_angles(whole["endmember"].values.T, parts["endmember"].values.T)
    assert np.rad2deg(angle).max() < 1e-3
    for name in whole.data_vars:
        assert_allclose(parts[name], whole[name], rtol=1e-5, atol=1e-6 * float(np.abs(whole[name]).max()), err_msg=name)


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("seed", range(5))
def test_corners_of_a_map_without_pure_pixels_do_not_depend_on_the_solver(seed):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(300.0 * rng.dirichlet(np.full(4, 3.0), (9, 10)) @ rng.dirichlet(np.ones(CHANNELS), 4) + 5.0)
    ds = as_map(counts)
    whole, parts = (spectra.decompose(one, 4, method="vca", seed=seed) for one in (ds, ds.chunk({"y": 2, "x": 3})))
    np.testing.assert_array_equal(parts["pure_pixel"], whole["pure_pixel"])


@pytest.mark.usefixtures("streamed")
def test_clusters_and_known_spectra_are_fitted_block_by_block():
    ds = as_map(mixture())
    cut = ds.chunk({"y": 2, "x": 3, "energy": 5})
    xr.testing.assert_allclose(spectra.cluster(cut, 3), spectra.cluster(ds, 3))
    known = spectra.decompose(ds, 3)["endmember"]
    xr.testing.assert_allclose(spectra.unmix(cut, known), spectra.unmix(ds, known), rtol=1e-9)


@pytest.mark.usefixtures("streamed")
def test_sparse_maps_stay_sparse_and_broken_ones_are_refused():
    counts = mixture(dose=4.0)
    cut = as_map(counts).chunk({"y": 3})
    assert not isinstance(unfolding.problem(cut["counts"], "poisson", stream=True).matrix, Streamed)
    broken = mixture().astype(float)
    broken[1, 1, 1] = broken[1, 1, 2] = broken[2, 2, 2] = np.nan
    with pytest.raises(DataError, match="2 of 56 pixels have NaN"):
        spectra.decompose(as_map(broken).chunk({"y": 3}), 2, method="pca")
    broken = mixture()
    broken[1, 1, 1] = -4
    with pytest.raises(DataError, match=r"negative values \(down to -4\)"):
        spectra.decompose(as_map(broken).chunk({"y": 3}), 2, method="pca")


@pytest.mark.parametrize("dims", [("x", "energy"), ("y", "x", "energy"), ("z", "y", "x", "energy")])
def test_rows_are_the_pixels_in_their_order(dims):
    shape = (2, 3, 4, 5)[-len(dims) :]
    values = np.arange(float(np.prod(shape))).reshape(shape)
    array = as_map(values, dims)["counts"].chunk(dict.fromkeys(dims, 2))
    assert_allclose(rows_of(array, "energy").compute(), values.reshape(-1, 5))
    assert_allclose(rows_of(array.transpose(*dims[::-1]), "energy").compute(), values.reshape(-1, 5))


CHILD = """
import resource
import dask.array as da
import numpy as np
from scipy.linalg import subspace_angles
import fusion, spectra
from fusion import Axis

def lazy(lines):
    rng = np.random.default_rng(0)
    pure = rng.dirichlet(np.full(64, 2.0), 3)
    def block(block_info=None):
        (first, last), *_ = block_info[None]["array-location"]
        share = np.random.default_rng(first).dirichlet(np.ones(3), (last - first, 2100))
        return np.rint(20_000.0 * share @ pure).astype(np.uint16)
    chunks = ((32,) * (lines // 32), (2100,), (64,))
    counts = da.map_blocks(block, chunks=chunks, dtype=np.uint16, meta=np.empty((0, 0, 0), np.uint16))
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 0.1)}
    ds = fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum")
    return ds, pure

spectra.decompose(lazy(32)[0], 3, method="pca")
held = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
limit = 450_000_000
resource.setrlimit(resource.RLIMIT_DATA, (held + limit, held + limit))
try:
    np.ones(limit // 8 + 1_000_000)
except MemoryError:
    pass
else:
    raise SystemExit("the system enforces no limit")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ds, pure = lazy(1024)
found = spectra.decompose(ds, 3, method="pca")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
angle = np.rad2deg(subspace_angles(found["endmember"].values.T, pure.T)).max()
print(ds["counts"].size * 8, peak * 1024, angle)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA covers all private memory on Linux only")
def test_a_dense_map_larger_than_the_memory_is_decomposed():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    size, peak, angle = map(float, done.stdout.split())
    assert size > 1.1e9
    assert peak < 0.4 * size
    assert angle < 0.01
