"""What was done to a dataset: CF ``history`` for people, ``provenance`` (JSON) for machines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import xarray as xr

from fusion import units

_PACKAGES = ("conspectus", "numpy", "xarray", "hyperspy", "rosettasciio")


class Step(TypedDict):
    """One step: `inputs` are the ids of the steps whose results it took, and `id` is the sha256 of all the rest."""

    id: str
    name: str
    parameters: dict[str, Any]
    inputs: list[str]


class Provenance(TypedDict):
    """The machine-readable record of a dataset: files, a graph of steps of which the last made it, versions."""

    inputs: list[dict[str, str]]
    steps: list[Step]
    versions: dict[str, str]


def read(ds: xr.Dataset) -> Provenance:
    """Return the record of a dataset; an empty one if it has none.

    Examples
    --------
    >>> [(step["name"], step["parameters"]) for step in read(record(xr.Dataset(), "crop", {"x": 3}))["steps"]]
    [('crop', {'x': 3})]
    """
    text = ds.attrs.get("provenance")
    known: Any = json.loads(text) if text else {"inputs": [], "steps": [], "versions": {}}
    steps: list[Step] = []
    for step in known["steps"]:
        before = [steps[-1]["id"]] if steps else []
        # version 0.1 kept a list without ids
        steps.append(step if "id" in step else _step(step["name"], step["parameters"], before, []))
    return Provenance(inputs=known["inputs"], steps=steps, versions=known["versions"])


def record(
    ds: xr.Dataset,
    step: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    inputs: Iterable[str | PathLike[str]] = (),
    parents: Iterable[xr.Dataset] = (),
    source: xr.Dataset | None = None,
) -> xr.Dataset:
    """Return the dataset with one more step in its history.

    Parameters
    ----------
    ds : Dataset
        Shared, not copied.
    step : str
        What was done, e.g. ``"spectra.decompose"``.
    parameters : mapping, optional
        Everything that is needed to do it again; seeds included. What JSON does not know is kept as text.
    inputs : iterable of path, optional
        Files that were read; each is kept with its sha256.
    parents : iterable of Dataset, optional
        Further datasets that went into this one; their records come first, each step once.
    source : Dataset, optional
        What the step took, where it called other steps on the way: `ds` then has their records, and these are left out.

    Returns
    -------
    Dataset
    """
    source = ds if source is None else source
    known = read(source)
    others = [read(parent) for parent in parents]
    before = [other["steps"][-1]["id"] for other in (known, *others) if other["steps"]]
    for other in others:
        known = _merged(other, known)
    # JSON has no infinity: parse_constant keeps it as text
    kept = json.loads(json.dumps(dict(parameters or {}), default=_plain), parse_constant=str)
    files = [{"path": Path(path).name, "sha256": sha256(path)} for path in inputs]
    entry = _step(step, kept, list(dict.fromkeys(before)), files)
    new = Provenance(inputs=files, steps=[entry], versions=_versions())
    named = (json.dumps(file["path"], ensure_ascii=False) for file in files)
    arguments = ", ".join(filter(None, [*named, _summary(entry["parameters"])]))
    line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {step}({arguments})"
    history = [*filter(None, [str(source.attrs.get("history", ""))]), line]
    return ds.assign_attrs(history="\n".join(history), provenance=json.dumps(_merged(known, new)))


def prepare() -> None:
    """Do once what every record needs and what takes a while: the unit registry and the versions."""
    units.parse("um")
    _versions()


def sha256(path: str | PathLike[str]) -> str:
    """Return the sha256 of a file; of a folder, that of the names and hashes of its files in order."""
    source = Path(path)
    if source.is_dir():
        files = sorted((item.relative_to(source).as_posix(), item) for item in source.rglob("*") if item.is_file())
        return hashlib.sha256("\n".join(f"{name} {sha256(item)}" for name, item in files).encode()).hexdigest()
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _step(name: str, parameters: dict[str, Any], inputs: list[str], files: list[dict[str, str]]) -> Step:
    content = json.dumps([name, parameters, inputs, [file["sha256"] for file in files]], sort_keys=True)
    identity = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Step(id=identity, name=name, parameters=parameters, inputs=inputs)


def reads(step: Step, file: Mapping[str, str]) -> bool:
    """Whether a step read a file: its sha256 is part of the id of the step."""
    return _step(step["name"], step["parameters"], step["inputs"], [dict(file)])["id"] == step["id"]


def _merged(first: Provenance, second: Provenance) -> Provenance:
    """Return the union of two graphs; the result of `second` stays the last step."""
    inputs = [*first["inputs"], *(item for item in second["inputs"] if item not in first["inputs"])]
    taken = {step["id"] for step in second["steps"]}
    steps = [*(step for step in first["steps"] if step["id"] not in taken), *second["steps"]]
    return Provenance(inputs=inputs, steps=steps, versions={**first["versions"], **second["versions"]})


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _summary(parameters: Mapping[str, Any]) -> str:
    texts = (f"{key}={json.dumps(value)}" for key, value in parameters.items())
    return ", ".join(text if len(text) <= 60 else f"{text[:57]}..." for text in texts)


@cache
def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
