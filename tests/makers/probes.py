"""Small files of scanning probes, written by hand."""

import numpy as np
import tifffile
from gwyfile.objects import GwyContainer, GwyDataField


def write_nanoscope(folder, *, size="2000 1600 nm", aspect="1:1", offset="0 nm", angle="0", dtype="<i2",
                    sens="[Sens. Zsens]", scale=None):  # fmt: skip
    """Write a 4 x 5 height whose values count 0, 1, 2, ... along the lines."""
    values = np.arange(20, dtype=dtype)
    scale = scale or f"V {sens} (0.0001 V/LSB) 10.0 V"
    head = "\r\n".join([
        "\\*File list", "\\Version: 0x09200000", "\\*Scanner list", "\\@Sens. Zsens: V 20.0 nm/V", "\\*Ciao scan list",
        f"\\X Offset: {offset}", "\\Y Offset: 0 nm", f"\\Rotate Ang.: {angle}", '\\@MicroscopeList: S [C] "Contact"',
        "\\*Ciao image list", "\\Data offset: 2048", f"\\Data length: {values.nbytes}", "\\Bytes/pixel: 2",
        "\\Samps/line: 5", "\\Number of lines: 4", f"\\Aspect Ratio: {aspect}", f"\\Scan Size: {size}",
        "\\Line Direction: Trace", '\\@2:Image Data: S [Height] "Height"', f"\\@2:Z scale: {scale}", "\\*File list end",
    ])  # fmt: skip
    path = folder / "made.spm"
    path.write_bytes(head.encode("latin-1").ljust(2048, b"\0") + values.tobytes())
    return path


def nid(blocks):
    """Return a file of 16 bits whose raw values count through all blocks, scaled to um by one for one."""
    index = ["[DataSet]", f"GroupCount={len(blocks)}"]
    sections = []
    for number, (frame, lines, points) in enumerate(blocks):
        index += [f"Gr{number}-Count=1", f"Gr{number}-Ch0=DataSet-{number}:0"]
        sections += [f"[DataSet-{number}:0]", f"Points={points}", f"Lines={lines}", f"Frame={frame}", "Dim0Unit=m",
                     "Dim0Range=4e-06", "Dim1Unit=m", "Dim1Range=3e-06", "Dim2Name=Z-Axis", "Dim2Unit=um",
                     "Dim2Range=65536", "Dim2Min=0", "SaveMode=Binary", "SaveBits=16", "SaveSign=Signed",
                     "SaveOrder=Intel"]  # fmt: skip
    values = np.arange(sum(lines * points for _, lines, points in blocks), dtype="<i2")
    return "\r\n".join([*index, *sections, "#!"]).encode("latin-1") + values.tobytes()


def write_gwyddion(folder, **changed):
    container = GwyContainer()
    said = {
        "xreal": 4e-6,
        "yreal": 3e-6,
        "xoff": 1e-6,
        "yoff": 2e-6,
        "si_unit_xy": "m",
        "si_unit_z": "m",
        **changed,
    }
    container["/0/data"] = GwyDataField(np.arange(12.0).reshape(3, 4) * 1e-9, **said)
    container["/0/data/title"] = "Topography"
    container["/3/data"] = GwyDataField(np.ones((3, 4)), **{**said, "si_unit_z": "deg"})
    container["/3/data/title"] = "Phase"
    path = folder / "made.gwy"
    container.tofile(str(path))
    return path


def write_jpk(folder, *, reflect=0, scaling="LinearScaling", length=4e-6, mode="intermittent"):
    path = folder / "made.jpk"
    grid = {0x8030: mode, 0x8040: 1e-6, 0x8041: 2e-6, 0x8042: length, 0x8043: 3e-6, 0x8044: np.pi / 2,
            0x8045: reflect}  # fmt: skip
    with tifffile.TiffWriter(path, byteorder=">") as writer:
        writer.write(np.zeros((8, 8, 3), np.uint8), photometric="rgb", extratags=tags(grid), metadata=None)
        for name, back in (("height", 0), ("height", 1)):
            said = {0x8050: name, 0x8051: back, 0x8080: 2, 0x8081: "nominal", 0x8090: "raw", 0x80C0: "nominal",
                    0x80D2: "m", 0x80D3: scaling, 0x80D4: 1e-9, 0x80D5: 5e-9}  # fmt: skip
            values = np.arange(12, dtype=np.uint16).reshape(3, 4) + 100 * back
            writer.write(values, photometric="minisblack", extratags=tags(said), metadata=None)
    return path


def tags(values):
    """Return private tags for tifffile: text, whole number or double."""
    kinds = {str: 2, int: 4, float: 12}
    counts = {code: len(value) + 1 if isinstance(value, str) else 1 for code, value in values.items()}
    return [(code, kinds[type(value)], counts[code], value, True) for code, value in values.items()]
