"""What a session of Python did is done again from the record in the file, whatever the parameters were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
import volumes
from conspectus.errors import RecipeError
from conspectus.recipes.apply import functions
from conspectus.recipes.replay import replay
from fusion import Affine, Frame, Response, provenance

POSE = Affine(Affine.translation(y=0.1, x=0.1).matrix, covariance=1e-4 * np.eye(12))
RESPONSE = Response.profile(np.linspace(0.0, 0.1, 20), np.linspace(1.0, 0.0, 20))


class Specimen:
    """A small phantom: a map placed on its volume."""

    def __init__(self) -> None:
        tree = fusion.phantom(shape=(8, 60, 60), map_shape=(8, 9), channels=256, shift=(0.1, 0.1))
        self.volume = fusion.set_pose(tree["volume"].to_dataset(), Affine.identity(), "volume")
        self.map = fusion.set_pose(tree["map"].to_dataset(), POSE, "volume")
        self.truth = tree["truth"].to_dataset()
        self.components = spectra.decompose(self.map, 3)
        marks = np.random.default_rng(0).uniform(0.0, 0.4, (8, 2))
        self.warp = fusion.register_landmarks(marks, marks + 0.1, model="warp", sigma=0.01).transform

    @property
    def bright(self) -> xr.DataArray:
        counts = self.map["counts"].sum("energy")
        labels = (counts > counts.mean()).astype("i4").rename("bright")
        return labels.assign_attrs(flag_values=np.int32([0, 1]), flag_meanings="dark bright")

    @property
    def painted(self) -> xr.Dataset:
        return volumes.suggest(volumes.segment(self.volume, self.truth, scales=["30 nm"], trees=5), 20)


@pytest.fixture(scope="module")
def specimen() -> Specimen:
    return Specimen()


SESSIONS: dict[str, Callable[[Specimen], Any]] = {
    "phantom": lambda s: s.truth,
    "a pose with its error": lambda s: s.map,
    "a pose on a stage": lambda s: fusion.set_pose(s.map, POSE, Frame("stage", on_stage=True)),
    "a warp": lambda s: fusion.set_pose(s.map, s.warp, "volume"),
    "resampled through a warp": lambda s: fusion.resample(s.components, s.volume, transform=s.warp, depth=0.06),
    "pixels": lambda s: fusion.coarsen(s.volume, x=2, y=2),
    "a chain": lambda s: spectra.clean(s.map, [("despike", {}), ("crop", {"energy": (1.0, 8.0)})]),
    "normalised by a range": lambda s: spectra.normalise(s.map, by=(1.0, 3.0)),
    "known spectra": lambda s: spectra.unmix(s.map, s.components["endmember"]),
    "spectra to begin with": lambda s: spectra.decompose(s.map, 3, method="mcr", initial=s.components["endmember"]),
    "a labelled region": lambda s: spectra.region(s.map, s.bright, "bright"),
    "clusters": lambda s: spectra.cluster(s.map, 3, seed=2),
    "names": lambda s: spectra.name_components(s.components, ["a", "b", "c"]),
    "composition": lambda s: spectra.quantify(
        spectra.line_map(s.map, ["Fe_Ka", "Si_Ka"], resolution=130.0), method="CL", factors={"Fe_Ka": 1.5, "Si_Ka": 1.0}
    ),
    "one of several results": lambda s: spectra.decompose_jointly({"a": s.map, "b": spectra.clip(s.map)}, 3)["b"],
    "all of several results": lambda s: spectra.decompose_jointly({"a": s.map, "b": spectra.clip(s.map)}, 3),
    "fused": lambda s: fusion.fuse(s.components, s.volume, depth=0.06),
    "placed through a response": lambda s: fusion.place(s.map, s.volume, response=RESPONSE),
    "measured through a response": lambda s: fusion.measure(s.volume, s.map, response=RESPONSE),
    "a mean over a region": lambda s: fusion.region_mean(s.components, s.volume, s.volume["image"] > 100.0, depth=0.06),
    "features": lambda s: volumes.features(s.volume, scales=["30 nm"]),
    "segmented by labels": lambda s: volumes.segment(s.volume, s.truth, scales=["30 nm"], trees=5, seed=3),
    "a plane": lambda s: volumes.slice(s.volume, (0.1, 0.4, 0.4), (1.0, 0.0, 0.2)),
    "points": lambda s: volumes.random_points(s.volume, 20, seed=1),
    "suggested points": lambda s: s.painted,
}  # fmt: skip


@pytest.mark.parametrize("kind", SESSIONS)
def test_every_step_comes_out_the_same(specimen: Specimen, tmp_path: Path, kind: str) -> None:
    made = SESSIONS[kind](specimen)
    made = made.to_dataset() if isinstance(made, xr.DataTree) and made.has_data else made
    assert replay(fusion.save(made, tmp_path / "s.nc")).differences == []


def test_the_step_that_made_something_else_is_named(specimen: Specimen, tmp_path: Path, monkeypatch: Any) -> None:
    ds = spectra.crop(spectra.smooth(spectra.clip(specimen.map), sigma=0.1), energy=(1.0, 8.0))
    path = fusion.save(ds, tmp_path / "s.nc")
    smooth = functions()["spectra.smooth"]

    def other(ds: xr.Dataset, *, sigma: float) -> xr.Dataset:
        return smooth(ds, sigma=1.001 * sigma)

    monkeypatch.setattr("conspectus.recipes.session.functions", lambda: {**functions(), "spectra.smooth": _as(other)})
    assert [str(one) for one in replay(path).differences] == [
        "step 4 (spectra.smooth): map",
        "step 5 (spectra.crop): map",
    ]


def _as(function: Callable[..., xr.Dataset]) -> Callable[..., xr.Dataset]:
    function.__annotations__ = {"ds": "xr.Dataset", "sigma": "float", "return": "xr.Dataset"}
    return function


def test_a_value_changed_by_hand_between_two_steps_is_found_at_the_second(specimen: Specimen, tmp_path: Path) -> None:
    clipped = spectra.clip(specimen.map)
    clipped["counts"].values[0, 0, 0] += 1
    path = fusion.save(spectra.crop(clipped, energy=(0.0, 8.0)), tmp_path / "s.nc")
    assert [str(one) for one in replay(path).differences] == ["step 4 (spectra.crop): map"]


def test_an_older_record_that_does_not_tell_results_apart_says_so(specimen: Specimen, tmp_path: Path) -> None:
    ds = specimen.truth
    ds = ds.assign_attrs(provenance=ds.attrs["provenance"].replace('"truth"', '""'))
    with pytest.raises(RecipeError, match=r"fusion.phantom\) .* which of its results was taken is not on record"):
        replay(fusion.save(ds, tmp_path / "s.nc"))


def test_two_sessions_differ_first_at_a_step(
    specimen: Specimen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from conspectus import cli

    paths = [
        str(fusion.save(spectra.crop(spectra.smooth(specimen.map, sigma=sigma), energy=(1.0, 8.0)), tmp_path / name))
        for name, sigma in (("a.nc", 0.1), ("b.nc", 0.2))
    ]
    assert cli.main(["diff", *paths]) == 0
    printed = capsys.readouterr().out
    assert "step 3 (spectra.smooth): sigma 0.1 → 0.2" in printed
    assert "counts" in printed
    assert cli.main(["history", paths[0]]) == 0
    printed = capsys.readouterr().out
    made = provenance.read(fusion.load(paths[0]))["steps"][-1]["outputs"]["map"]
    assert made is not None
    assert f"map {made[:8]}" in printed
