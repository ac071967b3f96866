"""The step that carries out any public function that takes labelled data and returns some."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import xarray as xr
from pydantic import Field, field_validator, model_validator

import fusion
import spectra
import volumes
from conspectus.project import Project
from conspectus.recipes.step import Forecast, Names, Step, require_arguments

_TAKEN: Final = ("xr.Dataset", "xr.DataArray", "xr.Dataset | xr.DataArray", "xr.Dataset | xr.DataTree")
_RETURNED: Final = ("xr.Dataset", "xr.DataArray", "xr.Dataset | xr.DataTree")
TRANSFORMS: Final = ("Affine", "Affine | None", "Transform", "Transform | None")


class Apply(Step):
    """Carry out a function on `of`, and keep the result as `name`, or under the same name.

    `datasets` are further arguments that are datasets, by the names of these; ``"components/endmember"`` is one
    variable, and a transform is the pose of the dataset. `options` are all other arguments; a transform is its 16
    numbers, row by row.
    """

    do: Literal["apply"]
    function: str
    of: str
    name: str | None = None
    datasets: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def reads(self) -> Names:
        """Return the names of its inputs."""
        return tuple(name.partition("/")[0] for name in (self.of, *self.datasets.values()))

    @property
    def makes(self) -> Names:
        """Return the names of its results."""
        return (self.name or self.of.partition("/")[0],)

    def run(self, project: Project) -> None:
        """Call the function."""
        function = functions()[self.function]
        parameters = inspect.signature(function).parameters
        options = {key: _argument(parameters.get(key), value) for key, value in self.options.items()}
        others = {key: _taken(parameters.get(key), _dataset(project, name)) for key, name in self.datasets.items()}
        project[self.makes[0]] = _as_dataset(function(_dataset(project, self.of), **others, **options), self.function)

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Tell nothing: only the function knows."""
        return {self.makes[0]: None}

    @field_validator("function")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in functions():
            close = difflib.get_close_matches(name, functions(), 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ValueError(f"{hint}known are {', '.join(functions())}")
        return name

    @model_validator(mode="after")
    def _takes_its_arguments(self) -> Apply:
        if "/" in self.of and self.name is None:
            raise ValueError("the result of one variable is a dataset of its own; name it")
        require_arguments(functions()[self.function], {**self.datasets, **self.options})
        return self


@cache
def functions() -> Mapping[str, Callable[..., Any]]:
    """Return the public functions whose first argument and result are datasets or variables, by their full names.

    Examples
    --------
    >>> "spectra.smooth" in functions(), "fusion.spectrum" in functions(), "fusion.load" in functions()
    (True, True, False)
    """
    named = {
        f"{wing.__name__}.{name}": getattr(wing, name) for wing in (fusion, spectra, volumes) for name in wing.__all__
    }
    return {name: function for name, function in named.items() if _is_step(function)}


def _is_step(function: Any) -> bool:
    if not inspect.isfunction(function):
        return False
    signature = inspect.signature(function)
    first = next(iter(signature.parameters.values()), None)
    return first is not None and first.annotation in _TAKEN and signature.return_annotation in _RETURNED


def _argument(parameter: inspect.Parameter | None, value: Any) -> Any:
    """Return a value of a recipe as a function takes it."""
    if parameter is not None and parameter.annotation in TRANSFORMS:
        return fusion.Affine.exact(np.reshape(value, (4, 4)))
    return tuple(value) if isinstance(value, list) and parameter is None else value


def _taken(parameter: inspect.Parameter | None, ds: xr.Dataset | xr.DataArray) -> Any:
    """Return a dataset as a function takes it: where it takes a transform, the pose."""
    takes_pose = parameter is not None and parameter.annotation in TRANSFORMS
    return fusion.get_pose(ds)[0] if takes_pose else ds


def _dataset(project: Project, name: str) -> xr.Dataset | xr.DataArray:
    node, _, variable = name.partition("/")
    return project[node][variable] if variable else project[node]


def _as_dataset(result: Any, function: str) -> xr.Dataset:
    """Return a result as a dataset; a variable without a name takes that of its function."""
    if isinstance(result, xr.DataArray):
        return result.to_dataset(name=str(result.name or function.partition(".")[2]))
    ds: xr.Dataset = result
    return ds
