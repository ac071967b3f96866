"""fusion: the common ground. Labelled datasets, frames, registration, resampling, fused results and storage."""

from fusion.conventions import check as check
from fusion.errors import ConspectusError as ConspectusError
from fusion.errors import ConventionError as ConventionError
from fusion.errors import DataError as DataError
from fusion.errors import FileReadError as FileReadError
from fusion.errors import FrameError as FrameError
from fusion.errors import RegistrationError as RegistrationError
from fusion.errors import StoreError as StoreError
from fusion.errors import UnitError as UnitError
from fusion.frames import Affine as Affine
from fusion.frames import between as between
from fusion.frames import get_pose as get_pose
from fusion.frames import locate as locate
from fusion.frames import set_pose as set_pose
from fusion.model import Axis as Axis
from fusion.model import dataset as dataset
from fusion.model import set_pixel_size as set_pixel_size
from fusion.register import Registration as Registration
from fusion.register import register_landmarks as register_landmarks
from fusion.resample import resample as resample
