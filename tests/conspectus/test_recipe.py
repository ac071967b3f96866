"""Recipes: what is accepted, and what is said of a recipe that is not."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter, map_coordinates

import fusion
import spectra
from conspectus.errors import RecipeError
from conspectus.project import Project
from conspectus.recipes import apply, recipe

GOOD = """
title = "t"
[[step]]
do = "phantom"
[[step]]
do = "decompose"
of = "map"
components = 3
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_recipe_is_read(tmp_path: Path) -> None:
    found = recipe.read(written(tmp_path, GOOD))
    assert [step.do for step in found.step] == ["phantom", "decompose"]
    assert found.folder == tmp_path


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (GOOD.replace("components", "componets"), ["step 2 (decompose)", "'componets'", "did you mean 'components'"]),
        (GOOD.replace('"decompose"', '"decompse"'), ["'decompse' is no step", "allowed are open"]),
        (GOOD.replace("components = 3", ""), ["step 2 (decompose)", "'components' is missing"]),
        (GOOD.replace("= 3", "= 0"), ["components = 0", "greater than or equal to 1"]),
        (GOOD.replace("= 3", '= 3\nmethod = "nfm"'), ["method = 'nfm'", "should be 'nmf', 'pca', 'ica'"]),
        (GOOD + "[[stp]]\n", ["recipe", "'stp' is not a key", "did you mean 'step'"]),
        (GOOD.replace('"t"', "t"), ["not valid TOML", "line 2"]),
        ('title = "t"\n', ["'step' is missing"]),
        ('title = "t"\nstep = []\n', ["step"]),
        ('title = "t"\nstep = [3]\n', ["step"]),
        ('title = "t"\n[[step]]\nof = "map"\n', ["allowed are open"]),
    ],
)
def test_a_bad_recipe_is_refused_with_its_key_and_what_is_allowed(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.read(written(tmp_path, text))
    for message in messages:
        assert message in str(caught.value)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such recipe"):
        recipe.read(tmp_path / "none.toml")


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="UTF-8"):
        recipe.read(path)


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("recipes/*.toml")), ids=lambda p: p.stem)
def test_every_recipe_of_the_project_is_valid(path: Path) -> None:
    assert recipe.read(path).step


def test_a_chain_of_cleaning_steps(tmp_path: Path) -> None:
    chain = '[{step = "despike"}, {step = "crop", energy = [0.5, 3.0]}, {step = "smooth", sigma = 0.05}]'
    text = f'title = "t"\n[[step]]\ndo = "clean"\nof = "map"\nchain = {chain}\n'
    found = recipe.read(written(tmp_path, text))
    project = Project(tmp_path)
    axes = {"x": fusion.Axis("um", 1.0), "energy": fusion.Axis("keV", 0.1)}
    flat = {"signal": (("x", "energy"), np.ones((2, 50)))}
    project["map"] = fusion.dataset(flat, axes, name="map", cell_methods="mean")
    found.step[0].run(project)
    cleaned = spectra.cleaning_steps(project["map"])
    assert [name for name, _ in cleaned] == ["despike", "crop", "smooth"]
    assert float(project["map"]["energy"].max()) <= 3.0


APPLY = """
title = "t"
[[step]]
do = "apply"
function = "spectra.smooth"
of = "map"
options = { sigma = 0.1 }
"""
CLEAN = 'title = "t"\n[[step]]\ndo = "clean"\nof = "map"\nchain = [{step = "despike", threshold = 3.0}]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLEAN.replace('step = "despike", ', ""), "each link of the chain names its step"),
        (CLEAN.replace("despike", "despeckle"), "one of baseline, calibrate"),
        (
            CLEAN.replace("threshold", "treshold"),
            "despike: got an unexpected keyword argument 'treshold'; it takes thr",
        ),
        (APPLY.replace("smooth", "smoot"), "step 1 (apply): function: did you mean 'spectra.smooth'?"),
        (APPLY.replace("sigma", "sigmas"), "it takes window, order, sigma"),
        (APPLY.replace("spectra.smooth", "os.system"), "function: known are fusion.backproject"),
        ('title = "t"\n[[step]]\ndo = "register"\nmoving = "a"\nfixed = "b"\nmodel = "rigid"\n', "either landmarks"),
        (
            'title = "t"\n[[step]]\ndo = "open"\nname = "a"\nfile = "b"\nwing = "spectra"\ndims = ["y"]\n',
            "voxel and dims are for images",
        ),
    ],
)
def test_arguments_are_checked_before_anything_is_done(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.read(written(tmp_path, text))
    assert message in str(caught.value)


def test_every_public_function_that_changes_a_dataset_is_a_step() -> None:
    known = apply.functions()
    for name in ("fusion.resample", "fusion.coarsen", "spectra.line_map", "spectra.quantify", "volumes.density"):
        assert name in known
    assert "fusion.save" not in known


def test_a_transform_is_its_sixteen_numbers(tmp_path: Path) -> None:
    matrix = fusion.Affine.translation(x=0.5).matrix.ravel().tolist()
    text = APPLY.replace("spectra.smooth", "fusion.resample").replace(
        "options = { sigma = 0.1 }", f'datasets = {{ grid = "map" }}\noptions = {{ transform = {matrix} }}'
    )
    axes = {dim: fusion.Axis("um", 1.0) for dim in "yx"}
    values = {"image": (("y", "x"), np.arange(12.0).reshape(3, 4))}
    project = Project(tmp_path)
    project["map"] = ds = fusion.dataset(values, axes, name="map", cell_methods="mean")
    recipe.read(written(tmp_path, text)).step[0].run(project)
    expected = fusion.resample(ds, ds, transform=fusion.Affine.translation(x=0.5))
    np.testing.assert_array_equal(project["map"]["image"], expected["image"])


def test_editors_are_told_every_step_and_key() -> None:
    schema = recipe.schema()
    assert schema["$defs"]["Decompose"]["properties"]["components"]["minimum"] == 1
    assert "spectra.smooth" in schema["$defs"]["Apply"]["properties"]["function"]["enum"]
    assert set(schema["properties"]) == {"title", "about", "keep", "step", "picture"}
    assert set(schema["properties"]["step"]["items"]["discriminator"]["mapping"]) == set(recipe._models())


IMAGES = """
title = "t"
[[step]]
do = "register"
moving = "moving"
fixed = "fixed"
method = "images"
model = "translation"
[[step]]
do = "resample"
of = "moving"
onto = "fixed"
"""


def test_images_are_registered_and_laid_upon_one_another(tmp_path: Path) -> None:
    values = gaussian_filter(np.random.default_rng(0).normal(size=(80, 80)), 2.0)
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0)}
    project = Project(folder=tmp_path)
    for name, part in (("fixed", values[:70, :70]), ("moving", -values[5:75, 8:78])):
        project[name] = fusion.dataset({"image": (("y", "x"), part)}, axes, name=name, cell_methods="mean")
    for step in recipe.read(written(tmp_path, IMAGES)).step:
        step.run(project)
    fused = project["fused"].where(project["fused"]["coverage"] > 0)
    np.testing.assert_allclose(fused["moving_image"], -fused["image"].where(fused["coverage"] > 0), atol=0.02)
    assert ("moving on fixed", "sure") in [finding[:2] for finding in project.findings]


def test_an_image_that_bends_is_laid_upon_another(tmp_path: Path) -> None:
    """Drift of a slow scan: rows slide along x by up to three pixels."""
    values = gaussian_filter(np.random.default_rng(0).normal(size=(140, 150)), 1.5)
    rows, columns = np.indices(values.shape)
    slid = map_coordinates(values, [rows, columns + 3.0 * np.sin(rows / 25.0)], order=3, mode="nearest")
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0)}
    project = Project(folder=tmp_path)
    for name, part in (("fixed", values), ("moving", -slid)):
        project[name] = fusion.dataset({"image": (("y", "x"), part)}, axes, name=name, cell_methods="mean")
    for step in recipe.read(written(tmp_path, IMAGES.replace("translation", "warp"))).step:
        step.run(project)
    inside = project["fused"].isel(y=slice(20, -20), x=slice(20, -20))
    left = float((inside["moving_image"] + inside["image"]).std() / inside["image"].std())
    assert left < 0.1
    assert len(project.pictures) == 3
    found = {finding[0]: finding for finding in project.findings}
    assert "pairs, warp" in found["landmark residual, rms"][2]
    assert found["expected registration error"][2] == "rms over what lies between the pairs"


def test_keys_of_landmarks_are_refused_for_images(tmp_path: Path) -> None:
    text = IMAGES.replace('method = "images"', 'method = "images"\nlandmarks = "marks"')
    with pytest.raises(RecipeError, match="landmarks is no key of method = 'images'"):
        recipe.read(written(tmp_path, text))


REGISTER = 'title = "t"\n[[step]]\ndo = "register"\nmoving = "moving"\nfixed = "fixed"\n'


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('method = "points"\nmodel = "affine"\nsigma = 0.1', "points take model = 'rigid', 'similarity'"),
        ('method = "points"\nmodel = "rigid"', "points without order need sigma"),
        ('method = "section"\nmodel = "rigid"', "model is no key of method = 'section'"),
        ('method = "section"\nstart = [1, 0, 0]', "start"),
        ('method = "stage"\nmodel = "rigid"', "model is no key of method = 'stage'"),
        ("pairs = [[[0, 0], [0, 0]]]", "landmarks take model = 'rigid'"),
    ],
)
def test_a_method_of_registration_has_keys_of_its_own(tmp_path: Path, keys: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe.read(written(tmp_path, REGISTER + keys))


def test_points_of_unknown_order_are_registered(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = fusion.Affine.translation(y=3.0) @ fusion.Affine.rotation(40.0)
    points = np.pad(rng.uniform(0.0, 50.0, (40, 2)), ((0, 0), (1, 0)))
    project = Project(folder=tmp_path)
    for name, rows in (("moving", points), ("fixed", truth(points)[::-1][:30])):
        table = xr.Dataset(coords={d: ("point", c, {"units": "um"}) for d, c in zip("zyx", rows.T, strict=True)})
        project[name] = fusion.set_pose(table, fusion.Affine.identity(), name)
    recipe.read(written(tmp_path, REGISTER + 'method = "points"\nmodel = "rigid"\nsigma = 0.01')).step[0].run(project)
    np.testing.assert_allclose(fusion.between(project["moving"], project["fixed"])(points), truth(points), atol=1e-9)
    assert ("points paired", "30") in [finding[:2] for finding in project.findings]


def on_stage(name: str, x: float, stage: str) -> xr.Dataset:
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0)}
    ds = fusion.dataset({"image": (("y", "x"), np.arange(64.0).reshape(8, 8))}, axes, name=name, cell_methods="mean")
    return fusion.set_pose(ds, fusion.Affine.translation(x=x), fusion.Frame(stage, on_stage=stage != "bench"))


def test_a_shared_stage_registers_with_its_repeatability(tmp_path: Path) -> None:
    project = Project(folder=tmp_path)
    project["moving"], project["fixed"] = on_stage("a", 3.0, "stage of a"), on_stage("b", 1.0, "stage of b")
    recipe.read(written(tmp_path, REGISTER + 'method = "stage"\nsigma = 0.5')).step[0].run(project)
    found = fusion.between(project["moving"], project["fixed"])
    np.testing.assert_allclose(found([0.0, 0.0, 0.0]), [0.0, 0.0, 2.0])
    np.testing.assert_allclose(found.covariance_at([0.0, 5.0, 7.0]), 0.25 * np.eye(3), atol=1e-12)
    assert any("taken for one" in finding.note for finding in project.findings)


def test_a_bench_is_no_stage(tmp_path: Path) -> None:
    project = Project(folder=tmp_path)
    project["moving"], project["fixed"] = on_stage("a", 3.0, "stage"), on_stage("b", 1.0, "bench")
    with pytest.raises(RecipeError, match="fixed states no position of a stage"):
        recipe.read(written(tmp_path, REGISTER + 'method = "stage"')).step[0].run(project)


def test_one_variable_is_taken_and_what_comes_out_is_a_dataset(tmp_path: Path) -> None:
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 1.0), "energy": fusion.Axis("keV", 0.1)}
    counts = np.random.default_rng(0).poisson(20.0, (5, 6, 40)).astype(float)
    counts[..., 7] = 0.0
    project = Project(tmp_path)
    project["map"] = ds = fusion.dataset(
        {"counts": (("y", "x", "energy"), counts)}, axes, name="map", cell_methods="sum"
    )
    for text in (
        APPLY.replace("spectra.smooth", "spectra.faulty_channels").replace(
            "options = { sigma = 0.1 }", 'name = "faulty"'
        ),
        APPLY.replace("spectra.smooth", "fusion.set_pose").replace(
            "{ sigma = 0.1 }", f'{{ pose = {np.eye(4).ravel().tolist()}, frame = "stage" }}'
        ),
    ):
        recipe.read(written(tmp_path, text)).step[0].run(project)
    found = project["faulty"]
    np.testing.assert_array_equal(found[next(iter(found.data_vars))], spectra.faulty_channels(ds))
    assert fusion.get_pose(project["map"])[1] == "stage"
    with pytest.raises(RecipeError, match="name it"):
        recipe.read(written(tmp_path, APPLY.replace('of = "map"', 'of = "map/counts"')))
