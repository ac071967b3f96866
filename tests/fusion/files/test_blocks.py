"""Blocks packed beside HDF5: any HDF5 library and any zlib reads them, and noise costs neither time nor room."""

import threading
import zlib
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
import pytest

from fusion.files.blocks import BlockWriter, decoded, encoded
from fusion.files.filters import FILTERS, Compression, find_zstd

RNG = np.random.default_rng(0)
CONTENTS = {
    "noise in every byte": RNG.integers(0, 256, (20, 8, 16, 8), dtype=np.uint8).view("<f8")[..., 0],
    "noise in the low bytes": RNG.normal(size=(30, 40, 50)).astype("<f4"),
    "noisy bytes": RNG.integers(0, 256, 100_000, dtype=np.uint8),
    "counts": RNG.poisson(3.0, (40, 50, 60)).astype("<u2"),
    "a ramp": np.arange(70_000, dtype="<i8"),
    "one number": np.array([-0.0]),
    "nothing but zeros": np.zeros((5, 7), np.int32),
    "characters": np.frombuffer(b"hematite", "S1"),
}


@pytest.mark.parametrize("compression", get_args(Compression))
@pytest.mark.parametrize("values", CONTENTS.values(), ids=CONTENTS)
def test_a_block_comes_back_from_us_and_from_hdf5(tmp_path: Path, values: Any, compression: Compression) -> None:
    assert find_zstd()
    packed = encoded(values, compression)
    assert decoded(packed, values.dtype, values.shape).tobytes() == values.tobytes()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("a", values.shape, values.dtype, chunks=values.shape, **FILTERS[compression])
        BlockWriter(dataset, threading.Lock(), compression).write(values)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["a"][()].tobytes() == values.tobytes()


@pytest.mark.parametrize("values", CONTENTS.values(), ids=CONTENTS)
def test_any_zlib_reads_a_block(values: Any) -> None:
    planes = values.reshape(-1, 1).view(np.uint8).reshape(-1, values.dtype.itemsize).T
    assert zlib.decompress(encoded(values)[:-4]) == planes.tobytes()


@pytest.mark.parametrize("values", CONTENTS.values(), ids=CONTENTS)
def test_a_block_is_about_as_small_as_with_deflate_alone(values: Any) -> None:
    planes = values.reshape(-1, 1).view(np.uint8).reshape(-1, values.dtype.itemsize).T
    assert len(encoded(values)) < 1.02 * len(zlib.compress(planes.tobytes(), 1)) + 32


def test_a_flipped_bit_of_a_block_is_noticed() -> None:
    values = CONTENTS["noise in the low bytes"]
    packed = bytearray(encoded(values))
    packed[len(packed) // 2] ^= 4
    with pytest.raises(ValueError, match="checksum"):
        decoded(bytes(packed), values.dtype, values.shape)
