"""volumes.open against the reference readers, on measured files."""

import json

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
import xarray as xr
from PIL import Image

import fusion
import volumes
from fusion.errors import FileReadError
from tests.makers.images import steps

SECTIONS = {"z": "45 nm", "y": "4.6 nm", "x": "4.6 nm"}


def test_imagej_stack(measured):
    path = measured("confocal/colocsample1b-red.tif")
    ds = volumes.open(path)
    np.testing.assert_array_equal(ds["image"].values, tifffile.imread(path))
    assert ds["image"].dims == ("z", "y", "x")
    assert steps(ds) == {dim: (pytest.approx(size), "um") for dim, size in
                         {"z": 0.64609375, "y": 1e6 / 3046781, "x": 1e6 / 3046781}.items()}  # fmt: skip
    assert json.loads(ds.attrs["original_metadata"])["ImageJ"] == "1.44d"


def test_sections_stay_lazy(measured):
    folder = measured("sstem_volume/vnc_stack1_raw/00.tif").parent
    ds = volumes.open(folder, voxel=SECTIONS)
    assert ds["image"].chunks == ((1,) * 20, (1024,), (1024,))
    np.testing.assert_array_equal(ds["image"][7].values, tifffile.imread(folder / "07.tif"))
    assert steps(ds) == {"z": (pytest.approx(0.045), "um"), **{d: (pytest.approx(0.0046), "um") for d in "yx"}}


def test_mitochondria_are_labels(measured):
    folder = measured("sstem_volume/vnc_stack1_mitochondria/00.png").parent
    ds = volumes.open(folder, voxel=SECTIONS, labels={"background": 0, "mitochondria": 255})
    stored = np.asarray(Image.open(folder / "03.png"))
    np.testing.assert_array_equal(ds["labels"][3].values, np.where(stored >= 128, 255, 0))
    assert ds["labels"].attrs["flag_values"].tolist() == [0, 255]
    assert ds["labels"].attrs["flag_meanings"] == "background mitochondria"
    with pytest.raises(FileReadError, match="different values are too many for labels"):
        volumes.open(folder, labels=True)


def test_maps_of_one_hdf5_file(measured):
    path = measured("correlative_haadf_chem/Co3O4_Mn3O4.h5")
    assert [item.name for item in volumes.contents(path)] == ["Co", "HAADF", "Mn", "O"]
    ds = volumes.open(path)
    with h5py.File(path) as file:
        for name in ("Co", "HAADF", "Mn", "O"):
            np.testing.assert_array_equal(ds[name].values, file[name][()])
    one = volumes.open(path, name="Mn", voxel="1 nm")
    xr.testing.assert_equal(one["image"].drop_vars(["y", "x"]), ds["Mn"].drop_vars(["y", "x"]))


def test_maps_of_one_file_share_its_frame(measured):
    path = measured("correlative_haadf_chem/Co3O4_Mn3O4.h5")
    frames = {fusion.get_pose(volumes.open(path, name=name))[1] for name in (None, "Co", "HAADF")}
    assert len(frames) == 1


def test_matlab_needs_names_for_three_axes(measured):
    path = measured("correlative_edx_tomo/bispl_nanorod/HAADF_STEM_ground_truth.mat")
    with pytest.raises(FileReadError, match=r"does not name the axes of label \(255, 256, 256\)"):
        volumes.open(path)
    ds = volumes.open(path, dims=("x", "z", "y"), voxel="2 nm")
    reference = scipy.io.loadmat(path)["label"]
    assert ds.sizes == {"z": 256, "y": 256, "x": 255}
    np.testing.assert_array_equal(ds["image"].values, reference.transpose(1, 2, 0))


def test_projections_need_a_tilt_step(measured):
    path = measured("correlative_edx_tomo/bispl_nanorod/STEM_EDX_input.mat")
    with pytest.raises(FileReadError, match="does not give the step along 'tilt'"):
        volumes.open(path, dims=("y", "x", "tilt"), voxel={"y": "2 nm", "x": "2 nm"})
    ds = volumes.open(path, dims=("y", "x", "tilt"), voxel={"y": "2 nm", "x": "2 nm", "tilt": "10 degree"})
    assert ds["tilt"].values.tolist() == list(range(0, 130, 10))
    assert ds["tilt"].attrs["units"] == "degree"


def test_foreign_netcdf_is_brought_to_order(measured):
    path = measured("electron_tomography/needle_fbp_128.nc")
    ds = volumes.open(path)
    assert ds["haadf"].dims == ("z", "y", "x")
    assert steps(ds) == {dim: (pytest.approx(0.00672), "um") for dim in "zyx"}
    with xr.open_dataset(path, engine="h5netcdf") as foreign:
        assert foreign["haadf"].dims == ("x", "z", "y")
        np.testing.assert_array_equal(ds["haadf"].values, foreign["haadf"].values.transpose(1, 2, 0))


def test_a_pair_of_images_with_its_mask(measured):
    # 7.344 nm by the header's own entry; the two images have it in common
    for name in ("1908248_SEM", "1908249_TSEM"):
        path = measured(f"correlative_sem_tsem/{name}.tif")
        ds = volumes.open(path)
        with Image.open(path) as image:
            np.testing.assert_array_equal(ds["image"], np.asarray(image))
        assert steps(ds)["x"] == (pytest.approx(0.007344), "um")
    mask = volumes.open(measured("correlative_sem_tsem/1908248_mask.tif"), labels={"background": 0, "particle": 255})
    assert mask["labels"].sizes == volumes.open(measured("correlative_sem_tsem/1908248_SEM.tif"))["image"].sizes
    assert volumes.open(measured("correlative_sem_tsem/1908248_classes.tif"))["channel"].values.tolist() == [
        "red", "green", "blue",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["particles/small_confocal_image.tif", *(f"restoration/bars-25pct_{n}.tif" for n in ("actual", "data"))]
)
def test_stacks_without_a_size_are_in_pixels(measured, name):
    ds = volumes.open(measured(name))
    np.testing.assert_array_equal(ds["image"], tifffile.imread(measured(name)))
    assert ds["image"].dims == ("z", "y", "x")
    assert {unit for _, unit in steps(ds).values()} == {"px"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("raman/chondro.nc", "spectra.open"),
        ("edx/P45_the_default_job.bcf", "unknown format .*; open it with spectra.open"),
        ("correlative_eds_haadf_velox/fei_emd_si.emd", "open it with spectra.open"),
        ("correlative_cl_sem/odemis_spectrum_fitting.h5", r"in the way of Delmic's files; open it with spectra\.open"),
    ],
)
def test_refused(measured, name, reason):
    with pytest.raises(FileReadError, match=reason):
        volumes.open(measured(name))


def test_a_place_on_the_stage_is_not_lost(measured):
    path = measured("correlative_cl_sem/odemis_spectrum_fitting.h5")
    with pytest.raises(FileReadError, match=r"open it with spectra\.open"):
        volumes.open(path, name="Acquisition2/ImageData/Image")
