"""Steps for projections through a tomogram."""

from typing import Literal

from conspectus.project import Project
from conspectus.steps import Step


class Orient(Step):
    """x."""

    do: Literal["orient"]

    def run(self, project: Project) -> None:
        """x."""


class Backproject(Step):
    """x."""

    do: Literal["backproject"]

    def run(self, project: Project) -> None:
        """x."""


class Compare(Step):
    """x."""

    do: Literal["compare"]

    def run(self, project: Project) -> None:
        """x."""
