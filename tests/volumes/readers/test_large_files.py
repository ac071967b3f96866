"""Files above 256 MB stay lazy: their blocks are read in the worker process and under its guard."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import xarray as xr

import fusion
import volumes
from fusion.isolation import sandbox
from tests.makers import light
from volumes.readers import opening, planes

SHAPE = (4, 3, 5, 7)
FRAMES = np.arange(420, dtype=np.uint16).reshape(SHAPE)
STACK = FRAMES[:, 0]


def opened_as_if_large(path: Path, said: dict[str, Any]) -> xr.Dataset:
    planes.LAZY_ABOVE = 100  # type: ignore[misc]
    return opening._opened(path, said)


def write_one_page(path: Path, values: Any) -> None:
    """Write as ImageJ does above 4 GB: one page, and all images behind it."""
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": "ZCYX"})
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[4:8], "big")
    end = at + 2 + 12 * int.from_bytes(data[at : at + 2], "big")
    data[end : end + 4] = bytes(4)
    path.write_bytes(data)


def write_mrc(path: Path, values: Any) -> None:
    with mrcfile.new(path) as mrc:
        mrc.set_data(values)
        mrc.set_volume()


def write_hdf5(path: Path, values: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("stack", data=values, chunks=(1, 2, 2), compression="gzip")


def write_nd2(path: Path, values: Any) -> None:
    steps = {"uiCount": 4, "dZLow": 0.0, "dZHigh": 1.5, "dZStep": 0.5, "dZHome": 0.0, "iType": 2}
    light.write_nd2(path, np.moveaxis(values, 1, 3), loops=[(4, steps)], channels=("a", "b", "c"))


def write_lif(path: Path, values: Any) -> None:
    # the z of this image descends
    light.write_lif(path, light.lif_image("cell", values[::-1], "zcyx", light.LENGTHS))


NAMES = {"z": "z", "c": "channel", "y": "y", "x": "x"}
ZCYX = {"metadata": {"axes": "ZCYX"}}
PLAIN = partial(tifffile.imwrite, photometric="minisblack")
WRITERS = {
    "plain.tif": (PLAIN, STACK, "zyx"),
    "big-endian.tif": (partial(PLAIN, byteorder=">"), STACK, "zyx"),
    "deflate.tif": (partial(PLAIN, compression="zlib"), STACK, "zyx"),
    "tiled.tif": (partial(PLAIN, tile=(16, 16), compression="zlib", **ZCYX), FRAMES, "zcyx"),
    "rgb.tif": (partial(tifffile.imwrite, photometric="rgb", compression="zlib"), np.moveaxis(FRAMES, 1, 3), "zyxc"),
    "imagej.tif": (partial(tifffile.imwrite, imagej=True, **ZCYX), FRAMES, "zcyx"),
    "one page.tif": (write_one_page, FRAMES, "zcyx"),
    "scan.ome.tif": (partial(tifffile.imwrite, compression="zlib", **ZCYX), FRAMES, "zcyx"),
    "map.mrc": (write_mrc, STACK, "zyx"),
    "stack.h5": (write_hdf5, STACK, "zyx"),
    "scan.czi": (lambda path, values: light.write_czi(path, values[None]), FRAMES, "zcyx"),
    "scan.lif": (write_lif, FRAMES, "zcyx"),
    "scan.nd2": (write_nd2, FRAMES, "zcyx"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_blocks_of_a_large_file_are_read_in_the_worker(tmp_path, name):
    write, values, order = WRITERS[name]
    path = tmp_path / name
    write(path, values)
    said = {"dims": ("z", "y", "x")} if name == "stack.h5" else {}
    image = sandbox.run(opened_as_if_large, path, said, file=path)["image"]
    assert image.chunks is not None
    np.testing.assert_array_equal(image.transpose(*(NAMES[letter] for letter in order)), values)
    np.testing.assert_array_equal(image.isel(z=1), image.values[1])


def test_a_page_of_separate_colours_is_read_whole(tmp_path, monkeypatch, direct):
    monkeypatch.setattr(planes, "LAZY_ABOVE", 10)
    colours = np.moveaxis(FRAMES[0], 0, -1)
    kinds = {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib"}
    tifffile.imwrite(tmp_path / "planar.tif", FRAMES[0], **kinds)
    ds = volumes.open(tmp_path / "planar.tif")
    assert ds["channel"].values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(ds["image"], colours)


def test_a_flat_image_larger_than_memory_is_not_called_damaged(tmp_path):
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset("image", (10**5, 10**5), "f8", chunks=(1000, 1000))
    with fusion.limits(memory=2**30), pytest.raises(fusion.FileReadError, match=r"takes more than 1.07 GB of memory"):
        volumes.open(tmp_path / "huge.h5", voxel="1 nm")


def test_small_chunks_of_a_file_are_read_many_at_a_time(tmp_path):
    with h5py.File(tmp_path / "small.h5", "w") as file:
        stack = file.create_dataset("image", (256, 512, 1200), "u2", chunks=(1, 8, 64))
        stack[3, 4, 5] = 7
    image = volumes.open(tmp_path / "small.h5", voxel="1 nm", dims=("z", "y", "x"))["image"]
    assert image.data.npartitions < 100
    assert int(image[3].sum()) == int(image[3, 4, 5]) == 7
