"""Say where two saved results differ: the first step that does, and by how much each variable."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from conspectus import records
from conspectus.records import Record, Run
from fusion import provenance
from fusion.errors import FileReadError
from fusion.files import netcdf, store
from fusion.fingerprint import fingerprint
from fusion.reading.paths import existing


def show(first: Path, second: Path, *, console: Console | None = None) -> None:
    """Print which step of two runs differs first and why, and the largest difference of each variable.

    Raises
    ------
    FileReadError
        If a file is missing, or `fusion.save` did not write it.
    """
    console = console or Console(markup=False)
    nodes = [_nodes(path) for path in (first, second)]
    runs = [records.read(store.load(path, chunks={})) for path in (first, second)]
    if runs[0] and runs[1]:
        console.print(first_difference(runs[0], runs[1]), soft_wrap=True)
    else:
        for name in nodes[0].keys() & nodes[1].keys():
            said = first_difference(*(_as_run(found[name]) for found in nodes))
            console.print(f"{name}: {said}" if name else said, soft_wrap=True)
    rows = list(_differences(nodes[0], nodes[1]))
    if not rows:
        console.print(f"All datasets of {first} and {second} are the same, to the last bit", soft_wrap=True)
        return
    table = Table()
    for column in ("variable", "largest difference", "relative to the largest value"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def first_difference(one: Run, other: Run) -> str:
    """Say which step of two runs is the first that differs, and whether in what it does, what it took, or what it made.

    Examples
    --------
    >>> def run(seed, made):
    ...     step = Record(do="phantom", parameters={"seed": seed}, inputs={}, outputs={"map": made}, files={})
    ...     return Run(recipe={}, steps=[step], environment={"numpy": "2"})
    >>> first_difference(run(0, "ab"), run(1, "cd"))
    'step 1 (phantom): seed 0 → 1'
    """
    for number, (step, changed) in enumerate(zip(one["steps"], other["steps"], strict=False), 1):
        difference = _step_difference(step, changed)
        if difference:
            since = records.changed(one["environment"], other["environment"])
            what = f" ({', '.join(since)})" if since and difference.startswith("made") else ""
            return f"step {number} ({step['do']}): {difference}{what}"
    lengths = [len(run["steps"]) for run in (one, other)]
    return "The steps are the same" if len(set(lengths)) == 1 else f"one has {lengths[0]} steps, the other {lengths[1]}"


def _as_run(ds: xr.Dataset) -> Run:
    """Return the steps behind a dataset, which a session of Python carried out, in the form of a run."""
    known = provenance.read(ds)
    steps = [
        Record(
            do=step["name"],
            parameters=step["parameters"],
            inputs={},
            outputs={name: digest or records.LAZY for name, digest in step["outputs"].items()},
            files={file["path"]: file["sha256"] for file in known["inputs"] if provenance.reads(step, file)},
        )
        for step in known["steps"]
    ]
    return Run(recipe={}, steps=steps, environment=known["versions"])


def _step_difference(step: Record, other: Record) -> str:
    if step["do"] != other["do"]:
        return f"the other run does {other['do']}"
    before, after = step["parameters"], other["parameters"]
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if keys:
        return ", ".join(f"{key} {before.get(key)} → {after.get(key)}" for key in keys)
    files = [name for name, digest in step["files"].items() if other["files"].get(name) != digest]
    if files:
        return f"read other files: {', '.join(files)}"
    made = [name for name, digest in step["outputs"].items() if other["outputs"].get(name) != digest]
    return f"made another {', '.join(made)} from the same" if made else ""


def _nodes(path: Path) -> dict[str, xr.Dataset]:
    saved = netcdf.saved(existing(path))
    if not saved:
        raise FileReadError(path, "fusion.save did not write it", hint="open it and save it first")
    return saved


def _differences(one: dict[str, xr.Dataset], other: dict[str, xr.Dataset]) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each variable that is not the same."""
    for name in {**one, **other}:
        if name not in one or name not in other:
            yield name or "dataset", f"only in the {'first' if name in one else 'second'} file", ""
        elif fingerprint(one[name]) != fingerprint(other[name]):
            yield from _of_datasets(name, one[name], other[name])


def _of_datasets(node: str, one: xr.Dataset, other: xr.Dataset) -> Iterator[tuple[str, str, str]]:
    rows = []
    for name in {**one.variables, **other.variables}:
        where = f"{node}/{name}".lstrip("/")
        if name not in one.variables or name not in other.variables:
            rows.append((where, f"only in the {'first' if name in one.variables else 'second'} file", ""))
        elif _sha256(one, name) != _sha256(other, name):
            rows.append((where, *_apart(one.variables[name], other.variables[name])))
    yield from rows or [(node or "dataset", "attributes only", "")]


def _sha256(ds: xr.Dataset, name: Hashable) -> str:
    return fingerprint(xr.Dataset({name: ds.variables[name]}))


def _apart(one: xr.Variable, other: xr.Variable) -> tuple[str, str]:
    """Return the largest difference of two variables, and relative to the largest value of the first."""
    if one.sizes != other.sizes:
        return f"sizes {dict(one.sizes)} and {dict(other.sizes)}", ""
    if one.dtype.kind not in "iufb" or other.dtype.kind not in "iufb":
        return f"{int((one.values != other.values).sum())} of {one.size} values", ""
    values, others = (variable.values.astype(np.float64) for variable in (one, other))
    apart = np.abs(values - others)[np.isfinite(values) & np.isfinite(others)]
    if not apart.any():
        missing = int((np.isfinite(values) != np.isfinite(others)).sum())
        return (f"missing in one of them: {missing} values", "") if missing else ("attributes or type only", "")
    largest = float(np.nanmax(np.abs(values[np.isfinite(values)])))
    return f"{apart.max():.3g}", f"{apart.max() / largest:.1e}" if largest else "infinite"
