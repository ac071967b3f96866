"""Shares between cells: against brute force, sums that interpolation violates, and the adjoint."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import fusion
from fusion import Affine, Axis
from fusion.grids import shares
from fusion.grids.geometry import geometry

QUICK = settings(deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def uneven(rng: np.random.Generator, n: int, extent: float) -> Axis:
    """Return centres whose gaps differ by a factor of up to three."""
    gaps = rng.uniform(1.0, 3.0, n)
    return Axis("um", values=np.cumsum(gaps) * extent / gaps.sum())


def box(dims: str, axes: dict[str, Axis], seed: int = 0, method: str = "sum", name: str = "ds") -> xr.Dataset:
    rng = np.random.default_rng(seed)
    shape = [len(axes[dim].values) if axes[dim].values is not None else 0 for dim in dims]  # type: ignore[arg-type]
    values = rng.poisson(20.0, shape).astype(float)
    return fusion.dataset({"v": (tuple(dims), values)}, axes, name=name, cell_methods=method, frame="s")


def even(n: int, step: float, start: float = 0.0) -> Axis:
    return Axis("um", values=start + step * np.arange(n))


def turned(rotvec: np.ndarray, scale: np.ndarray, about: np.ndarray, to: np.ndarray) -> Affine:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix() * scale
    matrix[:3, 3] = to - matrix[:3, :3] @ about
    return Affine(matrix)


def pair(dims: str, seed: int) -> tuple[xr.Dataset, xr.Dataset, Affine]:
    """Return a small uneven source, a grid that holds all of it, and a pose of any angle and a scale of 0.1 to 10."""
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.uniform(-1.0, 1.0)
    source = box(
        dims, {dim: uneven(rng, n, e) for dim, n, e in zip(dims, (3, 4, 5), (1.0, 1.5, 1.2), strict=False)}, seed
    )
    rotvec = rng.uniform(-2.0, 2.0, 3) * ([1, 1, 1] if len(dims) == 3 else [1, 0, 0])
    step = scale * (0.25 if len(dims) == 3 else 0.12)
    n = int(3.6 * scale / step) + 2
    grid = box(
        dims, {dim: even(n, step * (1 + 0.1 * k), -step * n / 2) for k, dim in enumerate(dims)}, 0, "mean", "grid"
    )
    stretch = scale * rng.uniform(0.8, 1.2, 3)
    about = np.array([0.5, 0.75, 0.6]) * ([1, 1, 1] if len(dims) == 3 else [0, 1, 1])
    to = np.array([rng.uniform(-0.1, 0.1) * scale if dim in dims else 0.0 for dim in "zyx"])
    return source, grid, turned(rotvec, stretch, about, to)


@settings(QUICK, max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from(["yx", "zyx"]))
def test_counts_keep_their_sum_at_every_pose_and_nearest_does_not(seed: int, dims: str) -> None:
    ds, grid, transform = pair(dims, seed)
    placed = fusion.resample(ds, grid, transform=transform)
    assert placed["v"].attrs["cell_methods"].endswith("sum")
    assert float(placed["v"].sum()) == pytest.approx(float(ds["v"].sum()), rel=1e-10)
    point = fusion.resample(ds, grid, transform=transform, method="nearest")
    assert abs(float(point["v"].sum()) / float(ds["v"].sum()) - 1) > 1e-6


@settings(QUICK, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(["yx", "zyx"]))
def test_a_constant_stays_a_constant(seed: int, dims: str) -> None:
    ds, grid, transform = pair(dims, seed)
    flat = ds.assign(v=(ds["v"].dims, np.full(ds["v"].shape, 7.0), {"cell_methods": "x: mean", "units": "1"}))
    moved = fusion.resample(flat, grid, transform=transform, method="mean")["v"].values
    np.testing.assert_allclose(moved[np.isfinite(moved)], 7.0, rtol=1e-12)


@settings(QUICK, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from(["yx", "zyx"]))
def test_measuring_is_the_adjoint_of_placing(seed: int, dims: str) -> None:
    """<C n, u> = <n, Cᵀu>: placed counts against values, counts against measured means."""
    ds, grid, transform = pair(dims, seed)
    u = np.random.default_rng(seed).normal(size=grid["v"].shape)
    grid = grid.assign(v=(grid["v"].dims, u, grid["v"].attrs))
    placed = fusion.resample(ds, grid, transform=transform)["v"].fillna(0.0)
    measured = fusion.measure(grid, ds, transform=transform)["v"]
    left, right = float((placed * u).sum()), float((ds["v"] * measured).sum())
    assert left == pytest.approx(right, rel=1e-12, abs=1e-10 * float(ds["v"].sum()))


def test_the_shares_of_a_volume_are_those_of_many_points() -> None:
    """200,000 random points of each of a few target cells, and the source cell that holds each."""
    ds, grid, transform = pair("zyx", 5)
    cells = geometry(ds, grid, transform, None)
    rows = shares.overlaps(cells).groups[0].rows
    rng, checked = np.random.default_rng(0), 0
    middles, halves = cells.target.along((0, 1, 2))
    for row in rng.permutation(np.flatnonzero(np.diff(rows.indptr) > 3))[:8]:
        points = middles[:, row] + halves[:, row] * rng.uniform(-1, 1, (200_000, 3))
        seen = points @ cells.matrix[:, :3].T + cells.matrix[:, 3]
        index = [np.searchsorted(edges, seen[:, a]) - 1 for a, edges in enumerate(cells.source.edges)]
        inside = np.logical_and.reduce([(i >= 0) & (i < n) for i, n in zip(index, cells.source.shape, strict=True)])
        flat = np.ravel_multi_index([i[inside] for i in index], cells.source.shape)
        cell = abs(np.linalg.det(cells.matrix[:, :3])) * np.prod(2 * halves[:, row])
        expected = np.bincount(flat, minlength=rows.shape[1]) / 200_000
        np.testing.assert_allclose(rows[[row]].toarray()[0] / cell, expected, atol=5e-3)
        checked += 1
    assert checked == 8


def test_one_axis_turned_in_a_plane_equals_the_volume_that_is_not_split() -> None:
    """A turn by 1e-7 degrees about y mixes all axes and moves nothing."""
    rng = np.random.default_rng(2)
    ds = box("zyx", {"z": uneven(rng, 3, 1.0), "y": uneven(rng, 4, 1.4), "x": uneven(rng, 5, 1.1)})
    grid = box("zyx", {dim: even(9, 0.22, -0.2) for dim in "zyx"}, 0, "mean")
    split = Affine.translation(0.1, 0.5, -0.1) @ Affine.rotation(20.0)
    mixed = split @ Affine.rotation(1e-5, axis=(0.3, 1.0, 0.2))
    assert len(geometry(ds, grid, split, None).groups) == 2
    assert len(geometry(ds, grid, mixed, None).groups) == 1
    np.testing.assert_allclose(fusion.resample(ds, grid, transform=mixed)["v"].values,
                               fusion.resample(ds, grid, transform=split)["v"].values, atol=2e-5)  # fmt: skip


def test_axes_that_change_places_are_followed() -> None:
    ds = box("zyx", {"z": even(2, 1.0), "y": even(3, 1.0), "x": even(4, 1.0)})
    matrix = np.eye(4)[[1, 2, 0, 3]]  # z of the grid is y of the source, y is x, x is z
    grid = box("zyx", {"z": even(3, 1.0), "y": even(4, 1.0), "x": even(2, 1.0)}, 0, "mean")
    placed = fusion.resample(ds, grid, transform=Affine(matrix))["v"].values
    np.testing.assert_allclose(placed, ds["v"].values.transpose(1, 2, 0))


def checkerboard(method: str = "mean") -> xr.Dataset:
    board = 100.0 * (np.indices((60, 60)).sum(axis=0) % 2)
    variables = {
        "v": (("y", "x"), board, {"ancillary_variables": "v_stderr"}),
        "v_stderr": (("y", "x"), np.full((60, 60), 10.0)),
    }
    return fusion.dataset(variables, {dim: Axis("um", 0.1) for dim in "yx"}, name="b", cell_methods=method, frame="s")


@pytest.mark.parametrize("angle", [0.0, 10.0, 45.0])
def test_a_checkerboard_on_coarse_voxels_is_grey_with_the_error_of_a_hundred_pixels(angle: float) -> None:
    grid = box("yx", {dim: even(3, 1.0, 2.0) for dim in "yx"}, 0, "mean")
    centre = Affine.translation(0.0, 3.0, 3.0)
    transform = centre @ Affine.rotation(angle) @ centre.inverse()
    moved = fusion.resample(checkerboard(), grid, transform=transform)
    np.testing.assert_allclose(moved["v"].values, 50.0, atol=1.0)
    np.testing.assert_allclose(moved["v_stderr"].values, 1.0, atol=0.05)
    points = fusion.resample(checkerboard(), grid, transform=transform, method="linear")
    assert np.abs(points["v"].values - 50).max() > 49
    assert points["v_stderr"].values.min() > 4.0


def test_on_a_fine_grid_the_mean_is_linear_interpolation() -> None:
    rng = np.random.default_rng(4)
    ds = box("yx", {dim: even(6, 1.0) for dim in "yx"}, 3, "mean")
    for step, most in ((0.4, 1e-12), (0.6, 0.8), (0.8, 1.4)):
        n = int(4.0 / step)
        grid = box("yx", {dim: even(n, step, 0.5 + 0.01 * rng.random()) for dim in "yx"}, 0, "mean")
        mean, point = (fusion.resample(ds, grid, method=method)["v"].values for method in ("mean", "linear"))  # type: ignore[arg-type]
        assert np.abs(mean - point).max() <= most


@pytest.mark.parametrize("angle", [0.0, 12.0, 50.0])
def test_a_mean_is_that_of_many_samples_of_the_interpolant(angle: float) -> None:
    ds = box("yx", {dim: even(12, 0.5) for dim in "yx"}, 6, "mean")
    grid = box("yx", {"y": even(3, 0.9, 1.5), "x": even(3, 1.3, 1.4)}, 0, "mean")
    centre = Affine.translation(0.0, 2.7, 2.7)
    transform = centre @ Affine.rotation(angle) @ centre.inverse()
    axes, longest = {}, max(np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle)))
    for dim, voxel in (("y", 0.9), ("x", 1.3)):
        width = np.sqrt(voxel**2 - (0.5 / longest) ** 2)  # what the pixel lacks of the voxel
        inner = width * ((np.arange(60) + 0.5) / 60 - 0.5)
        axes[dim] = Axis("um", values=(grid[dim].values[:, None] + inner).ravel())
    fine = box("yx", axes, 0, "mean")
    sampled = fusion.resample(ds, fine, transform=transform, method="linear")["v"].values
    expected = sampled.reshape(3, 60, 3, 60).mean(axis=(1, 3))
    found = fusion.resample(ds, grid, transform=transform)["v"].values
    np.testing.assert_allclose(found, expected, atol=0.12)  # of counts that scatter by 4.5


def test_half_a_pixel_beyond_the_centres_belongs_to_the_map() -> None:
    ds = box("yx", {dim: even(4, 1.0) for dim in "yx"}, 1, "mean")
    grid = box("yx", {dim: even(20, 0.25, -0.875) for dim in "yx"}, 0, "mean")
    moved = fusion.resample(ds, grid)
    inside = (grid["x"].values > -0.5) & (grid["x"].values < 3.5)
    np.testing.assert_array_equal(moved["coverage"].values == 1, inside[:, None] & inside)
    assert moved["v"].values[2, 2] == ds["v"].values[0, 0]


@pytest.mark.parametrize("z", [0.0, 0.005, 0.01, 0.013])
@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_a_depth_of_60_nm_fills_60_nm(z: float, angle: float) -> None:
    flat = {"y": even(3, 0.1), "x": even(3, 0.1), "z": Axis("um", values=z)}
    ds = fusion.dataset({"v": (("y", "x"), np.ones((3, 3)))}, flat, name="m", cell_methods="mean", frame="s")
    grid = box("zyx", {"z": even(11, 0.02, -0.1), "y": even(2, 0.01, 0.1), "x": even(2, 0.01, 0.1)}, 0, "mean")
    centre = Affine.translation(0.0, 0.1, 0.1)
    transform = centre @ Affine.rotation(angle) @ centre.inverse()
    coverage = fusion.resample(ds, grid, transform=transform, depth=0.06)["coverage"].values
    np.testing.assert_allclose(coverage.sum(axis=0) * 0.02, 0.06, rtol=1e-6)


def test_labels_follow_the_largest_share_and_tell_it() -> None:
    labels = np.array([[1, 1, 2, 2], [1, 3, 2, 2]], np.uint8)
    attrs = {"flag_values": np.array([1, 2, 3], np.uint8), "flag_meanings": "a b c"}
    axes = {"y": even(2, 1.0), "x": even(4, 1.0)}
    ds = fusion.dataset({"phase": (("y", "x"), labels, attrs)}, axes, name="m", frame="s")
    grid = box("yx", {"y": even(2, 2.0, 0.5), "x": even(3, 2.0, 0.5)}, 0, "mean")
    moved = fusion.resample(ds, grid)
    assert moved["phase"].values.tolist() == [[1, 2, -1], [-1, -1, -1]]
    np.testing.assert_allclose(moved["phase_share"].values[0], [0.75, 1.0, np.nan])
    assert "phase_share" in moved["phase"].attrs["ancillary_variables"].split()


def test_errors_of_placed_counts_are_those_of_placed_noise() -> None:
    ds, grid, transform = pair("yx", 11)
    rng = np.random.default_rng(0)
    error = rng.uniform(0.5, 2.0, ds["v"].shape)
    with_error = ds.assign(v_stderr=(ds["v"].dims, error, {"cell_methods": "y: x: sum", "units": "1"}))
    with_error["v"].attrs["ancillary_variables"] = "v_stderr"
    noise = rng.normal(size=(*ds["v"].shape, 4000)) * error[..., None]
    draws = ds.assign(v=(("y", "x", "channel"), noise, ds["v"].attrs), channel=np.arange(4000))
    spread = fusion.resample(draws, grid, transform=transform)["v"].values.std(axis=-1)
    found = fusion.resample(with_error, grid, transform=transform)["v_stderr"].values
    np.testing.assert_allclose(spread[found > 0], found[found > 0], rtol=0.1)


def test_a_bad_pixel_spoils_the_error_no_further_than_the_value() -> None:
    ds = box("yx", {dim: even(9, 0.3) for dim in "yx"}, 2, "mean")
    ds["v"].values[4, 5] = np.nan
    error = xr.where(np.isnan(ds["v"]), np.nan, 1.0)
    ds = ds.assign(v_stderr=(("y", "x"), error.values, {"cell_methods": "y: x: mean", "units": "1"}))
    ds["v"].attrs["ancillary_variables"] = "v_stderr"
    for step in (0.1, 0.7):
        grid = box("yx", {dim: even(int(2.2 / step), step, 0.13) for dim in "yx"}, 0, "mean")
        moved = fusion.resample(ds, grid, transform=Affine.rotation(9.0))
        np.testing.assert_array_equal(np.isnan(moved["v"]), np.isnan(moved["v_stderr"]))
        assert np.isnan(moved["v"].values).any()


@pytest.mark.parametrize("dims", ["yx", "zyx"])
@pytest.mark.parametrize("method", ["counts", "mean", "labels"])
@pytest.mark.parametrize("chunks", [{"y": 3}, {"y": 5, "x": 4}, {"x": 1}])
def test_any_chunking_gives_equal_bits(dims: str, method: str, chunks: dict[str, int]) -> None:
    ds, grid, transform = pair(dims, 8)
    grid = grid.isel({dim: slice(None, None, 2) for dim in dims})
    if method == "mean":
        ds["v"].attrs["cell_methods"] = "x: mean"
    if method == "labels":
        ds = ds.assign(
            v=(
                ds["v"].dims,
                (ds["v"].values % 3).astype(np.int32),
                {"flag_values": [0, 1, 2], "flag_meanings": "a b c"},
            )
        )
    eager = fusion.resample(ds, grid, transform=transform)
    lazy = fusion.resample(ds.chunk({"x": 2}), grid.chunk(chunks), transform=transform)
    for name in eager.data_vars:
        assert lazy[name].chunks is not None
        np.testing.assert_array_equal(lazy[name].values, eager[name].values)
        assert lazy[name].dtype == eager[name].dtype


def test_counts_in_cells_without_a_volume_are_refused() -> None:
    ds = box("zyx", {dim: even(3, 1.0) for dim in "zyx"})
    grid = box("yx", {dim: even(3, 1.0) for dim in "yx"}, 0, "mean")
    with pytest.raises(fusion.DataError, match=r"fusion\.project"):
        fusion.resample(ds, grid)
    with pytest.raises(fusion.ConventionError, match="keeps a sum"):
        fusion.resample(grid, ds, method="counts")
    with pytest.raises(fusion.ConventionError, match="interpolated or averaged"):
        fusion.resample(ds, ds, method="mean")
