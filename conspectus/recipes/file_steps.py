"""The steps that read a file: data, landmarks, transforms and alignments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import xarray as xr
from pydantic import model_validator

import fusion
import spectra
import volumes
from conspectus.errors import RecipeError
from conspectus.project import Project
from conspectus.recipes.step import Forecast, Names, Step
from fusion import provenance
from fusion.conventions import spacing
from fusion.frames import with_pose
from fusion.specimens import measured


class FileStep(Step):
    """A step that reads `file`; ``measured:`` before its name asks the registry of measured files."""

    repeatable: ClassVar[bool] = False  # the file may have changed
    file: str

    def path(self, folder: Path) -> Path:
        """Return where the file is."""
        name = self.file.removeprefix("measured:")
        return measured.locate(name) if name != self.file else folder / name


class Open(FileStep):
    """Open one item of a file as `name`; ``measured:`` before a file name asks the registry of measured files."""

    do: Literal["open"]
    takes: ClassVar[Names] = ()
    gives: ClassVar[Names] = ("name",)
    name: str
    wing: Literal["spectra", "volumes"]
    item: str | None = None
    voxel: str | dict[str, str] | None = None
    dims: list[str] | None = None

    def run(self, project: Project) -> None:
        """Open the file and say what came of it."""
        project[self.name] = self._opened(project.folder)
        note = f"; voxel size {self.voxel} as the recipe states" if self.voxel else ""
        project.find(self.name, describe_axes(project[self.name]), f"{Path(self.file).name}{note}")

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Open the file: its header says what is in it."""
        return {self.name: self._opened(project.folder)}

    def _opened(self, folder: Path) -> xr.Dataset:
        if self.wing == "spectra":
            return spectra.open(self.path(folder), name=self.item)
        return volumes.open(self.path(folder), name=self.item, voxel=self.voxel, dims=self.dims)

    @model_validator(mode="after")
    def _has_sizes_only_for_volumes(self) -> Open:
        if self.wing == "spectra" and (self.voxel is not None or self.dims is not None):
            raise ValueError("voxel and dims are for images and volumes (wing = 'volumes')")
        return self


class ReadLandmarks(FileStep):
    """Read landmarks as `name`, those of the datasets `moving` and `fixed`.

    The file is one of BigWarp or 3D Slicer (``wing = "fusion"``), or was saved by the page of `volumes.pick_page`
    (``wing = "volumes"``). A file of Slicer holds one side: name `moving` or `fixed`, and read the other side as the
    same `name`.
    """

    do: Literal["read_landmarks"]
    takes: ClassVar[Names] = ()
    gives: ClassVar[Names] = ("name",)
    name: str = "landmarks"
    wing: Literal["fusion", "volumes"] = "fusion"
    moving: str | None = None
    fixed: str | None = None
    unit: str | None = None

    def run(self, project: Project) -> None:
        """Read the file; a side that was read before is kept."""
        marks = self._read(project.folder)
        project[self.name] = self._beside(project[self.name], marks) if self.name in project else marks
        project.find(self.name, f"{marks.sizes['point']} landmarks", Path(self.file).name)

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Read the file."""
        return {self.name: self._read(project.folder)}

    def _beside(self, known: xr.Dataset, marks: xr.Dataset) -> xr.Dataset:
        """Return the landmarks of both sides; those of one name belong together."""
        names, others = (set(side["point"].values.tolist()) for side in (known, marks))
        if names != others:
            odd = ", ".join(sorted(map(str, names ^ others)))
            raise RecipeError(f"read_landmarks: {self.file}: only one side has the landmarks {odd}; name them alike")
        both = known.assign(marks.sel(point=known["point"]).data_vars)
        return provenance.record(both, "xarray.merge", parents=[marks])

    def _read(self, folder: Path) -> xr.Dataset:
        path = self.path(folder)
        marks = fusion.read_landmarks(path, unit=self.unit) if self.wing == "fusion" else volumes.read_landmarks(path)
        side = self.moving or self.fixed
        names = {"moving": self.moving, "fixed": self.fixed, "points": side}
        return marks.rename({key: name for key, name in names.items() if key in marks and name is not None})

    @model_validator(mode="after")
    def _names_a_side(self) -> ReadLandmarks:
        if self.moving is None and self.fixed is None:
            raise ValueError("name the datasets that the landmarks lie in: moving, fixed, or both")
        if self.wing == "volumes" and self.unit is not None:
            raise ValueError("the file of a picking page is in um; unit is for files of other programs")
        return self


class ReadTransform(FileStep):
    """Read a transform as `name`, a dataset that holds nothing but a pose.

    It serves the step `register` with ``method = "transforms"``, and `apply` as one of its `datasets`.
    """

    do: Literal["read_transform"]
    takes: ClassVar[Names] = ()
    gives: ClassVar[Names] = ("name",)
    name: str
    unit: str | None = None

    def run(self, project: Project) -> None:
        """Read the file."""
        project[self.name] = self._read(project.folder)

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Read the file, which is small."""
        return {self.name: self._read(project.folder)}

    def _read(self, folder: Path) -> xr.Dataset:
        path = self.path(folder)
        held = with_pose(xr.Dataset(), fusion.read_transform(path, unit=self.unit), "fixed")
        return provenance.record(held, "fusion.read_transform", {"unit": self.unit}, inputs=[path])


class LoadAlignment(FileStep):
    """Read IMOD's alignment of the tilt series `of` as `name`, for `apply` of ``volumes.apply_alignment``."""

    do: Literal["load_alignment"]
    takes: ClassVar[Names] = ("of",)
    gives: ClassVar[Names] = ("name",)
    of: str
    name: str = "alignment"
    axis: Literal["y", "x"] = "y"

    def run(self, project: Project) -> None:
        """Read the file."""
        path = self.path(project.folder)
        project[self.name] = volumes.load_alignment(path, project[self.of], axis=self.axis)
        project.find(self.name, f"{project[self.name].sizes['tilt']} views", path.name)

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Read the file."""
        return {self.name: volumes.load_alignment(self.path(project.folder), known[self.of], axis=self.axis)}


def describe_axes(ds: xr.Dataset) -> str:
    """Say the size and spacing of each axis."""
    lines = []
    for dim in ds.sizes:
        step = spacing(ds[dim]) if dim in ds.coords and ds[dim].dtype.kind == "f" else None
        unit = ds[dim].attrs.get("units", "") if dim in ds.coords else ""
        lines.append(f"{dim} {ds.sizes[dim]}" + (f" × {step:.4g} {unit}" if step else ""))
    return ", ".join(lines)
