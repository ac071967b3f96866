"""Small files of EDAX, written by hand."""

import numpy as np
from rsciio.edax._api import get_ipr_dtype_list, get_spc_dtype_list, get_spd_dtype_list

COUNTS = np.zeros((2, 3, 8), np.uint16)


def spc(path, counts=None):
    """Write a spectrum, or the calibration beside a map: 20 eV a channel from 0.1 keV."""
    head = np.zeros(1, get_spc_dtype_list(load_all=True, version=0.7))
    values = np.zeros(8, np.uint32) if counts is None else np.asarray(counts, np.uint32)
    said = {"fVersion": 0.7, "dataStart": 3840, "numPts": len(values), "evPerChan": 20, "startEnergy": 0.1,
            "kV": 15.0, "numElem": 2, "liveTime": 30.0}  # fmt: skip
    for key, value in said.items():
        head[key] = value
    head["at"][0, :2] = 26, 8
    head["s"][0, : len(values)] = values
    path.write_bytes(head.tobytes())
    return path


def spd(path, counts=COUNTS, *, calibrated=True, placed=True):
    """Write a map with, beside it, its calibration and the pixel size (0.5 um along x, 0.25 um along y)."""
    head = np.zeros(1, get_spd_dtype_list())
    lines, points, channels = counts.shape
    said = {"nSpectra": lines * points, "nPoints": points, "nLines": lines, "nChannels": channels,
            "countBytes": counts.itemsize, "dataOffset": head.itemsize, "nFrames": 1}  # fmt: skip
    for key, value in said.items():
        head[key] = value
    head["tag"][0, :15] = np.frombuffer(b"MAPSPECTRA_DATA", np.int8)
    head["fName"][0, :9] = np.frombuffer(b"image.bmp", np.int8)
    path.write_bytes(head.tobytes() + counts.tobytes())
    if calibrated:
        spc(path.with_suffix(".spc"))
    if placed:
        image = np.zeros(1, get_ipr_dtype_list(version=333))
        image["version"], image["mppX"], image["mppY"] = 333, 0.5, 0.25
        (path.parent / "image.ipr").write_bytes(image.tobytes())
    return path
