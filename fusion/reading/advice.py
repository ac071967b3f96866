"""Files given to the wrong package: which of the two opens them, or how to export what neither opens."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Final

OPENERS: Final = {
    "spectra.open": (
        "asw", "bcf", "de5", "dm3", "dm4", "eds", "elid", "emd", "emi", "ems", "emsa", "geopixe", "hspy",
        "img", "lsd", "map", "mas", "mda", "msa", "pro", "prz", "pts", "rpl", "ser", "spc", "spd", "spx",
        "sur", "tvf", "wdf", "xml",
    ),
    "volumes.open": (
        "ali", "bmp", "ccp4", "czi", "di", "gwy", "ibw", "jpeg", "jpg", "jpk", "lif", "lof", "mat", "mrc",
        "mrcs", "nd2", "nid", "png", "rec", "spm", "st", "tif", "tiff",
    ),
}  # fmt: skip
"""Extensions by the function that opens such files; what both may open (nc, h5, txt) is not here."""
_OME: Final = "export it as OME-TIFF from the program of the microscope, or with Bio-Formats"
_VOLUME: Final = "save it as TIFF or MRC, e.g. with Fiji or 3D Slicer"
_SCAN: Final = "open it in Gwyddion and save it as gwy"
EXPORTS: Final = {
    **dict.fromkeys(("l6m", "l6s", "l6v"), "save it as XML in LabSpec 6; spectra.open reads that"),
    **dict.fromkeys(("wip", "wid"), "export the map as text (a table) in WITec Project; spectra.open reads that"),
    **dict.fromkeys(("oip", "oipx"), "export the map as Ripple (rpl beside raw) in AZtec; spectra.open reads that"),
    **dict.fromkeys(("xlef", "xlcf", "xlif"), "open the lof files that it lists, or save it as LIF in LAS X"),
    **dict.fromkeys(("oib", "oif", "oir", "scn", "sld", "vsi"), _OME),
    **dict.fromkeys(("am", "dcm", "mha", "mhd", "nii", "nrrd", "txrm", "vgi", "xrm"), _VOLUME),
    **dict.fromkeys(("mi", "mtrx", "nhf", "stp", "sxm", "xqd"), _SCAN),
    **dict.fromkeys(("ods", "xls", "xlsx"), "save the table as csv"),
    **dict.fromkeys(("npy", "npz"), "a bare array says nothing of its axes: label it with fusion.dataset"),
    "raw": "values without a header: open the rpl file beside it with spectra.open",
}
"""What to do with formats that nobody here opens."""
_HEAD: Final = 4096
_ROOT: Final = re.compile(rb"<([A-Za-z_][\w.:-]*)")
_LABSPEC: Final = b"LSX"
_ONLY_LABSPEC: Final = (
    "of XML only that of LabSpec 6 is read; open the image or the data that it describes, and take numbers such as a "
    "transform from its text"
)


def advice(path: str | PathLike[str], opener: str, accepted: str) -> str:
    """Return what the user can do about a file of a format that `opener` does not know.

    Parameters
    ----------
    path : path-like
    opener : str
        ``"spectra.open"`` or ``"volumes.open"``.
    accepted : str
        What it does know, in words.

    Examples
    --------
    >>> advice("map.bcf", "volumes.open", "TIFF, MRC")
    'open it with spectra.open'
    >>> advice("map.l6m", "spectra.open", "Bruker (bcf)")
    'save it as XML in LabSpec 6; spectra.open reads that'
    >>> advice("map.xyz", "spectra.open", "Bruker (bcf)")
    'spectra.open accepts Bruker (bcf); images, stacks and points open with volumes.open'
    """
    extension = Path(path).suffix.lower().lstrip(".")
    if foreign_xml(path):
        return _ONLY_LABSPEC
    if extension in EXPORTS:
        return EXPORTS[extension]
    if extension in OPENERS[_other(opener)]:
        return f"open it with {_other(opener)}"
    theirs = "spectra open" if opener == "volumes.open" else "images, stacks and points open"
    return f"{opener} accepts {accepted}; {theirs} with {_other(opener)}"


def foreign_xml(path: str | PathLike[str]) -> str:
    """Return the root element of an XML file that LabSpec did not write; nothing for others.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "transform.xml"
    >>> _ = path.write_text("<?xml version='1.0'?><ict_transform_list></ict_transform_list>")
    >>> foreign_xml(path)
    'ict_transform_list'
    """
    if Path(path).suffix.lower() != ".xml" or not Path(path).is_file():
        return ""
    with Path(path).open("rb") as stream:
        root = _ROOT.search(stream.read(_HEAD))
    return root[1].decode() if root and not root[1].startswith(_LABSPEC) else ""


def belongs_to_other_package(path: str | PathLike[str], opener: str) -> bool:
    """Say whether files of this extension are opened by the other wing alone.

    Examples
    --------
    >>> belongs_to_other_package("map.emd", "volumes.open"), belongs_to_other_package("map.h5", "volumes.open")
    (True, False)
    """
    return Path(path).suffix.lower().lstrip(".") in OPENERS[_other(opener)]


def _other(opener: str) -> str:
    return next(name for name in OPENERS if name != opener)
