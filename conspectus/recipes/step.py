"""What every step of a recipe has: its keys, the datasets that it reads and makes, and what it will make."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

import xarray as xr
from pydantic import BaseModel, ConfigDict

from conspectus.project import Project

Names: TypeAlias = tuple[str, ...]
Forecast: TypeAlias = "dict[str, xr.Dataset | None]"


class Step(BaseModel, ABC):
    """One step; `run` changes the project.

    Attributes
    ----------
    do : str
        Names the step in a recipe.
    takes, gives : tuple of str
        The datasets that it needs, and those that it makes or changes: keys that name them, or their names.
    repeatable : bool
        Whether its results may be kept and taken again: they depend on nothing but its parameters and inputs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    do: str
    takes: ClassVar[Names]
    gives: ClassVar[Names]
    repeatable: ClassVar[bool] = True

    @property
    def reads(self) -> Names:
        """Return the names of the datasets that it needs."""
        return self._named(self.takes)

    @property
    def makes(self) -> Names:
        """Return the names of the datasets that it makes or changes."""
        return self._named(self.gives)

    def _named(self, keys: Names) -> Names:
        names = (getattr(self, key) if key in type(self).model_fields else key for key in keys)
        return tuple(name for name in names if name is not None)

    @abstractmethod
    def run(self, project: Project) -> None:
        """Carry the step out."""

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Return what the step will make, without values; None where only running it tells.

        Parameters
        ----------
        project : Project
        known : mapping of str to Dataset
            Earlier datasets, among them all that the step reads.
        """
        return {name: known.get(name) for name in self.makes}


def planned(sizes: Mapping[str, Mapping[str, int]]) -> xr.Dataset:
    """Return a dataset of these variables without values, which takes no memory."""
    import dask.array as da

    return xr.Dataset({name: (tuple(dims), da.zeros(tuple(dims.values()))) for name, dims in sizes.items()})


def require_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Raise a ValueError if a function does not take these arguments by name beside its dataset."""
    try:
        inspect.signature(function).bind(None, **arguments)
    except TypeError as error:
        accepted = list(inspect.signature(function).parameters)[1:]
        raise ValueError(f"{function.__name__}: {error}; it takes {', '.join(accepted)}") from error
