"""The steps of a recipe that serve every specimen. Each is a table of the TOML file and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import xarray as xr
from pydantic import Field, field_validator

import fusion
import spectra
from conspectus.pages import figures
from conspectus.project import Project
from conspectus.recipes.step import Forecast, Names, Step, planned, require_arguments
from fusion.conventions import signal_dim, spatial_dims, stderr_name
from fusion.variables import main_variable
from spectra.cleaning.chain import STEPS


class Despike(Step):
    """Replace spikes of cosmic rays in the spectra of `of`."""

    do: Literal["despike"]
    takes: ClassVar[Names] = ("of",)
    gives: ClassVar[Names] = ("of",)
    of: str
    threshold: float = Field(default=8.0, gt=0)

    def run(self, project: Project) -> None:
        """Replace the dataset by the mended one."""
        raw = project[self.of]
        project[self.of] = spectra.despike(raw, threshold=self.threshold)
        name = str(main_variable(raw).name)
        changed = (project[self.of][name] != raw[name]).any(signal_dim(raw[name]))
        project.find("spikes removed", f"{int(changed.sum())} spectra", f"of {changed.size} in {self.of}")


class Baseline(Step):
    """Remove the baseline from each spectrum of `of`; `clip` sets what falls below zero to zero."""

    do: Literal["baseline"]
    takes: ClassVar[Names] = ("of",)
    gives: ClassVar[Names] = ("of",)
    of: str
    method: str = "asls"
    options: dict[str, int | float] = Field(default_factory=dict)
    clip: bool = False

    def run(self, project: Project) -> None:
        """Replace the dataset by the corrected one."""
        raw = project[self.of]
        flat = spectra.baseline(raw, method=self.method, **self.options)
        project[self.of] = spectra.clip(flat) if self.clip else flat
        project.pictures.append(figures.mean_spectra(raw, flat, self.of))
        if self.clip:
            name = str(main_variable(flat).name)
            below = float(flat[name].clip(max=0).sum() / abs(flat[name]).sum())
            project.find(
                "set to zero", f"{-100 * below:.2f} %", f"of the intensity of {self.of} lay below its baseline"
            )

    @field_validator("options")
    @classmethod
    def _names_no_method(cls, options: dict[str, int | float]) -> dict[str, int | float]:
        if {"ds", "method"} & set(options):
            raise ValueError("options are those of the method; the method itself is the key method")
        return options


class Crop(Step):
    """Keep a range of the signal axis of `of`, in the unit of the axis."""

    do: Literal["crop"]
    takes: ClassVar[Names] = ("of",)
    gives: ClassVar[Names] = ("of",)
    of: str
    axis: str
    low: float
    high: float

    def run(self, project: Project) -> None:
        """Replace the dataset by the range."""
        project[self.of] = spectra.crop(project[self.of], **{self.axis: (self.low, self.high)})

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Take the range of the axis."""
        ds = known[self.of]
        return {self.of: ds.sel({self.axis: slice(self.low, self.high)}) if self.axis in ds.coords else None}


class Clean(Step):
    """Carry out a chain of cleaning steps on `of`: tables with the name of each as ``step``, and its arguments."""

    do: Literal["clean"]
    takes: ClassVar[Names] = ("of",)
    gives: ClassVar[Names] = ("of",)
    of: str
    chain: list[dict[str, Any]] = Field(min_length=1)

    def run(self, project: Project) -> None:
        """Replace the dataset by the cleaned one."""
        links = [(link["step"], {key: value for key, value in link.items() if key != "step"}) for link in self.chain]
        project[self.of] = spectra.clean(project[self.of], links)
        project.find(f"{self.of}: cleaned", " → ".join(name for name, _ in links))

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Tell only where the chain leaves the axis alone."""
        cuts = any(link["step"] in ("crop", "to_raman_shift", "calibrate") for link in self.chain)
        return {self.of: None if cuts else known[self.of]}

    @field_validator("chain")
    @classmethod
    def _names_its_steps(cls, chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for link in chain:
            if link.get("step") not in STEPS:
                raise ValueError(f"each link of the chain names its step, one of {', '.join(STEPS)}; received {link}")
            require_arguments(STEPS[link["step"]], {key: value for key, value in link.items() if key != "step"})
        return chain


class Decompose(Step):
    """Decompose the spectra of `of` into components, kept as `name`."""

    do: Literal["decompose"]
    takes: ClassVar[Names] = ("of",)
    gives: ClassVar[Names] = ("name",)
    of: str
    name: str = "components"
    components: int = Field(ge=1)
    names: list[str] | None = None
    method: spectra.Method = "nmf"
    weighting: Literal["poisson"] | None = None
    seed: int = Field(default=0, ge=0, lt=2**32)

    def run(self, project: Project) -> None:
        """Decompose and name the lines of each endmember where they are X-rays."""
        ds = project[self.of]
        result = spectra.decompose(ds, self.components, method=self.method, weighting=self.weighting, seed=self.seed)
        result = result if self.names is None else spectra.name_components(result, self.names)
        project[self.name] = result
        project.find(
            f"{self.name}: shares", _shares(result, self.method), f"{self.method}, {self.components} components"
        )
        if result.attrs.get("converged") == "no":
            project.find(self.name, "not converged", "ask for fewer components, crop the axis, or use method mcr")
        if "energy" in result.dims:
            for index, lines in enumerate(_lines(result)):
                project.find(f"component {index}", lines, "X-ray lines nearest to its peaks, candidates only")
        project.pictures.append(figures.endmembers(result))
        project.pictures.append(figures.abundances(result))

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Count an abundance for each pixel, an endmember for each component, and their errors."""
        main = main_variable(known[self.of])
        signal = signal_dim(main)
        pixels = {str(dim): size for dim, size in main.sizes.items() if dim != signal}
        sizes = {"abundance": {**pixels, "component": self.components}}
        sizes["endmember"] = {"component": self.components, signal: main.sizes[signal]}
        return {self.name: planned(sizes | {stderr_name(name): sizes[name] for name in sizes})}


class DecomposeJointly(Step):
    """Decompose several maps `of` one grid into components that they share; each gets its own as ``<map>_components``.

    In all of them ``abundance`` is the same; ``endmember`` is that of the map.
    """

    do: Literal["decompose_jointly"]
    takes: ClassVar[Names] = ()
    gives: ClassVar[Names] = ()
    of: list[str] = Field(min_length=2)
    components: int = Field(ge=1)
    method: Literal["nmf", "pca"] = "nmf"
    scaling: Literal["block"] | None = "block"
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def reads(self) -> Names:
        """Return the names of the maps."""
        return tuple(self.of)

    @property
    def makes(self) -> Names:
        """Return a name for each map."""
        return tuple(f"{name}_components" for name in self.of)

    def run(self, project: Project) -> None:
        """Decompose, and draw the endmembers of each map."""
        maps = {name: project[name] for name in self.of}
        tree = spectra.decompose_jointly(
            maps, self.components, method=self.method, scaling=self.scaling, seed=self.seed
        )
        shared = tree["shared"].to_dataset().drop_vars("explained_variance")
        for name, made in zip(self.of, self.makes, strict=True):
            project[made] = shared.merge(tree[name].to_dataset(), compat="override", combine_attrs="override")
            project.pictures.append(figures.endmembers(project[made]))
        if shared.attrs["converged"] == "no":
            project.find("joint components", "not converged", "ask for fewer components, or crop the axes")
        project.pictures.append(figures.abundances(project[self.makes[0]]))

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Tell as for a decomposition of each map."""
        single = (
            Decompose(do="decompose", of=name, name=made, components=self.components)
            for name, made in zip(self.of, self.makes, strict=True)
        )
        return {name: ds for step in single for name, ds in step.forecast(project, known).items()}


class Resample(Step):
    """Bring the dataset `of` onto the grid of `onto`, as their poses say; both are in the result, which is `fused`."""

    do: Literal["resample"]
    takes: ClassVar[Names] = ("of", "onto")
    gives: ClassVar[Names] = ("fused",)
    of: str
    onto: str

    def run(self, project: Project) -> None:
        """Make the fused dataset."""
        moved = fusion.resample(project[self.of], project[self.onto])
        grid = project[self.onto]
        names = {name: f"{self.of}_{name}" if name in grid else str(name) for name in moved.data_vars}
        project["fused"] = grid.assign({names[name]: moved[name].variable for name in moved.data_vars})
        project.find("coverage", f"{100 * float(moved['coverage'].mean()):.1f} %", f"of the grid of {self.onto}")


class Fuse(Step):
    """Place the decomposition `of` on the grid of `onto`, as their poses say; left out, it keeps its own grid."""

    do: Literal["fuse"]
    takes: ClassVar[Names] = ("of", "onto")
    gives: ClassVar[Names] = ("fused",)
    of: str = "components"
    onto: str | None = None
    depth: float | None = Field(default=None, gt=0)

    def run(self, project: Project) -> None:
        """Make the fused dataset."""
        components = project[self.of]
        if self.onto is None:
            project["fused"] = components
            return
        project["fused"] = fusion.fuse(components, project[self.onto], depth=self.depth)
        covered = float(project["fused"]["coverage"].mean())
        project.find("coverage", f"{100 * covered:.1f} %", f"of the grid of {self.onto}")
        if fusion.between(components, project[self.onto]).lower_bound:
            project.find("error of the abundances", "a lower bound", "as the error of the position is")

    def forecast(self, project: Project, known: Mapping[str, xr.Dataset]) -> Forecast:
        """Count the volume, and the components with their errors in each voxel."""
        if self.onto is None:
            return {"fused": known[self.of]}
        volume = known[self.onto]
        voxels = {str(dim): volume.sizes[dim] for dim in ("z", "y", "x") if dim in volume.sizes}
        components = {**voxels, "component": known[self.of].sizes["component"]}
        sizes = {"coverage": voxels, "abundance": components, stderr_name("abundance"): components}
        return {"fused": planned(sizes).merge(volume.drop_vars("coverage", errors="ignore"), compat="override")}


def _shares(result: xr.Dataset, method: str) -> str:
    """Say how much of the intensity each component makes; of the variance where components can be negative."""
    if method == "pca":
        shares = result["explained_variance"].values
    else:
        sums = result["abundance"].sum(spatial_dims(result["abundance"])).values
        shares = sums / sums.sum()
    return ", ".join(f"{100 * share:.1f} %" for share in shares)


def _lines(result: xr.Dataset) -> list[str]:
    """Return for each component the nearest line of each peak, highest peak first."""
    nearest: dict[tuple[int, float], str] = {}
    for line in spectra.identify(result):
        nearest.setdefault((line.component, line.position), line.name.replace("_", " "))
    return [
        ", ".join(dict.fromkeys(name for (component, _), name in nearest.items() if component == index))
        for index in range(result.sizes["component"])
    ]
