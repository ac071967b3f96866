"""HDF5 files: dimension scales, and what lies in other files."""

import h5py
import numpy as np
import pytest

import volumes
from fusion.errors import FileReadError
from tests.makers.images import ramp, steps


class TestHdf5:
    def test_dimension_scales_are_read(self, tmp_path):
        path = tmp_path / "a.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("density", data=ramp(3, 4, 5))
            for i, (label, step) in enumerate({"x": 2.0, "z": 3.0, "y": 4.0}.items()):
                scale = file.create_dataset(label, data=1.0 + step * np.arange(data.shape[i]))
                scale.make_scale(label)
                scale.attrs["units"] = "nm"
                data.dims[i].label = label
                data.dims[i].attach_scale(scale)
        ds = volumes.open(path)
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5).transpose(1, 2, 0))
        assert ds["z"].values == pytest.approx([0.001, 0.004, 0.007, 0.010])

    def test_links_to_other_files_are_not_followed(self, tmp_path):
        with h5py.File(tmp_path / "secret.h5", "w") as file:
            file["image"] = ramp(4, 5)
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["own"] = ramp(4, 5)
            file["linked"] = h5py.ExternalLink("secret.h5", "/image")
        assert [item.name for item in volumes.contents(tmp_path / "a.h5")] == ["own"]
        with pytest.raises(FileReadError, match="holds no array 'linked'"):
            volumes.open(tmp_path / "a.h5", name="linked")

    def test_values_in_another_file_are_refused(self, tmp_path):
        (tmp_path / "secret.bin").write_bytes(bytes(range(20)))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("image", (4, 5), np.uint8, external=[("secret.bin", 0, 20)])
        with pytest.raises(FileReadError, match="lie in another file"):
            volumes.open(tmp_path / "a.h5")

    def test_virtual_datasets_are_refused(self, tmp_path):
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["image"] = ramp(4, 5)
        layout = h5py.VirtualLayout((4, 5), np.uint16)
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "image", (4, 5))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_virtual_dataset("image", layout)
        with pytest.raises(FileReadError, match="lie in another file"):
            volumes.open(tmp_path / "a.h5")

    def test_a_truncated_file_is_refused(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["image"] = ramp(100, 100)
        path = tmp_path / "a.h5"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(FileReadError, match="cut short"):
            volumes.open(path)


def test_dimension_scales_name_their_axes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("raw", data=ramp(4, 5))
        for axis, (dim, size, unit) in enumerate((("y", 4, b"nm"), ("x", 5, b"um"))):
            file[dim] = 2.0 * np.arange(size)
            file[dim].attrs["units"] = unit
            file[dim].make_scale(dim)
            data.dims[axis].attach_scale(file[dim])
    assert steps(volumes.open(tmp_path / "a.h5")) == {"y": (0.002, "um"), "x": (2.0, "um")}
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["x"].attrs["units"] = "zork"
    with pytest.raises(FileReadError, match="positions along x in 'zork', which is no known unit of length"):
        volumes.open(tmp_path / "a.h5", name="raw")
