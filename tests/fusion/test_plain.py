"""Plain xarray as input: what is put right, what is left alone, and what is never guessed."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis
from fusion.conventions import kind
from fusion.frames import OWN, Frame
from fusion.reading.stage import STAGE


def um(dim: str, values: Any, unit: str = "um") -> tuple[str, Any, dict[str, str]]:
    return dim, values, {"units": unit}


def image(name: str = "image", shift: float = 0.0) -> xr.Dataset:
    """Return values that are x + 10 y on pixels of unequal sizes, with nothing but units on the coordinates."""
    y, x = np.arange(4) * 2.0, np.arange(5) * 0.5 + shift
    values = 10.0 * y[:, None] + (x - shift)
    return xr.Dataset({name: (("y", "x"), values)}, {"y": um("y", y), "x": um("x", x)})


def test_units_names_and_order_are_put_right() -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    plain = xr.DataArray(
        values,
        {"X": um("X", [300, 200], "nm"), "Raman shift": um("Raman shift", [1.0, 2.0, 3.0], "cm-1")},
        ("X", "Raman shift", "Y"),
        name="spectra",
        attrs={"units": "counts", "note": "kept"},
    )
    ds = fusion.dataset(plain, {"y": Axis("um", 2.0)}, cell_methods="sum")
    assert ds["spectra"].dims == ("y", "x", "raman_shift")
    np.testing.assert_allclose(ds["x"], [0.2, 0.3])
    assert {dim: ds[dim].attrs["units"] for dim in ds.dims} == {"y": "um", "x": "um", "raman_shift": "1/cm"}
    assert ds["spectra"].sel(x=0.3, y=2.0, raman_shift=3.0) == values[0, 2, 1]
    assert (ds["spectra"].attrs["units"], ds["spectra"].attrs["note"]) == ("count", "kept")


def test_a_dataset_goes_in_as_it_is_and_is_left_alone() -> None:
    plain = image().assign_attrs(title="overview").assign_coords(operator="A", z=um((), 3.0, "mm"))
    before = plain.copy(deep=True)
    ds = fusion.dataset(plain)
    xr.testing.assert_identical(plain, before)
    assert ds["z"].attrs["units"] == "um"
    assert float(ds["z"]) == 3000.0
    assert str(ds["operator"].values) == "A"
    assert kind(ds["image"]) == "none"
    assert fusion.get_pose(ds)[1] == OWN
    xr.testing.assert_identical(fusion.dataset(ds), ds)


def test_a_name_is_a_frame_and_a_pose_is_kept() -> None:
    assert fusion.get_pose(fusion.dataset(image(), name="sem"))[1] == "sem"
    placed = fusion.set_pose(image(), Affine.translation(x=3.0), STAGE)
    pose, frame = fusion.get_pose(fusion.dataset(placed, name="sem"))
    assert (pose.matrix[2, 3], frame, frame.on_stage) == (3.0, "stage", True)


def test_a_labelled_dataset_comes_out_of_the_builder_as_it_went_in() -> None:
    tree = fusion.phantom(shape=(4, 60, 60), map_shape=(8, 9), channels=64, shift=(0.1, 0.1))
    for name in ("map", "volume", "landmarks"):
        ds = tree[name].to_dataset()
        xr.testing.assert_identical(fusion.dataset(ds), ds)


@pytest.mark.parametrize(
    ("plain", "fault"),
    [
        (xr.Dataset({"a": (("y", "x"), np.ones((2, 2)))}, {"x": [0.0, 1.0]}), "x: no units; set ds"),
        (xr.Dataset({"a": ("time", np.ones(2))}, {"time": np.array(["2024"] * 2, "M8[ns]")}), "time: .* datetime64"),
        (xr.Dataset({"a": ("row", np.ones(2))}), "a: unknown dim 'row'"),
        (xr.Dataset({"a": ("energy", np.ones(2))}), "energy: no coordinate"),
        (xr.Dataset({"a": ("x", np.ones(2))}, {"x": um("x", [0, 1], "keV")}), "keV"),
        (xr.Dataset({"a": ("x", np.ones(2), {"units": "counts"})}, {"x": um("x", [0, 1])}), "a: nothing says whether"),
    ],
)  # fmt: skip
def test_what_would_have_to_be_guessed_is_asked_for(plain: xr.Dataset, fault: str) -> None:
    with pytest.raises((fusion.ConventionError, fusion.UnitError), match=fault):
        fusion.dataset(plain)


def test_a_dim_without_coordinate_is_in_pixels() -> None:
    ds = fusion.dataset(xr.DataArray(np.ones((2, 3)), dims=("y", "x"), name="image"))
    assert {ds[dim].attrs["units"] for dim in "yx"} == {"px"}
    with pytest.raises(fusion.UnitError, match="set_pixel_size"):
        fusion.resample(ds, ds, transform=Affine.identity())


def test_two_plain_datasets_are_resampled_by_a_transform() -> None:
    moving, grid = image(shift=100.0), image("other").isel(x=slice(1, 3), y=[1, 2])
    found = fusion.resample(moving, grid, transform=Affine.translation(x=-100.25))
    np.testing.assert_allclose(found["image"], 10.0 * grid["y"] + grid["x"] + 0.25)
    assert "pose" not in found.coords
    assert "cell_methods" not in found["image"].attrs


def test_integer_positions_serve_as_well() -> None:
    grid = xr.Dataset({"a": (("y", "x"), np.ones((2, 2)))}, {"y": um("y", [2, 4]), "x": um("x", [1, 2])})
    found = fusion.resample(image(), grid, transform=Affine.identity(), method="linear")
    np.testing.assert_allclose(found["image"], [[21.0, 22.0], [41.0, 42.0]])


def test_two_plain_datasets_share_no_frame() -> None:
    with pytest.raises(fusion.FrameError, match="frame of its own; pass transform="):
        fusion.resample(image(), image())
    with pytest.raises(fusion.FrameError, match="frame of its own"):
        fusion.between(image(), fusion.dataset(image(), name="sem"))


def test_spectra_that_may_be_counts_are_not_interpolated() -> None:
    plain = image().expand_dims(energy=um("energy", [1.0, 2.0], "keV")[1]).transpose("y", "x", "energy")
    plain["energy"].attrs["units"] = "keV"
    with pytest.raises(fusion.ConventionError, match=r"cell_methods='sum'"):
        fusion.resample(plain, image(), transform=Affine.identity())


class TestFrame:
    def test_a_file_that_is_called_stage_does_not_lie_on_one(self) -> None:
        ds = fusion.set_pose(image(), Affine.identity(), Frame("stage_overview.tif 12345678"))
        assert not fusion.get_pose(ds)[1].on_stage
        assert not fusion.get_pose(fusion.set_pose(ds, Affine.identity(), "stage of mine.tif"))[1].on_stage

    @pytest.mark.parametrize(
        ("name", "on_stage"),
        [("stage", True), ("stage of map.h5 1234abcd", True), ("stage_overview.tif 1234abcd", False), ("sem", False)],
    )
    def test_files_of_old_said_it_by_the_name(self, name: str, on_stage: bool) -> None:
        ds = fusion.set_pose(image(), Affine.identity(), name)
        del ds["pose"].attrs["on_stage"]
        assert fusion.get_pose(ds)[1].on_stage is on_stage

    def test_a_frame_survives_the_file(self, tmp_path) -> None:
        ds = fusion.dataset(image(), name="sem", frame=STAGE.of("a.tif"))
        frame = fusion.get_pose(fusion.load(fusion.save(ds, tmp_path / "a.nc")))[1]
        assert (frame, frame.on_stage) == ("stage of a.tif", True)

    def test_a_dataset_in_a_frame_of_its_own_is_not_placed_without_a_name(self) -> None:
        assert "pose" not in fusion.set_pose(image(), Affine.identity(), OWN).coords
        with pytest.raises(fusion.FrameError, match="needs a name"):
            fusion.set_pose(image(), Affine.translation(x=1.0), OWN)
