"""spectra.open on measured files: right names, numbers and units, and clear refusals."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

import fusion
import spectra
from fusion import Axis, FileReadError, provenance
from spectra.readers.backend import SpectraBackend

CL = "correlative_cl_sem/odemis_spectrum_fitting.h5"
VELOX = "correlative_eds_haadf_velox/fei_SI_SuperX-HAADF_20frames_10x50.emd"
STREAMLINE = "raman/renishaw_test_streamline.wdf"
MAP = "raman/renishaw_test_map.wdf"
WITEC = "raman/Witec-Map_full.txt"
JEOL = "edx/jeol/Sample/00_View000/View000_0000006.pts"


def test_witec_export_has_no_pixel_size(measured):
    path = measured(WITEC)
    ds = spectra.open(path)
    table = np.loadtxt(path, skiprows=2)
    assert ds["intensity"].dims == ("y", "x", "raman_shift")
    assert (ds["y"].attrs["units"], ds["x"].attrs["units"]) == ("px", "px")
    np.testing.assert_array_equal(ds["raman_shift"], table[:, 0])
    np.testing.assert_array_equal(ds["intensity"].isel(x=1, y=0), table[:, 2])
    np.testing.assert_array_equal(ds["intensity"].isel(x=0, y=1), table[:, 6])


def test_nsid_axis_without_a_standard_name_runs_along_channels(measured):
    path = measured("electrochem/bfo_iv_final.hf5")
    ds = spectra.open(path)
    with h5py.File(path) as file:
        group = file["Measurement_000/Channel_000/IV_BFO"]
        stored, roots = group["IV_BFO"][...], group["$\\sqrt E$"][...]
    np.testing.assert_array_equal(ds["intensity"].transpose("x", "y", "channel"), stored)
    np.testing.assert_array_equal(ds["channel_value"], roots)
    assert ds["channel_value"].attrs == {"units": "(V/m)^0.5", "long_name": "Electric Field, sqrt E"}
    assert ds["intensity"].attrs["long_name"] == "log J (A/m^2)"
    assert float(ds["x"][-1]) == pytest.approx(5e-3)


def test_text_of_unknown_layout_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("1 2 3")
    (tmp_path / "b.txt").write_text("X-Axis\tsomewhere\nnm\tcts\n1 2\n")
    with pytest.raises(FileReadError, match=r"unknown format '[.]txt'"):
        spectra.open(tmp_path / "a.txt")
    with pytest.raises(FileReadError, match=r"not a WITec export of a map .*'somewhere' does not say its pixel"):
        spectra.open(tmp_path / "b.txt")


def test_known_totals(measured):
    assert int(spectra.open(measured("edx/test_TEM.bcf"))["counts"].sum()) == 26005
    assert int(spectra.open(measured("edx/P45_the_default_job.bcf"))["counts"].sum()) == 165941


def test_large_maps_stay_lazy(measured):
    for name in ("edx/test_TEM.bcf", VELOX, "eels/EELS_SI.dm4", "raman/chondro.nc"):
        assert next(iter(spectra.open(measured(name)).data_vars.values())).chunks is not None
    jeol = spectra.open(measured(JEOL))["counts"]
    corner = jeol[:8, :8].values
    assert corner.dtype == np.uint16
    assert corner.sum() == 9


def test_what_the_file_says_is_kept(measured):
    ds = spectra.open(measured("edx/test_TEM.bcf"))
    assert ds.attrs["beam_energy"] == 200.0
    assert ds.attrs["elements"] == ["Cu", "O", "Pd", "Ti"]
    assert json.loads(ds.attrs["original_metadata"])["Microscope"]["Mag"] == 225000
    assert spectra.open(measured(VELOX)).attrs["instrument"] == "Talos"
    assert spectra.open(measured(VELOX)).attrs["beam_energy"] == 200.0
    record = provenance.read(ds)
    assert record["steps"][0]["name"] == "spectra.open"
    assert record["inputs"] == [{"path": "test_TEM.bcf", "sha256": provenance.sha256(measured("edx/test_TEM.bcf"))}]


def test_contents_lists_every_item(measured):
    bse, se, edx = spectra.contents(measured("edx/P45_the_default_job.bcf"))
    assert repr(edx) == "EDX: EDX, y 75 (um), x 100 (um), energy 2048 (keV), uint8"
    assert (bse.name, se.name, bse.technique) == ("BSE", "SE", "image")
    assert [item.name for item in spectra.contents(measured(CL))] == ["SEM CL", "Spectrum", "SEM survey"]


def test_images_share_the_frame_of_the_map(measured):
    path = measured("edx/P45_the_default_job.bcf")
    edx, bse = spectra.open(path), spectra.open(path, name="BSE")
    assert bse["image"].shape == edx["counts"].shape[:2]
    np.testing.assert_allclose(fusion.between(bse, edx).matrix, np.eye(4), atol=1e-9)  # both lie at 62 mm


def test_finer_image_of_the_same_field_is_put_by_its_corner(tmp_path, monkeypatch, direct):
    field = [{"name": "height", "size": 4, "scale": 2.0, "offset": 0.0, "units": "µm"},
             {"name": "width", "size": 4, "scale": 2.0, "offset": 0.0, "units": "µm"}]  # fmt: skip
    fine = [{**axis, "size": 8, "scale": 1.0} for axis in field]
    wide = [{**axis, "size": 9, "scale": 1.0} for axis in field]
    energy = {"name": "Energy", "size": 3, "scale": 0.01, "offset": 0.0, "units": "keV"}
    raws = [
        {"data": np.ones((8, 8)), "axes": fine, "metadata": {"General": {"title": "fine"}}},
        {"data": np.ones((9, 9)), "axes": wide, "metadata": {"General": {"title": "wide"}}},
        {"data": np.ones((4, 4, 3), "uint8"), "axes": [*field, energy], "metadata": {"General": {"title": "EDX"}}},
    ]
    monkeypatch.setattr("rsciio.bruker.file_reader", lambda *_, **__: raws)
    path = tmp_path / "a.bcf"
    path.write_bytes(b"any")
    edx, fine_image, wide_image = (spectra.open(path, name=name) for name in ("EDX", "fine", "wide"))
    np.testing.assert_allclose(fusion.between(fine_image, edx)([0.0, 0.0, 0.0]), [0.0, -0.5, -0.5])
    with pytest.raises(fusion.FrameError, match="share no frame"):
        fusion.between(wide_image, edx)


def test_white_light_image_covers_the_raman_map_on_the_stage(measured):
    path = measured(STREAMLINE)
    raman, image = spectra.open(path), spectra.open(path, name="white light")
    assert image["image"].dims == ("y", "x", "channel")
    assert image["channel"].values.tolist() == ["R", "G", "B"]
    assert raman["pose"].attrs["frame"] == image["pose"].attrs["frame"]
    assert raman["pose"].attrs["frame"].startswith("stage of renishaw_test_streamline.wdf ")
    for dim in "yx":
        assert image[dim][0] < raman[dim][0] < raman[dim][-1] < image[dim][-1]


def match(se: xr.Dataset, smooth: xr.DataArray, centre: tuple[float, float], mirror: tuple[int, int] = (1, 1)) -> float:
    """Correlate the SE image with the smoothed survey around `centre` (y, x) on the stage."""
    there = smooth.interp(y=se["y"].values * mirror[0] + centre[0], x=se["x"].values * mirror[1] + centre[1])
    return float(np.corrcoef(there.values.ravel(), se["image"].values.ravel())[0, 1])


def test_delmic_offsets_are_centres_on_a_stage_with_y_upwards(measured):
    """The SE image is found in the survey near the claimed place, unmirrored; the rest (0.1 um) is drift."""
    se, survey = (spectra.open(measured(CL), name=name).astype(float) for name in ("SEM CL", "SEM survey"))
    y, x = fusion.between(se, survey)([0.0, 0.0, 0.0])[1:]
    assert (y, x) == (pytest.approx(0.1027576), pytest.approx(-0.3888883))
    smooth = survey["image"].copy(data=gaussian_filter(survey["image"].values, 1.8))
    claimed = match(se, smooth, (y, x))
    assert claimed > 0.5 > 0.2 > max(match(se, smooth, place) for place in ((-y, x), (y, -x), (-y, -x)))
    pixel = float(se["x"][1] - se["x"][0])
    steps = np.arange(-6, 7) * pixel
    best = {
        mirror: max((match(se, smooth, (y + a, x + b), mirror), a, b) for a, b in product(steps, steps))
        for mirror in product((1, -1), repeat=2)
    }
    top, a, b = best.pop((1, 1))
    assert top > 0.965 > max(value for value, _, _ in best.values())
    assert np.hypot(a, b) < 3.7 * pixel


def test_delmic_spectra_and_concurrent_image_coincide(measured):
    cube, se = spectra.open(measured(CL)), spectra.open(measured(CL), name="SEM CL")
    np.testing.assert_array_equal(fusion.between(cube, se).matrix, np.eye(4))
    with h5py.File(measured(CL)) as file:
        stored = file["Acquisition1/ImageData/Image"][:, 0, 0]
    np.testing.assert_array_equal(cube["intensity"].values, np.moveaxis(stored, 0, -1)[::-1])


def delmic_copy(source: Path, target: Path, **extra) -> Path:
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        for name, value in extra.items():
            file[f"Acquisition0/ImageData/{name}"] = value
    return target


def test_delmic_rotation_turns_about_the_centre(measured, tmp_path):
    path = delmic_copy(measured(CL), tmp_path / "turned.h5", Rotation=(0.0, 0.0, np.pi / 2))
    pose, frame = fusion.get_pose(spectra.open(path, name="SEM CL"))
    assert frame.startswith("stage of turned.h5 ")
    np.testing.assert_allclose(pose([0.0, 0.0, 1.0]), [0.0, 0.1027576 + 1.0, -0.3888883], atol=1e-6)


def test_delmic_sheared_image_is_not_placed(measured, tmp_path):
    path = delmic_copy(measured(CL), tmp_path / "sheared.h5", Shear=(0.1, 0.0))
    assert fusion.get_pose(spectra.open(path, name="SEM CL"))[1].startswith("SEM CL of sheared.h5 ")


def write_hspy(path: Path) -> Path:
    from hyperspy.signals import Signal1D

    axes = [
        {"name": "x", "size": 2, "units": "um"},
        {"name": "Wavelength", "size": 3, "offset": 5.0, "units": "nm"},
    ]
    Signal1D(np.arange(6.0).reshape(2, 3), axes=axes).save(path)
    return path


def test_hspy_round_trip_of_plain_axes(tmp_path):
    ds = spectra.open(write_hspy(tmp_path / "plain.hspy"))
    assert ds["intensity"].dims == ("x", "wavelength")
    np.testing.assert_array_equal(ds["wavelength"], [5.0, 6.0, 7.0])


def test_hspy_never_runs_code_from_the_file(tmp_path):
    trap = tmp_path / "ran"
    path = write_hspy(tmp_path / "bad.hspy")
    with h5py.File(path, "r+") as file:
        axis = next(iter(file["Experiments"].values()))["axis-1"]
        axis.attrs["expression"] = f"__import__('pathlib').Path({str(trap)!r}).touch()"
    with pytest.raises(FileReadError, match="code from files is not run"):
        spectra.open(path)
    assert spectra.contents(path)[0].technique == "unreadable"
    assert not trap.exists()


def test_hdf5_pointing_elsewhere_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(os.urandom(64))
    for name, link in (("link", h5py.ExternalLink("other.h5", "/data")), ("storage", None)):
        path = write_hspy(tmp_path / f"{name}.hspy")
        with h5py.File(path, "r+") as file:
            if link:
                file["Experiments/away"] = link
            else:
                file.create_dataset("Experiments/away", (64,), "u1", external=[(str(secret), 0, 64)])
        with pytest.raises(FileReadError, match="lie in another file"):
            spectra.open(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.bcf", None, "no such file"),
        ("empty.bcf", b"", "the file is empty"),
        ("map.xyz", b"abc", "unknown format '.xyz'.*accepts Bruker [(][.]bcf .*volumes.open"),
        ("noise.dm4", b"\x00" * 400, "digitalmicrograph reader failed"),
        ("noise.h5", b"\x01" * 400, "not a readable HDF5 file"),
        ("noise.hspy", b"\x01" * 400, "not a readable HDF5 file"),
        ("noise.nc", b"\x01" * 400, "not a readable HDF5 file"),
    ],
)
def test_refusals_name_the_file_and_what_is_accepted(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileReadError, match=f"{name}.*{message}"):
        spectra.open(tmp_path / name)


def test_a_file_without_spectra_is_told(tmp_path):
    with h5py.File(tmp_path / "groups.nc", "w") as file:
        file.create_group("measurement")
    with pytest.raises(FileReadError, match=r"it holds nothing that is spectral; images open with volumes.open"):
        spectra.open(tmp_path / "groups.nc")


def test_a_cut_file_is_refused(measured, tmp_path):
    for name in (CL, "raman/chondro.nc", "eels/EELS_SI.dm4"):
        whole = measured(name).read_bytes()
        path = tmp_path / Path(name).name
        path.write_bytes(whole[: len(whole) // 3])
        with pytest.raises(FileReadError, match=path.name):
            spectra.open(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.98, 1.0])
@pytest.mark.parametrize("name", ["edx/test_TEM.bcf", "edx/P45_the_default_job.bcf", JEOL, WITEC, STREAMLINE, MAP])
def test_a_file_that_is_shorter_than_it_says_is_cut_short(measured, tmp_path, name, share):
    content = measured(name).read_bytes()
    path = tmp_path / Path(name).name
    # without the end of its last line, a table is complete; without the last digit it is not
    path.write_bytes(content[: int(share * (len(content) - (3 if name == WITEC else 1)))])
    with pytest.raises(FileReadError, match=f"{path.name}.*: cut short.*again"):
        spectra.open(path)


@pytest.mark.parametrize("name", ["edx/test_TEM.bcf", JEOL])
def test_a_file_may_be_longer_than_it_says(measured, tmp_path, name):
    path = tmp_path / Path(name).name
    path.write_bytes(measured(name).read_bytes() + bytes(16))
    assert spectra.contents(path)[0].technique != "unreadable"


def test_wdf_with_bytes_that_are_no_block_is_refused(measured, tmp_path):
    path = tmp_path / "map.wdf"
    path.write_bytes(measured(MAP).read_bytes() + bytes(16))
    with pytest.raises(FileReadError, match="damaged: no block begins at byte 332110"):
        spectra.open(path)


@pytest.mark.parametrize(("name", "length"), [("edx/test_TEM.bcf", 200), (JEOL, 30)])
def test_a_file_cut_within_its_header(measured, tmp_path, name, length):
    path = tmp_path / Path(name).name
    path.write_bytes(measured(name).read_bytes()[:length])
    with pytest.raises(FileReadError, match=f"cut short within its header, after {length} bytes"):
        spectra.open(path)


def test_a_project_of_jeol_is_refused_for_its_map(measured, tmp_path):
    folder = tmp_path / "Sample" / "00_View000"
    folder.mkdir(parents=True)
    (folder / "cut.pts").write_bytes(measured(JEOL).read_bytes()[:100000])
    (tmp_path / "project.asw").write_bytes(b"any")
    with pytest.raises(FileReadError, match=r"cut[.]pts: cut short: 100000 of at least 1388552 bytes"):
        spectra.open(tmp_path / "project.asw")


def test_witec_lines_must_be_whole(measured, tmp_path):
    lines = measured(WITEC).read_text().splitlines(keepends=True)
    path = tmp_path / "map.txt"
    for text, message in (
        ("".join(lines)[:-3], "cut short within line 1026"),
        ("".join(lines[:2]), "cut short within line 2"),
        (lines[0][:300], "cut short within line 1"),
        ("".join([*lines[:9], lines[9].rpartition("\t")[0] + "\n", *lines[10:]]), "line 10 has 25 of 26 columns"),
    ):
        path.write_text(text)
        with pytest.raises(FileReadError, match=message):
            spectra.open(path)


def test_unknown_item_and_unclear_choice(measured, tmp_path):
    with pytest.raises(FileReadError, match="no item 'SE2'; it contains 'BSE', 'SE', 'EDX'"):
        spectra.open(measured("edx/P45_the_default_job.bcf"), name="SE2")
    ds = xr.Dataset(
        {name: (("x", "energy"), np.ones((2, 3))) for name in "ab"},
        coords={"x": ("x", [0.0, 1.0], {"units": "um"}), "energy": ("energy", [1.0, 2.0, 3.0], {"units": "keV"})},
    )
    ds.to_netcdf(tmp_path / "two.nc", engine="h5netcdf")
    with pytest.raises(FileReadError, match=r"2 of its 2 items are spectral; say which, name=\.\.\. from 'a', 'b'"):
        spectra.open(tmp_path / "two.nc")


def test_plain_netcdf_says_what_is_missing(tmp_path):
    ds = xr.Dataset({"counts": (("row", "x", "energy"), np.ones((2, 2, 3)))}, coords={"energy": [1.0, 2.0, 3.0]})
    ds.to_netcdf(tmp_path / "bare.nc", engine="h5netcdf")
    with pytest.raises(FileReadError, match=r"unknown dim 'row'; x has no coordinate; energy has no units; dims are z"):
        spectra.open(tmp_path / "bare.nc")


def test_axes_without_pixel_size_say_px(tmp_path, monkeypatch, direct):
    axes = [{"name": "x", "size": 2, "scale": 3.0, "offset": 1.0, "units": None},
            {"name": "Wavelength", "size": 3, "scale": 1.0, "offset": 400.0, "units": "nm"}]  # fmt: skip
    monkeypatch.setattr("rsciio.pantarhei.file_reader", lambda *_, **__: [{"data": np.ones((2, 3)), "axes": axes}])
    (tmp_path / "line.prz").write_bytes(b"any")
    ds = spectra.open(tmp_path / "line.prz")
    assert ds["x"].attrs["units"] == "px"
    np.testing.assert_array_equal(ds["x"], [0.0, 1.0])
    with pytest.raises(fusion.UnitError, match="pixel size along x is not known"):
        fusion.model.require_lengths(ds, "fused")


def test_axis_that_says_nothing_is_refused(tmp_path, monkeypatch, direct):
    axes = [{"name": "Abs. Distance", "size": 2, "scale": 3.0, "offset": 0.0, "units": "µm"}]
    monkeypatch.setattr("rsciio.pantarhei.file_reader", lambda *_, **__: [{"data": np.ones(2), "axes": axes}])
    (tmp_path / "line.prz").write_bytes(b"any")
    with pytest.raises(FileReadError, match=r"axis 'Abs. Distance' in 'um' is none of the known axes \(z, y, x"):
        spectra.open(tmp_path / "line.prz")


def test_saved_by_conspectus_opens_the_same(tmp_path):
    counts = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    ds = fusion.dataset(
        {"counts": (("y", "x", "energy"), counts)},
        {"y": Axis("nm", 5.0), "x": Axis("nm", 5.0), "energy": Axis("eV", 10.0)},
        name="map", cell_methods="sum", pose=fusion.Affine.translation(x=3.0), frame="stage",
    )  # fmt: skip
    again = spectra.open(fusion.save(ds, tmp_path / "map.nc"))
    again.attrs = ds.attrs
    xr.testing.assert_identical(again.compute(), ds)


def test_opens_through_xarray(measured):
    path = measured("edx/P45_the_default_job.bcf")
    ds = xr.open_dataset(path, engine=SpectraBackend)
    assert ds["counts"].shape == (75, 100, 2048)
    assert xr.open_dataset(path, engine=SpectraBackend, name="SE")["image"].shape == (75, 100)
    backend = SpectraBackend()
    assert backend.guess_can_open("a.bcf")
    assert not any(backend.guess_can_open(f"a{end}") for end in (".nc", ".h5", ".tif", ".png", ".mrc"))


def test_import_is_light():
    heavy = "hyperspy", "exspy", "rsciio", "sklearn", "pybaselines", "numba", "matplotlib"
    code = f"import spectra, sys; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("text", ["<ict_transform_list/>", "<?xml version='1.0'?>\n<!-- a -->\n<scan><x>1</x></scan>"])
def test_xml_of_others_is_called_what_it_is(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(FileReadError, match="of XML only that of LabSpec 6 is read") as raised:
        spectra.open(tmp_path / "a.xml")
    assert "copy it again" not in str(raised.value)
