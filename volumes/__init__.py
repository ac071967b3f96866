"""volumes: images, stacks, volumes, surfaces and points; how they are read, turned into meshes and drawn."""

from fusion.reading.contents import Content
from volumes.drawing.alignment import plot_alignment, plot_expected_error, plot_residuals
from volumes.drawing.flat import plot
from volumes.drawing.mesh import from_pyvista, to_pyvista
from volumes.drawing.pictures import Picture, picture
from volumes.drawing.render import render
from volumes.drawing.turntable import turntable
from volumes.exports.export import export
from volumes.picking.landmarks import read_landmarks
from volumes.picking.pick import Picker, pick, pick_page
from volumes.points.density import density
from volumes.points.finding import find_particles
from volumes.points.matching import match_particles
from volumes.points.structure import contacts, coordination, pair_correlation
from volumes.readers.electrons.data_bar import crop_data_bar
from volumes.readers.opening import contents, open
from volumes.sections.sections import profile, slice
from volumes.segmentation.calibration import calibrate_probability
from volumes.segmentation.classifier import Classifier, load_classifier, train_classifier
from volumes.segmentation.features import features
from volumes.segmentation.fractions import phase_fraction
from volumes.segmentation.instances import instances
from volumes.segmentation.partial_volume import partial_volume
from volumes.segmentation.points import random_points, suggest
from volumes.segmentation.segment import segment
from volumes.segmentation.shapes import shapes
from volumes.surfaces.interference import height_from_interference
from volumes.surfaces.levelling import level
from volumes.tomography.alignment import align_tilts, apply_alignment
from volumes.tomography.imod import load_alignment, save_alignment
from volumes.tomography.orientation import Orientation, orient
from volumes.tomography.reconstruction import reconstruct
from volumes.tomography.resolution import resolution
from volumes.tomography.shift import shift_between
from volumes.viewer.overview import overview
from volumes.viewer.page import Page, page, show
from volumes.widgets.explore import Explorer, explore

__all__ = [
    "Classifier",
    "Content",
    "Explorer",
    "Orientation",
    "Page",
    "Picker",
    "Picture",
    "align_tilts",
    "apply_alignment",
    "calibrate_probability",
    "contacts",
    "contents",
    "coordination",
    "crop_data_bar",
    "density",
    "explore",
    "export",
    "features",
    "find_particles",
    "from_pyvista",
    "height_from_interference",
    "instances",
    "level",
    "load_alignment",
    "load_classifier",
    "match_particles",
    "open",
    "orient",
    "overview",
    "page",
    "pair_correlation",
    "partial_volume",
    "phase_fraction",
    "pick",
    "pick_page",
    "picture",
    "plot",
    "plot_alignment",
    "plot_expected_error",
    "plot_residuals",
    "profile",
    "random_points",
    "read_landmarks",
    "reconstruct",
    "render",
    "resolution",
    "save_alignment",
    "segment",
    "shapes",
    "shift_between",
    "show",
    "slice",
    "suggest",
    "to_pyvista",
    "train_classifier",
    "turntable",
]


def __dir__() -> list[str]:
    return __all__
