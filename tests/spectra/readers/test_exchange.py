"""Formats that RosettaSciIO reads: ISO 22029 (msa), Lispix (rpl beside raw), HyperSpy, Digital Surf, Hamamatsu."""

import struct

import numpy as np
import pytest
from hyperspy.api import signals

import fusion
import spectra
from fusion.errors import FileReadError


def axis(name, size, scale, offset, units, navigate):
    return {"name": name, "size": size, "scale": scale, "offset": offset, "units": units, "navigate": navigate}


PLACE = [axis("y", 2, 4.0, 10.0, "nm", True), axis("x", 3, 5.0, -20.0, "nm", True)]


def on_the_map(ds):
    np.testing.assert_allclose(ds["y"], [0.010, 0.014])
    np.testing.assert_allclose(ds["x"], [-0.020, -0.015, -0.010])


@pytest.mark.parametrize(
    ("kind", "technique", "dim", "unit", "first"),
    [("EELS", "EELS", "energy_loss", "eV", 280.0), ("EDS_SEM", "EDX", "energy", "keV", 0.28)],
)
def test_hyperspy_map(tmp_path, kind, technique, dim, unit, first):
    values = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    signal = signals.Signal1D(values, axes=[*PLACE, axis("Energy", 4, 0.5, 280.0, "eV", False)])
    signal.metadata.Signal.signal_type = kind
    signal.save(tmp_path / "map.hspy")
    ds = fusion.check(spectra.open(tmp_path / "map.hspy"))
    array = ds["counts" if technique == "EDX" else "intensity"]
    assert (array.dims, ds.attrs["technique"]) == (("y", "x", dim), technique)
    np.testing.assert_array_equal(array, values)
    assert (float(ds[dim][0]), ds[dim].attrs["units"]) == (pytest.approx(first), unit)
    on_the_map(ds)


def test_delays_of_hyperspy(tmp_path):
    """Images of a pump-probe series: the delay runs from before the pulse."""
    values = np.arange(24.0).reshape(4, 2, 3)
    place = [{**known, "navigate": False} for known in PLACE]
    signals.Signal2D(values, axes=[axis("delay", 4, 0.5, -1.0, "ps", True), *place]).save(tmp_path / "film.hspy")
    ds = fusion.check(spectra.open(tmp_path / "film.hspy"))
    assert (ds["intensity"].dims, ds.attrs["technique"]) == (("y", "x", "time"), "time-resolved")
    np.testing.assert_array_equal(ds["intensity"].transpose("time", "y", "x"), values)
    np.testing.assert_allclose(ds["time"], [-1e-12, -0.5e-12, 0.0, 0.5e-12], atol=1e-20)
    on_the_map(ds)


MSA = """#FORMAT      : EMSA/MAS Spectral Data File
#VERSION     : 1.0
#TITLE       : carbon on copper
#DATE        : 01-OCT-2024
#TIME        : 12:00
#OWNER       : nobody
#NPOINTS     : {count}.
#NCOLUMNS    : {columns}.
#XUNITS      : {unit}
#YUNITS      : counts
#DATATYPE    : Y
#XPERCHAN    : {step}
#OFFSET      : {first}
#SIGNALTYPE  : {kind}
#BEAMKV   -kV: 120.0
#SPECTRUM    : Spectral Data Starts Here
{values}
#ENDOFDATA   :
"""


@pytest.mark.parametrize(
    ("kind", "technique", "dim", "unit", "first", "step"),
    [("EDS", "EDX", "energy", "keV", -0.1, 0.01), ("ELS", "EELS", "energy_loss", "eV", 280.0, 0.5)],
)
@pytest.mark.parametrize("columns", [1, 3])
def test_msa_spectrum(tmp_path, kind, technique, dim, unit, first, step, columns):
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0])
    listed = [", ".join(map(str, values[start : start + columns])) for start in range(0, values.size, columns)]
    text = MSA.format(count=values.size, columns=columns, unit=unit, step=step, first=first, kind=kind,
                      values="\n".join(f"{line}," for line in listed))  # fmt: skip
    (tmp_path / "a.msa").write_text(text)
    ds = fusion.check(spectra.open(tmp_path / "a.msa"))
    np.testing.assert_array_equal(ds["intensity"], values)
    np.testing.assert_allclose(ds[dim], first + step * np.arange(values.size))
    assert (ds["intensity"].dims, ds[dim].attrs["units"], ds.attrs["technique"]) == ((dim,), unit, technique)
    for end in ("5.0", "2.0"):
        (tmp_path / "cut.msa").write_text(text[: text.index(end)])
        with pytest.raises(FileReadError, match="cut short"):
            spectra.open(tmp_path / "cut.msa")


def ripple(folder, values, *, order, **more):
    """Write a map as Lispix does: values in a bare file, and a table of what they are beside it."""
    height, width, depth = values.shape
    said = {"width": width, "height": height, "depth": depth, "offset": 8, "data-length": 2, "data-type": "unsigned",
            "byte-order": "big-endian", "record-by": order, **more}  # fmt: skip
    lines = ["key\tvalue", *(f"{key}\t{value}" for key, value in said.items())]
    (folder / "map.rpl").write_text("\n".join(lines) + "\n")
    stored = values if order == "vector" else np.moveaxis(values, -1, 0)
    (folder / "map.raw").write_bytes(b"8 bytes!" + stored.astype(">u2").tobytes())
    return folder / "map.rpl"


@pytest.mark.parametrize("order", ["vector", "image"])
@pytest.mark.parametrize(
    ("signal", "technique", "dim", "first"), [("EDS_SEM", "EDX", "energy", 0.28), ("EELS", "EELS", "energy_loss", 280)]
)
def test_ripple_map(tmp_path, order, signal, technique, dim, first):
    values = np.arange(24).reshape(2, 3, 4) * 1000
    place = {"width-scale": 5, "width-origin": -20, "width-units": "nm", "height-scale": 4, "height-origin": 10,
             "height-units": "nm", "depth-name": "Energy"}  # fmt: skip
    depth = {"depth-scale": 0.5, "depth-origin": 280, "depth-units": "eV", "signal": signal}
    path = ripple(tmp_path, values, order=order, **place, **depth)
    ds = fusion.check(spectra.open(path))
    array = ds["counts" if technique == "EDX" else "intensity"]
    assert (array.dims, ds.attrs["technique"]) == (("y", "x", dim), technique)
    np.testing.assert_array_equal(array, values)
    assert float(ds[dim][0]) == pytest.approx(first)
    on_the_map(ds)


@pytest.mark.parametrize("order", ["vector", "image"])
@pytest.mark.parametrize("more", [{}, {"ev-per-chan": 10}])
def test_ripple_without_a_zero_of_energy_runs_along_channels(tmp_path, order, more):
    """Other programs write neither the size of a pixel nor the energy of the first channel: the user knows them."""
    values = np.arange(24).reshape(2, 3, 4)
    ds = fusion.check(spectra.open(ripple(tmp_path, values, order=order, **more)))
    (array,) = ds.data_vars.values()
    assert (array.dims, ds["x"].attrs["units"]) == (("y", "x", "channel"), "px")
    np.testing.assert_array_equal(array, values)
    np.testing.assert_array_equal(ds["channel"], range(4))
    found = spectra.calibrate(ds, {0: -95.0, 1: -85.0}, to="energy", units="eV")
    np.testing.assert_allclose(found["energy"], [-0.095, -0.085, -0.075, -0.065])


def test_the_list_of_inca_is_read_too(tmp_path):
    path = ripple(tmp_path, np.arange(24).reshape(2, 3, 4), order="vector")
    keys = (line.split("\t") for line in path.read_text().splitlines()[1:])
    path.write_text("(MLX::RPL\n" + "\n".join(f"(MLX::{key.upper()} : {value})" for key, value in keys) + "\n")
    assert spectra.open(path).sizes == {"y": 2, "x": 3, "channel": 4}
    path.with_suffix(".raw").write_bytes(bytes(55))
    with pytest.raises(FileReadError, match="cut short: 55 of at least 56 bytes"):
        spectra.open(path)


@pytest.mark.parametrize("kept", [0, 28, 55])
def test_a_cut_ripple_is_refused(tmp_path, kept):
    path = ripple(tmp_path, np.arange(24).reshape(2, 3, 4), order="vector")
    raw = path.with_suffix(".raw")
    raw.write_bytes(raw.read_bytes()[:kept])
    with pytest.raises(FileReadError, match=rf"map\.raw: cut short: {kept} of at least 56 bytes"):
        spectra.open(path)
    raw.unlink()
    with pytest.raises(FileReadError, match=r"its values are not beside it, in map\.raw; copy both"):
        spectra.open(path)


def test_map_of_digital_surf(tmp_path):
    """Attolight's maps of cathodoluminescence are kept so."""
    values = np.arange(24.0).reshape(2, 3, 4)
    axes = [*PLACE, axis("Wavelength", 4, 10.0, 400.0, "nm", False)]
    signals.Signal1D(values, axes=axes).save(tmp_path / "map.sur")
    ds = fusion.check(spectra.open(tmp_path / "map.sur"))
    assert ds["intensity"].dims == ("y", "x", "wavelength")
    np.testing.assert_allclose(ds["intensity"], values, rtol=1e-6)
    np.testing.assert_allclose(ds["wavelength"], [400.0, 410.0, 420.0, 430.0])
    on_the_map(ds)


def hamamatsu(path, image, wavelength, time, unit):
    """Write a streak image: a head of 64 bytes, a comment, lines of 16 bits, then the axes that the comment names."""
    head, size = 64, image.size * 2

    def comment(start):
        return (
            '[Application],Date="01/10/2024",Time="12:00:00"\r\n[Acquisition],NrExposure=1,AcqMode=3,'
            'ZAxisLabel=Intensity,ZAxisUnit=Count\r\n[Scaling],ScalingXType=2,ScalingXUnit="nm",'
            f'ScalingXScalingFile="#{start:08},{wavelength.size:04}",ScalingYType=2,ScalingYUnit="{unit}",'
            f'ScalingYScalingFile="#{start + 4 * wavelength.size:08},{time.size:04}"'
        )

    said = comment(head + len(comment(0)) + size).encode()
    fields = struct.pack("<2s6hihhd", b"IM", len(said), image.shape[1], image.shape[0], 0, 0, 2, 0, 0, 0, 0.0)
    tables = wavelength.astype("<f4").tobytes() + time.astype("<f4").tobytes()
    path.write_bytes(fields.ljust(head, b"\0") + said + image.astype("<u2").tobytes() + tables)
    return path


@pytest.mark.parametrize(("unit", "second"), [("ps", 1e-12), ("ns", 1e-9)])
def test_streak_image_of_hamamatsu(tmp_path, unit, second):
    image = np.arange(12).reshape(3, 4)
    wavelength, time = np.array([430.0, 420.5, 410.0, 400.0]), np.array([0.0, 1.5, 3.25])
    path = hamamatsu(tmp_path / "streak.img", image, wavelength, time, unit)
    ds = fusion.check(spectra.open(path))
    assert ds["intensity"].dims == ("time", "wavelength")
    np.testing.assert_array_equal(ds["intensity"], image[:, ::-1])
    np.testing.assert_allclose(ds["wavelength"], wavelength[::-1])
    np.testing.assert_allclose(ds["time"], time * second, rtol=1e-6)
    content = path.read_bytes()
    for kept in (40, 200, len(content) - 30, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(FileReadError):
            spectra.open(path)
