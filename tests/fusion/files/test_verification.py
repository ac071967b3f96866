"""Checksums: which variable is damaged, what another program changed, and that no other value comes back in silence."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import fusion
from fusion.files.sealing import Seal, state
from tests.makers.datasets import assert_same, rich, small, tree
from tests.makers.version_01 import write_version_01


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return fusion.save(tree(), tmp_path / "project.nc")


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def block_of(path: Path, name: str) -> Any:
    with h5py.File(path) as file:
        return file[name].id.get_chunk_info(0)


def test_an_untouched_file_is_intact(project: Path) -> None:
    assert state(project) is Seal.INTACT
    assert fusion.verify(project) == fusion.Verification(str(project), True)
    assert "every byte" in str(fusion.verify(project))


@pytest.mark.parametrize("name", ["/fused/v", "/map/counts", "/map/formula", "/map/x"])
def test_the_damaged_variable_is_named(project: Path, name: str) -> None:
    block = block_of(project, name)
    flip(project, block.byte_offset + block.size // 2, 3)
    assert fusion.verify(project).damaged == (name,)
    with pytest.raises(fusion.FileReadError, match=f"damaged: {name}; copy it again"):
        fusion.load(project)


def test_no_flipped_bit_is_unnoticed_and_none_changes_a_value_in_silence(project: Path) -> None:
    content, original = project.read_bytes(), fusion.load(project)
    rng = np.random.default_rng(0)
    for position in [
        0,
        9,
        len(content) - 1,
        len(content) - 70,
        len(content) - 80,
        *rng.integers(len(content), size=8),
    ]:
        project.write_bytes(content)
        flip(project, int(position), int(rng.integers(8)))
        with suppress(fusion.FileReadError):
            assert not fusion.verify(project).intact
        with suppress(fusion.FileReadError):
            assert_same(fusion.load(project), original)


def test_a_file_cut_short_is_damaged(project: Path) -> None:
    content = project.read_bytes()
    project.write_bytes(content[:-10])  # in the middle of the seal: nothing else is lost
    assert fusion.load(project).identical(tree())
    for end in (len(content) - 200, len(content) // 2, 100):
        project.write_bytes(content[:end])
        with pytest.raises(fusion.FileReadError):
            fusion.load(project)


def retitle(file: h5py.File) -> None:
    file["map"].attrs.modify("operator", "somebody else")


def double(file: h5py.File) -> None:
    file["fused/v"][...] = 2 * file["fused/v"][...]


def add(file: h5py.File) -> None:
    file["sem/lamella/more"] = np.float64(1.0)


def remove(file: h5py.File) -> None:
    del file["map/formula"]


CHANGES = [(retitle, "/map.attrs"), (double, "/fused/v"), (add, "/sem/lamella/more"), (remove, "/map/formula")]


@pytest.mark.parametrize(("change", "name"), CHANGES)
def test_what_another_program_changed_is_named_and_not_called_damage(
    project: Path, change: Callable[[h5py.File], None], name: str
) -> None:
    with h5py.File(project, "r+") as file:
        change(file)
    result = fusion.verify(project)
    assert (result.intact, result.damaged, result.changed) == (False, (), (name,))
    with pytest.warns(fusion.ChangedFileWarning, match=f"changed by another program since it was saved: .*{name[-5:]}"):
        loaded = fusion.load(project)
    assert not loaded.identical(tree())


def test_a_file_that_was_written_to_and_holds_the_same(project: Path) -> None:
    with h5py.File(project, "r+") as file:
        file["fused/v"][...] = file["fused/v"][...]
    result = fusion.verify(project)
    assert (result.intact, result.damaged, result.changed) == (False, (), ())
    assert "as they were saved" in str(result)
    assert fusion.load(project).identical(tree())


def test_a_file_without_checksums_says_so(tmp_path: Path) -> None:
    xr.Dataset({"t": 1.0}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(fusion.FileReadError, match="holds no checksums"):
        fusion.verify(tmp_path / "other.nc")
    with pytest.raises(fusion.FileReadError, match="no such file"):
        fusion.verify(tmp_path / "missing.nc")


def test_a_lazy_file_is_checked_when_it_is_opened(tmp_path: Path) -> None:
    path = fusion.save(small(np.random.default_rng(0).normal(size=(300, 300))), tmp_path / "p.nc")
    flip(path, block_of(path, "image").byte_offset + 100)
    with pytest.raises(fusion.FileReadError, match="damaged: /image"):
        fusion.load(path, chunks={})


def test_a_damaged_block_of_a_large_lazy_file_is_an_error_where_it_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusion.files.store._SMALL", 0)
    path = fusion.save(small(np.random.default_rng(0).normal(size=(300, 300))), tmp_path / "p.nc")
    flip(path, block_of(path, "image").byte_offset + 100)
    lazy = fusion.load(path, chunks={})
    with pytest.raises(OSError, match="filter"):
        lazy["image"].mean().compute()
    lazy.close()


def test_a_changed_attribute_of_a_large_lazy_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusion.files.store._SMALL", 0)
    path = fusion.save(tree(), tmp_path / "p.nc")
    with h5py.File(path, "r+") as file:
        file["map/x"].attrs["long_name"] = "another"
        file["fused"].attrs["title"] = "another"
    with pytest.warns(fusion.ChangedFileWarning, match=r"/fused\.attrs; /map/x\.attrs"):
        fusion.load(path, chunks={}).close()


def test_a_changed_single_value_of_a_large_lazy_file_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no block with a checksum; a flipped bit of a pose came back in silence."""
    monkeypatch.setattr("fusion.files.store._SMALL", 0)
    path = fusion.save(tree(), tmp_path / "p.nc")
    with h5py.File(path, "r+") as file:
        file["map/pose"][()] = 2048
    with pytest.warns(fusion.ChangedFileWarning, match="since it was saved: /map/pose"):
        fusion.load(path, chunks={}).close()


def test_a_project_of_version_01_is_read(tmp_path: Path) -> None:
    path = write_version_01(tree(), tmp_path / "old.nc")
    for chunks in (None, {}):
        loaded = fusion.load(path, chunks=chunks)
        assert set(loaded.children) == {"fused", "map", "sem"}
        for node in ("fused", "map", "sem/lamella"):
            xr.testing.assert_identical(loaded[node].to_dataset().compute(), tree()[node].to_dataset())
        loaded.close()
    assert rich()["z"].item() == fusion.load(path)["map"]["z"].item()
