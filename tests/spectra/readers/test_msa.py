"""EMSA/MAS files: the column X, decimal commas, and units behind keywords."""

from __future__ import annotations

import numpy as np
import pytest

import spectra
from fusion import FileReadError, TruncatedFileWarning

UNEVEN = np.array([380.0, 400.5, 431.0, 452.75])
VALUES = np.array([1.5, 2.25, 0.5, 4.0])


def write(path, rows, **entries):
    header = {
        "FORMAT": "EMSA/MAS Spectral Data File", "VERSION": "1.0", "TITLE": "made", "DATE": "01-OCT-2020",
        "TIME": "12:00", "OWNER": "nobody", "NPOINTS": "4.", "NCOLUMNS": "1.", "XUNITS": "nm", "YUNITS": "counts",
        "DATATYPE": "Y", "XPERCHAN": "20.0", "OFFSET": "380.0", "SIGNALTYPE": "CLS", **entries,
    }  # fmt: skip
    keywords = [f"#{key:12}: {value}" for key, value in header.items() if value is not None]
    lines = [*keywords, "#SPECTRUM    : ", *rows, "#ENDOFDATA   : "]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("between", [", ", "  ", "; ", "\t"])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_column_x_is_the_axis(tmp_path, between, backwards):
    pairs = [f"{x}{between}{y}" for x, y in zip(UNEVEN, VALUES, strict=True)]
    ds = spectra.open(write(tmp_path / "a.msa", pairs[::-1] if backwards else pairs, DATATYPE="XY", OFFSET="0.0"))
    np.testing.assert_array_equal(ds["wavelength"], UNEVEN)
    np.testing.assert_array_equal(ds["intensity"], VALUES)


def comma(value):
    return f"{value:.2f}".replace(".", ",")


@pytest.mark.parametrize(
    ("datatype", "rows"),
    [
        ("XY", [f"{comma(x)}; {comma(y)}" for x, y in zip(UNEVEN, VALUES, strict=True)]),
        ("XY", [f"{comma(x)}\t{comma(y)}" for x, y in zip(UNEVEN, VALUES, strict=True)]),
        ("Y", [comma(y) for y in VALUES]),
        ("Y", [" ".join(map(comma, VALUES))]),
    ],
)
def test_decimal_commas_are_read(tmp_path, datatype, rows):
    path = write(tmp_path / "a.msa", rows, DATATYPE=datatype, XPERCHAN="20,5", OFFSET="380,0", BEAMKV="15,5")
    ds = spectra.open(path)
    np.testing.assert_array_equal(ds["intensity"], VALUES)
    expected = UNEVEN if datatype == "XY" else 380.0 + 20.5 * np.arange(4)
    np.testing.assert_allclose(ds["wavelength"], expected)
    assert ds.attrs["beam_energy"] == 15.5


def test_commas_between_numbers_stay_so(tmp_path):
    np.testing.assert_array_equal(spectra.open(write(tmp_path / "a.msa", ["1,2,", "3, 4"]))["intensity"], [1, 2, 3, 4])


def test_commas_that_fit_neither_way_are_refused(tmp_path):
    with pytest.raises(FileReadError, match=r"commas or as separators.* 4 channels; export it with decimal poin"):
        spectra.open(write(tmp_path / "a.msa", ["1,5,2", "3,5,4"]))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("BEAMKV -V", "200000"),
        ("BEAMKV -kV", "200."),
        ("BEAMKV", "200.0"),
        ("BEAMKV", "200 kV"),
        ("BEAMKV", "200000 V"),
        ("BEAMKV", "200.0 keV"),
        ("BEAMKV -eV", "2e5"),
        ("BEAMKV -MeV", "0,2"),
    ],
)
def test_the_beam_energy_goes_with_its_unit(tmp_path, keyword, value):
    path = write(
        tmp_path / "a.msa", map(str, VALUES), SIGNALTYPE="EDS", XUNITS="eV", XPERCHAN="10.0", **{keyword: value}
    )
    ds = spectra.open(path)
    assert (ds.attrs["beam_energy"], ds.attrs["signal_type"]) == (200.0, "EDS_TEM")


@pytest.mark.parametrize(
    ("unit", "signal", "dim"),
    [
        ("Wavelength (nm)", "CLS", "wavelength"),
        ("Energy [keV]", "EDS", "energy"),
        ("Energy loss (eV)", "ELS", "energy_loss"),
        ("Energy in keV", "EDS", "energy"),
        ("keV (X-ray energy)", "EDS", "energy"),
        ("Wavelength, nm", "CLS", "wavelength"),
    ],
)
def test_a_unit_behind_a_label_is_read(tmp_path, unit, signal, dim):
    assert spectra.open(write(tmp_path / "a.msa", map(str, VALUES), XUNITS=unit, SIGNALTYPE=signal)).sizes == {dim: 4}


@pytest.mark.parametrize(
    "scale", [{"XPERCHAN": "10 eV"}, {"XPERCHAN -keV": "0.01"}, {"XPERCHAN": "0,01 keV"}, {"XPERCHAN -eV": "10.0"}]
)
@pytest.mark.parametrize("unit", ["eV", "keV", "Energy (eV)"])
def test_the_unit_beside_the_scale_counts(tmp_path, scale, unit):
    header = {"XUNITS": unit, "SIGNALTYPE": "EDS", "OFFSET": "-0.1 keV", **scale}
    if "XPERCHAN" not in scale:
        header["XPERCHAN"] = None
    ds = spectra.open(write(tmp_path / "a.msa", map(str, VALUES), **header))
    np.testing.assert_allclose(ds["energy"], -0.1 + 0.01 * np.arange(4), atol=1e-9)


def test_a_unit_that_is_not_known_is_named(tmp_path):
    path = write(tmp_path / "a.msa", map(str, VALUES), XPERCHAN="10 zork")
    with pytest.raises(FileReadError, match=r"#XPERCHAN is 10 'zork'; correct this line.*nm is expected"):
        spectra.open(path)


def test_the_number_of_channels_is_held_against_the_promise(tmp_path):
    with pytest.warns(TruncatedFileWarning, match="4 of 6 channels are there"):
        assert spectra.open(write(tmp_path / "a.msa", map(str, VALUES), NPOINTS="6")).sizes == {"wavelength": 4}
    path = write(tmp_path / "b.msa", map(str, VALUES), NPOINTS="3")
    ds = spectra.open(path)
    np.testing.assert_array_equal(ds["intensity"], VALUES)
    assert ds.attrs["channels"] == "4 are there, and the header promises 3"
    path.write_text(path.read_text().replace("#ENDOFDATA   : \n", ""))
    with pytest.raises(FileReadError, match=r"its table has 4 of 3 channels; correct #NPOINTS"):
        spectra.open(path)


def test_two_columns_that_are_called_y_are_x_and_y(tmp_path):
    pairs = [f"{x}, {y}" for x, y in zip(UNEVEN, VALUES, strict=True)]
    ds = spectra.open(write(tmp_path / "a.msa", pairs, DATATYPE="Y"))
    np.testing.assert_array_equal(ds["wavelength"], UNEVEN)
    np.testing.assert_array_equal(ds["intensity"], VALUES)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("PES", "those of photoelectrons .*which have no axis here"),
        ("AES", "those of Auger electrons .*which have no axis here"),
        ("CLS", "those of light .*export light over the wavelength, in nm"),
        ("CL", "those of light .*export light over the wavelength, in nm"),
        ("", "does not say what its energies are .*add the line '#SIGNALTYPE: EDS'"),
        (None, "does not say what its energies are .*add the line '#SIGNALTYPE: EDS'"),
    ],
)
def test_energies_of_another_kind_are_called_so(tmp_path, kind, reason):
    path = write(tmp_path / "a.msa", map(str, VALUES), XUNITS="eV", SIGNALTYPE=kind)
    with pytest.raises(FileReadError, match=reason):
        spectra.open(path)


@pytest.mark.parametrize(
    ("entries", "dim"),
    [({"SIGNALTYPE": "EELS"}, "energy_loss"), ({"SIGNALTYPE": "EDX"}, "energy"),
     ({"SIGNALTYPE": None, "XLABEL": "Energy Loss"}, "energy_loss")],
)  # fmt: skip
def test_types_of_signals_in_other_words(tmp_path, entries, dim):
    ds = spectra.open(write(tmp_path / "a.msa", map(str, VALUES), XUNITS="eV", **entries))
    assert ds.sizes == {dim: 4}


def test_integers_with_commas_between_them_are_pairs(tmp_path):
    ds = spectra.open(write(tmp_path / "a.msa", ["1, 5", "2, 6", "4, 7", "9, 8"], DATATYPE="xy"))
    np.testing.assert_array_equal(ds["wavelength"], [1, 2, 4, 9])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_the_encoding_of_an_editor_is_known(tmp_path, encoding):
    path = write(tmp_path / "a.msa", map(str, VALUES), TITLE="Mus\u00e9e")
    path.write_bytes(path.read_text().encode(encoding))
    ds = spectra.open(path)
    np.testing.assert_array_equal(ds["intensity"], VALUES)
    assert ds.attrs["title"] == "Mus\u00e9e"


def test_what_stands_behind_the_end_is_no_value(tmp_path):
    path = write(tmp_path / "a.msa", map(str, VALUES))
    path.write_text(path.read_text() + "exported by a program\n")
    np.testing.assert_array_equal(spectra.open(path)["intensity"], VALUES)


def test_exponents_of_fortran_are_read(tmp_path):
    ds = spectra.open(write(tmp_path / "a.msa", ["1.5D+00", "22.5d-1", "5D-01", "4."]))
    np.testing.assert_allclose(ds["intensity"], VALUES)


@pytest.mark.parametrize("kind", ["WDS", "XRF"])
def test_spectra_of_x_rays_have_their_energy(tmp_path, kind):
    ds = spectra.open(write(tmp_path / "a.msa", ["1", "2", "3", "4"], SIGNALTYPE=kind, XUNITS="eV"))
    np.testing.assert_allclose(ds["energy"], 0.38 + 0.02 * np.arange(4))


def test_a_width_of_a_channel_that_is_missing_is_asked_for(tmp_path):
    with pytest.raises(FileReadError, match=r"no width of a channel; add it, e.g. the line '#XPERCHAN: 10.0'"):
        spectra.open(write(tmp_path / "a.msa", map(str, VALUES), XPERCHAN=None))
