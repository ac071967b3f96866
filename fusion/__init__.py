"""fusion: the common ground. Labelled datasets, frames, registration, resampling, fused results and storage."""

from fusion import techniques
from fusion.affine import Affine
from fusion.conventions import check
from fusion.errors import (
    ChangedFileWarning,
    ConspectusError,
    ConventionError,
    DataError,
    FileReadError,
    FrameError,
    IncompleteResultWarning,
    LargeResultWarning,
    RegistrationError,
    StoreError,
    StrayCountsWarning,
    TruncatedFileWarning,
    UncertainRegistrationError,
    UnitError,
    UnknownFormatError,
)
from fusion.files.export import export
from fusion.files.store import load, save
from fusion.files.verification import Verification, verify
from fusion.frames import Frame, between, get_pose, locate, set_pose
from fusion.fused.abundances import fuse, spectrum, window
from fusion.images.register import register_images
from fusion.images.result import ImageRegistration
from fusion.images.section import find_section
from fusion.images.ties import tie_points
from fusion.isolation.sandbox import limits
from fusion.model import Axis, dataset, set_pixel_size
from fusion.placing.placing import measure, place
from fusion.placing.projection import backproject, project
from fusion.placing.regions import region_mean
from fusion.placing.response import Response
from fusion.registration.combination import combine
from fusion.registration.landmarks import register_landmarks
from fusion.registration.matching import match_landmarks
from fusion.registration.points import PointRegistration, register_points
from fusion.registration.result import Registration
from fusion.resampling.coarsen import coarsen
from fusion.resampling.resample import resample
from fusion.specimens.phantom import phantom
from fusion.statistics.colocalisation import Colocalisation, Overlap, colocalisation
from fusion.statistics.correlation import Correlation, correlation
from fusion.techniques.compatibility import compatible
from fusion.transforms.doors import read_landmarks, read_transform, write_landmarks, write_transform
from fusion.transforms.napari import from_napari, to_napari
from fusion.warp import Warp

__all__ = [
    "Affine",
    "Axis",
    "ChangedFileWarning",
    "Colocalisation",
    "ConspectusError",
    "ConventionError",
    "Correlation",
    "DataError",
    "FileReadError",
    "Frame",
    "FrameError",
    "ImageRegistration",
    "IncompleteResultWarning",
    "LargeResultWarning",
    "Overlap",
    "PointRegistration",
    "Registration",
    "RegistrationError",
    "Response",
    "StoreError",
    "StrayCountsWarning",
    "TruncatedFileWarning",
    "UncertainRegistrationError",
    "UnitError",
    "UnknownFormatError",
    "Verification",
    "Warp",
    "backproject",
    "between",
    "check",
    "coarsen",
    "colocalisation",
    "combine",
    "compatible",
    "correlation",
    "dataset",
    "export",
    "find_section",
    "from_napari",
    "fuse",
    "get_pose",
    "limits",
    "load",
    "locate",
    "match_landmarks",
    "measure",
    "phantom",
    "place",
    "project",
    "read_landmarks",
    "read_transform",
    "region_mean",
    "register_images",
    "register_landmarks",
    "register_points",
    "resample",
    "save",
    "set_pixel_size",
    "set_pose",
    "spectrum",
    "techniques",
    "tie_points",
    "to_napari",
    "verify",
    "window",
    "write_landmarks",
    "write_transform",
]


def __dir__() -> list[str]:
    return __all__
