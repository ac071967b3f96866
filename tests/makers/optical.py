"""Small files of LabSpec and TriVista, written by hand."""

import html

import numpy as np

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
