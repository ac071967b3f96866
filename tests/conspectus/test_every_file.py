"""Every measured file: its values by another reader, its axes by hand, and the page that lists them all."""

import importlib
import struct
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import mrcfile
import numpy as np
import pytest
import scipy.io
import tifffile
from igor2 import binarywave
from PIL import Image

import fusion
import spectra
import volumes
from conspectus.pages import formats
from fusion.errors import FileReadError
from fusion.specimens import measured as registry
from fusion.techniques.catalogue import find

ROOT = Path(__file__).parents[2]
VELOX = "correlative_eds_haadf_velox/fei_SI_SuperX-HAADF_20frames_10x50.emd"
JEOL = "edx/jeol/Sample/00_View000/View000_000000"
PHANTOM = "synthetic_reference/clem_3dct_phantom"
BISPL = "correlative_edx_tomo/bispl_nanorod"
VNC = "sstem_volume/vnc_stack1"
SECTIONS = {"z": "45 nm", "y": "4.6 nm", "x": "4.6 nm"}
UNEVEN = None
OPERANDO = "operando"  # a way to measure with many techniques, and none of the table


class Case(NamedTuple):
    """An item of a file: how it opens, its variable, its axes as {dim: (size, first, step, unit)}, its values."""

    file: str
    axes: Mapping[str, tuple[Any, ...]]
    reference: Callable[[Path], Any]
    item: str | None = None
    variable: str = "image"
    technique: str | None = None
    open: Callable[..., Any] = spectra.open
    refused: str = ""
    arguments: Mapping[str, Any] = {}


def rosetta(plugin: str, title: str | None = None, signal: int = -1) -> Callable[[Path], Any]:
    """Return what RosettaSciIO reads, with the axis `signal` moved to the end."""

    def read(path: Path) -> Any:
        raws = importlib.import_module(f"rsciio.{plugin}").file_reader(str(path))
        data = next(raw["data"] for raw in raws if title in (None, raw["metadata"]["General"].get("title")))
        return np.moveaxis(np.asarray(data), signal, -1)

    return read


def hdf5(key: str, *order: int) -> Callable[[Path], Any]:
    """Return an array of an HDF5 file without axes of length one, its axes in another order."""

    def read(path: Path) -> Any:
        with h5py.File(path) as file:
            data = np.squeeze(file[key][()])
        return data.transpose(order) if order else data

    return read


def matlab(key: str, *order: int) -> Callable[[Path], Any]:
    return lambda path: scipy.io.loadmat(path)[key].transpose(order)


def mrc(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting the dtype", DeprecationWarning)
        with mrcfile.open(path) as file:
            return file.data.copy()


def flat(path: Path) -> Any:
    return np.asarray(Image.open(path))


def slices(read: Callable[[Path], Any], pattern: str) -> Callable[[Path], Any]:
    return lambda path: np.stack([read(file) for file in sorted(path.glob(pattern))])


def wdf(rows: int, columns: int, channels: int, *, by_columns: bool = False, falling: bool = False):
    """Return the spectra of the block DATA, which follows the header of 512 bytes."""

    def read(path: Path) -> Any:
        content = path.read_bytes()
        assert content[512:516] == b"DATA"
        data = np.frombuffer(content, "<f4", rows * columns * channels, 528)
        data = data.reshape((columns, rows, channels) if by_columns else (rows, columns, channels))
        data = data.transpose(1, 0, 2) if by_columns else data
        return np.squeeze(data[..., ::-1] if falling else data)

    return read


def witec(path: Path) -> Any:
    return np.loadtxt(path, skiprows=2)[:, 1:].T.reshape(5, 5, 1024)


def nanoscope(path: Path) -> Any:
    return np.frombuffer(path.read_bytes()[40960:], "<i2", 512 * 512).reshape(512, 512) / 65536 * 2.910461 * 20.82646e-3


def nanosurf(path: Path) -> Any:
    content = path.read_bytes()
    raw = np.frombuffer(content, "<i4", 256 * 512, content.index(b"#!") + 2).reshape(256, 512)
    return -6.50034 + 13.0007 * (raw.astype(float) + 2**31) / 2**32


def asylum(path: Path) -> Any:
    return binarywave.load(str(path))["wave"]["wData"][:, :, 0].T.astype(float) * 1e6


def secm(path: Path) -> Any:
    return np.loadtxt(path, delimiter=",", comments="#")[:, 2].reshape(25, 200)


def mda(path: Path) -> Any:
    """Return the third of four detectors, whose spectra of 2000 floats end the scan of a point."""
    content = path.read_bytes()
    rows = [struct.unpack_from(">11i", content, row + 12) for row in struct.unpack_from(">11i", content, 44)]
    length = rows[0][1] - rows[0][0]
    return np.stack([[np.frombuffer(content, ">f4", 2000, at + length - 16000) for at in row] for row in rows])


def geopixe(path: Path) -> Any:
    found = np.load(path.with_name("ts2_01_sub_export_pxspec.npy"), allow_pickle=False)
    return np.moveaxis(found.reshape(2, 10, 20, 4096), 0, 2)


def space(unit: str = "um", **sizes: tuple[int, float, float]) -> dict[str, tuple[Any, ...]]:
    return {dim: (*said, unit) for dim, said in sizes.items()}


def pixels(**sizes: int) -> dict[str, tuple[Any, ...]]:
    return {dim: (size, 0.0, 1.0, "px") for dim, size in sizes.items()}


def centred(**sizes: tuple[int, float]) -> dict[str, tuple[Any, ...]]:
    return {dim: (size, -(size - 1) / 2 * step, step, "um") for dim, (size, step) in sizes.items()}


COLOURS = {"channel": (3, None, None, None)}
JEOL_FIELD = space(y=(512, 0.0, 8.69140625e-3), x=(512, 0.0, 8.69140625e-3))
P45_FIELD = space(y=(75, 0.0, 8.73678506), x=(100, 0.0, 8.73678506))
TEM_FIELD = space(y=(64, 0.0, 7.71004754e-4), x=(64, 0.0, 7.71004754e-4))
# Velox writes the edge of the first pixel; its centre is half a pixel on.
VELOX_STEP, SI_STEP = 1.2340096287e-3, 5.302414838e-3
VELOX_FIELD = space(
    y=(50, -7.404057772e-3 + VELOX_STEP / 2, VELOX_STEP), x=(10, 22.212173317e-3 + VELOX_STEP / 2, VELOX_STEP)
)
SI_FIELD = space(y=(16, -10.604829676e-3 + SI_STEP / 2, SI_STEP), x=(16, -47.721733542e-3 + SI_STEP / 2, SI_STEP))
CL_FIELD = space(y=(45, -0.671682646, 0.0305310294), x=(69, -1.038054998, 0.0305310294))
RED = space(z=(33, 0.0, 0.64609375), y=(152, 0.0, 1e6 / 3046781), x=(172, 0.0, 1e6 / 3046781))
STACK = space(z=(20, 0.0, 0.045), y=(1024, 0.0, 0.0046), x=(1024, 0.0, 0.0046))
ROD = space(z=(256, 0.0, 0.002), y=(256, 0.0, 0.002))
open_image = partial(Case, open=volumes.open)
CASES = [
    Case("edx/test_TEM.bcf", {**TEM_FIELD, "energy": (2048, -0.47544754, 0.010001, "keV")},
         rosetta("bruker", "EDX"), None, "counts", "EDX"),
    Case("edx/test_TEM.bcf", TEM_FIELD, rosetta("bruker", "HAADF"), "HAADF", technique="image"),
    Case("edx/P45_the_default_job.bcf", {**P45_FIELD, "energy": (2048, -0.472397235, 0.010001, "keV")},
         rosetta("bruker", "EDX"), None, "counts", "EDX"),
    Case("edx/P45_the_default_job.bcf", P45_FIELD, rosetta("bruker", "BSE"), "BSE", technique="image"),
    Case(VELOX, {**VELOX_FIELD, "energy": (4096, -1.0, 0.005, "keV")}, rosetta("emd", "EDS"), None, "counts", "EDX"),
    Case(VELOX, VELOX_FIELD, rosetta("emd", "HAADF"), "HAADF", technique="image"),
    Case("correlative_eds_haadf_velox/fei_emd_si.emd", {**SI_FIELD, "energy": (4096, -1.0, 0.01, "keV")},
         rosetta("emd", "EDS"), None, "counts", "EDX"),
    Case(f"{JEOL}0.img", JEOL_FIELD, rosetta("jeol"), technique="image"),
    *(Case(f"{JEOL}{k}.map", JEOL_FIELD, rosetta("jeol"), technique="image") for k in range(1, 6)),
    Case("eels/EELS_SI.dm4",
         {**space(y=(2, 0.0, 1.99207361e-3), x=(2, 0.0, 1.99207361e-3)), "energy_loss": (2048, 300.0, 1.0, "eV")},
         rosetta("digitalmicrograph", signal=0), None, "intensity", "EELS"),
    Case("cathodoluminescence/quantum-emitters_map.dm4",
         {**space(y=(16, 0.0, 0.0200174805), x=(16, 0.0, 0.0200174805)),
          "wavelength": (1336, 470.531176998, 0.20556016266, "nm")},
         rosetta("digitalmicrograph", signal=0), None, "intensity", "CL"),
    Case("cathodoluminescence/InGaN_transient_map.hspy",
         {**space(y=(30, -5952.42896395, 0.0468251), x=(30, 8221.428968026, 0.0468251)),
          "time": (525, 2.4e-9, 4e-12, "s")},
         hdf5("Experiments/__unnamed__/data"), None, "intensity", "time-resolved luminescence"),
    Case("time_series/GaAsSb_streak_image.hspy",
         {"time": (269, 0.0, 1.19079390493e-12, "s"), "wavelength": (672, 834.277358067, 0.13543015803, "nm")},
         hdf5("Experiments/__unnamed__/data"), None, "intensity", "time-resolved luminescence"),
    Case("electron_tomography/HAADF_Aligned.hspy",
         {**space(y=(256, 0.0, 3.3600000559630416e-3), x=(256, 0.0, 3.3600000559630416e-3)),
          "tilt": (77, -76.0, 2.0, "degree")},
         hdf5("Experiments/__unnamed__/data", 1, 2, 0), None, "image", "tilt series"),
    Case("raman/renishaw_test_streamline.wdf",
         {**space(y=(49, -1201.3, 2.6), x=(45, -8100.3, 2.6)), "raman_shift": (394, 924.1953125, UNEVEN, "1/cm")},
         wdf(49, 45, 394, by_columns=True), None, "intensity", "Raman"),
    Case("raman/renishaw_test_zscan.wdf",
         {"z": (40, -10.0, 0.5, "um"), "raman_shift": (1015, 1226.60534668, UNEVEN, "1/cm")},
         wdf(40, 1, 1015, falling=True), None, "intensity", "Raman"),
    Case("raman/renishaw_test_map.wdf",
         {**space(y=(3, -100.0, 100.0), x=(3, -100.0, 100.0)), "wavelength": (47, 346.77279663, UNEVEN, "nm")},
         wdf(3, 3, 47, falling=True), None, "intensity", "optical spectroscopy"),
    Case("raman/Witec-Map_full.txt", {**pixels(y=5, x=5), "raman_shift": (1024, 87.7367, UNEVEN, "1/cm")},
         witec, None, "intensity", "Raman"),
    Case("raman/chondro.nc",
         {**space(y=(25, -4.77, 1.0), x=(35, -11.55, 1.0)), "raman_shift": (300, 602.0, 4.0, "1/cm")},
         hdf5("counts"), None, "counts", "Raman"),
    Case("correlative_cl_sem/odemis_spectrum_fitting.h5",
         {**CL_FIELD, "wavelength": (167, 470.115095752, 3.371998846, "nm")},
         lambda path: hdf5("Acquisition1/ImageData/Image", 1, 2, 0)(path)[::-1], None, "intensity", "CL"),
    Case("correlative_cl_sem/odemis_spectrum_fitting.h5", CL_FIELD,
         lambda path: hdf5("Acquisition0/ImageData/Image")(path)[::-1], "SEM CL", technique="image"),
    Case("electrochem/bfo_iv_final.hf5",
         {**space(y=(50, 0.0, 0.005 / 49), x=(50, 0.0, 0.005 / 49)), "channel": (53, 0, 1, None)},
         hdf5("Measurement_000/Channel_000/IV_BFO/IV_BFO", 1, 0, 2), None, "intensity", "spectroscopy"),
    Case("xrf/aps2IDE_2xfm_0010.mda",
         {**space(y=(11, 3250.0, 50.0), x=(11, -1500.0, 50.0)), "channel": (2000, 0, 1, None)},
         mda, "dxpXMAP2xfm3:mca3", "counts", "spectroscopy"),
    Case("xrf/ts2_01_sub_export.GeoPIXE",
         {**space(y=(10, 0.0, 28.504672897), x=(20, 0.0, 28.515625)), "channel": (2, 0, 1, None),
          "energy": (4096, 0.0, 0.01, "keV")},
         geopixe, None, "counts", "XRF"),
    open_image("afm/di-1.di", centred(y=(512, 0.5 / 512), x=(512, 0.5 / 512)), nanoscope, None, "height", "AFM"),
    open_image("afm/nsfopen/MoS2.nid", centred(y=(256, 3.97339 / 256), x=(512, 3.97339 / 512)), nanosurf, None,
               "height", "AFM"),
    open_image("afm/spot_1-1000nm.ibw", centred(y=(256, 20 / 255), x=(256, 20 / 255)), asylum, None, "height", "AFM"),
    open_image("correlative_secm_sem/AlAr_data.txt", space(y=(25, 0.0, 4.0), x=(200, 0.0, 0.5)), secm, None,
               "current", "SECM"),
    # the field of 1768 and of 1024 lines is followed by a bar of text
    open_image("correlative_secm_sem/Al-AR.tif",
               {"y": (1887, -883.5 * 0.0620117, 0.0620117, "um"), **centred(x=(2048, 0.0620117))}, tifffile.imread,
               technique="SEM"),
    open_image("sem_tem/tfs_example.tif",
               {"y": (1092, -511.5 * 0.269792, 0.269792, "um"), **centred(x=(1536, 0.269792))}, tifffile.imread,
               technique="SEM"),
    open_image("sem_tem/zeiss_example_sem.tif", centred(y=(768, 0.5933), x=(1024, 0.5933)), tifffile.imread,
               technique="SEM"),
    *(open_image(f"correlative_sem_tsem/{name}.tif", centred(y=(768, 0.007344), x=(1024, 0.007344)), tifffile.imread,
                 technique="SEM") for name in ("1908248_SEM", "1908249_TSEM")),
    open_image("correlative_sem_tsem/1908248_mask.tif", pixels(y=768, x=1024), tifffile.imread),
    open_image("correlative_sem_tsem/1908248_classes.tif", {**pixels(y=704, x=1024), **COLOURS}, tifffile.imread),
    open_image("particles/small_confocal_image.tif", pixels(z=48, y=64, x=64), tifffile.imread),
    *(open_image(f"restoration/bars-25pct_{name}.tif", pixels(z=32, y=64, x=64), tifffile.imread)
      for name in ("actual", "data", "kernel")),
    open_image("sem_tem/HAADFscan.mrc",
               space(y=(16, 0.0, 908.661 / 16 * 1e-4), x=(16, 0.0, 908.661 / 16 * 1e-4)), mrc),
    open_image("confocal/colocsample1b-red.tif", RED, tifffile.imread),
    open_image("confocal/colocsample1b-green.tif", RED, tifffile.imread),
    open_image("confocal/colloidoscope_katherine.tiff", pixels(z=64, y=128, x=128), tifffile.imread),
    open_image("fluorescence/hela-cells_3ch.tif",
               {**space(y=(512, 0.0, 1 / 19.420064), x=(672, 0.0, 1 / 19.420064)), **COLOURS}, tifffile.imread),
    open_image("fluorescence/odemis_FOV1_green_fluorescence.tif",
               space(y=(1024, 0.0, 1 / 12.923076), x=(1024, 0.0, 1 / 12.923076)), tifffile.imread),
    open_image("clem/deepclem/Channel_of_interest.png", {**pixels(y=1024, x=1280), **COLOURS}, flat),
    open_image("clem/deepclem/Chromatin.png", {**pixels(y=1024, x=1280), **COLOURS}, flat),
    open_image("clem/deepclem/EM.png", {**pixels(y=530, x=1002), **COLOURS}, flat),
    open_image("correlative_haadf_chem/Co3O4_Mn3O4.h5", pixels(y=400, x=400), hdf5("HAADF"), None, "HAADF"),
    open_image("electron_tomography/needle_fbp_128.nc",
               space(z=(128, 0.0, 0.00672), y=(128, 0.0, 0.00672), x=(128, 0.0, 0.00672)), hdf5("haadf", 1, 2, 0),
               None, "haadf"),
    open_image(f"{BISPL}/HAADF_STEM_ground_truth.mat", {**ROD, "x": (255, 0.0, 0.002, "um")},
               matlab("label", 1, 2, 0), refused=r"does not name the axes of label \(255, 256, 256\)",
               arguments={"dims": ("x", "z", "y"), "voxel": "2 nm"}),
    open_image(f"{BISPL}/Proposed_STEM_EDX_reconstruction.mat", {**ROD, "x": (256, 0.0, 0.002, "um")},
               matlab("recon", 1, 2, 0), refused=r"does not name the axes of recon \(256, 256, 256\)",
               arguments={"dims": ("x", "z", "y"), "voxel": "2 nm"}),
    open_image(f"{BISPL}/STEM_EDX_input.mat",
               {**space(y=(256, 0.0, 0.002), x=(256, 0.0, 0.002)), "tilt": (13, 0.0, 10.0, "degree")},
               matlab("input", 0, 1, 2), technique="tilt series",
               refused=r"does not name the axes of input \(256, 256, 13\)",
               arguments={"dims": ("y", "x", "tilt"), "voxel": {"y": "2 nm", "x": "2 nm", "tilt": "10 degree"}}),
    open_image(f"{VNC}_raw", STACK, slices(tifffile.imread, "*.tif"), arguments={"voxel": SECTIONS}),
    open_image(f"{VNC}_mitochondria", STACK, slices(flat, "*.png"), arguments={"voxel": SECTIONS}),
    open_image(f"{PHANTOM}/small_cf.tif", space(z=(90, 0.0, 0.16), y=(100, 0.0, 0.16), x=(110, 0.0, 0.16)),
               tifffile.imread),
    open_image(f"{PHANTOM}/small_cf_transformed.tif", pixels(z=30, y=70, x=60), tifffile.imread),
    open_image(f"{PHANTOM}/small_ib.tif", pixels(y=60, x=50), tifffile.imread),
    open_image("smlm/smap_dstorm_data.mat", {"point": (4884, None, None, None)},
               lambda path: hdf5("saveloc/loc/xnm")(path).astype(float) / 1000, None, "x", "SMLM"),
]  # fmt: skip
ELSEWHERE = {
    f"{JEOL}6.pts": "test_jeol_counts_are_those_of_the_stream",
    "cathodoluminescence/sparc-angle-resolved.h5": "test_measured_angles_of_delmic_are_no_place_on_the_specimen",
    "edx/bcf-edx-ebsd.bcf": "test_measured_bruker_map_and_image_lie_on_each_other",
    "edx/jeol_stopped/Dummy-Data_0000015.pts": "test_measured_maps_of_jeol",
    "edx/jeol_stopped/Dummy-Data_0000023.pts": "test_measured_maps_of_jeol",
    "edx/test-EDS_spectrum.dm3": "test_measured_spectrum_whose_axis_is_called_x",
    "eels/16x16-spectrum_image-5x5x1024.emi": "test_measured_energy_losses_of_tia",
    "eels/16x16-spectrum_image-5x5x1024_1.ser": "test_measured_energy_losses_of_tia",
    "raman/renishaw_interrupted.wdf": "test_measured_renishaw_files",
    "raman/renishaw_test_timeseries.wdf": "test_measured_renishaw_files",
}


@cache
def opened(case: str) -> Any:
    """Open the item of a case once, in this process: what is compiled for the first file serves the others."""
    chosen = next(known for known in CASES if label(known) == case)
    with fusion.limits(direct=True):
        return chosen.open(registry.locate(chosen.file, download=False), name=chosen.item, **chosen.arguments)


def label(case: Case) -> str:
    return f"{case.file} {case.item}" if case.item else case.file


every = pytest.mark.parametrize("case", CASES, ids=map(label, CASES))


@every
def test_values_are_those_of_another_reader(measured, case):
    expected = case.reference(measured(case.file))
    array = opened(label(case))[case.variable]
    assert array.shape == expected.shape
    if case.file.startswith(("afm", "smlm")):  # scaled from raw values
        np.testing.assert_allclose(array, expected, rtol=1e-9)
    else:
        np.testing.assert_array_equal(array, expected)


@every
def test_axes_and_units(measured, case):
    measured(case.file)
    ds = fusion.check(opened(label(case)))
    assert ds[case.variable].dims == tuple(case.axes)
    assert ds.attrs.get("technique") == case.technique
    for dim, (size, first, step, unit) in case.axes.items():
        assert ds.sizes[dim] == size
        if first is None:
            continue
        values = ds[dim].values
        assert values[0] == pytest.approx(first, rel=1e-6, abs=1e-15)
        assert ds[dim].attrs.get("units") == unit
        if step is UNEVEN:
            assert np.ptp(np.diff(values)) > 1e-3 * np.diff(values).mean()
        else:
            np.testing.assert_allclose(np.diff(values), step, rtol=1e-5)
    if case.variable == "counts" and case.technique == "EDX":
        assert (ds["counts"].attrs["units"], ds["counts"].attrs["cell_methods"]) == ("count", "y: x: sum")


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=lambda case: case.file)
def test_what_the_user_must_say_is_told(measured, direct, case):
    with pytest.raises(FileReadError, match=rf"{case.refused}; name them in order, e\.g\. dims="):
        case.open(measured(case.file))


def test_jeol_counts_are_those_of_the_stream(measured, direct):
    """A stream of words: 0x8000 + x, 0x9000 + y on a field of 4096, 0xB000 + the channel of a count."""
    path = measured(f"{JEOL}6.pts")
    counts = fusion.check(spectra.open(path))["counts"]
    content = path.read_bytes()
    start, length = struct.unpack_from("<I", content, 28)[0], struct.unpack_from("<I", content, 32)[0]
    assert (counts.dims, counts.shape) == (("y", "x", "energy"), (512, 512, 4096))
    words = np.frombuffer(content, "<u2", length // 2, start).astype(int)
    kind, value = words >> 12, words & 0xFFF
    x, y = (value[np.maximum.accumulate(np.where(kind == mark, np.arange(words.size), 0))] // 8 for mark in (8, 9))
    event = kind == 0xB
    corner = event & (x < 64) & (y < 64)
    expected = np.zeros((64, 64, 4096), np.uint16)
    np.add.at(expected, (y[corner], x[corner], value[corner]), 1)
    np.testing.assert_array_equal(counts[:64, :64], expected)
    assert expected.sum() > 100


def test_no_file_is_left_out():
    """Each registered file is opened by a case, or aside for a reason; a folder of slices is one case."""
    names = {case.file for case in CASES} | set(ELSEWHERE)
    said, aside = set(formats.entries()), set(formats.content()["aside"])
    assert names == said
    assert not said & aside
    for file in registry.entries():
        assert {file, file.rpartition("/")[0]} & names or file in aside, file
    assert aside <= set(registry.entries())


@pytest.mark.parametrize("name", sorted(formats.content()["aside"]))
def test_what_is_aside_is_refused(measured, direct, name):
    path = measured(name)
    for wing in (spectra, volumes):
        with pytest.raises(FileReadError, match="unknown format"):
            wing.open(path)


@pytest.mark.parametrize("case", [case for case in CASES if case.technique], ids=label)
def test_every_word_for_a_technique_is_understood(case):
    entry = formats.entries()[case.file]
    assert {row.name for row in find(case.technique)} & {row.name for row in find(entry.technique)} or (
        case.item is not None or case.technique in ("image", "spectroscopy", "optical spectroscopy", "tilt series")
    )
