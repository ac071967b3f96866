"""spectra: everything with a spectral axis. Files, HyperSpy, cleaning, decomposition, lines, composition."""

from fusion.reading.contents import Content
from spectra.bridge.export import export
from spectra.bridge.signals import from_hyperspy, learning_results, to_hyperspy
from spectra.cleaning.baselines import baseline
from spectra.cleaning.calibration import calibrate, to_raman_shift
from spectra.cleaning.chain import clean, cleaning_steps
from spectra.cleaning.channels import faulty_channels, fill_channels, mask_channels
from spectra.cleaning.regions import crop, region
from spectra.cleaning.scaling import clip, normalise
from spectra.cleaning.smoothing import smooth
from spectra.cleaning.spikes import despike
from spectra.decomposition.bootstrap import bootstrap
from spectra.decomposition.cluster import cluster
from spectra.decomposition.decompose import decompose
from spectra.decomposition.joint import decompose_jointly
from spectra.decomposition.naming import name_components
from spectra.decomposition.phases import phase_spectra
from spectra.decomposition.rank import count_components
from spectra.decomposition.stability import stability
from spectra.decomposition.unmix import unmix
from spectra.drawing.decompositions import plot
from spectra.drawing.diagnostics import scree, similarities
from spectra.factorisation.engines import Method
from spectra.lines.candidates import Candidate, identify
from spectra.lines.elements import Element, find_elements
from spectra.lines.fit import fit_lines
from spectra.lines.maps import band_map, line_map
from spectra.lines.quantify import quantify
from spectra.readers.opening import contents, open

__all__ = [
    "Candidate",
    "Content",
    "Element",
    "Method",
    "band_map",
    "baseline",
    "bootstrap",
    "calibrate",
    "clean",
    "cleaning_steps",
    "clip",
    "cluster",
    "contents",
    "count_components",
    "crop",
    "decompose",
    "decompose_jointly",
    "despike",
    "export",
    "faulty_channels",
    "fill_channels",
    "find_elements",
    "fit_lines",
    "from_hyperspy",
    "identify",
    "learning_results",
    "line_map",
    "mask_channels",
    "name_components",
    "normalise",
    "open",
    "phase_spectra",
    "plot",
    "quantify",
    "region",
    "scree",
    "similarities",
    "smooth",
    "stability",
    "to_hyperspy",
    "to_raman_shift",
    "unmix",
]


def __dir__() -> list[str]:
    return __all__
