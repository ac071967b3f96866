"""A dataset that a session of Python saved, made again from its provenance: files, functions, parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

import fusion
import spectra
import volumes
from conspectus.errors import RecipeError
from conspectus.recipes.apply import TRANSFORMS, functions
from fusion import provenance
from fusion.conventions import title
from fusion.errors import ConspectusError
from fusion.fingerprint import fingerprint
from fusion.provenance import File, Input, Step
from fusion.warp import from_parameters

_OPENERS: Final[Mapping[str, Callable[..., Any]]] = {
    "spectra.open": spectra.open, "volumes.open": volumes.open, "fusion.read_landmarks": fusion.read_landmarks,
    "volumes.read_landmarks": volumes.read_landmarks,
}  # fmt: skip
"""Functions of a file alone."""
_TREES: Final[Mapping[str, Callable[..., Any]]] = {
    "fusion.phantom": fusion.phantom, "spectra.decompose_jointly": spectra.decompose_jointly
}  # fmt: skip
"""Functions of several results, each the node of a tree."""
_ONE: Final = ("xr.Dataset", "xr.Dataset | xr.DataTree")
_PERHAPS_ONE: Final = ("xr.Dataset | None",)
_ANY_NUMBER: Final = ("Annotation | None",)
"""Annotations of parameters that are datasets."""


class Difference(NamedTuple):
    """A step that made something else than before, although it took the same; or a dataset that was changed since."""

    step: str
    names: list[str]

    def __str__(self) -> str:
        return f"{self.step}: {', '.join(self.names)}"


class Session:
    """The steps behind one dataset.

    Parameters
    ----------
    ds : Dataset
        With its record.
    sources : Path
        The folder of the files that were opened.

    Attributes
    ----------
    differences : list of Difference
        Steps that made something else than before when they were carried out again.
    """

    def __init__(self, ds: xr.Dataset, sources: Path) -> None:
        known = provenance.read(ds)
        self._ds, self._files, self._sources = ds, known["inputs"], sources
        self._steps = {step["id"]: step for step in known["steps"]}
        self._last = known["steps"][-1] if known["steps"] else None
        self._made: dict[tuple[str, str], xr.Dataset] = {}
        self.differences: list[Difference] = []

    def carry_out(self) -> xr.Dataset:
        """Carry out every step that the last one needs, and return what it makes.

        Raises
        ------
        RecipeError
            Naming the step that cannot be carried out again, and why.
        """
        if self._last is None:
            raise RecipeError("it holds no record of how it was made")
        made = self._result(Input(step=self._last["id"], output=next(iter(self._last["outputs"]), "")))
        if not self.differences and fingerprint(made) != fingerprint(self._ds):
            self.differences.append(Difference("the dataset, changed after its last step on record", [title(self._ds)]))
        return made

    def _result(self, wanted: Input) -> xr.Dataset:
        key = wanted["step"], wanted["output"]
        if key not in self._made:
            step = self._steps[wanted["step"]]
            name = f"step {[*self._steps].index(step['id']) + 1} ({step['name']})"
            try:
                self._made[key] = self._carried_out(step, wanted["output"])
            except _NotRepeatableError as reason:
                raise RecipeError(f"{name} cannot be carried out again: {reason}") from reason
            before = step["outputs"].get(wanted["output"])
            if before is not None and fingerprint(self._made[key]) != before:
                self.differences.append(Difference(name, [wanted["output"]]))
        return self._made[key]

    def _carried_out(self, step: Step, output: str) -> xr.Dataset:
        try:
            arguments = provenance.arguments(self._ds, step)
        except KeyError as error:
            raise _NotRepeatableError(f"the array {error} on record is not in the attributes") from error
        try:
            if step["name"] in _OPENERS:
                return self._opened(step, arguments)
            if step["name"] in _TREES:
                return self._node(step, arguments, output)
            return self._called(step, arguments)
        except (AttributeError, TypeError, ConspectusError) as error:  # an object is text on record
            if isinstance(error, RecipeError):
                raise
            raise _NotRepeatableError(f"with what is on record it fails ({error})") from error

    def _opened(self, step: Step, arguments: dict[str, Any]) -> xr.Dataset:
        """Open the file whose sha256 is part of the id of the step."""
        file: File | None = next((file for file in self._files if provenance.reads(step, file)), None)
        if file is None:
            raise _NotRepeatableError("its file is not on record")
        path = self._sources / file["path"]
        if not path.exists():
            raise _NotRepeatableError(f"{path}: no such file; name its folder with --sources")
        if provenance.sha256(path) != file["sha256"]:
            raise _NotRepeatableError(f"{path} is not the file that was opened; their sha256 differ")
        opened: xr.Dataset = _OPENERS[step["name"]](path, **arguments)
        return opened

    def _node(self, step: Step, arguments: dict[str, Any], output: str) -> xr.Dataset:
        """Return the one of several results that is called `output`."""
        names = arguments.pop("modalities", [])
        maps = dict(zip(names, map(self._result, step["inputs"]), strict=True))
        tree = _TREES[step["name"]](*([maps] if maps else []), **arguments)
        nodes: dict[str, xr.Dataset] = {title(node.to_dataset()): node.to_dataset() for node in tree.children.values()}
        if output not in nodes:  # records of older files do not say it
            raise _NotRepeatableError(f"which of its results was taken is not on record; they are {', '.join(nodes)}")
        return nodes[output]

    def _called(self, step: Step, arguments: Mapping[str, Any]) -> xr.Dataset:
        """Call the function of a step with the results of the steps before it."""
        if step["name"] not in functions():
            raise _NotRepeatableError("it is no public function that takes a dataset and returns one")
        function = functions()[step["name"]]
        parameters = inspect.signature(function).parameters
        datasets = {
            name: [self._result(one) for one in taken] if parameters[name].annotation in _ANY_NUMBER
            else self._result(taken[0])
            for name, taken in _datasets(parameters, [*step["inputs"]])
        }  # fmt: skip
        values = {key: value for key, value in _values(parameters, arguments).items() if key not in datasets}
        first = datasets.pop(next(iter(parameters)))
        made: xr.Dataset = function(first, **datasets, **values)
        return made


class _NotRepeatableError(Exception):
    """Why a step cannot be carried out again."""


def _datasets(parameters: Mapping[str, inspect.Parameter], inputs: list[Input]) -> Iterator[tuple[str, list[Input]]]:
    """Yield for each parameter that is a dataset what it took, in the order of the record."""
    found = len(inputs)
    needed = sum(parameter.annotation in _ONE for parameter in parameters.values())
    if found < needed or next(iter(parameters.values())).annotation not in _ONE:
        raise _NotRepeatableError(f"it takes {needed} datasets, of which {found} came from steps on record")
    for name, parameter in parameters.items():
        if parameter.annotation in _ONE or (parameter.annotation in _PERHAPS_ONE and inputs):
            yield name, [inputs.pop(0)]
        elif parameter.annotation in _ANY_NUMBER and inputs:
            yield name, [inputs.pop(0) for _ in range(len(inputs))]


def _values(parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the other arguments of a function: those on record that it takes, objects made of their numbers."""
    transform, others = from_parameters(arguments)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    values = {key: value for key, value in others.items() if takes_any or key in parameters}
    if transform is not None:
        values[next(name for name, one in parameters.items() if one.annotation in TRANSFORMS)] = transform
    if values.get("response") is not None:
        values["response"] = fusion.Response(**{key: _array(value) for key, value in values["response"].items()})
    if isinstance(values.get("frame"), Mapping):
        values["frame"] = fusion.Frame(**values["frame"])
    return values


def _array(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value
