"""Sizes of voxels in the attributes of HDF5 arrays and of the groups around them."""

import h5py
import numpy as np
import pytest

import volumes
from tests.makers.images import ramp, steps


def write(path, shape=(3, 4, 5), labels="", group=None, **attrs):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("cells/raw", data=ramp(*shape))
        for i, label in enumerate(labels):
            data.dims[i].label = label
        (data if group is None else file[group]).attrs.update(attrs)
    return path


def um(ds):
    return [step for step, unit in steps(ds).values() if unit == "um"]


@pytest.mark.parametrize(
    "attrs",
    [
        {"element_size_um": [0.5, 0.2, 0.1]},
        {"element_size_nm": [500, 200, 100]},
        {"element_size": [0.5, 0.2, 0.1], "element_size_unit": "micron"},
        {"pixelSize": [500.0, 200.0, 100.0], "pixelSizeUnit": np.bytes_("nm")},
        {"resolution": [500, 200, 100], "units": ["nm", "nm", "nm"]},
        {"resolution": [0.5, 0.2, 0.1], "unit": "\u00b5m"},
        {"resolution": [2.0, 5.0, 10.0], "unit": "1/um"},
        {"voxel_size": "[0.5, 0.2, 0.1] um"},
        {"Voxel Size (mm)": [5e-4, 2e-4, 1e-4]},
        {"elementSizeMicrons": [0.5, 0.2, 0.1]},
        {"voxel_size": "500 x 200 x 100 nm"},
        {"element_size_um": "0,5; 0,2; 0,1"},
        {"pixel_size_x_nm": 100.0, "pixel_size_y_nm": 200.0, "pixel_size_z_nm": 500.0},
        {"PixelSizeX": 0.1, "PixelSizeY": 0.2, "PixelSizeZ": 0.5, "PixelSizeUnit": "um"},
        {
            "PhysicalSizeX": 0.1,
            "PhysicalSizeXUnit": "um",
            "PhysicalSizeY": 200,
            "PhysicalSizeYUnit": "nm",
            "PhysicalSizeZ": 5e-4,
            "PhysicalSizeZUnit": "mm",
        },
        {"voxel_size_xyz_nm": [100, 200, 500]},
        {"dx": 100.0, "dy": 200.0, "dz": 500.0, "unit": "nm"},
        {"dx_nm": 100.0, "dy_nm": 200.0, "dz_nm": 500.0},
        {"voxel_x": 0.1, "voxel_y": 0.2, "voxel_z": 0.5, "voxel_unit": "um"},
        {"x_step": "0.1 um", "y_step": "0.2 um", "z_step": "500 nm"},
        {"sampling": [0.5, 0.2, 0.1], "units": "um"},
        {"element_size_um_zyx": [0.5, 0.2, 0.1]},
        {"physical_pixel_size_um": [0.5, 0.2, 0.1]},
        {"voxel_size": [0.5, 0.2, 0.1], "voxel_unit": "um"},
        {"voxel_size_A": [5000, 2000, 1000]},
        {"resolution": [2.0, 5.0, 10.0], "resolution_unit": "pixels/um"},
        {"resolution": [2.0, 5.0, 10.0], "unit": "px per um"},
        {"pixel_size": "0.5um, 0.2um, 0.1um"},
    ],
)
@pytest.mark.parametrize(("labels", "group"), [("", None), ("zyx", None), ("", "cells"), ("", "/")])
def test_sizes_that_say_their_unit_are_used(tmp_path, attrs, labels, group):
    ds = volumes.open(write(tmp_path / "a.h5", labels=labels, group=group, **attrs))
    np.testing.assert_allclose(um(ds), [0.5, 0.2, 0.1])
    np.testing.assert_array_equal(ds["image"], ramp(3, 4, 5))
    assert ds["image"].attrs["units"] == "1"


def test_the_users_names_keep_the_sizes_of_their_axes(tmp_path):
    path = write(tmp_path / "a.h5", element_size_um=[0.5, 0.2, 0.1])
    assert {dim: step for dim, (step, _) in steps(volumes.open(path, dims=("x", "z", "y"))).items()} == pytest.approx(
        {"x": 0.5, "z": 0.2, "y": 0.1}
    )


@pytest.mark.parametrize(
    ("shape", "labels", "attrs", "expected"),
    [
        ((4, 5), "", {"pixelSize": 62.0, "pixelSizeUnit": "nm"}, [0.062, 0.062]),
        ((4, 5), "", {"pixel_size_um": [0.2, 0.1]}, [0.2, 0.1]),
        ((3, 4, 5), "", {"voxel_size_nm": 8.0}, [0.008] * 3),
        ((2, 4, 5), "cyx", {"element_size_um": [0.2, 0.1]}, [0.2, 0.1]),
        ((2, 3, 4, 5), "czyx", {"element_size_um": [0.5, 0.2, 0.1]}, [0.5, 0.2, 0.1]),
        ((1, 4, 5), "zyx", {"element_size_um": [0.5, 0.2, 0.1]}, [0.2, 0.1]),
        ((3, 4, 1), "zyx", {"element_size_um": [0.5, 0.2, 0.1]}, [0.5, 0.2]),
    ],
)
def test_sizes_find_their_axes(tmp_path, shape, labels, attrs, expected):
    np.testing.assert_allclose(um(volumes.open(write(tmp_path / "a.h5", shape, labels, **attrs))), expected)


@pytest.mark.parametrize(
    "attrs",
    [
        {"element_size": [0.5, 0.2]},
        {"pixelSize": [0.5, 0.2], "pixelSizeUnit": "px"},
        {"resolution_level": 3, "units": "um"},
        {"pixel_size_xyz_um": [0.1, 0.2]},
        {"pixel_size_x_um": -0.1},
        {"resolution": 130.0, "unit": "eV"},
        {"element_size_um": [0.0, 0.2]},
        {"element_size_um": [0.1, 0.2, 0.3, 0.4]},
    ],
)
def test_a_size_without_a_unit_or_a_place_is_none(tmp_path, attrs):
    assert [unit for _, unit in steps(volumes.open(write(tmp_path / "a.h5", (4, 5), **attrs))).values()] == ["px"] * 2


def test_a_scale_of_the_array_counts_before_an_attribute(tmp_path):
    path = write(tmp_path / "a.h5", (4, 5), "yx", element_size_um=[0.2, 0.1])
    with h5py.File(path, "a") as file:
        file["y"] = np.arange(4) * 0.3
        file["y"].make_scale("y")
        file["y"].attrs["units"] = "um"
        file["cells/raw"].dims[0].attach_scale(file["y"])
    np.testing.assert_allclose(um(volumes.open(path, name="cells/raw")), [0.3, 0.1])


def test_sizes_in_arrays_beside_the_values(tmp_path):
    with h5py.File(write(tmp_path / "a.h5"), "a") as file:
        for dim, size in (("x", 1e-7), ("y", 2e-7), ("z", 5e-7)):
            file[f"d{dim}"] = size
            file[f"d{dim}"].attrs["units"] = "m"
    assert um(volumes.open(tmp_path / "a.h5")) == pytest.approx([0.5, 0.2, 0.1])


def test_sizes_behind_a_link_to_another_file_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["pixel_size_nm"] = 5.0
    with h5py.File(write(tmp_path / "a.h5", (4, 5), "yx"), "a") as file:
        file["pixel_size_nm"] = h5py.ExternalLink("b.h5", "pixel_size_nm")
    assert um(volumes.open(tmp_path / "a.h5")) == []


@pytest.mark.parametrize("attrs", [{"scale": 0.1, "units": "um"}, {"step": 3, "unit": "um"}, {"scale_factor": 2.0}])
def test_a_scale_of_the_values_is_no_size(tmp_path, attrs):
    assert um(volumes.open(write(tmp_path / "a.h5", (4, 5), "yx", **attrs))) == []
