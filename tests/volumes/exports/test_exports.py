"""Images and volumes in the eyes of other programs: a known voxel at a known place, read by their own libraries."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr

import fusion
import volumes
from fusion import Affine, Axis

AXES = {"z": Axis("um", 0.3, 5.0), "y": Axis("um", 0.2, -1.0), "x": Axis("um", 0.1, 2.0)}
VOXEL = (2, 1, 3)
PLACE = np.array([5.6, -0.8, 2.3])
"""Where the voxel lies in the coordinates of the volume (z, y, x)."""
TURNED = Affine(Affine.translation(z=1.0, y=-2.0, x=3.0).matrix @ Affine.rotation(30.0, axis=(1.0, 2.0, 0.5)).matrix)


def volume(pose: Affine | None = None, dtype: Any = np.float32, sizes: tuple[int, int, int] = (3, 4, 5)) -> xr.Dataset:
    values = np.zeros(sizes, dtype)
    values[VOXEL] = 7
    variables = {"density": (("z", "y", "x"), values), "double": (("z", "y", "x"), 2 * values)}
    frame = {} if pose is None else {"pose": pose, "frame": "stage"}
    return fusion.dataset(variables, AXES, name="v", cell_methods="mean", **frame)


def vtk_image(path: Path) -> Any:
    from vtkmodules.vtkIOHDF import vtkHDFReader
    from vtkmodules.vtkIOXML import vtkXMLImageDataReader

    reader = vtkXMLImageDataReader() if path.suffix == ".vti" else vtkHDFReader()
    reader.SetFileName(str(path))
    reader.Update()
    return reader.GetOutput()


@pytest.mark.parametrize("suffix", [".vti", ".vtkhdf"])
@pytest.mark.parametrize("pose", [None, TURNED], ids=["untouched", "turned"])
def test_vtk_finds_the_voxel_where_the_pose_puts_it(tmp_path: Path, suffix: str, pose: Affine | None) -> None:
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = vtk_image(volumes.export(volume(pose), tmp_path / f"v{suffix}"))
    values = vtk_to_numpy(image.GetPointData().GetArray("density"))
    assert values.sum() == 7
    found = np.array(image.GetPoint(int(values.argmax())))[::-1]
    np.testing.assert_allclose(found, PLACE if pose is None else pose(PLACE), atol=1e-9)
    assert image.GetDimensions() == (5, 4, 3)
    np.testing.assert_allclose(image.GetSpacing(), (0.1, 0.2, 0.3))
    assert vtk_to_numpy(image.GetPointData().GetArray("double")).max() == 14


@pytest.mark.parametrize("suffix", [".vti", ".vtkhdf"])
def test_components_are_one_array_of_vtk(tmp_path: Path, suffix: str) -> None:
    shares = np.random.default_rng(0).uniform(size=(4, 5, 2))
    axes = {"y": AXES["y"], "x": AXES["x"], "component": ["Fe", "Cu"]}
    ds = fusion.dataset({"share": (("y", "x", "component"), shares)}, axes, name="v", cell_methods="mean")
    array = vtk_image(volumes.export(ds, tmp_path / f"v{suffix}")).GetPointData().GetArray("share")
    assert array.GetNumberOfComponents() == 2
    np.testing.assert_allclose(array.GetTuple(7), shares.reshape(-1, 2)[7])


def test_imagej_reads_sizes_unit_and_channels(tmp_path: Path) -> None:
    with tifffile.TiffFile(volumes.export(volume()[["density"]], tmp_path / "v.tif")) as file:
        assert file.is_imagej
        assert file.series[0].axes == "ZYX"
        assert file.asarray()[VOXEL] == 7
        assert file.imagej_metadata["unit"] == "um"
        assert file.imagej_metadata["spacing"] == pytest.approx(0.3)
        for tag, step in [("XResolution", 0.1), ("YResolution", 0.2)]:
            numerator, denominator = file.pages.first.tags[tag].value
            assert denominator / numerator == pytest.approx(step, rel=1e-6)
    opened = volumes.open(tmp_path / "v.tif")
    assert [float(opened[dim][1] - opened[dim][0]) for dim in "zyx"] == pytest.approx([0.3, 0.2, 0.1], rel=1e-5)


def test_imagej_has_channels_between_slices_and_rows(tmp_path: Path) -> None:
    values = np.arange(2 * 3 * 4 * 2, dtype=np.uint16).reshape(2, 3, 4, 2)
    axes = {**AXES, "channel": range(2)}
    ds = fusion.dataset({"light": (("z", "y", "x", "channel"), values)}, axes, name="v", cell_methods="mean")
    with tifffile.TiffFile(volumes.export(ds, tmp_path / "v.tif")) as file:
        assert file.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(file.asarray(), values.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("dtype", "kept"), [("i4", "f4"), ("f8", "f4"), ("u1", "u1"), (">u2", "u2")])
def test_imagej_gets_a_type_that_it_knows(tmp_path: Path, dtype: str, kept: str) -> None:
    values = tifffile.imread(volumes.export(volume(dtype=dtype)[["density"]], tmp_path / "v.tif"))
    assert (values.dtype, values[VOXEL]) == (np.dtype(kept), 7)


def test_what_imagej_would_round_is_refused(tmp_path: Path) -> None:
    ds = volume(dtype=np.int32)[["density"]]
    ds["density"].values[0, 0, 0] = (1 << 24) + 1
    with pytest.raises(fusion.DataError, match="would be rounded"):
        volumes.export(ds, tmp_path / "v.tif")


def ome_image(path: Path) -> Any:
    import zarr
    from ome_zarr_models import v04 as models
    from pydantic_zarr import v2

    # its annotations name a type that only the module of their base has
    models.Image.model_rebuild(_types_namespace=vars(v2))
    group = zarr.open_group(path, mode="r", zarr_format=2)
    return models.Image.from_zarr(group), group


SHIFTED = Affine(np.diag([2.0, 1.0, 1.0, 1.0]) + np.array([[0, 0, 0, 1.0], [0] * 4, [0, 0, 0, 3.0], [0] * 4]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("pose", [None, SHIFTED], ids=["untouched", "shifted"])
def test_ome_zarr_is_valid_and_says_where_the_voxel_is(tmp_path: Path, pose: Affine | None) -> None:
    path = volumes.export(volume(pose, sizes=(3, 300, 50))[["density"]], tmp_path / "v.ome.zarr")
    image, group = ome_image(path)
    multiscale = image.attributes.multiscales[0]
    assert [axis.name for axis in multiscale.axes] == ["z", "y", "x"]
    assert {axis.unit for axis in multiscale.axes} == {"micrometer"}
    place = PLACE if pose is None else pose(PLACE)
    for number, dataset in enumerate(multiscale.datasets):
        scale, translation = (np.array(t.model_dump()[t.type]) for t in dataset.coordinateTransformations)
        values = group[dataset.path][...]
        index = np.unravel_index(values.argmax(), values.shape)
        assert (np.abs(translation + scale * index - place) <= scale / 2 * (1 + 1e-9)).all(), number
    assert len(multiscale.datasets) == 3
    scale, translation = (np.array(t.model_dump()[t.type]) for t in multiscale.datasets[0].coordinateTransformations)
    np.testing.assert_allclose(translation + scale * VOXEL, place)


@pytest.mark.filterwarnings("ignore")
def test_smaller_levels_are_means_and_nan_only_where_all_are(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(size=(301, 130)).astype(np.float32)
    values[:2, :2] = np.nan
    values[2, 2] = np.nan
    axes = {"y": AXES["y"], "x": AXES["x"]}
    ds = fusion.dataset({"image": (("y", "x"), values)}, axes, name="v", cell_methods="mean")
    _, group = ome_image(volumes.export(ds, tmp_path / "v.ome.zarr"))
    half = group["1"][...]
    assert half.shape == (151, 65)
    assert np.isnan(half[0, 0])
    assert np.isnan(half).sum() == 1
    np.testing.assert_allclose(half[1, 1], np.nanmean(values[2:4, 2:4]), rtol=1e-6)
    np.testing.assert_allclose(half[150, 5], values[300, 10:12].mean(), rtol=1e-6)
    np.testing.assert_array_equal(group["0"][...], values)


@pytest.mark.filterwarnings("ignore")
def test_labels_are_not_averaged(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (200, 140)).astype(np.int16) * 5
    attrs = {"flag_values": np.int16([0, 5, 10]), "flag_meanings": "a b c"}
    ds = fusion.dataset({"phase": (("y", "x"), labels, attrs)}, {d: AXES[d] for d in "yx"}, name="v")
    _, group = ome_image(volumes.export(ds, tmp_path / "v.ome.zarr"))
    assert set(np.unique(group["1"][...])) == {0, 5, 10}


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_zarr_is_replaced_as_one(tmp_path: Path) -> None:
    path = volumes.export(volume(sizes=(3, 300, 50))[["density"]], tmp_path / "v.ome.zarr")
    volumes.export(volume()[["density"]], path)
    image, group = ome_image(path)
    assert len(image.attributes.multiscales[0].datasets) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["v.ome.zarr"]
    assert group["0"].shape == (3, 4, 5)


def uneven() -> xr.Dataset:
    axes = {"y": AXES["y"], "x": Axis("um", values=[0.0, 1.0, 3.0])}
    return fusion.dataset({"image": (("y", "x"), np.zeros((2, 3)))}, axes, name="v", cell_methods="mean")


def spectra() -> xr.Dataset:
    axes = {"y": AXES["y"], "x": AXES["x"], "energy": Axis("keV", 0.1)}
    return fusion.dataset({"counts": (("y", "x", "energy"), np.zeros((2, 3, 4)))}, axes, name="v", cell_methods="sum")


@pytest.mark.parametrize(
    ("ds", "name", "error", "message"),
    [
        (volume(TURNED)[["density"]], "v.ome.zarr", fusion.FrameError, "the pose turns"),
        (volume(), "v.tif", fusion.DataError, r"choose one: ds\[\[\"density\"\]\]"),
        (uneven(), "v.tif", fusion.DataError, "x is not uniform"),
        (uneven(), "v.ome.zarr", fusion.DataError, "x is not uniform"),
        (uneven(), "v.vti", fusion.DataError, "an axis is not uniform"),
        (spectra(), "v.tif", fusion.DataError, "lies along energy"),
        (volume(), "v.png", fusion.StoreError, "ends in none of .vti, .vtkhdf"),
        (volume(dtype=np.complex64)[["density"]], "v.tif", fusion.DataError, "real numbers"),
        (volume(), "none/v.vti", fusion.StoreError, "could not be written"),
        (xr.DataTree(), "v.vti", fusion.ConventionError, "a Dataset is needed"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_a_format_cannot_hold_is_refused_and_nothing_is_left(
    tmp_path: Path, ds: Any, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        volumes.export(ds, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
