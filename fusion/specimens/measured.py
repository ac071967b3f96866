"""The registry of measured files: each known by its source at a fixed commit and its sha256.

A file is looked for in the folder that the environment variable ``CONSPECTUS_DATA`` names, then in the user's cache,
and is downloaded where there is a network.
"""

from __future__ import annotations

import csv
import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from fusion.errors import FileReadError
from fusion.provenance import sha256

VARIABLE: Final = "CONSPECTUS_DATA"


class Entry(NamedTuple):
    """One measured file; `source` is repository@commit:path, or empty where it cannot be downloaded on its own."""

    name: str
    sha256: str
    source: str

    @property
    def address(self) -> str:
        """Return the address of the file at its fixed commit."""
        repository, _, path = self.source.partition(":")
        return f"https://raw.githubusercontent.com/{repository.replace('@', '/')}/{path}"


@cache
def entries() -> dict[str, Entry]:
    """Return every known file by its name.

    Examples
    --------
    >>> entries()["edx/test_TEM.bcf"].source.partition("@")[0]
    'hyperspy/rosettasciio'
    """
    text = files("fusion.specimens").joinpath("measured.tsv").read_text(encoding="utf-8")
    return {row[0]: Entry(*row) for row in csv.reader(text.splitlines()[1:], delimiter="\t")}


def locate(name: str, *, download: bool = True) -> Path:
    """Return the path of a measured file, or of a folder of them, on this machine.

    Parameters
    ----------
    name : str
        As in `entries`, or the folder that several of them share.
    download : bool
        Whether a file that is not at hand may be fetched from its source.

    Raises
    ------
    FileReadError
        If the name is not known, or the file is not at hand and cannot be fetched, or is not the same file.
    """
    wanted = [entry for entry in entries().values() if entry.name == name or entry.name.startswith(f"{name}/")]
    if not wanted:
        raise FileReadError(
            name, "no measured file of this name is registered", hint="see fusion.specimens.measured.entries()"
        )
    folder = os.environ.get(VARIABLE)
    local = Path(folder) / name if folder else None
    if local is not None and local.exists():
        for entry in wanted:
            _verify(Path(folder or "") / entry.name, entry)
        return local
    if not download:
        raise FileReadError(name, "not at hand", hint=f"set {VARIABLE} to the folder that holds it")
    return _download(name, wanted)


@cache
def _verify(path: Path, entry: Entry) -> None:
    if not path.is_file() or sha256(path) != entry.sha256:
        raise FileReadError(path, "not the registered file (its sha256 differs)", hint="copy or download it again")


def _download(name: str, wanted: list[Entry]) -> Path:
    import pooch

    cache_folder = Path(pooch.os_cache("conspectus"))
    for entry in wanted:
        if not entry.source:
            hint = f"set {VARIABLE} to the folder that holds it"
            raise FileReadError(entry.name, "not at hand, and it has no address of its own", hint=hint)
        target = cache_folder / entry.name
        try:
            pooch.retrieve(entry.address, f"sha256:{entry.sha256}", fname=target.name, path=target.parent)
        except (OSError, ValueError) as error:
            hint = f"set {VARIABLE} to the folder that holds it, or try again with a network"
            raise FileReadError(
                entry.name, f"not at hand and not downloaded ({type(error).__name__})", hint=hint
            ) from error
    return cache_folder / name
