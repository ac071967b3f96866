"""The blocks of a stored array: their shape, how they are compressed, and the sha256 over all of them."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import xarray as xr

from fusion.files.filters import Compression
from fusion.progress import counted

Array: TypeAlias = npt.NDArray[Any]
Region: TypeAlias = tuple[slice, ...]
_ZLIB_HEADER: Final = b"\x78\x01"
"""RFC 1950: deflate with a window of 32 kB, packed fast."""
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
"""RFC 8878, 3.1.1: how every frame begins; no stream of deflate begins so."""
_SAMPLE: Final = 2048
_SAMPLES: Final = 4
_WORTHWHILE: Final = 0.98
_BYTES: Final = 1 << 20
_THREADS: Final = min(4, os.cpu_count() or 1)


def block_shape(variable: xr.Variable) -> tuple[int, ...]:
    """Return the shape of the blocks of a variable: about 1 MB, halving the longest axis until they fit.

    Blocks of a dask array are kept or divided into equal ones, so that each is computed once.

    Examples
    --------
    >>> block_shape(xr.Variable(("z", "y", "x"), np.zeros((10, 300, 1000), np.float32)))
    (10, 150, 125)
    """
    lazy = variable.chunks is not None
    shape = [max(sizes) for sizes in variable.chunks] if variable.chunks is not None else list(variable.shape)
    while np.prod(shape) * variable.dtype.itemsize > _BYTES:
        divisible = [axis for axis, size in enumerate(shape) if size % 2 == 0 or not lazy]
        if not divisible:
            break
        longest = max(divisible, key=lambda axis: shape[axis])
        shape[longest] = -(-shape[longest] // 2)
    return tuple(shape)


def regions(shape: tuple[int, ...], block: tuple[int, ...]) -> Iterator[Region]:
    """Return the region of each block, in C order.

    Examples
    --------
    >>> list(regions((3,), (2,)))
    [(slice(0, 2, None),), (slice(2, 3, None),)]
    """
    steps = [range(0, size, step) for size, step in zip(shape, block, strict=True)]
    for start in itertools.product(*steps):
        ends = (min(first + step, size) for first, step, size in zip(start, block, shape, strict=True))
        yield tuple(map(slice, start, ends))


def each(do: Callable[[Region], None], where: Iterable[Region], name: str) -> None:
    """Call a function for each region, several at a time; the first error ends it. `name` is for a progress bar."""
    listed = list(where)
    if len(listed) == 1:  # most variables are one block, and a thread costs more than it
        do(listed[0])
        return
    pool = ThreadPoolExecutor(_THREADS)
    try:
        done = pool.map(do, listed)
        for _ in counted(listed, name, "blocks"):
            next(done)
    finally:
        pool.shutdown(cancel_futures=True)


def encoded(block: Array, compression: Compression = "zlib") -> bytes:
    """Return a block as HDF5 stores it behind `fusion.files.filters`; here several can be compressed at once."""
    import imagecodecs

    planes = _shuffled(block)
    packed = imagecodecs.zstd_encode(planes.tobytes(), level=1) if compression == "zstd" else _deflated(planes)
    return bytes(packed) + int(imagecodecs.h5checksum_fletcher32(packed)).to_bytes(4, "little")


def _deflated(planes: npt.NDArray[np.uint8]) -> bytes:
    import imagecodecs

    # The first bytes of all numbers are put together, then the second ones (shuffle). In little-endian order the
    # lowest bytes come first, and in measured floats these are noise on which deflate spends nearly all of its time and
    # saves nothing. RFC 1951 lets a stream hold such bytes as they are (3.2.4) in front of the compressed ones; any
    # zlib reads it, and noisy floats take a fraction of the time for a file of the same size.
    noise = _leading_noise(planes)
    kept = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    stored = kept.compress(planes[:noise].data) + kept.flush(zlib.Z_SYNC_FLUSH) if noise else b""
    deflated = imagecodecs.deflate_encode(planes[noise:].tobytes(), level=1, raw=True)
    return b"".join([_ZLIB_HEADER, stored, deflated, zlib.adler32(planes.data).to_bytes(4, "big")])


def decoded(stored: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Return the block that `encoded` packed.

    Raises
    ------
    ValueError
        If the bytes are damaged.
    """
    import imagecodecs

    packed, checksum = stored[:-4], int.from_bytes(stored[-4:], "little")
    if imagecodecs.h5checksum_fletcher32(packed) != checksum:
        raise ValueError("the checksum of a block does not agree")
    size = int(np.prod(shape))
    decode = imagecodecs.zstd_decode if packed.startswith(_ZSTD_MAGIC) else imagecodecs.deflate_decode
    planes = np.frombuffer(decode(packed, out=size * dtype.itemsize), np.uint8)
    numbers = np.empty((size, dtype.itemsize), np.uint8)
    for index, plane in enumerate(planes.reshape(dtype.itemsize, size)):
        numbers[:, index] = plane
    return numbers.view(dtype).reshape(shape)


def _shuffled(block: Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of a block as (byte of the number, number)."""
    numbers = np.ascontiguousarray(block).reshape(-1).view(np.uint8).reshape(-1, block.dtype.itemsize)
    planes = np.empty(numbers.shape[::-1], np.uint8)
    for index in range(len(planes)):  # a plane at a time, three times as fast as the transposed copy
        planes[index] = numbers[:, index]
    return planes


def _leading_noise(planes: npt.NDArray[np.uint8]) -> int:
    """Return how many planes from the first one deflate cannot shorten, judged by four samples of each."""
    import imagecodecs

    step = planes.shape[1] // _SAMPLES
    if step < _SAMPLE:
        return 0
    for index, plane in enumerate(planes):
        sample = b"".join(plane[start : start + _SAMPLE].tobytes() for start in range(0, len(plane), step))
        if len(imagecodecs.deflate_encode(sample, level=1, raw=True)) < _WORTHWHILE * len(sample):
            return index
    return len(planes)


def padded(values: Array, shape: tuple[int, ...]) -> Array:
    """Return values as a full block: at the far edges of an array it is filled up with zeros."""
    if values.shape == shape:
        return values
    block = np.zeros(shape, values.dtype)
    block[tuple(map(slice, values.shape))] = values
    return block


class Digest:
    """The sha256 of an array: that of the sha256 of its blocks, in C order, whatever order they come in."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, ...], bytes] = {}

    def add(self, start: tuple[int, ...], block: Array) -> None:
        """Add the block that begins at `start`."""
        self._blocks[start] = hashlib.sha256(np.ascontiguousarray(block).data).digest()

    def __len__(self) -> int:
        return len(self._blocks)

    def hexdigest(self) -> str:
        """Return the sha256 of all blocks."""
        return hashlib.sha256(b"".join(self._blocks[start] for start in sorted(self._blocks))).hexdigest()


class BlockWriter:
    """Takes the values of one array region by region, from several threads, and writes them compressed.

    Parameters
    ----------
    dataset : h5py.Dataset
        Created with the filters of `fusion.files.filters`.
    lock : threading.Lock
        Shared by all arrays of a file.
    compression : str
        That of the filters.
    """

    def __init__(self, dataset: Any, lock: threading.Lock, compression: Compression = "zlib") -> None:
        self._dataset, self._lock, self._compression = dataset, lock, compression
        self.block: tuple[int, ...] = dataset.chunks
        self._digest = Digest()

    def __setitem__(self, region: Region, values: Array) -> None:
        """Write a region that begins and ends where blocks do."""
        origin = tuple(part.start or 0 for part in region)
        for part in regions(values.shape, self.block):
            block = padded(np.ascontiguousarray(values[part]), self.block)
            start = tuple(int(first + step.start) for first, step in zip(origin, part, strict=True))
            packed = encoded(block, self._compression)
            with self._lock:
                self._digest.add(start, block)
                self._dataset.id.write_direct_chunk(start, packed)

    def write(self, values: Array) -> None:
        """Write an array that is in memory, several blocks at a time."""
        each(lambda region: self.__setitem__(region, values[region]), regions(values.shape, self.block), "save")

    def sha256(self) -> str:
        """Return the sha256 of what was written.

        Raises
        ------
        OSError
            If blocks are missing.
        """
        expected = int(np.prod([-(-size // step) for size, step in zip(self._dataset.shape, self.block, strict=True)]))
        if len(self._digest) != expected:
            raise OSError(f"{expected - len(self._digest)} of {expected} blocks were not written")
        return self._digest.hexdigest()
