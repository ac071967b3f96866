"""What a run did, kept in its file: each step with its parameters and the sha256 of what it took and made."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypedDict

import xarray as xr

from fusion import provenance

ATTRIBUTE: Final = "run"
"""The attribute of the root of a saved project that holds a `Run` as JSON."""
LAZY: Final = "lazy "


class Record(TypedDict):
    """One step: its parameters, and the datasets it took and made by name, each with its sha256.

    A lazy dataset is known by the step that made it. `files` are those that it read, with their sha256.
    """

    do: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str]
    files: dict[str, str]


class Run(TypedDict):
    """A recipe, its steps as they were carried out, and what they were carried out with."""

    recipe: dict[str, Any]
    steps: list[Record]
    environment: dict[str, str]


def key(record: Record) -> str:
    """Return the sha256 of a step before it is carried out: what it does, and to what.

    Examples
    --------
    >>> crop = Record(do="crop", parameters={"low": 1.0}, inputs={"map": "ab"}, outputs={}, files={})
    >>> key(crop) == key(crop | {"outputs": {"map": "cd"}}), key(crop) == key(crop | {"inputs": {"map": "cd"}})
    (True, False)
    """
    content = [record["do"], record["parameters"], record["inputs"]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def made_by(record: Record) -> str:
    """Return what a lazy dataset is known by: the step that made it, and the files that it reads."""
    files = json.dumps(record["files"], sort_keys=True)
    return f"{LAZY}{hashlib.sha256((key(record) + files).encode()).hexdigest()}"


def read(tree: xr.Dataset | xr.DataTree) -> Run | None:
    """Return what a saved project says of its run; None if no run made it."""
    text = tree.attrs.get(ATTRIBUTE)
    run: Run | None = json.loads(text) if text else None
    return run


@cache
def environment() -> dict[str, str]:
    """Return what the last bit of a result may depend on: versions, our own source, the processor, the threads."""
    return {**provenance.versions(), "machine": platform.machine(), "source": _source(), **_threads()}


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Say what differs between two environments."""
    names = sorted({*then, *now})
    return [f"{n} {then.get(n, 'none')} → {now.get(n, 'none')}" for n in names if then.get(n) != now.get(n)]


def _source() -> str:
    """Return the beginning of the sha256 over the source of the four packages."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for package in ("conspectus", "fusion", "spectra", "volumes"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _threads() -> dict[str, str]:
    """Return the threads of linear algebra: sums in another order differ in their last bits."""
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(variable):
            return {"threads": os.environ[variable]}
    return {"threads": str(os.cpu_count())}
