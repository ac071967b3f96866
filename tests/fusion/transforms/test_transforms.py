"""Transforms and landmarks of other programs: against files that SimpleITK writes, and there and back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine

PROBE = np.random.default_rng(0).uniform(-50.0, 50.0, (10, 3))
GENERAL = (
    Affine.translation(3.0, -20.0, 7.0) @ Affine.rotation(37.0, axis=(1.0, 0.4, -0.3)) @ Affine.scaling(1.1, 0.9, 2.0)
)


def simpleitk(kind: str) -> Any:
    import SimpleITK

    turn, centre, shift = (0.6, -0.3, 0.2), (1.0, 2.0, 3.0), (4.0, -5.0, 6.0)
    if kind == "composite":
        both = SimpleITK.CompositeTransform(3)
        both.AddTransform(simpleitk("affine"))
        both.AddTransform(simpleitk("euler"))
        return both
    made = {
        "translation": lambda: SimpleITK.TranslationTransform(3, shift),
        "affine": lambda: SimpleITK.AffineTransform([1.0, 0.2, 0.1, -0.3, 1.2, 0.0, 0.1, 0.0, 0.9], shift, centre),
        "euler": lambda: SimpleITK.Euler3DTransform(centre, *turn, shift),
        "versor": lambda: SimpleITK.VersorRigid3DTransform((0.2, -0.1, 0.3, 0.9273618495495703), shift, centre),
        "similarity": lambda: SimpleITK.Similarity3DTransform(1.3, (0.2, -0.1, 0.3, 0.9273618495495703), shift, centre),
        "plane": lambda: SimpleITK.Euler2DTransform(centre[:2], 0.4, shift[:2]),
        "similarity of a plane": lambda: SimpleITK.Similarity2DTransform(1.3, 0.4, shift[:2], centre[:2]),
    }
    return made[kind]()


KINDS = ["translation", "affine", "euler", "versor", "similarity", "plane", "similarity of a plane", "composite"]


@pytest.mark.parametrize("suffix", [".tfm", ".txt", ".h5"])
@pytest.mark.parametrize("kind", KINDS)
def test_files_of_simpleitk_mean_what_simpleitk_does(kind: str, suffix: str, tmp_path: Path) -> None:
    import SimpleITK

    theirs = simpleitk(kind)
    SimpleITK.WriteTransform(theirs, str(tmp_path / f"a{suffix}"))
    ours = fusion.read_transform(tmp_path / f"a{suffix}", unit="mm")
    dim = theirs.GetDimension()
    fixed = PROBE * 1e-3  # mm
    moving = np.array([theirs.TransformPoint(point[::-1][:dim].tolist())[::-1] for point in fixed])
    landed = ours(np.concatenate([fixed[:, : 3 - dim], moving], axis=1) * 1e3)
    np.testing.assert_allclose(landed, PROBE, atol=1e-9)
    assert ours.covariance is None


@pytest.mark.parametrize("name", ["a.tfm", "a.h5"])
def test_simpleitk_reads_what_is_written(name: str, tmp_path: Path) -> None:
    import SimpleITK

    fusion.write_transform(GENERAL, tmp_path / name, unit="mm")
    theirs = SimpleITK.ReadTransform(str(tmp_path / name))
    moving = np.array([theirs.TransformPoint((point[::-1] * 1e-3).tolist())[::-1] for point in GENERAL(PROBE)]) * 1e3
    np.testing.assert_allclose(moving, PROBE, atol=1e-9)


@pytest.mark.parametrize(("name", "unit"), [("a.tfm", "mm"), ("a.txt", "um"), ("a.h5", "um"), ("a.json", None)])
def test_a_transform_comes_back(name: str, unit: str | None, tmp_path: Path) -> None:
    fusion.write_transform(GENERAL, tmp_path / name, unit=unit)
    back = fusion.read_transform(tmp_path / name, unit=unit)
    np.testing.assert_allclose(back(PROBE), GENERAL(PROBE), atol=1e-9)


def test_ngff_is_read_in_any_order_of_axes_and_unit(tmp_path: Path) -> None:
    def system(name: str, order: str, unit: str) -> dict[str, Any]:
        return {"name": name, "axes": [{"name": axis, "type": "space", "unit": unit} for axis in order]}

    steps = [{"type": "scale", "scale": [2.0, 3.0, 4.0]}, {"type": "translation", "translation": [0.1, 0.2, 0.3]}]
    content = {
        "coordinateSystems": [system("a", "xyz", "nanometer"), system("b", "zyx", "millimeter")],
        "coordinateTransformations": [{"type": "sequence", "transformations": steps, "input": "a", "output": "b"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    # x of 1 nm becomes the first number out, 2 · 1 + 0.1 mm, which is z there
    found = fusion.read_transform(tmp_path / "a.json")([0.0, 0.0, 1e-3])
    np.testing.assert_allclose(found, [2100.0, 200.0, 300.0])


def test_ngff_without_turns_is_what_its_models_accept(tmp_path: Path) -> None:
    from ome_zarr_models.common import coordinate_transformations as models

    fusion.write_transform(Affine.translation(1.0, 2.0, 3.0) @ Affine.scaling(1.0, 0.5, 0.5), tmp_path / "a.json")
    (one,) = json.loads((tmp_path / "a.json").read_text())["ome"]["coordinateTransformations"]
    scale, translation = one["transformations"]
    assert models.VectorScale.model_validate(scale).scale == [1.0, 0.5, 0.5]
    assert models.VectorTranslation.model_validate(translation).translation == [1.0, 2.0, 3.0]


def pairs(count: int = 6) -> xr.Dataset:
    rng = np.random.default_rng(1)
    sides = {
        side: (("point", "axis"), rng.uniform(-900.0, 900.0, (count, 3))) for side in ("moving", "fixed", "points")
    }
    return xr.Dataset(sides, {"axis": list("zyx"), "point": [f"Pt-{n}" for n in range(count)]})


@pytest.mark.parametrize(("name", "unit"), [("a.csv", "mm"), ("a.json", "nm"), ("a.fcsv", None), ("a.mrk.json", None)])
def test_landmarks_come_back(name: str, unit: str | None, tmp_path: Path) -> None:
    fusion.write_landmarks(pairs(), tmp_path / name, unit=unit)
    back = fusion.read_landmarks(tmp_path / name, unit=unit)
    for side in back:
        np.testing.assert_allclose(back[side].values, pairs()[side].values, atol=1e-9)
    assert back["point"].values.tolist() == pairs()["point"].values.tolist()
    assert back.attrs["left_out"] == 0


def test_bigwarp_counts_x_first_and_leaves_out_what_is_not_set(tmp_path: Path) -> None:
    rows = ['"Pt-0","true","1.0","2.0","3.0","4.0","5.0","6.0"', '"Pt-1","false","1","2","3","4","5","6"',
            '"Pt-2","true","1","2","3","Infinity","Infinity","Infinity"']  # fmt: skip
    (tmp_path / "a.csv").write_text("\n".join(rows))
    found = fusion.read_landmarks(tmp_path / "a.csv", unit="um")
    assert found["moving"].values.tolist() == [[3.0, 2.0, 1.0]]
    assert found["fixed"].values.tolist() == [[6.0, 5.0, 4.0]]
    assert found.attrs["left_out"] == 2
    (tmp_path / "b.csv").write_text('"Pt-0","true","1.0","2.0","4.0","5.0"\n')
    assert fusion.read_landmarks(tmp_path / "b.csv", unit="mm")["fixed"].values.tolist() == [[0.0, 5000.0, 4000.0]]


@pytest.mark.parametrize(("system", "signs"), [("LPS", [1, 1, 1]), ("RAS", [1, -1, -1]), ("0", [1, -1, -1])])
def test_slicer_says_its_patient_axes(system: str, signs: list[int], tmp_path: Path) -> None:
    text = f"# Markups fiducial file version = 4.11\n# CoordinateSystem = {system}\n# columns = id,x,y,z,label\n"
    (tmp_path / "a.fcsv").write_text(text + "1,0.1,0.2,0.3,F-1\n")
    found = fusion.read_landmarks(tmp_path / "a.fcsv")
    np.testing.assert_allclose(found["points"].values[0], np.array([300.0, 200.0, 100.0]) * signs)
    assert found["point"].values.tolist() == ["F-1"]


HEAD = "#Insight Transform File V1.0\n"
BLOCK = HEAD + "#Transform 0\nTransform: {}_double_3_3\nParameters: 1 2\n"
REFUSED = {
    "a.tfm": ("no ITK", "begins with"),
    "b.tfm": (BLOCK.format("BSplineTransform"), "not linear"),
    "c.tfm": (BLOCK.format("AffineTransform"), "12 parameters"),
    "d.tfm": (HEAD, "no transform"),
    "e.json": ("{}", "no file with one coordinate transformation"),
    "f.json": ('{"coordinateTransformations": [{"type": "identity", "input": "a", "output": "a"}], "coordinateSystems":'
               ' [{"name": "a", "axes": [{"name": "y"}, {"name": "x"}]}]}', "has no unit"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_transforms_are_refused(name: str, tmp_path: Path) -> None:
    text, message = REFUSED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(fusion.FileReadError, match=message):
        fusion.read_transform(tmp_path / name, unit=None if name.endswith("json") else "mm")


def test_units_are_asked_for_where_the_file_has_none(tmp_path: Path) -> None:
    with pytest.raises(fusion.UnitError, match="give unit="):
        fusion.write_transform(GENERAL, tmp_path / "a.tfm")
    fusion.write_transform(GENERAL, tmp_path / "a.json")
    with pytest.raises(fusion.UnitError, match="leave unit= out"):
        fusion.read_transform(tmp_path / "a.json", unit="mm")
    with pytest.raises(fusion.StoreError, match="no variable points"):
        fusion.write_landmarks(pairs().drop_vars("points"), tmp_path / "a.fcsv")
    with pytest.raises(fusion.FileReadError, match="no such file"):
        fusion.read_landmarks(tmp_path / "none.csv", unit="um")
    (tmp_path / "b.fcsv").write_text("1,2,3\n")
    with pytest.raises(fusion.FileReadError, match="CoordinateSystem"):
        fusion.read_landmarks(tmp_path / "b.fcsv")


def test_the_affine_of_a_napari_layer_comes_back() -> None:
    np.testing.assert_array_equal(fusion.from_napari(fusion.to_napari(GENERAL))(PROBE), GENERAL(PROBE))
    with pytest.raises(fusion.FrameError, match="leaves the plane"):
        fusion.to_napari(GENERAL, dims=2)
    with pytest.raises(fusion.FrameError, match="3 x 3 or 4 x 4"):
        fusion.from_napari(np.eye(5))
