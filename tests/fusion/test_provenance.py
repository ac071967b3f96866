"""What was done to a dataset: for people, for machines, and through the file."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import provenance
from fusion.fingerprint import fingerprint
from fusion.reading.frame_of_file import from_file


def image(name: str = "sem") -> xr.Dataset:
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0)}
    values = {"image": (("y", "x"), np.ones((4, 5)))}
    return fusion.dataset(values, axes, name=name, cell_methods="mean", frame="stage")


def strict(ds: xr.Dataset) -> Any:
    """Parse the record as a program does that knows nothing but the JSON standard."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(ds.attrs["provenance"], parse_constant=refuse)


def test_steps_are_kept_in_order_with_their_parameters() -> None:
    ds = provenance.record(provenance.record(image(), "crop", {"x": 3}), "blur", {"sigma": 1.5, "seed": 7})
    crop, blur = strict(ds)["steps"]
    assert (crop["name"], crop["parameters"], crop["inputs"]) == ("crop", {"x": 3}, [])
    assert (blur["name"], blur["parameters"]) == ("blur", {"sigma": 1.5, "seed": 7})
    assert blur["inputs"] == [{"step": crop["id"], "output": "sem"}]
    lines = ds.attrs["history"].splitlines()
    assert [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line) for line in lines] == [
        "crop(x=3)", "blur(sigma=1.5, seed=7)",
    ]  # fmt: skip


def test_recording_leaves_the_first_dataset_alone() -> None:
    first = image()
    before = dict(first.attrs)
    second = provenance.record(first, "crop")
    assert first.attrs == before
    assert second["image"].identical(first["image"])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.float32(0.5), 0.5), (np.arange(3), [0, 1, 2]), (Path("a/b"), "a/b"), (None, None), (True, True),
        ((1, 2), [1, 2]),
        (np.inf, "Infinity"), (-np.inf, "-Infinity"), (np.nan, "NaN"), (np.array([1.0, np.inf]), [1.0, "Infinity"]),
        ("µ ☃", "µ ☃"), ({"a": np.int8(1)}, {"a": 1}), (1j, "1j"),
    ],
)  # fmt: skip
def test_any_parameter_becomes_standard_json(value: object, kept: object) -> None:
    assert strict(provenance.record(image(), "step", {"value": value}))["steps"][0]["parameters"]["value"] == kept


def test_input_files_are_known_by_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "map.raw"
    path.write_bytes(b"counts")
    ds = provenance.record(image(), "open", inputs=[path])
    assert strict(ds)["inputs"] == [{"path": "map.raw", "sha256": hashlib.sha256(b"counts").hexdigest()}]
    assert provenance.record(ds, "again", inputs=[path]).attrs["provenance"].count("map.raw") == 1
    assert ds.attrs["history"].endswith('open("map.raw")')
    named = provenance.record(ds, "again", {"name": "EDX"}, inputs=[path]).attrs["history"]
    assert named.endswith('again("map.raw", name="EDX")')


def test_the_hash_of_a_folder_sees_names_contents_and_nothing_else(tmp_path: Path) -> None:
    def folder(name: str, files: dict[str, bytes]) -> str:
        for file, content in files.items():
            place = tmp_path / name / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return provenance.sha256(tmp_path / name)

    first = folder("a", {"0.tif": b"x", "sub/1.tif": b"y"})
    assert folder("b", {"sub/1.tif": b"y", "0.tif": b"x"}) == first
    assert folder("c", {"0.tif": b"y", "sub/1.tif": b"x"}) != first
    assert folder("d", {"0.tif": b"x", "sub/2.tif": b"y"}) != first
    lines = [f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in (("0.tif", b"x"), ("sub/1.tif", b"y"))]
    assert first == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_records_of_all_parents_come_first() -> None:
    parent = provenance.record(image("parent"), "acquire", {"kv": 15})
    ds = provenance.record(provenance.record(image(), "open"), "resample", parents=[parent])
    assert [step["name"] for step in strict(ds)["steps"]] == ["acquire", "open", "resample"]


def test_a_step_that_calls_another_is_one_step_of_its_own_inputs() -> None:
    tree = fusion.phantom(shape=(4, 60, 60), map_shape=(8, 9), channels=64, shift=(0.1, 0.1))
    volume, truth = (provenance.record(tree[name].to_dataset(), name) for name in ("volume", "map_truth"))
    transform = fusion.Affine.translation(y=0.1)
    *before, last = strict(fusion.fuse(truth, volume, transform=transform, depth=0.06))["steps"]
    assert [step["name"] for step in before] == ["volume", "fusion.phantom", "map_truth"]
    assert last["name"] == "fusion.fuse"
    assert last["inputs"] == [{"step": step["id"], "output": step["name"]} for step in (before[2], before[0])]
    assert (last["parameters"]["depth"], last["parameters"]["matrix"]) == (0.06, transform.matrix.tolist())


def test_versions_of_the_packages_are_known() -> None:
    versions = strict(provenance.record(image(), "step"))["versions"]
    assert versions["numpy"] == np.__version__
    assert versions["xarray"] == xr.__version__


def test_a_dataset_without_record_has_an_empty_one() -> None:
    assert provenance.read(image()) == {"inputs": [], "steps": [], "versions": {}}


def test_the_record_survives_resampling_and_the_file(tmp_path: Path) -> None:
    ds, grid = provenance.record(image("map"), "acquire"), provenance.record(image("sem"), "scan")
    transform = fusion.Affine(fusion.Affine.translation(x=1.0).matrix, covariance=np.eye(12))
    moved = fusion.resample(ds, grid, transform=transform, depth=np.inf)
    loaded = fusion.load(fusion.save(moved, tmp_path / "m.nc"))
    steps = strict(loaded)["steps"]
    assert [step["name"] for step in steps] == ["scan", "acquire", "fusion.resample"]
    assert steps[-1]["parameters"]["matrix"] == transform.matrix.tolist()
    np.testing.assert_array_equal(provenance.arguments(loaded, steps[-1])["covariance"], np.eye(12))
    assert loaded.attrs["history"] == moved.attrs["history"]
    assert all(len(line) < 400 for line in loaded.attrs["history"].splitlines())


def opened(path: Path, content: bytes, name: str, frame: str) -> xr.Dataset:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return from_file(fusion.set_pose(image(name), fusion.Affine.identity(), frame), "open", {}, path)


def test_two_files_share_no_frame_even_under_one_name(tmp_path: Path) -> None:
    first = opened(tmp_path / "a" / "map.raw", b"1", "map", "map")
    second = opened(tmp_path / "b" / "map.raw", b"2", "map", "map")
    with pytest.raises(fusion.FrameError, match="share no frame"):
        fusion.between(first, second)
    assert fusion.get_pose(first)[1].startswith("map.raw ")
    for frame in ("stage", "map"):
        again = opened(tmp_path / "a" / "map.raw", b"1", "map", frame)
        assert fusion.get_pose(again)[1].endswith(fusion.get_pose(first)[1])


def test_what_this_project_saved_keeps_its_frame(tmp_path: Path) -> None:
    path = fusion.save(provenance.record(image(), "scan"), tmp_path / "sem.nc")
    assert fusion.get_pose(from_file(fusion.load(path), "open", {}, path))[1] == "stage"


def test_steps_are_a_graph_in_which_each_appears_once() -> None:
    volume, spectral_map = provenance.record(image(), "phantom"), provenance.record(image(), "phantom")
    blurred = provenance.record(volume, "blur")
    steps = strict(provenance.record(spectral_map, "fuse", parents=[blurred, volume]))["steps"]
    assert [step["name"] for step in steps] == ["blur", "phantom", "fuse"]
    blur, phantom, fuse = steps
    assert blur["inputs"] == [{"step": phantom["id"], "output": "sem"}]
    assert [one["step"] for one in fuse["inputs"]] == [phantom["id"], blur["id"], phantom["id"]]


def test_an_id_depends_on_name_parameters_files_and_all_that_went_before(tmp_path: Path) -> None:
    path = tmp_path / "map.raw"
    path.write_bytes(b"counts")
    first = provenance.record(image(), "open", inputs=[path])
    path.write_bytes(b"others")
    chains = [
        provenance.record(first, "crop"),
        provenance.record(first, "blur"),
        provenance.record(first, "crop", {"x": 1}),
        provenance.record(provenance.record(image(), "open", inputs=[path]), "crop"),
    ]
    assert len({strict(ds)["steps"][-1]["id"] for ds in chains}) == 4
    again = provenance.record(first, "crop")
    assert strict(again)["steps"] == strict(chains[0])["steps"]


def test_the_list_of_an_older_version_becomes_a_chain() -> None:
    listed = [{"name": "open", "parameters": {}}, {"name": "crop", "parameters": {"x": 3}}]
    old = image().assign_attrs(provenance=json.dumps({"inputs": [], "steps": listed, "versions": {}}))
    opened, crop = provenance.read(old)["steps"]
    assert (opened["inputs"], crop["inputs"]) == ([], [{"step": opened["id"], "output": ""}])
    assert crop["outputs"] == {}


def test_a_step_knows_the_sha256_of_what_it_made() -> None:
    ds = provenance.record(image(), "blur")
    assert provenance.read(ds)["steps"][0]["outputs"] == {"sem": fingerprint(ds)}
    lazy = provenance.record(image().chunk(2), "blur")
    assert provenance.read(lazy)["steps"][0]["outputs"] == {"sem": None}


def test_results_of_one_step_are_told_apart() -> None:
    tree = fusion.phantom(shape=(4, 60, 60), map_shape=(8, 9), channels=64, shift=(0.1, 0.1))
    ds = provenance.record(tree["map"].to_dataset(), "fuse", parents=[tree["volume"].to_dataset()])
    phantom, fuse = provenance.read(ds)["steps"]
    assert set(phantom["outputs"]) == {"map", "volume"}
    assert len(set(phantom["outputs"].values())) == 2
    assert fuse["inputs"] == [{"step": phantom["id"], "output": name} for name in ("map", "volume")]


ARRAYS = {
    "numbers": np.linspace(0.0, 1.0, 60).reshape(3, 4, 5), "bytes": np.arange(40, dtype=">u2"),
    "truth": np.arange(30) % 3 == 0, "not a number": np.full(17, np.nan),
}  # fmt: skip


@pytest.mark.parametrize("kind", ARRAYS)
def test_a_long_array_lies_beside_the_record_through_the_file_and_later_steps(tmp_path: Path, kind: str) -> None:
    ds = provenance.record(image(), "weigh", {"by": {"weights": ARRAYS[kind]}})
    assert len(ds.attrs["provenance"]) < 1000
    later = provenance.record(image("other"), "fuse", parents=[provenance.record(ds, "blur")])
    loaded = fusion.load(fusion.save(later, tmp_path / "p.nc"))
    weights = provenance.arguments(loaded, provenance.read(loaded)["steps"][0])["by"]["weights"]
    assert weights.dtype == ARRAYS[kind].dtype
    np.testing.assert_array_equal(weights, ARRAYS[kind])


def test_a_variable_is_a_parameter_with_its_labels(tmp_path: Path) -> None:
    pure = xr.DataArray(np.eye(2, 30), {"component": ["Fe", "O"]}, ("component", "energy"), attrs={"units": "1"})
    ds = fusion.load(fusion.save(provenance.record(image(), "unmix", {"endmember": pure}), tmp_path / "p.nc"))
    assert provenance.arguments(ds, provenance.read(ds)["steps"][0])["endmember"].identical(pure)


def test_a_pose_is_a_step_with_its_frame() -> None:
    pose = fusion.Affine(fusion.Affine.translation(x=1.0).matrix, covariance=np.eye(12))
    ds = fusion.set_pose(image(), pose, fusion.Frame("stage", on_stage=True))
    step = provenance.read(ds)["steps"][-1]
    assert (step["name"], step["parameters"]["frame"]) == ("fusion.set_pose", {"name": "stage", "on_stage": True})
    assert step["parameters"]["covariance"]["shape"] == [12, 12]
    assert step["outputs"] == {"sem": fingerprint(ds)}
