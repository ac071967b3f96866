"""A dataset that a session of Python saved, made again from its provenance: files, functions, parameters."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import xarray as xr

import spectra
import volumes
from conspectus.errors import RecipeError
from conspectus.recipes.apply import functions
from fusion import provenance
from fusion.errors import ConspectusError
from fusion.provenance import Provenance, Step
from fusion.warp import from_parameters

_OPENERS: Final = {"spectra.open": spectra.open, "volumes.open": volumes.open}
_NO_JSON: Final = ("Infinity", "-Infinity", "NaN")


class Graph:
    """The steps behind one dataset.

    Parameters
    ----------
    known : Provenance
    sources : Path
        The folder of the files that were opened.
    """

    def __init__(self, known: Provenance, sources: Path) -> None:
        self._files, self._sources = known["inputs"], sources
        self._steps = {step["id"]: step for step in known["steps"]}
        self._numbers = {step["id"]: number for number, step in enumerate(known["steps"], 1)}
        self._last = known["steps"][-1]["id"] if known["steps"] else None
        self._made: dict[str, xr.Dataset] = {}

    def carry_out(self) -> xr.Dataset:
        """Carry out every step that the last one needs, and return what it makes.

        Raises
        ------
        RecipeError
            Naming the step that cannot be carried out again, and why.
        """
        if self._last is None:
            raise RecipeError("it holds no record of how it was made")
        return self._result(self._last)

    def _result(self, identity: str) -> xr.Dataset:
        if identity not in self._made:
            step = self._steps[identity]
            try:
                self._made[identity] = self._opened(step) if step["name"] in _OPENERS else self._called(step)
            except _NotRepeatableError as reason:
                where = f"step {self._numbers[identity]} ({step['name']})"
                raise RecipeError(f"{where} cannot be carried out again: {reason}") from reason
        return self._made[identity]

    def _opened(self, step: Step) -> xr.Dataset:
        """Open the file whose sha256 is part of the id of the step."""
        file = next((file for file in self._files if provenance.reads(step, file)), None)
        if file is None:
            raise _NotRepeatableError("its file is not on record")
        path = self._sources / file["path"]
        if not path.exists():
            raise _NotRepeatableError(f"{path}: no such file; name its folder with --sources")
        if provenance.sha256(path) != file["sha256"]:
            raise _NotRepeatableError(f"{path} is not the file that was opened; their sha256 differ")
        return _OPENERS[step["name"]](path, **step["parameters"])

    def _called(self, step: Step) -> xr.Dataset:
        """Call the function of a step with the results of the steps before it."""
        if step["name"] not in functions():
            raise _NotRepeatableError("it is no public function that takes a dataset and returns one")
        function = functions()[step["name"]]
        _, *others = inspect.signature(function).parameters.values()
        needed = 1 + sum(parameter.annotation == "xr.Dataset" for parameter in others)
        if len(step["inputs"]) != needed:
            missing = f"it takes {needed} datasets, of which {len(step['inputs'])} came from steps on record"
            raise _NotRepeatableError(missing)
        datasets = [self._result(identity) for identity in step["inputs"]]
        try:
            made: xr.Dataset = function(*datasets, **_arguments(step["parameters"]))
        except (AttributeError, TypeError, ConspectusError) as error:  # an object is text on record
            raise _NotRepeatableError(f"with what is on record it fails ({error})") from error
        return made


class _NotRepeatableError(Exception):
    """Why a step cannot be carried out again."""


def _arguments(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a function; numbers that JSON does not know are text on record."""
    transform, others = from_parameters(parameters)
    given = {} if transform is None else {"transform": transform}
    return given | {key: float(value) if value in _NO_JSON else value for key, value in others.items()}
