"""LabSpec (xml) and TriVista (tvf): files written here in the layout that RosettaSciIO's readers describe."""

import html

import numpy as np
import pytest

import spectra
from fusion import FileReadError

HEAD = '<?xml version="1.0" encoding="iso-8859-1" ?>\n'


def lsx(name: str, content: str) -> str:
    return f'<LSX Format="9" ID="{name}" Size="1">{content}</LSX>'


def entry(key: str, value: str, number: str = "0") -> str:
    return lsx("0x0", lsx("0x6D6D616E", key) + lsx("0x7D6C61DB", value) + lsx("0x8736F70", number))


def axis(number: int, name: str, unit: str, values) -> str:
    listed = " ".join(map(str, values)) + " "
    return lsx(f"0x{number}", lsx("0x6D707974", name) + lsx("0x7C696E75", unit) + lsx("0x7D6CD4DB", listed))


def labspec(path, values, signal, unit, field=(), *, prolog=""):
    """Write a LabSpec file; `field` are (name, positions) of the fast and then of the slow axis."""
    metadata = lsx("0x6C62D4D9", lsx("0x7CECDBD7", entry("Acquired", "27.06.2022 16:26:24"))
                   + lsx("0x8716361", entry("Acq. time (s)", "2") + entry("Accumulations", "3")
                         + entry("ND Filter", "10%", "10") + entry("Hole", "100"))
                   + lsx("0x7C73E2D2", entry("Sample", "glass")))  # fmt: skip
    moved = [axis(2 + place, name, "µm", values) for place, (name, values) in enumerate(field)]
    axes = lsx("0x7A74D9D6", lsx("0x7B697861", axis(0, "Intens", "Cnt", [0, 1]) + axis(1, "Spectr", unit, signal)
                                 + "".join(moved)))  # fmt: skip
    tree = f"<LSX_Tree>{lsx('0x6C7469D9', 'glass')}{lsx('0x6D707974', 'Map')}{metadata}{axes}</LSX_Tree>"
    rows = np.asarray(values).reshape(-1, len(signal))
    matrix = "".join(f'<LSX_Row Size="{len(row)}">{" ".join(map(str, row))} </LSX_Row>' for row in rows)
    content = f"{HEAD}{prolog}<LSX_Data>{tree}<LSX_Matrix>{matrix}</LSX_Matrix></LSX_Data>"
    path.write_bytes(content.encode("iso-8859-1"))
    return path


SHIFT = [520.5, 519.0, 517.0]
MAP = np.arange(24.0).reshape(2, 4, 3)
FIELD = [("X", [-10.0, -9.67, -9.33, -9.0]), ("Y", [5.0, 7.0])]


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


def test_luminescence_spectrum_of_labspec(tmp_path):
    ds = spectra.open(labspec(tmp_path / "a.xml", [1.0, 2.0, 4.0], [500.0, 501.0, 503.0], "nm"))
    np.testing.assert_array_equal(ds["intensity"], [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(ds["wavelength"], [500.0, 501.0, 503.0])


@pytest.mark.parametrize(("unit", "name"), [("1/cm abs", "wavenumber"), ("eV", "energy")])
def test_spectra_along_something_else_are_refused(tmp_path, unit, name):
    path = labspec(tmp_path / "a.xml", [1.0, 2.0, 4.0], [1.0, 2.0, 3.0], unit)
    with pytest.raises(FileReadError, match=f"run along {name}, neither a wavelength nor a Raman shift; choose nm"):
        spectra.open(path)


def group(name: str, items: dict, groups: str = "") -> str:
    content = "".join(f'<Item Name="{key}" Value="{value}"/>' for key, value in items.items())
    inner = f"<Groups>{groups}</Groups>" if groups else "<Groups/>"
    return f'<Group Name="{name}"><Items>{content}</Items>{inner}</Group>'


# several of each: the reader picks those that were used
HARDWARE = """<LightSources><LightSource Name="a"/><LightSource Name="b"/></LightSources>
<Detectors><Detector Name="camera"/><Detector Name="other"/></Detectors>
<Microscopes>
 <Microscope><Objectives><Objective IsEnabled="True"/><Objective IsEnabled="False"/></Objectives></Microscope>
 <Microscope><Objectives><Objective IsEnabled="False"/><Objective IsEnabled="False"/></Objectives></Microscope>
</Microscopes>
<Spectrometers>
 <Spectrometer Serialnumber="7">
  <Gratings><Grating GrooveDensity="300 g/mm"/><Grating GrooveDensity="1"/></Gratings>
 </Spectrometer>
 <Spectrometer Serialnumber="8"><Gratings/></Spectrometer>
</Spectrometers>"""


def trivista(path, values, wavelength, *, field=None, times=None, prolog="", inner=""):
    """Write a TriVista file; `field` is {"X": (first, step, size), "Y": ...}, `times` are seconds."""
    frames = np.asarray(values).reshape(-1, len(wavelength))
    groups = group("Detector", {"Name": "camera", "No_of_Frames": len(frames), "Exposure_Time_(ms)": 100.0,
                                "No_of_Accumulations": 1, "Calc_Average": "False"})  # fmt: skip
    groups += group("Calibration", {"Center_Wavelength": 600, "Laser_Wavelength": 0})
    groups += group("Experiment", {"Mode": "map"})
    groups += group("Spectrometers", {"a": 1}, group("Spectrometer", {
        "Model": "SP", "Serialnumber": 7, "Groove_Density": "300 g/mm"}))  # fmt: skip
    for name, (first, step, size) in (field or {}).items():
        groups += group(f"{name}-Axis", {"From": first, "Step": step, "Points": size})
    info = html.escape(f"{inner}<Info><Groups>{groups}</Groups></Info>", quote=True)
    listed = "|".join(map(str, [len(wavelength), *wavelength]))
    stamps = [0] * len(frames) if times is None else [133000000000000000 + round(1e7 * time) for time in times]
    data = "".join(
        f'<Frame TimeStamp="{stamp}">{";".join(map(str, frame))}</Frame>'
        for stamp, frame in zip(stamps, frames, strict=True)
    )
    hardware = f"<Hardware>{HARDWARE}</Hardware>"
    document = (f'<Document Label="Intensity" DataLabel="Counts" RecordTime="06/27/2022 16:26:24.123" '
                f'InfoSerialized="{info}"><Childs Count="0"/><xDim><Calibration Unit="Nanometer" '
                f'ValueArray="{listed}"/></xDim><Data>{data}</Data></Document>')  # fmt: skip
    path.write_text(
        f'<?xml version="1.0"?>{prolog}<XmlMain Version="3">{hardware}<Documents>{document}</Documents></XmlMain>'
    )
    return path


WAVELENGTH = [500.0, 500.7, 502.0]


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
