"""The state of a run: datasets by name, findings, and the pictures for the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from conspectus.errors import RecipeError


class Finding(NamedTuple):
    """One line of the closing table: a quantity, its value and unit, and how it came about."""

    quantity: str
    value: str
    note: str = ""


class Picture(NamedTuple):
    """One picture of the report."""

    title: str
    png: bytes
    caption: str = ""


@dataclass
class Project:
    """Datasets by name; files that a recipe names are relative to `folder`."""

    folder: Path
    nodes: dict[str, xr.Dataset] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def __getitem__(self, name: str) -> xr.Dataset:
        """Return a dataset that an earlier step made."""
        if name not in self.nodes:
            raise RecipeError(f"no earlier step makes {name!r}; so far there are {', '.join(self.nodes) or 'none'}")
        return self.nodes[name]

    def __contains__(self, name: str) -> bool:
        """Whether an earlier step made a dataset of this name."""
        return name in self.nodes

    def __setitem__(self, name: str, ds: xr.Dataset) -> None:
        """Keep a dataset under the name that the recipe gives it."""
        self.nodes[name] = ds.assign_attrs(title=name)

    def find(self, quantity: str, value: str, note: str = "") -> None:
        """Add a line to the closing table."""
        self.findings.append(Finding(quantity, value, note))

    def tree(self) -> xr.DataTree:
        """Return all datasets as one tree; ``fused`` first."""
        ordered = sorted(self.nodes, key=lambda name: name != "fused")
        return xr.DataTree.from_dict({name: self.nodes[name] for name in ordered})
