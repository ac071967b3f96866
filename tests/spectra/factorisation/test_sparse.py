"""Sparse maps: the same matrix for any chunks, never dense, and the same factors as brute force."""

import tracemalloc

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import subspace_angles
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import svds

import fusion
import spectra
from fusion import Axis, DataError
from spectra.factorisation.factors import singular
from spectra.factorisation.nmf import nonnegative
from spectra.factorisation.sparse import divided, live, pixel_matrix

UNITS = {"z": "um", "y": "um", "x": "um", "energy": "keV"}


def as_map(counts, dims=("y", "x", "energy")):
    axes = {dim: Axis(UNITS[dim], 0.01) for dim in dims}
    return fusion.dataset({"counts": (dims, counts)}, axes, name="map", cell_methods="sum")


def lazy(ds, chunks):
    return ds.assign(counts=ds["counts"].copy(data=da.from_array(ds["counts"].values, chunks=chunks)))


def sparse_counts(seed=0, shape=(9, 11), channels=40, dose=4.0):
    """Return Poisson counts of three spectra, nine in ten of them zero."""
    rng = np.random.default_rng(seed)
    pure = rng.dirichlet(np.full(channels, 0.2), 3)
    share = rng.dirichlet(np.full(3, 0.3), shape)
    return rng.poisson(dose * share @ pure)


def islands(count=10, channels=60, seed=0):
    """Return a connected map and beside it pixels with a channel of their own, each with singular value 1."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((400 + count, channels + count), np.int64)
    matrix[:400, :channels] = rng.poisson(0.03, (400, channels))
    matrix[400:, channels:] = np.diag(rng.integers(1, 4, count))
    return matrix


def weighted(matrix):
    alive = matrix[np.ix_(matrix.any(axis=1), matrix.any(axis=0))].astype(float)
    return alive / np.sqrt(alive.sum(axis=1))[:, None] / np.sqrt(alive.sum(axis=0))


@st.composite
def chunked(draw):
    """Return counts from nearly empty to full, and a way to cut them."""
    shape = tuple(draw(st.integers(2, 6)) for _ in range(3))
    share = draw(st.sampled_from([0.05, 0.25, 0.35, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    counts = rng.integers(1, 9, shape) * (rng.random(shape) < share)
    return counts, tuple(draw(st.integers(1, size)) for size in shape)


@given(chunked())
@settings(max_examples=60, deadline=None)
def test_the_matrix_is_the_same_for_any_chunks(case):
    counts, chunks = case
    ds = as_map(counts)
    whole, cut = pixel_matrix(ds["counts"], "energy"), pixel_matrix(lazy(ds, chunks)["counts"], "energy")
    expected = counts.reshape(-1, counts.shape[-1])
    assert issparse(whole) == issparse(cut) == (np.count_nonzero(counts) < 0.3 * counts.size)
    if issparse(whole):
        assert whole.has_sorted_indices
        for part in ("data", "indices", "indptr"):
            assert_array_equal(getattr(whole, part), getattr(cut, part))
        whole, cut = whole.toarray(), cut.toarray()
    assert_array_equal(whole, expected)
    assert_array_equal(cut, expected)


@pytest.mark.filterwarnings("ignore::fusion.StrayCountsWarning")
@given(chunks=st.tuples(st.integers(1, 9), st.integers(1, 11), st.integers(1, 40)), seed=st.integers(0, 20))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_lazy_equals_eager_equals_brute_force(chunks, seed):
    counts = sparse_counts(seed)
    ds = as_map(counts)
    eager = spectra.decompose(ds, 3, method="pca")
    xr.testing.assert_equal(spectra.decompose(lazy(ds, chunks), 3, method="pca"), eager)
    matrix = counts.reshape(-1, 40)
    channels = matrix.any(axis=0)
    right = np.linalg.svd(weighted(matrix), full_matrices=False)[2][:3]
    found = eager["endmember"].values[:, channels] / np.sqrt(matrix.sum(axis=0)[channels])
    assert np.rad2deg(subspace_angles(found.T, right.T)).max() < 1e-3


@pytest.mark.parametrize("chunks", [(4, 5, 13), (9, 11, 40), (1, 11, 7)])
def test_nmf_of_a_lazy_map_is_that_of_the_eager_one(chunks):
    ds = as_map(sparse_counts())
    xr.testing.assert_equal(spectra.decompose(lazy(ds, chunks), 2), spectra.decompose(ds, 2))


def test_dims_come_in_any_order():
    counts = sparse_counts(shape=(2, 3, 4))
    array = as_map(counts, ("z", "y", "x", "energy"))["counts"]
    turned = pixel_matrix(array.transpose("energy", "x", "z", "y"), "energy")
    assert_array_equal(turned.toarray(), counts.reshape(-1, 40))


def test_a_lazy_map_of_intensities_is_dense():
    values = np.random.default_rng(0).normal(size=(5, 6, 7))
    ds = fusion.dataset({"intensity": (("y", "x", "energy"), values)}, {dim: Axis(UNITS[dim], 1.0) for dim in
                        ("y", "x", "energy")}, name="map", cell_methods="mean")  # fmt: skip
    array = ds["intensity"].chunk({"y": 2, "energy": 3})
    assert_array_equal(pixel_matrix(array, "energy"), values.reshape(30, 7))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_broken_pixels_of_a_sparse_map_are_counted(bad):
    counts = sparse_counts().astype(float)
    counts[2, 3, :2] = counts[4, 4, 4] = bad
    with pytest.raises(DataError, match="2 of 99 pixels have NaN"):
        spectra.decompose(lazy(as_map(counts), (3, 3, 30)), 2)


def test_negative_values_of_a_sparse_map_are_refused():
    counts = sparse_counts()
    counts[0, 0, 0] = -7
    with pytest.raises(DataError, match=r"negative values \(down to -7\)"):
        spectra.decompose(as_map(counts), 2)


def test_dead_parts_and_scaling_are_those_of_the_dense_matrix():
    counts = sparse_counts().reshape(-1, 40)
    counts[[0, 5, 98]] = 0
    counts[:, [0, 17, 39]] = 0
    matrix = csr_array(counts.astype(float))
    assert_array_equal(live(matrix)[0], live(counts.astype(float))[0])
    assert_array_equal(live(matrix)[1], live(counts.astype(float))[1])
    by_pixel, by_channel = np.arange(1.0, 100.0), np.arange(1.0, 41.0)
    kept = matrix.copy()
    assert_allclose(divided(matrix, by_pixel, by_channel).toarray(), divided(counts, by_pixel, by_channel), rtol=1e-15)
    assert_array_equal(matrix.data, kept.data)


@pytest.mark.parametrize("turn", [False, True])
def test_equal_singular_values_are_all_found(turn):
    """Each isolated count has singular value 1; ARPACK alone misses some of them."""
    matrix = weighted(islands())
    matrix = matrix.T.copy() if turn else matrix
    missed = 0
    for seed in range(8):
        plain = svds(matrix, 6, v0=np.random.default_rng(seed).standard_normal(min(matrix.shape)))[1]
        missed += plain.min() < 1 - 1e-6
        assert_allclose(np.linalg.norm(singular(csr_array(matrix), 6, seed).scores, axis=0), 1.0, rtol=1e-12)
    assert missed, "the rival finds them all: this test has lost its teeth"


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_more_components_than_the_rank(rank):
    rng = np.random.default_rng(rank)
    matrix = rng.random((40, rank)) @ rng.random((rank, 20))
    found = singular(matrix, 4, seed=0)
    assert_allclose(found.scores @ found.factors, matrix, atol=1e-12)
    empty = np.zeros((30, 12))
    empty[0, 0] = 1.0
    assert_allclose(np.linalg.norm(singular(csr_array(empty), 3, seed=0).scores, axis=0), [1.0, 0.0, 0.0], atol=1e-12)


def test_singular_vectors_of_sparse_and_dense_agree():
    matrix = weighted(sparse_counts(shape=(30, 30)).reshape(-1, 40))
    dense, sparse = (singular(form(matrix), 4, seed=1) for form in (np.asarray, csr_array))
    assert_allclose(sparse.scores @ sparse.factors, dense.scores @ dense.factors, atol=1e-12)


def test_nmf_of_sparse_and_dense_agree():
    matrix = weighted(sparse_counts(shape=(20, 20)).reshape(-1, 40))
    dense, sparse = (nonnegative(form(matrix), 3, seed=1) for form in (np.asarray, csr_array))
    assert_allclose(sparse.scores @ sparse.factors, dense.scores @ dense.factors, atol=1e-6)


@pytest.mark.filterwarnings("ignore::fusion.StrayCountsWarning")
@pytest.mark.parametrize("method", ["pca", "nmf"])
def test_a_sparse_map_is_never_dense(method):
    counts = np.zeros((128, 128, 2048), np.uint8)
    rng = np.random.default_rng(0)
    counts.ravel()[rng.integers(0, counts.size, 60_000)] = 1
    ds = as_map(counts)
    ds = lazy(ds, (32, 32, 2048))
    spectra.decompose(ds.isel(y=slice(0, 2)), 2, method=method)
    tracemalloc.start()
    spectra.decompose(ds, 2, method=method)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < counts.size, "one byte for each value is an eighth of the dense matrix"


def test_a_measured_jeol_map_stays_sparse(measured):
    """512 x 512 x 4096 pixels, of which a corner is enough here."""
    ds = spectra.open(measured("edx/jeol/Sample/00_View000/View000_0000006.pts"))
    part = ds.isel(y=slice(0, 60), x=slice(390, 420))
    matrix = pixel_matrix(part["counts"], "energy")
    assert issparse(matrix)
    assert_array_equal(matrix.toarray(), part["counts"].values.reshape(1800, -1))
