"""HyperSpy and back: classes, axes, laziness, and nothing lost."""

import importlib
import json

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import fusion
import spectra
from fusion import Affine, Axis
from fusion.conventions import SIGNAL
from fusion.specimens import measured as registry
from spectra.quiet import register_exspy
from spectra.readers import formats
from tests.makers.maps import counts_in_space

UNITS = {
    "energy": ("eV", "keV"), "energy_loss": ("eV",), "raman_shift": ("cm-1",), "wavelength": ("nm", "um", "Å"),
    "potential": ("V", "mV"), "time": ("s", "ns", "ps"), "channel": ("1",), "mass_to_charge": ("1",),
    "spatial_frequency": ("1/um",),
}  # fmt: skip
finite = st.floats(-1e3, 1e3).map(lambda value: round(value, 4))
steps = st.floats(1e-3, 50.0)


def plain(ds):
    bare = ds.drop_attrs(deep=False)
    return bare.assign_attrs({key: value for key, value in ds.attrs.items() if key not in ("history", "provenance")})


def assert_returns(ds, **options):
    back = spectra.from_hyperspy(spectra.to_hyperspy(ds, **options))
    xr.testing.assert_identical(plain(back), plain(ds))
    for name in ds.data_vars:
        assert back[name].dtype == ds[name].dtype
        assert (back[name].chunks is None) == (ds[name].chunks is None)


@st.composite
def axis(draw, unit, size, uniform):
    if uniform:
        return Axis(unit, step=draw(steps), offset=draw(finite))
    gaps = draw(st.lists(steps, min_size=size, max_size=size))
    return Axis(unit, values=draw(finite) + np.cumsum(gaps))


@st.composite
def datasets(draw):
    spatial = draw(st.sampled_from([("x",), ("y", "x"), ("z", "y", "x")]))
    signal = draw(st.sampled_from(sorted(UNITS)))
    dims = (*spatial, signal)
    sizes = [draw(st.integers(2, 4)) for _ in dims]
    dtype = draw(st.sampled_from(["uint8", "uint16", "float32", "float64"]))
    data = np.arange(np.prod(sizes)).reshape(sizes).astype(dtype)
    length = draw(st.sampled_from(["nm", "um", "mm", "px"]))
    axes = {}
    for dim, size in zip(dims, sizes, strict=True):
        unit = length if dim in spatial else draw(st.sampled_from(UNITS[dim]))
        axes[dim] = np.arange(size) if dim == "channel" else draw(axis(unit, size, draw(st.booleans())))
    return fusion.dataset(
        {"values": (dims, da.from_array(data, chunks=2) if draw(st.booleans()) else data, {"units": "count"})},
        axes, name="map", cell_methods=draw(st.sampled_from(["sum", "mean"])),
        pose=Affine.translation(x=draw(finite)), frame="stage", attrs={"technique": "any", "beam_energy": 20.0},
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(datasets())
def test_nothing_is_lost(ds):
    assert_returns(ds)


@pytest.mark.parametrize(
    ("name", "item", "kind"),
    [
        ("edx/test_TEM.bcf", None, "LazyEDSTEMSpectrum"),
        ("edx/test_TEM.bcf", "HAADF", "Signal2D"),
        ("edx/P45_the_default_job.bcf", None, "LazyEDSSEMSpectrum"),
        ("correlative_eds_haadf_velox/fei_emd_si.emd", None, "LazyEDSTEMSpectrum"),
        ("eels/EELS_SI.dm4", None, "LazyEELSSpectrum"),
        ("cathodoluminescence/InGaN_transient_map.hspy", None, "LazySignal1D"),
        ("time_series/GaAsSb_streak_image.hspy", None, "LazySignal2D"),
        ("raman/renishaw_test_streamline.wdf", None, "Signal1D"),
        ("raman/renishaw_test_streamline.wdf", "white light", "Signal2D"),
        ("raman/renishaw_test_zscan.wdf", None, "Signal1D"),
        ("raman/chondro.nc", None, "LazySignal1D"),
        ("correlative_cl_sem/odemis_spectrum_fitting.h5", None, "Signal1D"),
    ],
)
def test_measured_files_come_back(measured, name, item, kind):
    ds = spectra.open(measured(name), name=item)
    assert type(spectra.to_hyperspy(ds)).__name__ == kind
    assert_returns(ds)


def test_the_plane_that_a_map_lies_in_comes_back():
    ds = fusion.phantom()["map"].to_dataset()
    assert ds["z"].dims == ()
    assert_returns(ds)
    assert_returns(ds.assign_coords(z=ds["z"] + 3.0))


def test_navigation_axes_are_listed_backwards_but_stay_where_they_are():
    ds = counts_in_space()
    signal = spectra.to_hyperspy(ds)
    assert [axis.name for axis in signal.axes_manager.navigation_axes] == ["x", "y", "z"]
    assert signal.data.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(signal.inav[3, 2, 1].data, ds["counts"].isel(z=1, y=2, x=3))
    y = signal.axes_manager["y"]
    assert (y.scale, y.offset, y.units) == (2.0, 5.0, "um")


@pytest.mark.parametrize(
    ("dim", "unit", "attrs", "kind"),
    [
        ("energy", "keV", {"beam_energy": 200.0}, "EDSTEMSpectrum"),
        ("energy", "keV", {"beam_energy": 15.0}, "EDSSEMSpectrum"),
        ("energy", "keV", {"signal_type": "EDS_TEM"}, "EDSTEMSpectrum"),
        ("energy_loss", "eV", {}, "EELSSpectrum"),
        ("wavelength", "nm", {}, "Signal1D"),
    ],
)
def test_class_follows_the_technique(dim, unit, attrs, kind):
    signal = spectra.to_hyperspy(counts_in_space(dim, unit, **attrs))
    assert type(signal).__name__ == kind
    if "beam_energy" in attrs:
        microscope = "TEM" if kind == "EDSTEMSpectrum" else "SEM"
        path = f"Acquisition_instrument.{microscope}.beam_energy"
        assert signal.metadata.get_item(path) == attrs["beam_energy"]


def test_what_was_changed_in_hyperspy_comes_back_changed():
    ds = counts_in_space()
    signal = spectra.to_hyperspy(ds).isig[1:4].inav[1:3, :, :] * 2.0
    signal.axes_manager["energy"].offset += 0.25
    back = spectra.from_hyperspy(signal, name="cut")
    assert back.attrs["title"] == "cut"
    np.testing.assert_allclose(back["energy"], [1.75, 2.25, 2.75])
    np.testing.assert_allclose(back["x"], [3.0, 6.0])
    expected = ds["counts"].isel(x=slice(1, 3), energy=slice(1, 4)).values * 2.0
    np.testing.assert_array_equal(back["counts"].values, expected)
    xr.testing.assert_identical(back["pose"], ds["pose"])


def test_unit_changed_in_hyperspy_is_converted_back():
    signal = spectra.to_hyperspy(counts_in_space())
    signal.axes_manager["energy"].convert_to_units("eV")
    back = spectra.from_hyperspy(signal)
    assert back["energy"].attrs["units"] == "keV"
    np.testing.assert_allclose(back["energy"], [1.0, 1.5, 2.0, 2.5, 3.0])


def test_transposed_signal_is_put_in_order():
    ds = counts_in_space()
    back = spectra.from_hyperspy(spectra.to_hyperspy(ds).transpose(signal_axes=["y", "x"]))
    assert back["counts"].dims == ("z", "y", "x", "energy")
    np.testing.assert_array_equal(back["counts"].values, ds["counts"].values)


def test_transposed_signal_comes_back_as_hyperspy_had_it():
    axes = [{"name": name, "size": size, "units": "nm"} for name, size in (("y", 2), ("x", 3), ("Wavelength", 4))]
    signal = hs.signals.Signal1D(np.arange(24.0).reshape(2, 3, 4), axes=axes).transpose(signal_axes=["x", "y"])
    ds = spectra.from_hyperspy(signal)
    back = spectra.to_hyperspy(ds)
    assert back.axes_manager.navigation_shape == signal.axes_manager.navigation_shape == (4,)
    np.testing.assert_array_equal(back.data, signal.data)
    doubled = back.map(lambda image: 2.0 * image, inplace=False, show_progressbar=False)
    np.testing.assert_array_equal(doubled.data, 2.0 * signal.data)
    with pytest.raises(fusion.DataError, match="transposed in HyperSpy and navigates along wavelength"):
        spectra.to_hyperspy(ds, decomposition=spectra.decompose(ds, 1))


@pytest.mark.parametrize("unit", ["1/nm", "1/Å", "nm^-1"])
def test_an_axis_of_diffraction_is_no_raman_shift(unit):
    axes = [{"name": "x", "size": 2, "units": "nm"}, {"name": "k", "size": 4, "units": unit}]
    with pytest.raises(fusion.UnitError, match=r"axis 'k' in .* is none of the known axes"):
        spectra.from_hyperspy(hs.signals.Signal1D(np.ones((2, 4)), axes=axes))


def test_lazy_is_never_computed():
    def explode(block):
        raise AssertionError("computed")

    data = da.map_blocks(explode, da.zeros((2, 3, 4), chunks=1), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    ds = fusion.dataset(
        {"counts": (("y", "x", "energy"), data)},
        {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 1.0)}, name="map", cell_methods="sum",
    )  # fmt: skip
    back = spectra.from_hyperspy(spectra.to_hyperspy(ds))
    assert back["counts"].chunks == ds["counts"].chunks


def test_signal_from_elsewhere_is_labelled():
    from hyperspy.signals import Signal1D

    axes = [
        {"name": "y", "size": 2, "scale": 5.0, "units": "nm"},
        {"name": "x", "size": 3, "scale": 5.0, "units": "nm"},
        {"name": "Raman Shift", "axis": [100.0, 110.0, 125.0, 126.0], "units": "cm-1"},
    ]
    ds = spectra.from_hyperspy(Signal1D(np.ones((2, 3, 4)), axes=axes), name="map")
    assert ds["intensity"].dims == ("y", "x", "raman_shift")
    np.testing.assert_allclose(ds["x"], [0.0, 0.005, 0.01])
    np.testing.assert_array_equal(ds["raman_shift"], [100.0, 110.0, 125.0, 126.0])
    assert ds.attrs["technique"] == "Raman"
    with pytest.raises(fusion.UnitError, match="none of the known axes"):
        spectra.from_hyperspy(Signal1D(np.ones((2, 3))))


def test_survives_an_hspy_file(tmp_path):
    ds = counts_in_space(signal_type="EDS_SEM", original_metadata='{"Microscope": {"HV": 20}}')
    spectra.to_hyperspy(ds).save(tmp_path / "map.hspy")
    import hyperspy.api as hs

    back = spectra.from_hyperspy(hs.load(tmp_path / "map.hspy"))
    xr.testing.assert_identical(plain(back), plain(ds))


def test_which_variable():
    ds = counts_in_space()
    both = ds.assign(error=ds["counts"].assign_attrs(long_name="standard error"))
    with pytest.raises(fusion.ConventionError, match="one variable with a signal axis is needed; found"):
        spectra.to_hyperspy(both)
    linked = both.assign(counts=ds["counts"].assign_attrs(ancillary_variables="error"))
    back = spectra.from_hyperspy(spectra.to_hyperspy(linked))
    assert list(back.data_vars) == ["counts"]
    assert list(spectra.from_hyperspy(spectra.to_hyperspy(linked, variable="error")).data_vars) == ["error"]


def test_every_signal_axis_is_covered():
    assert set(UNITS) | {"tilt", "component", "distance"} == set(SIGNAL)


def test_a_known_voxel_is_at_its_known_place_in_hyperspy_and_back():
    z, y, x = np.indices((3, 4, 5))
    values = (100 * z + 10 * y + x)[..., None] + np.zeros(6)
    axes = {"z": fusion.Axis("um", 0.5, 7.0), "y": fusion.Axis("um", 0.3), "x": fusion.Axis("um", 0.2, -1.0)}
    ds = fusion.dataset(
        {"intensity": (("z", "y", "x", "energy"), values)},
        {**axes, "energy": fusion.Axis("keV", 0.1)},
        name="ramp",
        cell_methods="mean",
    )
    signal = spectra.to_hyperspy(ds)
    assert [axis.name for axis in signal.axes_manager.navigation_axes] == ["x", "y", "z"]
    np.testing.assert_array_equal(signal.inav[4, 2, 1].data, 124.0)
    assert signal.axes_manager["z"].index2value(1) == 7.5
    again = spectra.from_hyperspy(signal)
    np.testing.assert_array_equal(again["intensity"].sel(z=7.5, y=0.6, x=-0.2, method="nearest"), 124.0)


def classes():
    """Every signal class that HyperSpy and its extensions register."""
    from hyperspy.extensions import ALL_EXTENSIONS

    register_exspy()
    return sorted(ALL_EXTENSIONS["signals"].items())


NAMES = {"EELS": ("Energy loss", "eV"), "DielectricFunction": ("Energy", "eV"), "EDS_TEM": ("Energy", "eV"),
         "EDS_SEM": ("X-ray energy", "keV")}  # fmt: skip


def signal_of(name, entry, shape, axes, dtype=np.float64):
    """Return a signal of a class with the values 0, 1, 2, ... and metadata of every plain kind."""
    values = np.arange(np.prod(shape)).reshape(shape).astype(np.complex64 if entry["dtype"] == "complex" else dtype)
    cls = getattr(importlib.import_module(entry["module"]), name)
    signal = cls(da.from_array(values, chunks=2) if entry["lazy"] else values, axes=axes)
    signal.metadata.General.title = "map"
    signal.metadata.set_item("Sample.elements", ["Fe", "O"])
    signal.metadata.set_item("Acquisition_instrument.odd", {"list": list(range(300)), "text": "µm", "number": 1.5})
    signal.original_metadata.set_item("Deep.down.there", list(np.arange(1000.0)))
    return signal


def assert_signals_equal(first, second):
    assert type(first) is type(second)
    assert first.data.dtype == second.data.dtype
    np.testing.assert_array_equal(np.asarray(first.data), np.asarray(second.data))
    for one, two in zip(first.axes_manager._axes, second.axes_manager._axes, strict=True):
        np.testing.assert_equal(one.get_axis_dictionary(), two.get_axis_dictionary())
    for tree in ("metadata", "original_metadata"):
        one, two = (getattr(signal, tree).as_dictionary() for signal in (first, second))
        for record in (one, two):
            record.pop("_HyperSpy", None)
            record.pop("conspectus", None)
        assert one == two


@pytest.mark.parametrize(("name", "entry"), classes(), ids=[name for name, _ in classes()])
@settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_every_class_of_signal_comes_back(name, entry, data):
    dims = data.draw(st.sampled_from([("x",), ("y", "x"), ("z", "y", "x")]))
    flat = max(entry["signal_dimension"], 0)
    axes = [{"name": dim, "units": data.draw(st.sampled_from(["nm", "um"]))} for dim in dims]
    if flat != 2:
        label, unit = NAMES.get(entry["signal_type"], ("Wavelength", "nm"))
        axes.append({"name": label, "units": unit})
    elif len(axes) < 2:
        return
    navigated = len(axes) - (flat or data.draw(st.integers(1, len(axes))))
    for index, axis in enumerate(axes):
        axis["size"] = data.draw(st.integers(1, 4))
        axis["navigate"] = index < navigated
        axis["is_binned"] = data.draw(st.booleans())
        if data.draw(st.booleans()):
            axis |= {"scale": data.draw(steps), "offset": data.draw(finite)}
        else:
            axis["axis"] = sorted(
                data.draw(st.lists(finite, min_size=axis["size"], max_size=axis["size"], unique=True))
            )
    shape = tuple(axis["size"] for axis in axes)
    signal = signal_of(name, entry, shape, axes, data.draw(st.sampled_from(["uint8", "int32", "float32", "float64"])))
    signal.set_signal_type(entry["signal_type"])  # the class that HyperSpy itself gives to what it is
    ds = spectra.from_hyperspy(signal)
    array = next(iter(ds.data_vars.values()))
    assert (array.chunks is not None) == entry["lazy"]
    for axis in signal.axes_manager._axes:
        dim = array.dims[axis.index_in_array]
        factor = fusion.units.convert_factor(axis.units, ds[dim].attrs["units"])
        np.testing.assert_allclose(ds[dim], np.asarray(axis.axis) * factor, rtol=1e-12, atol=1e-9)
    again = spectra.to_hyperspy(ds)
    assert_signals_equal(again, signal)
    assert_returns(ds)


def test_file_in_between_changes_nothing(tmp_path):
    axes = [{"name": "x", "size": 3, "scale": 7.3, "units": "nm"}, {"name": "Energy", "size": 4, "scale": 10.1,
            "offset": -95.0, "units": "eV", "is_binned": True}]  # fmt: skip
    signal = signal_of(*next(pair for pair in classes() if pair[0] == "EDSTEMSpectrum"), (3, 4), axes)
    signal.original_metadata.set_item("Long", "µ" * 100_000)
    ds = spectra.from_hyperspy(signal)
    fusion.save(ds, tmp_path / "map.nc")
    assert_signals_equal(spectra.to_hyperspy(fusion.load(tmp_path / "map.nc")), signal)
    xr.testing.assert_identical(plain(spectra.from_hyperspy(spectra.to_hyperspy(fusion.load(tmp_path / "map.nc")))),
                                plain(ds))  # fmt: skip


EXTENSIONS = (*formats.extensions(), ".h5", ".hf5")
SPECTRAL = sorted(name for name in registry.entries() if name.endswith(EXTENSIONS) and "_haadf_chem" not in name)


@pytest.mark.filterwarnings("ignore:.*the measurement was stopped:fusion.TruncatedFileWarning")
@pytest.mark.parametrize("name", SPECTRAL)
def test_every_measured_file_comes_back(measured, name):
    path = measured(name)
    for item in spectra.contents(path):
        if item.technique == "unreadable":
            continue
        ds = spectra.open(path, name=item.name)
        small = ds.isel({dim: slice(0, 12) for dim in ("y", "x", "z") if dim in ds.dims})
        assert_returns(small)
        signal = spectra.to_hyperspy(ds)
        assert_returns(spectra.from_hyperspy(spectra.to_hyperspy(small)))
        array = next(iter(ds.data_vars.values()))
        for axis in signal.axes_manager._axes:
            if ds[axis.name].dtype.kind == "f":
                np.testing.assert_allclose(axis.axis, ds[axis.name], rtol=1e-9, atol=1e-9)
            assert axis.size == array.sizes[axis.name]


@pytest.mark.parametrize("name", ["edx/test_TEM.bcf", "eels/EELS_SI.dm4", "raman/renishaw_test_zscan.wdf"])
def test_axes_are_those_of_hyperspy(measured, name):
    theirs = hs.load(measured(name), lazy=name.endswith("bcf"))
    theirs = next(s for s in theirs if s.axes_manager.signal_dimension == 1) if isinstance(theirs, list) else theirs
    ours = spectra.to_hyperspy(spectra.open(measured(name)))
    for one, two in zip(ours.axes_manager._axes, theirs.axes_manager._axes, strict=True):
        factor = fusion.units.convert_factor(two.units, one.units)
        np.testing.assert_allclose(one.axis, np.sort(two.axis) * factor, rtol=1e-9, atol=1e-9)


def test_whole_metadata_of_a_signal_is_kept():
    axes = [{"name": "Wavelength", "size": 3, "units": "nm"}]
    signal = hs.signals.Signal1D(np.ones(3), axes=axes, original_metadata={"lamp": np.arange(500.0)})
    assert json.loads(spectra.from_hyperspy(signal).attrs["original_metadata"])["lamp"] == list(np.arange(500.0))


def test_dielectric_function_lies_over_energy_loss():
    axes = [{"name": "x", "size": 2, "units": "nm"}, {"name": "Energy", "size": 3, "units": "eV"}]
    signal = hs.signals.Signal1D(np.ones((2, 3), complex), axes=axes)
    signal.set_signal_type("DielectricFunction")
    assert spectra.from_hyperspy(signal)["intensity"].dims == ("x", "energy_loss")
