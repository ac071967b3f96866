"""What electron microscopes write beside an image: pixel size, stage, beam (FEI/Thermo Fisher, Zeiss, Tescan, JEOL).

The first two write it into tags of the TIFF, Tescan into a tag (50431) or a file ``*-tif.hdr`` beside it, JEOL into a
``.txt`` beside it. Coordinates are then counted from the centre of the field, a data bar below it left out, and the
pose leads to the frame of `fusion.reading.stage`. FEI's ``[Stage]`` holds the position with the beam shift in it, which
is the position of the centre (``[EBeam]`` holds the two apart). An image taken by an ion beam looks along another
direction than the stage's z; an angle between the columns is not in every file, and such an image is not placed.

Where tilt correction stretched the rows, they run along a plane tilted by the angle of correction: the pose has the
tilt that is left, and ``tilt_correction`` says so.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import degrees, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fusion import units
from fusion.affine import Affine
from fusion.model import Axis
from fusion.reading.stage import Stage, stage_pose

if TYPE_CHECKING:
    from tifffile import TiffFile

Tags: TypeAlias = Mapping[str, Any]
Sizes: TypeAlias = Mapping[str, Mapping[str, float]]
_TESCAN_TAG: Final = 50431
_AGREE: Final = 0.01
_METRE: Final = 1e6
_GAS: Final = 1.0
_ON: Final = ("true", "on", "yes", "1")


@dataclass(frozen=True)
class Field:
    """The field of an image: pixel sizes in um (every one that the file gives), its rows without the data bar.

    ``stage`` is None where the file does not give it, or the beam does not look along its z.
    """

    sizes: Sizes
    rows: int
    columns: int
    stage: Stage | None = None
    scan_rotation: float = 0.0
    tilt_correction: float = 0.0
    about: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def axes(self) -> dict[str, Axis]:
        """Axes from the first size; from the centre of the field where the stage is known."""
        if not self.sizes:
            return {}
        size = next(iter(self.sizes.values()))
        return {dim: self._axis(size[dim], count) for dim, count in (("y", self.rows), ("x", self.columns))}

    @property
    def pose(self) -> Affine | None:
        """From the axes to the frame "stage"."""
        if self.stage is None or not any(self.stage) or not self.sizes:
            return None
        left = self.stage._replace(tilt=self.stage.tilt - self.tilt_correction)
        return stage_pose(left, scan_rotation=self.scan_rotation)

    @property
    def doubts(self) -> dict[str, str]:
        """Why the pixel size along a dim is not to be believed, where the sizes in the file disagree."""
        doubts = {}
        for dim in "yx":
            sizes = {name: size[dim] for name, size in self.sizes.items() if dim in size}
            if sizes and max(sizes.values()) > (1.0 + _AGREE) * min(sizes.values()):
                listed = " and ".join(f"{value:.6g} um ({name})" for name, value in sizes.items())
                doubts[dim] = f"it gives several pixel sizes along {dim}: {listed}"
        return doubts

    def _axis(self, step: float, count: int) -> Axis:
        return Axis(units.LENGTH, step=step, offset=-step * (count - 1) / 2.0 if self.pose else 0.0)


def described(tif: TiffFile, path: Path, rows: int, columns: int) -> Field | None:
    """Return what an electron microscope wrote about an image; None where none did.

    Parameters
    ----------
    tif : TiffFile
    path : Path
        Of the image: a header may lie beside it.
    rows, columns : int
        Of the stored image.
    """
    if tif.fei_metadata:
        return _fei(tif.fei_metadata, rows, columns)
    if tif.sem_metadata:
        return _zeiss(tif.sem_metadata, rows, columns)
    tescan = _tescan_header(tif, path)
    if tescan:
        return _tescan(tescan, rows, columns)
    jeol = _jeol_header(path.with_suffix(".txt"))
    return _jeol(jeol, rows, columns) if jeol else None


def _fei(tags: Tags, rows: int, columns: int) -> Field:
    """Read sections of SI numbers, as the xT microscope server writes them."""
    beam = tags.get("Beam", {})
    column = tags.get(str(beam.get("Beam", "EBeam")), {})
    electrons = beam.get("Beam", "EBeam") == "EBeam"
    drawn = int(_number(tags.get("Image", {}).get("ResolutionY")))
    corrected = degrees(_number(column.get("TiltCorrectionAngle"))) if _on(column.get("TiltCorrectionIsOn")) else 0.0
    model, pressure = tags.get("System", {}).get("SystemType", ""), tags.get("Vacuum", {}).get("ChPressure")
    return Field(
        sizes=_fei_sizes(tags, str(beam.get("Scan", "EScan")), columns),
        rows=drawn if 0 < drawn <= rows else rows,
        columns=columns,
        stage=_fei_stage(tags.get("Stage", {})) if electrons else None,
        scan_rotation=degrees(_number(beam.get("ScanRotation"))),
        tilt_correction=corrected,
        about=_about(electrons, str(model), _number(beam.get("HV")) / 1e3, _number(pressure), corrected),
        metadata=dict(tags),
    )


def _fei_sizes(tags: Tags, scan: str, columns: int) -> Sizes:
    for section in ("Scan", scan):
        entries = tags.get(section, {})
        y, x, width = (_number(entries.get(key)) * _METRE for key in ("PixelHeight", "PixelWidth", "HorFieldsize"))
        if y > 0 and x > 0:
            field_size = {f"[{section}] HorFieldsize": {"x": width / columns}} if width > 0 else {}
            return {f"[{section}] PixelWidth, PixelHeight": {"y": y, "x": x}, **field_size}
    return {}


def _fei_stage(entries: Mapping[str, Any]) -> Stage:
    position = {dim: _number(entries.get(f"Stage{dim.upper()}")) * _METRE for dim in "xyz"}
    angles = {"rotation": "StageR", "tilt": "StageT", "cross_tilt": "StageTb"}
    return Stage(**position, **{key: degrees(_number(entries.get(name))) for key, name in angles.items()})


def _zeiss(tags: Tags, rows: int, columns: int) -> Field:
    """Read entries of a name, a value and its unit; those on or off have no unit."""
    on = {key: _on(tags.get(key, ("", ""))[1]) for key in ("dp_tilt_correction", "dp_scan_rot")}
    electrons = tags.get("dp_fib_imaging", ("", "SEM"))[1] == "SEM"
    position = {dim: _zeiss_value(tags, f"ap_stage_at_{dim}", units.LENGTH) for dim in "xyz"}
    angles = {"rotation": "ap_stage_at_r", "tilt": "ap_stage_at_t"}
    stage = Stage(**position, **{key: _zeiss_value(tags, name, "degree") for key, name in angles.items()})
    corrected = _zeiss_value(tags, "ap_tilt_angle", "degree") if on["dp_tilt_correction"] else 0.0
    model = f"Zeiss {tags.get('dp_sem', ('', ''))[1]}".strip()
    energy, pressure = _zeiss_value(tags, "ap_actualkv", "kV"), _zeiss_value(tags, "ap_chamber_pressure", "Pa")
    return Field(
        sizes=_zeiss_sizes(tags, columns),
        rows=rows,
        columns=columns,
        stage=stage if electrons else None,
        scan_rotation=_zeiss_value(tags, "ap_scanrotation", "degree") if on["dp_scan_rot"] else 0.0,
        tilt_correction=corrected,
        about=_about(electrons, model, energy, pressure, corrected),
        metadata={str(key): entry for key, entry in tags.items()},
    )


def _zeiss_sizes(tags: Tags, columns: int) -> Sizes:
    width = _zeiss_value(tags, "ap_width", units.LENGTH)
    for key in ("ap_image_pixel_size", "ap_pixel_size"):
        size = _zeiss_value(tags, key, units.LENGTH)
        if size > 0:
            return {key: {"y": size, "x": size}, **({"ap_width": {"x": width / columns}} if width > 0 else {})}
    return {}


def _zeiss_value(tags: Tags, key: str, unit: str) -> float:
    entry = tags.get(key, ())
    return float(entry[1]) * units.convert_factor(str(entry[2]), unit) if len(entry) == 3 else 0.0


def _tescan_header(tif: TiffFile, path: Path) -> dict[str, dict[str, str]]:
    """Return the sections MAIN and SEM, from the tag or from the file beside the image."""
    tag = tif.pages.first.tags.get(_TESCAN_TAG)
    text = bytes(tag.value).decode("utf-8", "replace") if tag and isinstance(tag.value, (bytes, bytearray)) else ""
    beside = [path.with_name(f"{path.stem}-{path.suffix[1:]}.hdr"), path.with_suffix(".hdr")]
    for file in beside if not text else ():
        text = text or (file.read_text(encoding="utf-8", errors="replace") if file.is_file() else "")
    if "[MAIN]" not in text or "[SEM]" not in text:
        return {}
    # the tag begins with a thumbnail, and its text ends with zeros
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text[text.index("[MAIN]") :].partition("\0")[0])
    return {section: {key: value or "" for key, value in parser[section].items()} for section in parser.sections()}


def _tescan(header: Mapping[str, Mapping[str, str]], rows: int, columns: int) -> Field:
    """Read SI numbers, and angles in degrees."""
    main, sem = header["MAIN"], header["SEM"]
    size = {dim: _number(main.get(f"PixelSize{dim.upper()}")) * _METRE for dim in "yx"}
    position = {dim: _number(sem.get(f"Stage{dim.upper()}")) * _METRE for dim in "xyz"}
    corrected, shown = _number(sem.get("TiltCorrection")), rows - int(_number(main.get("ImageStripSize")))
    energy, pressure = _number(sem.get("HV")) / 1e3, _number(sem.get("ChamberPressure"))
    return Field(
        sizes={"PixelSizeX, PixelSizeY": size} if min(size.values()) > 0 else {},
        rows=shown if shown > 0 else rows,
        columns=columns,
        stage=Stage(**position, rotation=_number(sem.get("StageRotation")), tilt=_number(sem.get("StageTilt"))),
        scan_rotation=_number(sem.get("ScanRotation")),
        tilt_correction=corrected,
        about=_about(True, f"Tescan {main.get('Device', '')}".strip(), energy, pressure, corrected),
        metadata={section: dict(entries) for section, entries in header.items()},
    )


def _jeol_header(path: Path) -> dict[str, str]:
    if not path.is_file() or path.stat().st_size > 2**20:
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.strip().partition(" ") for line in lines if line.startswith("$"))
    header = {key.lstrip("$"): value.strip() for key, _, value in pairs}
    return header if "SM_MICRON_BAR" in header or "CM_PIXEL_SIZE" in header else {}


def _jeol(header: Mapping[str, str], rows: int, columns: int) -> Field:
    """Read the micron bar (pixels) and its marker, positions in mm, angles in degrees, kV."""
    full = [int(number) for number in re.findall(r"\d+", header.get("CM_FULL_SIZE", ""))]
    return Field(
        sizes=_jeol_sizes(header),
        rows=full[1] if len(full) == 2 and 0 < full[1] <= rows else rows,
        columns=columns,
        stage=_jeol_stage(header),
        scan_rotation=_number(header.get("SM_SCAN_ROTATION")),
        about=_about(True, header.get("CM_INSTRUMENT", "JEOL"), _number(header.get("CM_ACCEL_VOLT"))),
        metadata=dict(header),
    )


def _jeol_sizes(header: Mapping[str, str]) -> Sizes:
    stated, bar = _number(header.get("CM_PIXEL_SIZE")), _number(header.get("SM_MICRON_BAR"))
    marker = re.fullmatch(r"([\d.]+)\s*(\S+)", header.get("SM_MICRON_MARKER", ""))
    sizes = {"$CM_PIXEL_SIZE": stated} if stated > 0 else {}
    if marker and bar > 0 and units.is_compatible(marker[2], units.LENGTH):
        sizes["$$SM_MICRON_BAR"] = float(marker[1]) * units.convert_factor(marker[2], units.LENGTH) / bar
    return {name: {"y": size, "x": size} for name, size in sizes.items()}


def _jeol_stage(header: Mapping[str, str]) -> Stage | None:
    """Read ``X=37.2, Y=44.9, R=355.0, Z=16.9, T=0``; six bare numbers only where their angles are zero.

    Which of the bare numbers is the rotation and which the tilt differs between programs.
    """
    named = {
        key.upper(): float(value)
        for key, value in re.findall(r"(\w)\s*=\s*(-?[\d.]+)", header.get("CM_STAGE_POSITION", ""))
    }
    bare = [float(number) for number in re.findall(r"-?[\d.]+", header.get("CM_STAGE_POS", ""))]
    if not named and len(bare) >= 3 and not any(bare[3:]):
        named = dict(zip("XYZ", bare, strict=False))
    if not named:
        return None
    position = {dim: named.get(dim.upper(), 0.0) * 1e3 for dim in "xyz"}
    return Stage(**position, rotation=named.get("R", 0.0), tilt=named.get("T", 0.0))


def _about(
    electrons: bool, instrument: str, kilovolt: float, pascal: float = 0.0, corrected: float = 0.0
) -> dict[str, Any]:
    """Return the attributes: ``beam_energy`` in keV, ``chamber_pressure`` in Pa, ``tilt_correction`` in degrees.

    A chamber holds gas above 1 Pa: low vacuum begins near 10 Pa, and high vacuum ends far below.
    """
    known = {
        "instrument": instrument, "beam_energy": kilovolt, "chamber_pressure": pascal, "tilt_correction": corrected,
    }  # fmt: skip
    technique = ("environmental SEM" if pascal > _GAS else "SEM") if electrons else "FIB"
    return {"technique": technique, **{key: value for key, value in known.items() if value}}


def _number(value: Any) -> float:
    """Return a number; zero, which stands for unknown in these files, for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0
    return number if isfinite(number) else 0.0


def _on(value: Any) -> bool:
    return str(value).strip().lower() in _ON
