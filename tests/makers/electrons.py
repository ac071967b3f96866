"""Images as electron microscopes write them."""

import tifffile

import fusion
from tests.makers.images import ramp

FEI = {
    "System": {"SystemType": "Quanta FEG"},
    "Beam": {"HV": 10000, "Beam": "EBeam", "Scan": "EScan", "ScanRotation": 0.0},
    "EBeam": {"TiltCorrectionIsOn": "no", "TiltCorrectionAngle": 0.0},
    "Scan": {"PixelWidth": 5e-8, "PixelHeight": 5e-8, "HorFieldsize": 2.5e-6},
    "Stage": {"StageX": 1e-3, "StageY": -2e-3, "StageZ": 5e-3, "StageR": 0.0, "StageT": 0.0, "StageTb": 0.0},
    "Image": {"ResolutionX": 50, "ResolutionY": 40},
    "Vacuum": {"ChPressure": 2e-4},
}


def fei(path, data=None, **changes):
    """Write an image with FEI's tag; a change such as ``Stage={"StageX": 0}`` goes into a section."""
    sections = {name: {**entries, **changes.get(name, {})} for name, entries in FEI.items()}
    sections |= {name: entries for name, entries in changes.items() if name not in FEI}
    text = "\r\n".join(f"[{n}]\r\n" + "".join(f"{k}={v}\r\n" for k, v in e.items()) for n, e in sections.items())
    data = ramp(44, 50) if data is None else data
    tifffile.imwrite(path, data, metadata=None, extratags=[(34682, "s", 0, text, True)])
    return path


def centre(ds, rows=None):
    """Return where the middle of the field lies, a data bar below it left out."""
    rows = rows or ds.sizes["y"]
    return fusion.get_pose(ds)[0]([0.0, float(ds["y"][[0, rows - 1]].mean()), float(ds["x"][[0, -1]].mean())])
