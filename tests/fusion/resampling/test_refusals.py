"""What cannot be resampled is refused, and the refusal says how to go on."""

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis
from fusion.resampling import size
from tests.makers.grids import STARTS, STEPS, replaced, volume


def in_pixels() -> xr.Dataset:
    return volume((9, 8), {dim: Axis("px", 1.0) for dim in "yx"})


@pytest.mark.parametrize("which", ["moving", "fixed"])
def test_unknown_pixel_sizes_are_refused(which: str) -> None:
    sized, unsized = volume((9, 8)), in_pixels()
    with pytest.raises(fusion.UnitError, match="set_pixel_size"):
        fusion.resample(*((unsized, sized) if which == "moving" else (sized, unsized)))


def test_two_frames_are_refused_unless_a_transform_joins_them() -> None:
    ds, grid = volume((4, 6, 5), frame="a"), volume((3, 4, 4), frame="b")
    with pytest.raises(fusion.FrameError, match="share no frame"):
        fusion.resample(ds, grid)
    assert np.isfinite(fusion.resample(ds, grid, transform=Affine.identity())["v"].values).all()


@pytest.mark.parametrize("dim", ["z", "y", "x"])
@pytest.mark.parametrize("sign", [1, -1])
def test_datasets_that_miss_each_other_are_refused(dim: str, sign: int) -> None:
    away = Affine.translation(**{dim: sign * 20.0})
    with pytest.raises(fusion.DataError, match=f"do not overlap along {dim}"):
        fusion.resample(volume((4, 6, 5)), volume((3, 4, 4)), transform=away)


def test_other_misuse_is_refused() -> None:
    ds, grid = volume((4, 6, 5)), volume((3, 4, 4))
    with pytest.raises(fusion.ConventionError, match="'cubic' where 'auto' or 'counts' or 'mean'"):
        fusion.resample(ds, grid, method="cubic")  # type: ignore[arg-type]
    with pytest.raises(fusion.DataError, match="no variable has a spatial dim"):
        fusion.resample(ds.assign(v=(("component",), np.ones(2)), component=[0, 1]), grid)
    with pytest.raises(fusion.FrameError, match="no pose"):
        fusion.resample(ds.drop_vars("pose"), grid)
    with pytest.raises(fusion.ConventionError):
        fusion.resample(ds, grid.assign_coords(x=grid["x"].astype(str)))


def test_points_are_no_grid() -> None:
    position = {dim: Axis("um", values=[STARTS[dim], STARTS[dim] + STEPS[dim]]) for dim in "zyx"}
    points = fusion.dataset({"b": (("point",), np.ones(2))}, position, name="beads", frame="stage")
    with pytest.raises(fusion.DataError, match="beads: points are no grid"):
        fusion.resample(volume((4, 6, 5)), points)


def test_complex_values_are_refused_rather_than_halved() -> None:
    ds = volume((4, 6, 5))
    with pytest.raises(fusion.ConspectusError, match="complex"):
        fusion.resample(replaced(ds, ds["v"].values * 1j), volume((3, 4, 4)))


def test_a_large_result_is_announced_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    ds, grid = volume((4, 6, 5)), volume((3, 4, 4))
    monkeypatch.setattr(size, "LARGE", 3 * 4 * 4 * 8 - 1)
    with pytest.warns(fusion.LargeResultWarning, match=r"will take .* GB of memory; crop the grid"):
        fusion.resample(ds, grid)
    fusion.resample(ds.chunk(), grid)
    monkeypatch.setattr(size, "LARGE", 3 * 4 * 4 * 8)
    fusion.resample(ds, grid)
