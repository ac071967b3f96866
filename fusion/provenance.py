"""What was done to a dataset: CF ``history`` for people, ``provenance`` (JSON) for machines."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import xarray as xr

from fusion import units
from fusion.fingerprint import fingerprint
from fusion.parameters import PREFIX, described, restored

_PACKAGES = (
    "conspectus", "dask", "h5py", "hyperspy", "numba", "numpy", "pybaselines", "rosettasciio", "scikit-image",
    "scikit-learn", "scipy", "xarray",
)  # fmt: skip


class File(TypedDict):
    """A file that was read: its name and the sha256 of its contents."""

    path: str
    sha256: str


class Input(TypedDict):
    """What a step took: a dataset by its title, of the step that made it."""

    step: str
    output: str


class Step(TypedDict):
    """One step.

    `id` is the sha256 of name, parameters, inputs and files: what was asked. `outputs` are the sha256 of what came out
    (`fusion.fingerprint`) by title, None where it was lazy: two records with one id and other outputs tell that the
    same step made something else.
    """

    id: str
    name: str
    parameters: dict[str, Any]
    inputs: list[Input]
    outputs: dict[str, str | None]


class Provenance(TypedDict):
    """The machine-readable record of a dataset: files, a graph of steps of which the last made it, versions."""

    inputs: list[File]
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
        steps.append(_of_any_version(step, steps[-1]["id"] if steps else ""))
    return Provenance(inputs=known["inputs"], steps=steps, versions=known["versions"])


def arguments(ds: xr.Dataset, step: Step) -> dict[str, Any]:
    """Return the parameters of a step in the record of a dataset, with their arrays.

    Raises
    ------
    KeyError
        If an array on record is no longer in the attributes of the dataset.
    """
    values: dict[str, Any] = restored(step["parameters"], ds.attrs)
    return values


def arrays(*datasets: xr.Dataset) -> dict[str, Any]:
    """Return the arrays that the records of datasets refer to."""
    attrs = {str(key): value for ds in datasets for key, value in ds.attrs.items()}
    return {key: value for key, value in attrs.items() if key.startswith(PREFIX)}


def record(
    ds: xr.Dataset,
    step: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    inputs: Iterable[str | PathLike[str] | File] = (),
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
        Everything that is needed to do it again; seeds included. Long arrays become attributes of the dataset, to which
        the record refers; what neither JSON nor an attribute knows is kept as text.
    inputs : iterable of path or File, optional
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
    taken = [source, *parents]
    known, *others = map(read, taken)
    before = [_result(other) for other in (known, *others) if other["steps"]]
    for other in others:
        known = _merged(other, known)
    kept, long = described(parameters or {})
    files = [path if isinstance(path, dict) else file(path) for path in inputs]
    entry = _step(step, kept, before, files)
    entry["outputs"] = {str(ds.attrs.get("title", "")): _sha256_of(ds)}
    new = Provenance(inputs=files, steps=[entry], versions=versions())
    named = (json.dumps(one["path"], ensure_ascii=False) for one in files)
    listed = ", ".join(filter(None, [*named, _summary(entry["parameters"])]))
    line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {step}({listed})"
    history = "\n".join([*filter(None, [str(source.attrs.get("history", ""))]), line])
    whole = json.dumps(_merged(known, new))
    return ds.assign_attrs({**arrays(*taken), **long, "history": history, "provenance": whole})


def prepare() -> None:
    """Do once what every record needs and what takes a while: the unit registry and the versions."""
    units.parse("um")
    versions()


def file(path: str | PathLike[str]) -> File:
    """Return a file as a record names it."""
    return File(path=Path(path).name, sha256=sha256(path))


def sha256(path: str | PathLike[str]) -> str:
    """Return the sha256 of a file; of a folder, that of the names and hashes of its files in order."""
    source = Path(path)
    if source.is_dir():
        files = sorted((item.relative_to(source).as_posix(), item) for item in source.rglob("*") if item.is_file())
        return hashlib.sha256("\n".join(f"{name} {sha256(item)}" for name, item in files).encode()).hexdigest()
    with source.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _step(name: str, parameters: dict[str, Any], inputs: list[Input], files: list[File]) -> Step:
    content = json.dumps([name, parameters, inputs, [file["sha256"] for file in files]], sort_keys=True)
    identity = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Step(id=identity, name=name, parameters=parameters, inputs=inputs, outputs={})


def _of_any_version(step: Any, before: str) -> Step:
    """Return a step as it is on record today; version 0.1 kept a list without ids, `before` is the step before it."""
    if "id" not in step:
        return _step(step["name"], step["parameters"], [Input(step=before, output="")] if before else [], [])
    inputs = [Input(step=one, output="") if isinstance(one, str) else one for one in step["inputs"]]
    return Step(
        id=step["id"], name=step["name"], parameters=step["parameters"], inputs=inputs,
        outputs=step.get("outputs", {}),
    )  # fmt: skip


def _result(known: Provenance) -> Input:
    """Return the result of a record: what its last step made, which is one dataset."""
    last = known["steps"][-1]
    return Input(step=last["id"], output=next(iter(last["outputs"]), ""))


def _sha256_of(ds: xr.Dataset) -> str | None:
    """Return the sha256 of a dataset, None of a lazy one."""
    return None if any(variable.chunks is not None for variable in ds.variables.values()) else fingerprint(ds)


def reads(step: Step, file: File) -> bool:
    """Whether a step read a file: its sha256 is part of the id of the step."""
    return _step(step["name"], step["parameters"], step["inputs"], [file])["id"] == step["id"]


def _merged(first: Provenance, second: Provenance) -> Provenance:
    """Return the union of two graphs, a step with the outputs of both; the result of `second` stays the last step."""
    inputs = [*first["inputs"], *(item for item in second["inputs"] if item not in first["inputs"])]
    others = {step["id"]: step["outputs"] for step in first["steps"]}
    taken = {step["id"] for step in second["steps"]}
    steps = [step for step in first["steps"] if step["id"] not in taken]
    for step in second["steps"]:
        both = {**others.get(step["id"], {}), **step["outputs"]}
        steps.append({**step, "outputs": both})
    return Provenance(inputs=inputs, steps=steps, versions={**first["versions"], **second["versions"]})


def _summary(parameters: Mapping[str, Any]) -> str:
    texts = (f"{key}={json.dumps(value)}" for key, value in parameters.items())
    return ", ".join(text if len(text) <= 60 else f"{text[:57]}..." for text in texts)


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
