"""One array that cannot be described does not block the others of its file: it is listed with the reason."""

import gwyfile
import numpy as np
import pytest
import tifffile

import volumes
from fusion.errors import FileReadError
from tests.makers.images import ramp
from tests.makers.probes import nid, write_gwyddion, write_jpk, write_nanoscope


def nanoscope(folder):
    path = write_nanoscope(folder)
    content = path.read_bytes()
    head, values = content[:2048].rstrip(b"\0"), content[2048:]
    image = head[head.index(b"\\*Ciao image list") : head.index(b"\\*File list end")]
    odd = image.replace(b"[Height]", b"[Phase]").replace(b'"Height"', b'"Phase"').replace(b"Sens. Zsens", b"Sens. None")
    path.write_bytes(head.replace(b"\\*File list end", odd + b"\\*File list end").ljust(2048, b"\0") + values)
    return path


def jpk(folder):
    path = write_jpk(folder)
    content = path.read_bytes()
    last = content.rindex(b"LinearScaling")
    path.write_bytes(content[:last] + b"CubicXScaling" + content[last + 13 :])
    return path


def nanosurf(folder):
    path = folder / "made.nid"
    content = nid([("Scan forward", 3, 4), ("Scan backward", 3, 4)])
    last = content.rindex(b"Dim0Unit=m")
    path.write_bytes(content[:last] + b"Dim0Unit=V" + content[last + 10 :])
    return path


def gwyddion(folder):
    path = write_gwyddion(folder)
    container = gwyfile.load(str(path))
    del container["/3/data"]["xreal"]
    container.tofile(str(path))
    return path


def tiff(folder):
    path = folder / "made.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(ramp(4, 5), photometric="minisblack", metadata={"axes": "YX", "name": "sem"})
        writer.write(ramp(2, 6, 7), photometric="minisblack", metadata={"axes": "PYX", "name": "angles"})
    return path


CASES = {
    nanoscope: ("height", "phase", "needs the sensitivity 'Sens. None'"),
    jpk: ("height", "height_retrace", "missing or not linear"),
    nanosurf: ("height", "height_retrace", "x is in 'V', y in 'm'"),
    gwyddion: ("topography", "phase", "xreal"),
    tiff: ("image", None, "cannot be told apart"),
}


@pytest.mark.parametrize("write", CASES, ids=lambda write: write.__name__)
def test_the_rest_opens_and_the_reason_is_listed(tmp_path, write):
    path = write(tmp_path)
    variable, odd, reason = CASES[write]
    good, bad = volumes.contents(path)
    assert (good.technique, bad.technique) != ("unreadable", "image")
    assert reason in bad.fault
    assert odd in (None, bad.name)
    ds = volumes.open(path)
    assert list(ds.data_vars) == [variable]
    assert reason in ds.attrs["left_out"]
    assert np.isfinite(ds[variable]).all()
    with pytest.raises(FileReadError, match=reason):
        volumes.open(path, name=bad.name)
