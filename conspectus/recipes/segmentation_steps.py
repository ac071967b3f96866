"""Steps from an image to classes, their fractions, the shares of coarse cells, and single objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

import volumes
from conspectus.pages import figures
from conspectus.project import Project
from conspectus.recipes.step import Forecast, Names, Step, planned
from fusion import provenance
from fusion.conventions import spatial_dims, stderr_name

_LARGE: Final = 2**30
"""Bytes from which a segmentation stays lazy where its image is."""


class Segment(Step):
    """Tell the class of each voxel of `of`, from the labels or points `annotation`, or by the file of a `model`.

    The annotation lies in `of`, or in another image, `trained_on`.
    """

    do: Literal["segment"]
    takes: ClassVar[Names] = ("of", "annotation", "trained_on")
    gives: ClassVar[Names] = ("name",)
    of: str
    name: str = "segmentation"
    annotation: str | None = None
    trained_on: str | None = None
    model: str | None = None
    variable: str | None = None
    scales: list[str | float] | None = None
    smooth: str | float | None = "auto"
    trees: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    def run(self, project: Project) -> None:
        """Segment, and show the middle section."""
        ds = project[self.of]
        result = self._segmented(project)
        # what fits into memory is computed once and not for each use: the trees take long
        result = result.compute() if result.nbytes < _LARGE else result
        # the image stays beside its classes, so that pictures and pages show both
        image = provenance.read(result)["steps"][-1]["parameters"]["variable"]
        project[self.name] = result.assign({image: ds[image]})
        shares = volumes.phase_fraction(result)["fraction"]
        text = ", ".join(f"{100 * float(share):.1f} % {share['component'].item()}" for share in shares)
        project.find(f"{self.name}: mean probability", text, "not calibrated; phase_fraction corrects it")
        project.pictures.append(figures.labels(result, result["label"], f"Classes of {self.of}"))

    def _segmented(self, project: Project) -> xr.Dataset:
        """Return the classes, by the model or by what is trained here."""
        ds = project[self.of]
        options: dict[str, Any] = {"variable": self.variable, "smooth": self.smooth}
        training: dict[str, Any] = {"scales": self.scales, "trees": self.trees, "seed": self.seed}
        if self.annotation is None:
            return volumes.segment(ds, model=project.folder / (self.model or ""), **options)
        marks = project[self.annotation]
        if self.trained_on is None:
            return volumes.segment(ds, marks, **options, **training)
        trained = volumes.train_classifier(project[self.trained_on], marks, variable=self.variable, **training)
        return volumes.segment(ds, model=trained, **options)

    @model_validator(mode="after")
    def _has_one_source(self) -> Segment:
        if (self.annotation is None) == (self.model is None):
            raise ValueError("give either an annotation, the name of labels or points, or the file of a model")
        if self.trained_on is not None and self.annotation is None:
            raise ValueError("trained_on is where the annotation lies; name that, too")
        return self


class PhaseFraction(Step):
    """Estimate the fraction of each class of `of`, from the points `judged` if there are any."""

    do: Literal["phase_fraction"]
    takes: ClassVar[Names] = ("of", "judged")
    gives: ClassVar[Names] = ("name",)
    of: str = "segmentation"
    name: str = "fractions"
    judged: str | None = None

    def run(self, project: Project) -> None:
        """Report each fraction with its interval."""
        judged = None if self.judged is None else project[self.judged]
        found = volumes.phase_fraction(project[self.of], judged)
        project[self.name] = found
        for k, name in enumerate(found["component"].values):
            value, error, low, high = (
                100 * float(found[key][k]) for key in ("fraction", stderr_name("fraction"), "low", "high")
            )
            note = f"95 % interval {low:.1f} to {high:.1f} %, {found.attrs['points']} judged points"
            unknown = "without judged points its bias is not known"
            project.find(f"fraction of {name}", f"{value:.1f} ± {error:.1f} %", note if np.isfinite(error) else unknown)

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Tell nothing: the classes are known after segmenting."""
        return {self.name: None}


class PartialVolume(Step):
    """Bring the classes of `of` onto the grid of `onto`, as shares; calibrated by the points `judged`, if any."""

    do: Literal["partial_volume"]
    takes: ClassVar[Names] = ("of", "onto", "judged")
    gives: ClassVar[Names] = ("name",)
    of: str = "segmentation"
    onto: str
    name: str = "shares"
    judged: str | None = None

    def run(self, project: Project) -> None:
        """Report how much of the grid is covered."""
        result = project[self.of]
        if self.judged is not None:
            result = volumes.calibrate_probability(result, project[self.judged])
        found = volumes.partial_volume(result, project[self.onto])
        project[self.name] = found
        covered = 100 * float(found["coverage"].mean())
        error = float(np.median(found[stderr_name("fraction")].values))
        note = f"median error of a share {error:.3f}" if np.isfinite(error) else "errors are NaN: not calibrated"
        project.find(f"{self.name}: covered", f"{covered:.1f} % of {self.onto}", note)

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Tell nothing: the classes are known after segmenting."""
        return {self.name: None}


class Instances(Step):
    """Tell the objects of the class `label` of `of` apart, as `name`, and measure them, as `table`."""

    do: Literal["instances"]
    takes: ClassVar[Names] = ("of",)
    gives: ClassVar[Names] = ("name", "table")
    of: str = "segmentation"
    label: str
    name: str = "objects"
    table: str = "shapes"
    neck: str | float | None = None
    smallest: int = Field(default=1, ge=1)
    border_error: str | float | None = None

    def run(self, project: Project) -> None:
        """Report number and size, and show the middle section."""
        found = volumes.instances(project[self.of], self.label, neck=self.neck, smallest=self.smallest)
        table = volumes.shapes(found, border_error=self.border_error)
        project[self.name], project[self.table] = found, table
        uncut = table.isel(point=table["at_edge"].values == 0)
        cut = table.sizes["point"] - uncut.sizes["point"]
        note = f"{cut} of them cut off by the edge of the field"
        project.find(f"objects of {self.label}", str(table.sizes["point"]), note)
        if uncut.sizes["point"]:
            size = 1e3 * float(uncut["equivalent_diameter"].median())
            project.find(f"median diameter of {self.label}", f"{size:.4g} nm", "of those that are not cut off")
        project.pictures.append(figures.labels(found, found["instance"], f"Objects of {self.label}"))

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Count one label for each voxel; how many objects there are is not known."""
        ds = known[self.of]
        sizes = {dim: ds.sizes[dim] for dim in spatial_dims(ds)}
        return {self.name: planned({"instance": sizes}), self.table: None}
