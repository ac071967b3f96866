"""How blocks are compressed: by which filters of HDF5, and where these are found."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    import h5py

Compression: TypeAlias = Literal["zlib", "zstd"]
ZSTD: Final = 32015
"""The number of Zstandard in the registry of filters of the HDF Group."""
FILTERS: Final[Mapping[Compression, Mapping[str, Any]]] = {
    "zlib": {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True},
    "zstd": {"compression": ZSTD, "compression_opts": (1,), "shuffle": True, "fletcher32": True},
}
"""Applied in the order shuffle, compression, checksum; `fusion.files.blocks.encoded` does the same."""


def find_zstd() -> bool:
    """Return whether HDF5 has Zstandard, after looking among the filters that netCDF4 brings along."""
    import h5py

    package = find_spec("netCDF4")
    if not h5py.h5z.filter_avail(ZSTD) and package is not None and package.origin is not None:
        h5py.h5pl.append(str(Path(package.origin).parent / "plugins").encode())
    return bool(h5py.h5z.filter_avail(ZSTD))


def uses_zstd(file: h5py.File) -> bool:
    """Return whether any variable of a file is compressed by Zstandard."""
    import h5py

    def is_zstd(_: str, item: Any) -> bool | None:
        return (isinstance(item, h5py.Dataset) and str(ZSTD) in item._filters) or None

    return bool(file.visititems(is_zstd))
