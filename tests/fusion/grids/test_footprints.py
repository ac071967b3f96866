"""The table of footprints beside exact overlaps: sums and adjoint to rounding, values within a thousandth."""

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.transform import Rotation

import fusion
from fusion import Affine, Axis
from fusion.grids import shares
from fusion.grids.footprints import Footprints
from fusion.grids.geometry import Geometry, geometry

SHAPE = (11, 13, 12)


def counts(dtype: str = "float64") -> xr.Dataset:
    values = np.random.default_rng(5).poisson(20.0, (*SHAPE, 2)).astype(dtype)
    axes = {dim: Axis("um", step, 0.3) for dim, step in zip("zyx", (1.2, 1.0, 0.9), strict=True)}
    return fusion.dataset(
        {"n": ((*"zyx", "channel"), values)}, {**axes, "channel": [0, 1]}, name="n", cell_methods="sum", frame="s"
    )


def grid(voxel: float) -> xr.Dataset:
    """Return a grid about the origin that holds the counts at any pose; its sides differ."""
    sides, steps = [int(24 / voxel) + more for more in (0, 2, 5)], [voxel, 1.05 * voxel, 0.95 * voxel]
    axes = {dim: Axis("um", step, -step * (n - 1) / 2) for dim, n, step in zip("zyx", sides, steps, strict=True)}
    return fusion.dataset({"v": (tuple("zyx"), np.ones(sides))}, axes, name="v", cell_methods="mean", frame="s")


def pose(seed: int) -> Affine:
    """Return a turn about any axis and the middle of the counts."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec(np.random.default_rng(seed).uniform(-2, 2, 3)).as_matrix()
    return Affine(turn) @ Affine.translation(*(-s * n / 2 for s, n in zip((1.2, 1.0, 0.9), SHAPE, strict=True)))


def tabled(cells: Geometry) -> Footprints:
    operator = shares.overlaps(cells)
    assert isinstance(operator, Footprints)
    return operator


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("voxel", [0.5, 0.8])
def test_sums_are_kept_and_linear_interpolation_does_not_keep_them(seed: int, voxel: float) -> None:
    ds, target = counts(), grid(voxel)
    tabled(geometry(ds, target, pose(seed), None))
    for dtype, close in (("float64", 1e-12), ("float32", 1e-6)):
        placed = fusion.resample(ds.assign(n=ds["n"].astype(dtype)), target, transform=pose(seed))["n"]
        np.testing.assert_allclose(placed.astype(float).sum(tuple("zyx")), ds["n"].sum(tuple("zyx")), rtol=close)
    density = ds.assign(n=ds["n"].assign_attrs(cell_methods="x: mean"))
    read = fusion.resample(density, target, transform=pose(seed), method="linear")["n"]
    volume = voxel**3 * 1.05 * 0.95 / (1.2 * 0.9)
    assert abs(float(read.sum()) * volume / float(ds["n"].sum()) - 1) > 1e-2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("voxel", [0.5, 0.85])
def test_values_are_those_of_exact_overlaps_within_a_thousandth(seed: int, voxel: float) -> None:
    cells = geometry(counts(), grid(voxel), pose(seed), None)
    values = counts()["n"].values
    found, coverage = tabled(cells).placed_and_covered(values)
    exact = shares.exact(cells)
    inner = cells.inner()
    assert inner.sum() > 500
    off = (found - exact.placed(values))[inner] / exact.placed(values)[inner].mean()
    assert np.sqrt((off**2).mean()) < 1e-3
    assert np.abs(off).max() < 1e-2
    np.testing.assert_array_equal(coverage[inner], 1.0)
    np.testing.assert_allclose(coverage, exact.coverage, atol=1e-2)


def test_measuring_is_the_adjoint_of_placing_to_the_last_digits() -> None:
    ds, target = counts(), grid(0.7)
    u = np.random.default_rng(1).normal(size=target["v"].shape)
    target = target.assign(v=(target["v"].dims, u, target["v"].attrs))
    placed = fusion.place(ds, target, transform=pose(1))["n"].fillna(0.0)
    measured = fusion.measure(target, ds, transform=pose(1))["v"]
    left, right = float((placed * u[..., None]).sum()), float((ds["n"] * measured).sum())
    assert left == pytest.approx(right, rel=1e-12, abs=1e-12 * float(ds["n"].sum()))


@pytest.mark.parametrize("turn", [pose(2), pose(2) @ Affine.rotation(0.0), Affine.translation(0.2, -5.0, -4.0)])
@pytest.mark.parametrize("chunks", [{"z": 7}, {"z": 20, "y": 9, "x": 40}])
def test_any_chunking_gives_equal_bits(turn: Affine, chunks: dict[str, int]) -> None:
    ds, target = counts("float32"), grid(0.8)
    eager = fusion.resample(ds, target, transform=turn)
    lazy = fusion.resample(ds.chunk({"y": 5, "channel": 1}), target.chunk(chunks), transform=turn)
    for name in ("n", "coverage"):
        np.testing.assert_array_equal(lazy[name].values, eager[name].values)


def test_errors_of_placed_counts_are_sums_of_squared_shares() -> None:
    ds, target = counts(), grid(0.8)
    ds = ds.assign(n_stderr=(ds["n"].dims, np.full(ds["n"].shape, 2.0), {"cell_methods": "x: sum", "units": "1"}))
    ds["n"].attrs["ancillary_variables"] = "n_stderr"
    found = fusion.resample(ds, target, transform=pose(1))["n_stderr"].values
    exact = np.sqrt(shares.exact(geometry(ds, target, pose(1), None)).placed(np.full(ds["n"].shape, 4.0), squared=True))
    known = found > 0.5
    np.testing.assert_allclose(found[known], exact[known], rtol=0.03)
