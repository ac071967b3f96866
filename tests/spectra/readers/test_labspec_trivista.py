"""LabSpec (xml) and TriVista (tvf): files written here in the layout that RosettaSciIO's readers describe."""

import numpy as np
import pytest

import spectra
from fusion import FileReadError
from tests.makers.optical import FIELD, MAP, SHIFT, WAVELENGTH, labspec, trivista


def test_raman_map_of_labspec(tmp_path):
    ds = spectra.open(labspec(tmp_path / "a.xml", MAP, SHIFT, "1/cm", FIELD))
    assert ds["intensity"].dims == ("y", "x", "raman_shift")
    np.testing.assert_array_equal(ds["raman_shift"], SHIFT[::-1])
    np.testing.assert_array_equal(ds["intensity"], MAP[..., ::-1])
    np.testing.assert_array_equal(ds["x"], [-10.0, -9.67, -9.33, -9.0])  # not -10 + 0.33 i
    np.testing.assert_array_equal(ds["y"], [5.0, 7.0])
    assert [ds[dim].attrs["units"] for dim in ("y", "x", "raman_shift")] == ["um", "um", "1/cm"]
    assert (ds.attrs["technique"], ds.attrs["title"]) == ("Raman", "glass")
    assert ds["intensity"].attrs["units"] == "count"


def test_map_measured_from_right_to_left_is_turned(tmp_path):
    field = [("X", [3.0, 2.0, 1.0, 0.0]), FIELD[1]]
    ds = spectra.open(labspec(tmp_path / "a.xml", MAP, SHIFT, "1/cm", field))
    np.testing.assert_array_equal(ds["x"], [0.0, 1.0, 2.0, 3.0])
    assert float(ds["intensity"].sel(y=7.0, x=3.0, raman_shift=520.5)) == MAP[1, 0, 0]


def test_a_map_that_was_turned_has_the_axes_of_its_own_sides(tmp_path):
    field = [(f"{name}A", values) for name, values in FIELD]
    ds = spectra.open(labspec(tmp_path / "a.xml", MAP, SHIFT, "1/cm", field))
    np.testing.assert_array_equal(ds["intensity"], MAP[..., ::-1])
    np.testing.assert_array_equal(ds["y"], [5.0, 7.0])
    np.testing.assert_array_equal(ds["x"], [-10.0, -9.67, -9.33, -9.0])


def test_luminescence_spectrum_of_labspec(tmp_path):
    ds = spectra.open(labspec(tmp_path / "a.xml", [1.0, 2.0, 4.0], [500.0, 501.0, 503.0], "nm"))
    np.testing.assert_array_equal(ds["intensity"], [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(ds["wavelength"], [500.0, 501.0, 503.0])


@pytest.mark.parametrize(("unit", "name"), [("1/cm abs", "wavenumber"), ("eV", "energy")])
def test_spectra_along_something_else_are_refused(tmp_path, unit, name):
    path = labspec(tmp_path / "a.xml", [1.0, 2.0, 4.0], [1.0, 2.0, 3.0], unit)
    with pytest.raises(FileReadError, match=f"run along {name}, neither a wavelength nor a Raman shift; choose nm"):
        spectra.open(path)


def test_map_of_trivista(tmp_path):
    field = {"X": (-1.5, 0.5, 4), "Y": (2.0, 3.0, 2)}
    ds = spectra.open(trivista(tmp_path / "a.tvf", MAP, WAVELENGTH, field=field))
    assert ds["intensity"].dims == ("y", "x", "wavelength")
    np.testing.assert_array_equal(ds["intensity"], MAP)
    np.testing.assert_array_equal(ds["x"], [-1.5, -1.0, -0.5, 0.0])
    np.testing.assert_array_equal(ds["y"], [2.0, 5.0])
    np.testing.assert_array_equal(ds["wavelength"], WAVELENGTH)
    assert [ds[dim].attrs["units"] for dim in ("y", "x", "wavelength")] == ["um", "um", "nm"]


def test_time_series_of_trivista_has_the_time_of_each_frame(tmp_path):
    ds = spectra.open(trivista(tmp_path / "a.tvf", MAP[0], WAVELENGTH, times=[0.0, 4.0, 9.0, 13.5]))
    assert ds["intensity"].dims == ("time", "wavelength")
    np.testing.assert_array_equal(ds["time"], [0.0, 4.0, 9.0, 13.5])
    np.testing.assert_array_equal(ds["intensity"], MAP[0])


@pytest.mark.parametrize("share", np.linspace(0.05, 0.999, 10))
@pytest.mark.parametrize("kind", ["xml", "tvf"])
def test_a_cut_file_is_refused(tmp_path, share, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "xml":
        labspec(path, MAP, SHIFT, "1/cm", FIELD)
    else:
        trivista(path, MAP, WAVELENGTH, field={"X": (0, 1, 4), "Y": (0, 1, 2)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FileReadError, match=f"a.{kind}: the .* reader failed"):
        spectra.open(path)


@pytest.mark.parametrize("missing", ["values", "rows"])
def test_fewer_values_than_axes_are_refused(tmp_path, missing):
    values = MAP[:, :, :2] if missing == "values" else MAP[:1]
    path = labspec(tmp_path / "a.xml", values, SHIFT[: values.shape[-1]], "1/cm", FIELD)
    if missing == "values":
        text = path.read_bytes().replace(b"520.5 519.0 ", b"520.5 519.0 517.0 ")
        path.write_bytes(text)
    with pytest.raises(FileReadError):
        spectra.open(path)


LAUGHS = '<!DOCTYPE a [<!ENTITY l0 "ha">' + "".join(
    f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12)
) + "]>"  # fmt: skip


@pytest.mark.parametrize("prolog", [LAUGHS, '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>', "<!DOCTYPE a>"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("kind", ["xml", "tvf", "spx"])
def test_entities_are_not_expanded(tmp_path, kind, encoding, prolog):
    root = {"xml": "LSX_Data", "tvf": "XmlMain", "spx": "TRTSpectrum"}[kind]
    path = tmp_path / f"a.{kind}"
    text = f'<?xml version="1.0" encoding="{encoding}"?>{prolog}<{root}>&l11;&e;</{root}>'
    path.write_bytes(text.encode(encoding))
    with pytest.raises(FileReadError, match=r"it has a document type .*entities are not expanded"):
        spectra.open(path)


def test_entities_within_an_attribute_are_not_expanded(tmp_path):
    path = trivista(tmp_path / "a.tvf", MAP[0, 0], WAVELENGTH, inner=LAUGHS)
    with pytest.raises(FileReadError, match="it has a document type"):
        spectra.open(path)


def test_a_document_type_before_sound_contents_is_refused_too(tmp_path):
    path = labspec(tmp_path / "a.xml", MAP, SHIFT, "1/cm", FIELD, prolog='<!DOCTYPE a SYSTEM "a.dtd">')
    with pytest.raises(FileReadError, match="remove it, or export the file again"):
        spectra.open(path)
