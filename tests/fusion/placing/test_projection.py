"""Projection and its transpose: sums, adjointness, and conservation that a naive method violates."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import fusion
from fusion import Affine, Axis
from fusion.placing.beams import Method

SHAPE = (6, 9, 11)
# shrinking a failing transform takes minutes and tells nothing
QUICK = settings(deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
STEPS = {"z": 0.5, "y": 0.4, "x": 0.3}
CENTRE = np.array([1.25, 1.6, 1.5])


def ball(seed: int = 0) -> np.ndarray:
    """Return a density that is zero towards the faces of the volume."""
    density = np.random.default_rng(seed).uniform(0.5, 2.0, SHAPE)
    place = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"))
    density[(place**2).sum(axis=0) > 0.8] = 0.0
    return density


def volume(density: np.ndarray, **options: object) -> xr.Dataset:
    axes = {dim: Axis("um", step) for dim, step in STEPS.items()}
    variables = {"density": (("z", "y", "x"), density)}
    return fusion.dataset(variables, axes, name="sem", cell_methods="mean", frame="stage", **options)  # type: ignore[arg-type]


def counts(values: np.ndarray, pixel: tuple[float, float] = (0.4, 0.3), start: tuple[float, float] = (0.0, 0.0),
           **options: object) -> xr.Dataset:  # fmt: skip
    axes: dict[str, object] = {d: Axis("um", p, s) for d, p, s in zip("yx", pixel, start, strict=True)}
    dims = ("y", "x")
    if values.ndim == 3:
        dims, axes["component"] = ("y", "x", "component"), list(range(values.shape[2]))  # type: ignore[assignment]
    variables = {"counts": (dims, values, {"units": "count"})}
    return fusion.dataset(variables, axes, name="map", cell_methods="sum", frame="stage", **options)  # type: ignore[arg-type]


def large(seed: int = 1, pixel: tuple[float, float] = (0.45, 0.35)) -> xr.Dataset:
    """Return a map that the whole volume falls into from any side."""
    values = np.random.default_rng(seed).poisson(100.0, (17, 19)).astype(float)
    start = tuple(-p * (n - 1) / 2 for p, n in zip(pixel, (17, 19), strict=True))
    return counts(values, pixel, start)  # type: ignore[arg-type]


def turned(angle: float, axis: tuple[float, float, float]) -> Affine:
    """Return the transform from a map around the origin to the middle of the volume."""
    return Affine.translation(*CENTRE) @ Affine.rotation(angle, axis=axis)


rotations = st.builds(
    turned,
    st.floats(-180.0, 180.0),
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda axis: float(np.linalg.norm(axis)) > 0.1),
)


def test_along_the_grid_a_projection_is_the_sum_over_z() -> None:
    density = ball()
    grid = counts(np.zeros(SHAPE[1:]))
    summed = fusion.project(volume(density)["density"], volume(density), grid)
    assert summed.dims == ("y", "x")
    np.testing.assert_allclose(summed.values, density.sum(axis=0), atol=1e-12)
    np.testing.assert_array_equal(summed["x"].values, grid["x"].values)


def test_a_voxel_falls_where_the_beam_through_it_meets_the_map() -> None:
    density = np.zeros(SHAPE)
    density[4, 2, 5] = 3.0
    beam_along_x = Affine.rotation(90.0, axis=(0.0, 1.0, 0.0))
    grid = counts(np.zeros((9, 7)), (0.4, 0.5), (0.0, -3.0))
    summed = fusion.project(volume(density)["density"], volume(density), grid, transform=beam_along_x)
    landed = beam_along_x.inverse()([4 * 0.5, 2 * 0.4, 5 * 0.3])
    assert summed.sel(y=landed[1], x=landed[2], method="nearest").item() == pytest.approx(3.0)
    assert landed[2] == pytest.approx(-2.0)
    assert float(summed.sum()) == pytest.approx(3.0)


@settings(QUICK, max_examples=40)
@given(rotations)
def test_a_projection_keeps_the_total_and_the_centre_of_mass(transform: Affine) -> None:
    ds, grid = volume(ball()), large()
    summed = fusion.project(ds["density"], ds, grid, transform=transform, method="linear")
    place = np.stack(np.meshgrid(*(ds[dim].values for dim in "zyx"), indexing="ij"), axis=-1)
    mean = (place * ds["density"].values[..., None]).sum(axis=(0, 1, 2)) / ds["density"].values.sum()
    assert float(summed.sum()) == pytest.approx(float(ds["density"].sum()))
    for column, dim in ((1, "y"), (2, "x")):
        expected = transform.inverse()(mean)[column]
        assert float((summed * summed[dim]).sum() / summed.sum()) == pytest.approx(expected, abs=1e-9)


@settings(QUICK, max_examples=40)
@given(rotations, st.integers(0, 2**31))
def test_interpolation_is_the_transpose_of_projection(transform: Affine, seed: int) -> None:
    """<project(v), c> equals <v, interpolated c>, with the weights that resample uses."""
    rng = np.random.default_rng(seed)
    ds, grid = volume(rng.normal(size=SHAPE)), large()
    values = rng.normal(size=(17, 19))
    picture = grid.assign(counts=(("y", "x"), values, {"cell_methods": "y: x: mean", "units": "1"}))
    spread = fusion.resample(picture, ds, transform=transform, depth=np.inf, method="linear")["counts"].fillna(0.0)
    left = float((fusion.project(ds["density"], ds, grid, transform=transform, method="linear") * values).sum())
    assert left == pytest.approx(float((spread * ds["density"]).sum()), rel=1e-6, abs=1e-6)


@settings(QUICK, max_examples=60)
@given(rotations, st.integers(0, 1000))
def test_no_count_is_lost_or_gained_where_there_is_density(transform: Affine, seed: int) -> None:
    ds, grid = volume(ball(seed)), large(seed)
    placed = fusion.backproject(grid, ds, density="density", transform=transform)
    seen = fusion.project(ds["density"], ds, grid, transform=transform).values > 0
    fallen = float(grid["counts"].values[seen].sum())
    assert float(placed["counts"].sum()) == pytest.approx(fallen, rel=1e-9)
    again = fusion.project(placed["counts"], placed, grid, transform=transform)
    assert float(again.sum()) == pytest.approx(fallen, rel=1e-9)
    assert placed["counts"].attrs["lost_fraction"] == pytest.approx(1 - fallen / float(grid["counts"].sum()))


@settings(QUICK, max_examples=20)
@given(rotations, st.integers(5, 11), st.integers(5, 13))
def test_counts_of_a_pixel_stay_within_its_neighbours(transform: Affine, row: int, column: int) -> None:
    ds, grid = volume(ball()), large()
    single = grid.assign(counts=grid["counts"] * 0.0)
    single["counts"][row, column] = 100.0
    assume(fusion.project(ds["density"], ds, grid, transform=transform, method="linear").values[row, column] > 0)
    placed = fusion.backproject(single, ds, density="density", transform=transform, method="linear")
    again = fusion.project(placed["counts"], placed, grid, transform=transform, method="linear").values
    near = again[row - 1 : row + 2, column - 1 : column + 2].sum()
    assert near == pytest.approx(100.0) == again.sum()


def returned(transform: Affine, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """Return counts, and what they project onto after they were placed, where there is density."""
    ds, grid = volume(ball()), large(pixel=(0.4, 0.3))
    placed = fusion.backproject(grid, ds, density="density", transform=transform, method=method)
    seen = fusion.project(ds["density"], ds, grid, transform=transform, method=method).values > 0
    again = fusion.project(placed["counts"], placed, grid, transform=transform, method=method).values
    np.testing.assert_allclose(again[~seen], 0.0, atol=1e-12)
    return grid["counts"].values[seen], again[seen]


@pytest.mark.parametrize("angle", [0.0, 180.0])
def test_counts_placed_along_the_grid_project_onto_themselves(angle: float) -> None:
    expected, found = returned(Affine.translation(1.25, 1.6, 1.5) @ Affine.rotation(angle), "linear")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 10.0, 45.0, 90.0])
def test_by_the_nearest_pixel_counts_project_onto_themselves_at_any_angle(angle: float) -> None:
    expected, found = returned(turned(angle, (1.0, 0.3, 0.2)), "nearest")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("angle", [10.0, 45.0])
def test_shared_between_pixels_only_their_sum_comes_back(angle: float) -> None:
    expected, found = returned(turned(angle, (1.0, 0.3, 0.2)), "linear")
    assert found.sum() == pytest.approx(expected.sum())
    assert np.abs(found / expected - 1.0).max() > 0.01


@settings(QUICK, max_examples=20)
@given(rotations)
def test_draping_times_density_does_not_conserve_counts(transform: Affine) -> None:
    ds, grid = volume(ball()), large()
    intensity = grid.assign(counts=grid["counts"].assign_attrs(cell_methods="y: x: mean"))
    draped = fusion.resample(intensity, ds, transform=transform, depth=np.inf)["counts"] * ds["density"]
    naive = draped / ds["density"].sum() * grid["counts"].sum() / grid["counts"].mean()
    wrong = fusion.project(naive.fillna(0.0), ds, grid, transform=transform).values
    seen = fusion.project(ds["density"], ds, grid, transform=transform).values > 0
    assume(seen.sum() > 20)
    assert np.abs(wrong - grid["counts"].values)[seen].max() > 10.0


def test_counts_go_only_where_the_density_is() -> None:
    density = np.zeros(SHAPE)
    density[2] = 1.0
    density[4] = 3.0
    values = np.random.default_rng(3).poisson(40.0, SHAPE[1:])
    placed = fusion.backproject(counts(values), volume(density), density="density")["counts"].values
    np.testing.assert_allclose(placed[2], values / 4, rtol=1e-9)
    np.testing.assert_allclose(placed[4], values * 3 / 4, rtol=1e-9)
    assert placed[[0, 1, 3, 5]].max() == 0.0


def test_all_channels_are_placed_alike() -> None:
    values = np.random.default_rng(4).poisson(40.0, (*SHAPE[1:], 3))
    ds = volume(ball())
    together = fusion.backproject(counts(values), ds, density="density")["counts"]
    assert together.dims == ("z", "y", "x", "component")
    for channel in range(3):
        alone = fusion.backproject(counts(values[..., channel]), ds, density="density")["counts"]
        np.testing.assert_allclose(together.values[..., channel], alone.values, rtol=1e-6)


def test_poses_lead_as_well_as_a_transform() -> None:
    transform = turned(20.0, (1.0, 0.4, 0.0))
    ds, grid = volume(ball()), large()
    posed = fusion.set_pose(grid, transform, "stage")
    expected = fusion.backproject(grid, ds, density="density", transform=transform)["counts"].values
    np.testing.assert_allclose(fusion.backproject(posed, ds, density="density")["counts"].values, expected, rtol=1e-9)
    shadow = fusion.project(ds["density"], ds, grid, transform=transform).values
    np.testing.assert_allclose(fusion.project(ds["density"], ds, posed).values, shadow)


def test_the_order_of_the_dims_of_a_density_does_not_matter() -> None:
    ds, grid = volume(ball()), large()
    transform = turned(30.0, (0.2, 1.0, 0.3))
    straight = fusion.project(ds["density"], ds, grid, transform=transform)
    across = fusion.project(ds["density"].transpose("x", "y", "z"), ds, grid, transform=transform)
    np.testing.assert_allclose(across.values, straight.values)


def test_input_is_not_changed() -> None:
    ds, grid = volume(ball()), large()
    before = ds.copy(deep=True), grid.copy(deep=True)
    for variable in (*ds.variables.values(), *grid.variables.values()):
        variable.values.setflags(write=False)
    fusion.backproject(grid, ds, density="density", transform=turned(30.0, (0.2, 1.0, 0.3)))
    xr.testing.assert_identical(ds, before[0])
    xr.testing.assert_identical(grid, before[1])


def test_lazy_counts_give_the_same_volume() -> None:
    ds, grid = volume(ball()), large()
    transform = turned(30.0, (0.2, 1.0, 0.3))
    eager = fusion.backproject(grid, ds, density="density", transform=transform)["counts"]
    lazy = fusion.backproject(grid.chunk({"y": 5}), ds.chunk({"z": 2}), density="density", transform=transform)
    np.testing.assert_allclose(lazy["counts"].values, eager.values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("bad", [-1e-6, np.nan, np.inf])
def test_a_density_that_is_none_is_refused(bad: float) -> None:
    density = ball()
    density[3, 4, 5] = bad
    with pytest.raises(fusion.ConventionError, match="density"):
        fusion.backproject(large(), volume(density), density="density", transform=turned(0.0, (1, 0, 0)))


def test_intensities_are_refused() -> None:
    grid = large()
    intensity = grid.assign(counts=grid["counts"].assign_attrs(cell_methods="y: x: mean"))
    with pytest.raises(fusion.ConventionError, match=r"counts: counts .* are needed"):
        fusion.backproject(intensity, volume(ball()), density="density")


def test_a_map_beside_the_volume_is_refused() -> None:
    with pytest.raises(fusion.DataError):
        fusion.backproject(large(), volume(ball()), density="density", transform=Affine.translation(0.0, 90.0, 0.0))
    with pytest.raises(fusion.DataError, match="no count falls on any density"):
        fusion.backproject(large(), volume(np.zeros(SHAPE)), density="density", transform=turned(0.0, (1, 0, 0)))


def test_other_misuse_is_refused() -> None:
    ds, grid = volume(ball()), large()
    with pytest.raises(fusion.DataError, match="uniform y and x without z"):
        fusion.project(ds["density"], ds, ds)
    with pytest.raises(fusion.DataError, match="uniform y and x"):
        fusion.project(ds["density"], ds, grid.isel(y=[0, 1, 5]))
    with pytest.raises(fusion.DataError, match="a volume with z, y and x"):
        fusion.backproject(grid, ds.isel(z=0), density="density")
    with pytest.raises(fusion.FrameError, match="share no frame"):
        fusion.backproject(fusion.set_pose(grid, Affine.identity(), "elsewhere"), ds, density="density")
    with pytest.raises(fusion.ConspectusError, match="thickness"):
        fusion.backproject(grid, ds, density="thickness")
    axes = {"y": Axis("px", 1.0), "x": Axis("px", 1.0)}
    pixels = fusion.dataset({"counts": (("y", "x"), np.ones((3, 4)))}, axes, name="map", cell_methods="sum")
    with pytest.raises(fusion.UnitError, match="set_pixel_size"):
        fusion.backproject(pixels, ds, density="density")
    with pytest.raises(fusion.ConspectusError):
        fusion.backproject(grid.drop_vars("counts"), ds, density="density", transform=turned(0.0, (1, 0, 0)))
