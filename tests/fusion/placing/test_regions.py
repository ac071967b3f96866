"""The mean over a region against draws of the map and of its pose."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis

TURN = Affine.translation(0.0, 0.2, 0.1) @ Affine.rotation(8.0)


def grid() -> xr.Dataset:
    axes = {"z": Axis("um", 0.1, -0.1), "y": Axis("um", 0.03, 0.4), "x": Axis("um", 0.04, 0.3)}
    return fusion.dataset(
        {"g": (("z", "y", "x"), np.ones((3, 30, 28)))}, axes, name="g", cell_methods="mean", frame="s"
    )


def map_of(values: np.ndarray, error: Any = None) -> xr.Dataset:
    variables: dict[str, Any] = {"v": (("y", "x", "channel"), values)}
    if error is not None:
        variables["v"] = (*variables["v"], {"ancillary_variables": "v_stderr"})
        variables["v_stderr"] = (("y", "x", "channel"), error)
    axes = {"y": Axis("um", 0.2), "x": Axis("um", 0.2), "channel": list(range(values.shape[2]))}
    return fusion.dataset(variables, axes, name="m", cell_methods="mean", frame="s")  # type: ignore[arg-type]


def ball() -> xr.DataArray:
    g = grid()
    return (g["y"] - 0.8) ** 2 + (g["x"] - 0.8) ** 2 + 0.0 * g["z"] < 0.3**2


def test_the_mean_is_that_of_the_resampled_map() -> None:
    ds = map_of(np.random.default_rng(0).normal(size=(9, 9, 2)))
    found = fusion.region_mean(ds, grid(), ball(), transform=TURN, depth=0.3)
    moved = fusion.resample(ds, grid(), transform=TURN, depth=0.3)["v"].where(ball())
    np.testing.assert_allclose(found["v"].values, moved.mean(["z", "y", "x"]).values, rtol=1e-9)
    assert found.attrs["covered"] == pytest.approx(1.0)
    assert "v_stderr" not in found


def test_the_error_is_that_of_400_noisy_maps_and_not_of_independent_voxels() -> None:
    rng = np.random.default_rng(1)
    error = rng.uniform(0.5, 1.5, (9, 9, 1))
    draws = map_of(rng.normal(size=(9, 9, 4000)) * error)
    found = fusion.region_mean(map_of(np.zeros((9, 9, 1)), error), grid(), ball(), transform=TURN, depth=0.3)
    spread = fusion.region_mean(draws, grid(), ball(), transform=TURN, depth=0.3)["v"].values.std()
    assert found["v_stderr"].item() == pytest.approx(spread, rel=0.05)
    voxels = fusion.resample(map_of(np.zeros((9, 9, 1)), error), grid(), transform=TURN, depth=0.3)["v_stderr"].where(
        ball()
    )
    independent = float((voxels**2).sum() ** 0.5 / voxels.count())
    assert found["v_stderr"].item() > 5 * independent


def test_the_pose_moves_all_voxels_together() -> None:
    y, x = np.meshgrid(np.arange(9) * 0.2, np.arange(9) * 0.2, indexing="ij")
    ds = map_of((10 * y + 3 * x + y * x)[..., None])
    covariance = np.zeros((12, 12))
    covariance[7, 7], covariance[11, 11] = 0.05**2, 0.02**2
    transform = Affine(TURN.matrix, covariance=covariance)
    found = fusion.region_mean(ds, grid(), ball(), transform=transform, depth=0.3)["v_stderr"].item()
    rng = np.random.default_rng(2)
    draws = []
    for dy, dx in zip(rng.normal(0, 0.05, 60), rng.normal(0, 0.02, 60), strict=True):
        moved = Affine.translation(0.0, dy, dx) @ TURN
        draws.append(fusion.region_mean(ds, grid(), ball(), transform=moved, depth=0.3)["v"].item())
    assert found == pytest.approx(np.std(draws), rel=0.25)


def test_bad_regions_are_refused() -> None:
    ds = map_of(np.ones((9, 9, 1)))
    with pytest.raises(fusion.ConventionError, match="region: "):
        fusion.region_mean(ds, grid(), ball().isel(z=0), transform=TURN)
    with pytest.raises(fusion.DataError, match="covers nothing of the region"):
        fusion.region_mean(ds, grid(), ball() & False, transform=TURN)
    with pytest.raises(fusion.ConventionError, match="nothing has a mean"):
        fusion.region_mean(ds.assign(v=ds["v"].assign_attrs(cell_methods="y: x: sum")), grid(), ball(), transform=TURN)
