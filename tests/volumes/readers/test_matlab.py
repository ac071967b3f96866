"""MATLAB files of versions 5 and 7.3, against SciPy."""

import contextlib

import h5py
import numpy as np
import pytest
import scipy.io

import volumes
from fusion.errors import FileReadError
from tests.makers.images import ramp


class TestMatlab:
    def test_version_5(self, tmp_path):
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"map": ramp(4, 5), "scale": 3.0, "note": "text", "mask": np.eye(4, 5) > 0})
        found = {item.name: item.dtype for item in volumes.contents(path)}
        assert found == {"map": "uint16", "mask": "uint8"}
        np.testing.assert_array_equal(volumes.open(path, name="map")["image"].values, ramp(4, 5))
        np.testing.assert_array_equal(volumes.open(path, name="mask")["image"].values, np.eye(4, 5))

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize("kind", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
    def test_every_class_as_scipy_reads_it(self, tmp_path, kind, packed):
        path, data = tmp_path / "a.mat", (ramp(3, 4, 5) % 120).astype(kind)
        scipy.io.savemat(path, {"a": data, "b": ["text"], "c": {"d": data}, "e": data + 1j}, do_compression=packed)
        assert [(item.name, item.dtype) for item in volumes.contents(path)] == [("a", np.dtype(kind).name)]
        ds = volumes.open(path, dims=("z", "y", "x"))
        np.testing.assert_array_equal(ds["image"].values, scipy.io.loadmat(path)["a"])

    def test_damaged_files_never_end_the_process(self, tmp_path):
        path, rng = tmp_path / "a.mat", np.random.default_rng(1)
        scipy.io.savemat(path, {"a": ramp(12, 13), "b": ramp(12, 13)})
        whole = path.read_bytes()
        for _ in range(300):
            damaged = bytearray(whole)
            for place in rng.integers(100, len(whole), 4):
                damaged[place] = rng.integers(0, 256)
            path.write_bytes(damaged)
            with contextlib.suppress(FileReadError):
                volumes.open(path)

    def test_version_7_3_is_stored_backwards(self, tmp_path):
        path = tmp_path / "a.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            file["map"] = ramp(3, 4, 5).T
            file["inside/hidden"] = ramp(3, 4)
        with path.open("r+b") as stream:
            stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        assert volumes.contents(path)[0].shape == (3, 4, 5)
        ds = volumes.open(path, dims=("z", "y", "x"))
        np.testing.assert_array_equal(ds["image"].values, ramp(3, 4, 5))
