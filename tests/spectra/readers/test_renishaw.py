"""Maps of Renishaw (wdf): each spectrum lies where it was measured, in whatever order."""

from pathlib import Path

import numpy as np
import pytest

import spectra
from fusion import FileReadError

STREAMLINE = "raman/renishaw_test_streamline.wdf"
MAP = "raman/renishaw_test_map.wdf"


def spectra_of_wdf(path: Path, count: int, channels: int) -> np.ndarray:
    """Return the spectra in the order of the file: after the header of 512 bytes comes the block DATA."""
    content = path.read_bytes()
    assert content[512:516] == b"DATA"
    return np.frombuffer(content, "<f4", count * channels, 528).reshape(count, channels)


def test_map_measured_column_by_column_is_folded_so(measured):
    path = measured(STREAMLINE)
    values = spectra.open(path)["intensity"].values
    stored = spectra_of_wdf(path, 49 * 45, 394)
    for y, x in ((0, 0), (1, 0), (0, 1), (12, 27), (48, 44)):
        np.testing.assert_array_equal(values[y, x], stored[49 * x + y])
    total = values.sum(axis=-1)
    across, along = (np.abs(np.diff(total, axis=axis)).mean() for axis in (1, 0))
    as_rows = np.abs(np.diff(stored.sum(axis=-1).reshape(49, 45), axis=0)).mean()
    assert max(across, along) < 0.8 * as_rows


def test_map_measured_row_by_row_stays(measured):
    path = measured(MAP)
    stored = spectra_of_wdf(path, 9, 47)
    values = spectra.open(path, name="Simple mapping measurement")["intensity"].values
    np.testing.assert_array_equal(values[1, 0], stored[3, ::-1])  # its wavelengths descend


@pytest.mark.parametrize("order", [0, 1, 2, 4, 16, 64])
def test_spectra_lie_where_they_were_measured_in_any_order(measured, tmp_path, order):
    """The 3 x 3 map, its lines measured to and fro."""
    content = bytearray(measured(MAP).read_bytes())
    content[(place := content.index(b"WMAP") + 16) : place + 4] = order.to_bytes(4, "little")
    positions = content.index(b"ORGN") + 16 + 4 + 24
    middle = positions + 3 * 8
    content[middle : middle + 24] = content[middle + 16 : middle + 24] + bytes(8) + content[positions : positions + 8]
    path = tmp_path / "snake.wdf"
    path.write_bytes(content)
    ds = spectra.open(path, name="Simple mapping measurement")
    stored = spectra_of_wdf(path, 9, 47).reshape(3, 3, 47)[:, :, ::-1].copy()
    stored[1] = stored[1, ::-1]
    np.testing.assert_array_equal(ds["intensity"], stored)
    np.testing.assert_allclose(ds["x"], [-100.0, 0.0, 100.0])


def test_two_spectra_at_one_place_are_refused(measured, tmp_path):
    content = bytearray(measured(MAP).read_bytes())
    positions = content.index(b"ORGN") + 16 + 4 + 24
    content[positions + 8 : positions + 16] = content[positions : positions + 8]
    path = tmp_path / "twice.wdf"
    path.write_bytes(content)
    with pytest.raises(FileReadError, match="two of its spectra lie at one place of its plan"):
        spectra.open(path, name="Simple mapping measurement")
    with pytest.raises(FileReadError, match="two of its spectra lie at one place of its plan"):
        spectra.open(path)


@pytest.mark.parametrize("order", [1, 3, 4, 6, 8, 16, 32, 64])
def test_map_measured_in_an_unknown_order_without_positions_is_refused(measured, tmp_path, order):
    content = bytearray(measured(STREAMLINE).read_bytes())
    place = content.index(b"WMAP") + 16
    content[place : place + 4] = order.to_bytes(4, "little")
    unknown = content.index(b"ORGN") + 16 + 4
    content[unknown : unknown + 4] = (17).to_bytes(4, "little")
    path = tmp_path / "snake.wdf"
    path.write_bytes(content)
    with pytest.raises(FileReadError, match=f"measured in an order of type {order} and does not say where"):
        spectra.open(path, name="StreamLine image acquisition 5")
    assert spectra.open(path, name="white light")["image"].dims == ("y", "x", "channel")


def test_columns_that_were_not_all_measured_are_refused(measured, tmp_path):
    content = bytearray(measured(STREAMLINE).read_bytes())
    place = content.index(b"WMAP") + 16 + 8 + 24
    content[place + 8 : place + 12] = (2).to_bytes(4, "little")
    path = tmp_path / "stack.wdf"
    path.write_bytes(content)
    with pytest.raises(FileReadError, match="45 by 49 but was planned as 45 by 49 by 2, in an order of type 2"):
        spectra.open(path, name="StreamLine image acquisition 5")
