"""One small file of each format, as the tests of its reader write it, or one that was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

import fusion
from fusion.model import Axis
from fusion.specimens import measured
from tests.makers import edax, geopixe, hspy, light, localisations, mda, nexus, optical, probes, voltammograms


@dataclass(frozen=True)
class Made:
    """A sound file, the wing that opens it ("spectra" or "volumes"), with what, and the file of it that is damaged."""

    format: str
    wing: str
    path: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    beside: str = ""

    @property
    def damaged(self) -> Path:
        """The file that holds the values."""
        return self.path.with_name(self.beside or self.path.name)


MEASURED: Final = {
    "Bruker bcf": ("spectra", "edx/test_TEM.bcf"),
    "Delmic h5": ("spectra", "correlative_cl_sem/odemis_spectrum_fitting.h5"),
    "Gatan dm4": ("spectra", "eels/EELS_SI.dm4"),
    "HyperSpy hspy": ("spectra", "time_series/GaAsSb_streak_image.hspy"),
    "JEOL img": ("spectra", "edx/jeol/Sample/00_View000/View000_0000000.img"),
    "JEOL pts": ("spectra", "edx/jeol/Sample/00_View000/View000_0000006.pts"),
    "MATLAB 5 mat": ("volumes", "correlative_edx_tomo/bispl_nanorod/STEM_EDX_input.mat"),
    "MRC": ("volumes", "sem_tem/HAADFscan.mrc"),
    "NSID hf5": ("spectra", "electrochem/bfo_iv_final.hf5"),
    "NetCDF nc": ("spectra", "raman/chondro.nc"),
    "PNG": ("volumes", "clem/deepclem/Channel_of_interest.png"),
    "Renishaw wdf": ("spectra", "raman/renishaw_test_zscan.wdf"),
    "Renishaw wdf map": ("spectra", "raman/renishaw_test_map.wdf"),
    "SECM text": ("volumes", "correlative_secm_sem/AlAr_data.txt"),
    "SMAP mat": ("volumes", "smlm/smap_dstorm_data.mat"),
    "TIFF ImageJ": ("volumes", "synthetic_reference/clem_3dct_phantom/small_cf_transformed.tif"),
    "TIFF FEI": ("volumes", "sem_tem/tfs_example.tif"),
    "TIFF Zeiss": ("volumes", "sem_tem/zeiss_example_sem.tif"),
    "Velox emd": ("spectra", "correlative_eds_haadf_velox/fei_emd_si.emd"),
    "WITec text": ("spectra", "raman/Witec-Map_full.txt"),
    "Igor ibw": ("volumes", "afm/spot_1-1000nm.ibw"),
    "NanoScope": ("volumes", "afm/di-1.di"),
}
"""Measured files of less than 3 MB, one for each format; what the rest are is written below."""

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "MATLAB 5 mat": {"dims": ("y", "x", "channel")},
    "Picasso hdf5": {"voxel": "100 nm"},
}
_BESIDE: Final = {"Picasso yaml": "origami_locs.yaml", "Ripple raw": "made.raw", "EDAX spc of spd": "a.spc"}


def names() -> tuple[str, ...]:
    """Return the formats that are written here."""
    return tuple(_WRITERS)


def written(name: str, folder: Path) -> Made:
    """Write a file of a format into a folder of its own."""
    wing, write = _WRITERS[name]
    place = folder / name.replace(" ", "_")
    place.mkdir()
    return Made(name, wing, write(place), _OPTIONS.get(name, {}), _BESIDE.get(name, ""))


def found(name: str, *, download: bool = True) -> Made:
    """Return a measured file of a format."""
    wing, place = MEASURED[name]
    return Made(name, wing, measured.locate(place, download=download), _OPTIONS.get(name, {}))


def _thunderstorm(folder: Path) -> Path:
    rows = [f"{i}.0,{1 + i // 3}.0,{1500.5 + i},{20000.25 - i},130.0,900.0,12.5,3.5,70.0,11.0" for i in range(40)]
    return localisations.thunderstorm(folder, *rows)


def _nanosurf(folder: Path) -> Path:
    path = folder / "made.nid"
    path.write_bytes(probes.nid([("Scan forward", 3, 4), ("Scan backward", 3, 4)]))
    return path


def _ome(folder: Path) -> Path:
    data = light.values(3, 5, 7)
    place = [(0.05 + 5e-4 * i, 2.0, 1.0) for i in range(3)]
    xml = light.ome_xml(light.ome_image("cell", data.shape, place=place))
    return light.write_ome(folder / "cell.ome.tif", xml, data)


def _tiff(compression: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        import tifffile

        path = folder / "stack.tif"
        values = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(3, 20, 30)
        tifffile.imwrite(path, values, photometric="minisblack", compression=compression)
        return path

    return write


def _lif(folder: Path) -> Path:
    image = light.lif_image("cell", light.values(3, 2, 5, 7), "zcyx", light.LENGTHS)
    return light.write_lif(folder / "cell.lif", image)


def _nexus(folder: Path) -> Path:
    energy = ("energy", 100.0 + 10.0 * np.arange(4), "eV")
    values = np.arange(24, dtype=np.uint32).reshape(2, 3, 4)
    return nexus.write(folder / "a.nxs", [nexus.Y, nexus.X, energy], values=values)


def _hdf5(folder: Path) -> Path:
    import h5py

    with h5py.File(folder / "plain.h5", "w") as file:
        values = np.arange(4 * 50 * 60, dtype=np.float32).reshape(4, 50, 60)
        packed = file.create_dataset("volume", data=values, compression="gzip", chunks=(1, 25, 60))
        for dim, letter in zip(packed.dims, "zyx", strict=True):
            dim.label = letter
    return folder / "plain.h5"


def _saved(folder: Path) -> Path:
    axes = {dim: Axis("um", step=0.5) for dim in "zyx"}
    values = {"volume": (("z", "y", "x"), np.arange(24.0).reshape(2, 3, 4))}
    fusion.save(fusion.dataset(values, axes, name="made", cell_methods="mean"), folder / "saved.nc")
    return folder / "saved.nc"


def _classic(folder: Path) -> Path:
    from scipy.io import netcdf_file

    with netcdf_file(folder / "classic.nc", "w") as file:
        for dim, size in zip("zyx", (2, 3, 4), strict=True):
            file.createDimension(dim, size)
            axis = file.createVariable(dim, "f8", (dim,))
            axis[:], axis.units = np.arange(size) * 0.5, "um"
        file.createVariable("volume", "f8", ("z", "y", "x"))[:] = np.arange(24.0).reshape(2, 3, 4)
    return folder / "classic.nc"


def _msa(folder: Path) -> Path:
    """Write a spectrum as ISO 22029 lays it out: keywords, values, and the keyword that ends it."""
    said = {"FORMAT": "EMSA/MAS Spectral Data File", "VERSION": "1.0", "TITLE": "made", "NPOINTS": 60, "NCOLUMNS": 1,
            "XUNITS": "keV", "YUNITS": "counts", "DATATYPE": "Y", "XPERCHAN": 0.5, "OFFSET": 0.0,
            "SIGNALTYPE": "EDS", "SPECTRUM": ""}  # fmt: skip
    lines = [f"#{key:<12}: {value}" for key, value in said.items()]
    lines += [f"{value:f}," for value in range(60)] + ["#ENDOFDATA   : "]
    path = folder / "made.msa"
    path.write_text("\r\n".join(lines), newline="")
    return path


def _ripple(folder: Path) -> Path:
    """Write 3 spectra of 20 channels: the header (Lispix' Ripple format) and the values beside it."""
    said = {"width": 3, "height": 1, "depth": 20, "offset": 0, "data-length": 4, "data-type": "float",
            "byte-order": "little-endian", "record-by": "vector", "depth-name": "Energy", "depth-scale": 0.5,
            "depth-origin": 0.0, "depth-units": "keV", "width-name": "x", "width-scale": 0.5, "width-origin": 0.0,
            "width-units": "um", "signal": "EDS_SEM"}  # fmt: skip
    path = folder / "made.rpl"
    path.write_text("key\tvalue\n" + "".join(f"{key}\t{value}\n" for key, value in said.items()))
    path.with_suffix(".raw").write_bytes(np.arange(60, dtype="<f4").tobytes())
    return path


_WRITERS: Final[dict[str, tuple[str, Callable[[Path], Path]]]] = {
    "CZI": ("volumes", lambda folder: light.write_czi(folder / "a.czi", light.values(1, 3, 2, 5, 7))),
    "EDAX spc": ("spectra", lambda folder: edax.spc(folder / "a.spc", np.arange(8))),
    "EDAX spd": ("spectra", lambda folder: edax.spd(folder / "a.spd")),
    "EPICS mda": ("spectra", lambda folder: mda.write(
        folder / "a.mda", mda.spectral_map(np.arange(60.0).reshape(3, 4, 5)), {"ioc:energy": (10.5, "keV")}
    )),
    "GeoPIXE": ("spectra", lambda folder: geopixe.write(
        folder / "a.geopixe", np.arange(1, 61, dtype=np.uint16).reshape(2, 3, 2, 5)
    )),
    "Gwyddion gwy": ("volumes", lambda folder: probes.write_gwyddion(folder)),
    "HDF5": ("volumes", _hdf5),
    "HyperSpy hspy (made)": ("spectra", lambda folder: hspy.write(folder / "a.hspy")),
    "JPK": ("volumes", lambda folder: probes.write_jpk(folder)),
    "LIF": ("volumes", _lif),
    "LabSpec xml": ("spectra", lambda folder: optical.labspec(
        folder / "a.xml", optical.MAP, optical.SHIFT, "1/cm", optical.FIELD
    )),
    "MSA": ("spectra", _msa),
    "ND2": ("volumes", lambda folder: light.write_nd2(
        folder / "a.nd2", light.values(3, 5, 7, 2), loops=[light.STACK], channels=("DAPI", "GFP")
    )),
    "NanoScope (made)": ("volumes", probes.write_nanoscope),
    "Nanosurf nid": ("volumes", _nanosurf),
    "NeXus": ("spectra", _nexus),
    "NetCDF 3": ("volumes", _classic),
    "Picasso hdf5": ("volumes", lambda folder: localisations.picasso(folder)[0]),
    "Ripple rpl": ("spectra", _ripple),
    "Ripple raw": ("spectra", _ripple),
    "EDAX spc of spd": ("spectra", lambda folder: edax.spd(folder / "a.spd")),
    "Picasso yaml": ("volumes", lambda folder: localisations.picasso(folder, 104)[0]),
    "TIFF OME": ("volumes", _ome),
    "TIFF deflate": ("volumes", _tiff("zlib")),
    "TIFF LZW": ("volumes", _tiff("lzw")),
    "ThunderSTORM csv": ("volumes", _thunderstorm),
    "TriVista tvf": ("spectra", lambda folder: optical.trivista(
        folder / "a.tvf", optical.MAP, optical.WAVELENGTH,
        field={"X": (-1.5, 0.5, 4), "Y": (2.0, 3.0, 2)},
    )),
    "Voltammograms": ("spectra", lambda folder: voltammograms.written(folder, voltammograms.rows())),
    "fusion.save": ("volumes", _saved),
}  # fmt: skip
