"""Steps carried out one after the other, each recorded; those that an earlier run finished are taken from there."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

import xarray as xr

import fusion
from conspectus import records
from conspectus.project import Finding, Picture, Project
from conspectus.recipes.step import Step
from conspectus.records import Record
from fusion import provenance
from fusion.fingerprint import fingerprint


class Journal:
    """The record of a run.

    Parameters
    ----------
    finished : Path, optional
        A folder where the results of finished steps are kept. Without it every step is carried out.

    Attributes
    ----------
    steps : list of Record
    repeated : list of bool
        For each step, whether its result came from an earlier run.
    """

    def __init__(self, finished: Path | None = None) -> None:
        self.steps: list[Record] = []
        self.repeated: list[bool] = []
        self._finished = finished
        self._known: dict[str, tuple[xr.Dataset, str]] = {}

    def carry_out(self, step: Step, project: Project) -> None:
        """Carry a step out, or take what it made from an earlier run with the same parameters and inputs."""
        record = self._begun(step, project)
        kept = self._kept(record) if step.repeatable else None
        if kept is None or not _restored(project, kept, step):
            before = len(project.findings), len(project.pictures)
            step.run(project)
            if kept is not None:
                _keep(project, kept, step, before)
            self.repeated.append(False)
        else:
            self.repeated.append(True)
        for name in step.makes:
            record["files"] |= {item["path"]: item["sha256"] for item in provenance.read(project[name])["inputs"]}
        record["outputs"] = {name: self._sha256(name, project[name], record) for name in step.makes}
        self.steps.append(record)

    def clear(self) -> None:
        """Remove what other runs kept and this one did not use."""
        if self._finished is None:
            return
        used = {kept.name for kept in map(self._kept, self.steps) if kept}
        for path in self._finished.glob("*.nc"):
            if path.name not in used:
                path.unlink(missing_ok=True)

    def _begun(self, step: Step, project: Project) -> Record:
        parameters = step.model_dump(mode="json", exclude={"do"})
        record = Record(do=step.do, parameters=parameters, inputs={}, outputs={}, files={})
        # a step may change what it makes, so that an earlier dataset of that name is an input, too
        taken = [name for name in dict.fromkeys([*step.reads, *step.makes]) if name in project]
        record["inputs"] = {name: self._sha256(name, project[name], record) for name in taken}
        return record

    def _sha256(self, name: str, ds: xr.Dataset, record: Record) -> str:
        known = self._known.get(name)
        if known is None or known[0] is not ds:
            known = ds, records.made_by(record) if _is_lazy(ds) else fingerprint(ds)
            self._known[name] = known
        return known[1]

    def _kept(self, record: Record) -> Path | None:
        if self._finished is None:
            return None
        environment = json.dumps(records.environment(), sort_keys=True)
        name = records.key(record | {"parameters": {**record["parameters"], "environment": environment}})
        return self._finished / f"{name[:32]}.nc"


def _keep(project: Project, path: Path, step: Step, before: tuple[int, int]) -> None:
    """Save what a step made; what is not in memory, or no file can hold, is made again."""
    made = {name: project[name] for name in step.makes}
    if any(map(_is_lazy, made.values())):
        return
    findings, pictures = project.findings[before[0] :], project.pictures[before[1] :]
    drawn = [(picture.title, b64encode(picture.png).decode(), picture.caption) for picture in pictures]
    path.parent.mkdir(parents=True, exist_ok=True)
    tree = xr.DataTree.from_dict(made)
    tree.attrs = {"findings": json.dumps(findings), "pictures": json.dumps(drawn)}
    with suppress(fusion.ConventionError):
        fusion.save(tree, path)


def _restored(project: Project, path: Path, step: Step) -> bool:
    """Bring back what a step made, if it is there and undamaged."""
    if not path.is_file():
        return False
    try:
        tree: Any = fusion.load(path)
    except fusion.ConspectusError:
        return False
    for name in step.makes:
        project[name] = tree[name].to_dataset()
    project.findings += [Finding(*row) for row in json.loads(tree.attrs["findings"])]
    project.pictures += [Picture(title, b64decode(png), caption) for title, png, caption in _rows(tree)]
    return True


def _rows(tree: xr.DataTree) -> list[list[str]]:
    rows: list[list[str]] = json.loads(tree.attrs["pictures"])
    return rows


def _is_lazy(ds: xr.Dataset) -> bool:
    return any(variable.chunks is not None for variable in ds.variables.values())
