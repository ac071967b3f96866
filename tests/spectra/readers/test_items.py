"""What `spectra.contents` reads, and what `spectra.open` chooses."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import fusion
import spectra
from fusion.reading.contents import UNREADABLE
from tests.makers import nexus


@pytest.fixture
def bytes_read(monkeypatch):
    """Return a list that takes the size of whatever is read from an array of an HDF5 file in this process."""
    sizes: list[int] = []
    read = h5py.Dataset.__getitem__

    def counted(self, index, **options):
        values = read(self, index, **options)
        sizes.append(np.asarray(values).nbytes)
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    return sizes


@pytest.mark.parametrize(
    "name",
    ["electrochem/bfo_iv_final.hf5", "correlative_cl_sem/odemis_spectrum_fitting.h5"],
)
def test_contents_reads_no_values(measured, bytes_read, name):
    path = measured(name)
    with fusion.limits(direct=True):
        listed = [content.name for content in spectra.contents(path) if content.technique != UNREADABLE]
        axes = sum(bytes_read)
        bytes_read.clear()
        for item in listed:
            spectra.open(path, name=item)
    assert axes < 0.05 * sum(bytes_read)


E = ("energy", np.array([1.0, 2.0, 3.0, 4.0]), "keV")


def several(path, *, maps):
    """Write a file with a summed spectrum, an image and some maps, none of which is named as the default."""
    nexus.write(path, [E], name="sum", default=False)
    nexus.write(path, [nexus.Y, nexus.X], name="haadf", default=False)
    for number in range(maps):
        nexus.write(path, [nexus.Y, nexus.X, E], name=f"map{number}", default=False)
    return path


def test_the_only_map_is_meant(tmp_path):
    ds = spectra.open(several(tmp_path / "a.nxs", maps=1))
    assert ds.attrs["title"] == "map0"
    assert set(ds.attrs["other_items"]) == {"sum", "haadf"}


def test_of_two_maps_neither_is_meant(tmp_path):
    with pytest.raises(fusion.FileReadError, match=r"3 of its 4 items are spectral, and 2 are maps; say which"):
        spectra.open(several(tmp_path / "a.nxs", maps=2))


def test_an_unreadable_item_does_not_block_the_others(tmp_path):
    path = several(tmp_path / "a.nxs", maps=1)
    nexus.write(path, [nexus.Y, ("foo", np.arange(3.0), "furlong"), E], name="odd", default=False)
    listed = {content.name: content for content in spectra.contents(path)}
    assert listed["odd"].technique == UNREADABLE
    assert "'foo'" in listed["odd"].fault
    assert spectra.open(path).attrs["title"] == "map0"
    with pytest.raises(fusion.FileReadError, match="item 'odd': axis 'foo'"):
        spectra.open(path, name="odd")
