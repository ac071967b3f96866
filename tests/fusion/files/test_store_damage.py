"""Damaged and foreign files: refused with a reason, never a crash, never somebody else's bytes."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Axis


def small(values: Any = None) -> xr.Dataset:
    """Return an image with text, integers and a vague pose beside it."""
    values = np.arange(6.0).reshape(2, 3) if values is None else values
    axes: dict[str, Any] = {"y": Axis("um", 0.25, -1.0), "x": Axis("um", 0.5, 3.0), "component": ["iron", "rust"]}
    share = {"share": (("component",), np.array([3, 4], np.uint16))}
    pose = fusion.Affine(fusion.Affine.rotation(9.0).matrix, covariance=np.eye(12))
    variables = {"image": (("y", "x"), values), **share}
    return fusion.dataset(variables, axes, name="sem", cell_methods="mean", pose=pose, frame="stage")


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(fusion.FileReadError, match="no such file"):
        fusion.load(tmp_path / "missing.nc")
    with pytest.raises(fusion.FileReadError, match="no such file"):
        fusion.load(tmp_path)
    for name, content in {"empty.nc": b"", "text.nc": b"hello" * 100}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(fusion.FileReadError, match="not a readable NetCDF file"):
            fusion.load(tmp_path / name)
    with h5py.File(tmp_path / "void.nc", "w"):
        pass
    with pytest.raises(fusion.FileReadError):
        fusion.load(tmp_path / "void.nc")


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = fusion.save(small(np.random.default_rng(4).normal(size=(150, 150))), tmp_path / "whole.nc").read_bytes()
    cut = tmp_path / "cut.nc"
    for share in np.linspace(0.0, 0.999, 15):
        cut.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(fusion.FileReadError):
            fusion.load(cut)


def test_a_damaged_file_is_refused_or_read_but_never_crashes(tmp_path: Path) -> None:
    path = fusion.save(small(), tmp_path / "whole.nc")
    whole, rng, refused = bytearray(path.read_bytes()), np.random.default_rng(5), 0
    for place in rng.integers(0, len(whole), 15):
        damaged = whole.copy()
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            fusion.load(path)
        except (fusion.FileReadError, fusion.ConventionError):
            refused += 1
    assert refused > 0


def test_a_damaged_block_is_a_read_error(tmp_path: Path) -> None:
    path = fusion.save(small(np.random.default_rng(6).normal(size=(200, 200))), tmp_path / "p.nc")
    with h5py.File(path) as file:
        block = file["image"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[block.byte_offset : block.byte_offset + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(fusion.FileReadError):
        fusion.load(path)


@pytest.mark.parametrize("way", ["external", "virtual", "link"])
def test_a_file_that_borrows_from_other_files_is_refused(tmp_path: Path, way: str) -> None:
    """HDF5 external storage hands out any local file as pixels."""
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(6.0).tobytes())
    path, other = fusion.save(small(), tmp_path / "p.nc"), fusion.save(small(), tmp_path / "other.nc")
    with h5py.File(path, "r+") as file:
        if way == "external":
            file.create_dataset("note", (6,), "f8", external=[(str(secret), 0, 48)])
        elif way == "virtual":
            layout = h5py.VirtualLayout((2, 3), "f8")
            layout[...] = h5py.VirtualSource(other, "image", (2, 3))
            file.create_virtual_dataset("note", layout)
        else:
            file["note"] = h5py.ExternalLink(str(other), "/image")
    with pytest.raises(fusion.FileReadError, match="another file"):
        fusion.load(path)


def test_a_foreign_file_is_judged(tmp_path: Path) -> None:
    xr.Dataset({"t": (("lat",), np.ones(3))}).to_netcdf(tmp_path / "weather.nc", engine="h5netcdf")
    with pytest.raises(fusion.ConventionError, match="unknown dim 'lat'"):
        fusion.load(tmp_path / "weather.nc")
