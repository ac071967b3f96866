"""Flat images: every bit depth and colour type of PNG, encoded here, comes back with the values that are stored."""

import numpy as np
import pytest
from PIL import Image

import volumes
from tests.makers.images import ramp
from tests.makers.png import COLOUR, COLOUR_ALPHA, GREY, GREY_ALPHA, PALETTE, SAMPLES, write_png

DEPTHS = {GREY: (1, 2, 4, 8, 16), COLOUR: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), COLOUR_ALPHA: (8, 16)}
KINDS = [(colour, bits) for colour, depths in DEPTHS.items() for bits in depths]
NAMES = {COLOUR: "red green blue", GREY_ALPHA: "grey alpha", COLOUR_ALPHA: "red green blue alpha"}
GREYS = (b"PLTE", bytes(np.repeat(np.arange(255, -1, -1), 3).astype(np.uint8)))


def stored(colour, bits, size=(11, 13)):
    """All values that the bits can hold, in no order."""
    shape = (*size, SAMPLES[colour]) if SAMPLES[colour] > 1 else size
    return np.random.default_rng(bits).integers(0, 2**bits, shape)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "bits"), KINDS)
def test_the_values_are_those_stored(tmp_path, colour, bits, interlaced):
    palette = [(b"PLTE", GREYS[1][: 3 * 2**bits])] if colour == PALETTE else []
    values = stored(colour, bits)
    path = write_png(tmp_path / "a.png", values, bits, colour, interlaced=interlaced, chunks=palette)
    ds = volumes.open(path)
    np.testing.assert_array_equal(ds["image"].values, values)
    assert ds["image"].dtype == (np.uint16 if bits == 16 else np.uint8)
    assert volumes.contents(path)[0].dtype == ds["image"].dtype.name
    assert " ".join(ds["channel"].values if "channel" in ds.dims else []) == NAMES.get(colour, "")
    assert ("photometric_interpretation" in ds["image"].attrs) == (colour == PALETTE)


@pytest.mark.parametrize(("colour", "bits"), [(GREY, 2), (GREY, 4), (GREY, 8), (GREY, 16), (COLOUR, 8), (COLOUR, 16)])
def test_a_transparent_value_is_told_and_stays(tmp_path, colour, bits):
    values, samples = stored(colour, bits), SAMPLES[colour]
    chunks = [(b"tRNS", np.full(samples, 3, ">u2").tobytes())]
    ds = volumes.open(write_png(tmp_path / "a.png", values, bits, colour, chunks=chunks))
    np.testing.assert_array_equal(ds["image"].values, values)
    assert '"transparency": ' in ds.attrs["original_metadata"]


def test_a_palette_and_its_alpha_are_kept(tmp_path):
    chunks = [(b"PLTE", bytes(range(12))), (b"tRNS", b"\0\x80")]
    ds = volumes.open(write_png(tmp_path / "a.png", stored(PALETTE, 2), 2, PALETTE, chunks=chunks))
    assert '"palette": [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]' in ds.attrs["original_metadata"]
    assert '"transparency": [0, 128]' in ds.attrs["original_metadata"]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_by_name(tmp_path, bits):
    values = stored(GREY, bits)
    names = {f"cell {value}": value for value in range(2**bits)}
    ds = volumes.open(write_png(tmp_path / "a.png", values, bits, GREY), labels=names)
    np.testing.assert_array_equal(ds["labels"].values, values)


def test_a_folder_of_slices_of_four_bits(tmp_path):
    for i in range(3):
        write_png(tmp_path / f"slice_{i}.png", ramp(4, 5) % 13 + i, 4, GREY)
    np.testing.assert_array_equal(volumes.open(tmp_path)["image"].values, [ramp(4, 5) % 13 + i for i in range(3)])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_as_pillow_reads_it(tmp_path, mode):
    image = Image.fromarray(ramp(4, 5, dtype=np.uint8) * 3).convert(mode)
    image.save(tmp_path / "a.bmp")
    with Image.open(tmp_path / "a.bmp") as again:
        expected = np.asarray(again)
    np.testing.assert_array_equal(volumes.open(tmp_path / "a.bmp")["image"].values, expected)
