"""Shifts and a turned tilt axis are found again, with errors that hold; IMOD's files go out and come in."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

import volumes
from fusion.errors import DataError, FileReadError
from tests.makers.tilts import tilt_series
from volumes.tomography.common_line import without_gauge
from volumes.tomography.moving import Motion, moved, turning

ANGLES = np.arange(-75.0, 76.0, 6.0)
SIZE, STEP, ROTATION = 40, 0.01, 3.0


def grains(seed):
    """Return a rod of grains along the tilt axis, which ends within the field at one side."""
    rng = np.random.default_rng(seed)
    z, u, s = np.meshgrid(*(np.arange(SIZE) - (SIZE - 1) / 2,) * 3, indexing="ij")
    rod = gaussian_filter(((np.hypot(z + 1, u) < SIZE / 5) & (s < SIZE * 0.3)).astype(float), 0.8)
    lumps = gaussian_filter(rng.normal(size=rod.shape), 1.5)
    return (rod * (0.5 + np.clip(lumps / lumps.std(), 0, 2))).astype(np.float32)


def misaligned(axis, seed, *, noise=0.02, reach=4.0, rotation=ROTATION):
    """Return a tilt series whose views are shifted at random and turned, and the shifts in pixels."""
    rng = np.random.default_rng(seed + 100)
    views = tilt_series(grains(seed), ANGLES, axis, step=STEP)
    array = views["haadf"].transpose("tilt", *(("y", "x") if axis == "x" else ("x", "y")))
    shifts = rng.uniform(-reach, reach, size=(ANGLES.size, 2))
    back, middle = turning(rotation).T, (SIZE - 1) / 2
    values = np.stack(
        [
            affine_transform(view, back, middle - back @ np.full(2, middle) - shift, order=3)
            for view, shift in zip(array.values, shifts, strict=True)
        ]
    )
    values = values + noise * values.max() * rng.normal(size=values.shape)
    return views.assign(haadf=array.copy(data=values.astype(np.float32)).transpose(*views["haadf"].dims)), shifts


def signed(axis):
    return ANGLES if axis == "x" else -ANGLES


def wrong_by(found, shifts, axis):
    return without_gauge(found["shift"].transpose("tilt", "axis").values / STEP - shifts, signed(axis))


def test_shifts_and_direction_are_found_with_errors_that_hold():
    views, shifts = misaligned("x", 0)
    found = volumes.align_tilts(views)
    wrong = wrong_by(found, shifts, "x")
    assert np.sqrt((wrong**2).mean(0)).max() < 0.1
    assert abs(float(found["rotation"]) - ROTATION) < min(2.0 * float(found["rotation_stderr"]), 0.6)
    claimed = found["shift_stderr"].transpose("tilt", "axis").values / STEP
    assert np.mean(np.abs(wrong) < 1.96 * claimed) > 0.75
    assert found["minimum_cost"].values[0] == found["minimum_cost"].values.min()
    assert 0.0 < float(found["residual"]) < 0.1


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_common_line_alone_comes_near_and_claims_no_error(axis):
    views, shifts = misaligned(axis, 1)
    found = volumes.align_tilts(views, axis=axis, method="common_line")
    assert np.abs(wrong_by(found, shifts, axis)).max() < 1.0
    assert list(found["axis"].values) == (["y", "x"] if axis == "x" else ["x", "y"])
    assert np.isnan(found["shift_stderr"]).all()
    assert np.isnan(found["residual"])


def test_neighbours_find_the_shifts_of_a_series_in_small_steps():
    views, shifts = misaligned("x", 2, noise=0.0, reach=2.0, rotation=0.0)
    found = volumes.align_tilts(views, method="correlation")
    assert np.sqrt((wrong_by(found, shifts, "x") ** 2).mean()) < 1.5


def test_aligned_views_are_where_the_specimen_projects():
    views, _ = misaligned("x", 0)
    aligned = volumes.apply_alignment(views, volumes.align_tilts(views, method="common_line"))
    assert aligned["haadf"].dims == ("y", "x", "tilt")
    assert "volumes.apply_alignment" in aligned.attrs["history"]
    good, bad = (
        min(volumes.reconstruct(each.isel(x=slice(8, 24, 4)))["density"].attrs["held_out_error"])
        for each in (aligned, views)
    )
    assert good < 0.6 * bad


def test_what_is_moved_and_moved_back_is_the_same():
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(3, 40, 50)), (0, 3, 3)).astype(np.float32)
    motion = Motion(5.0, rng.uniform(-3, 3, size=(3, 2)))
    there = moved(smooth, motion, outside=0.0)
    # q = Rᵀ r - d: the way back is a turn by -5 degrees with the shift -R d
    back = moved(there, Motion(-5.0, -motion.shifts @ turning(5.0).T), outside=0.0)
    np.testing.assert_allclose(back[:, 12:28, 12:38], smooth[:, 12:28, 12:38], atol=0.01 * np.abs(smooth).max())


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_files_of_imod_hold_the_alignment(tmp_path, axis):
    views, _ = misaligned(axis, 0)
    found = volumes.align_tilts(views, axis=axis, method="common_line")
    volumes.save_alignment(found, views, tmp_path / "rods.xf")
    read = volumes.load_alignment(tmp_path / "rods.xf", views, axis=axis)
    np.testing.assert_allclose(read["shift"].values, found["shift"].values, atol=0.001 * STEP)
    assert float(read["rotation"]) == pytest.approx(float(found["rotation"]), abs=1e-4)
    assert np.isnan(read["shift_stderr"]).all()


# X' = A (X - Xc) + D + Xc takes a point of the measured view to the aligned one, as IMOD's manual has it.
def test_a_point_goes_where_imods_transform_takes_it(tmp_path):
    views, _ = misaligned("y", 0)
    found = volumes.align_tilts(views, axis="y", method="common_line")
    volumes.save_alignment(found, views, tmp_path / "rods.xf")
    row = np.loadtxt(tmp_path / "rods.xf")[7]
    matrix, shift = row[:4].reshape(2, 2), row[4:]
    spot = np.zeros((SIZE, SIZE), np.float32)
    spot[24, 15] = 1.0  # y, x
    marked = views.assign(haadf=(("y", "x", "tilt"), np.tile(gaussian_filter(spot, 1.5)[..., None], ANGLES.size)))
    marked["haadf"].attrs.update(views["haadf"].attrs)
    aligned = volumes.apply_alignment(marked, found)["haadf"].isel(tilt=7).fillna(0).values
    y, x = np.unravel_index(aligned.argmax(), aligned.shape)
    np.testing.assert_allclose([x, y], matrix @ (np.array([15, 24]) - 19.5) + shift + 19.5, atol=0.8)


def test_what_cannot_be_aligned_is_refused(tmp_path):
    views, _ = misaligned("x", 0)
    with pytest.raises(DataError, match="NaN in haadf"):
        volumes.align_tilts(views.where(views["x"] > 0.05))
    with pytest.raises(DataError, match="not square"):
        volumes.align_tilts(views.assign_coords(x=views["x"] * 2))
    with pytest.raises(DataError, match="method is one of"):
        volumes.align_tilts(views, method="markers")
    found = volumes.align_tilts(views, method="common_line")
    with pytest.raises(DataError, match="other tilts"):
        volumes.apply_alignment(views.isel(tilt=slice(20)), found)
    volumes.save_alignment(found, views, tmp_path / "a.xf")
    with pytest.raises(FileReadError, match="transforms and"):
        volumes.load_alignment(tmp_path / "a.xf", views.isel(tilt=slice(20)), axis="x")
    (tmp_path / "a.xf").write_text((tmp_path / "a.xf").read_text().replace("0.998", "0.950"))
    with pytest.raises(FileReadError, match="stretch"):
        volumes.load_alignment(tmp_path / "a.xf", views, axis="x")
    (tmp_path / "a.tlt").unlink()
    with pytest.raises(FileReadError, match="no tilt angles"):
        volumes.load_alignment(tmp_path / "a.xf", views, axis="x")
