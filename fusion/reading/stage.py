"""A microscope's stage: what it reads, as the pose of an image in the frame "stage".

The frame lies fixed in the plate of the stage: x to the right, y to the upper edge of an image taken without tilt and
rotation, z towards the source of the beam. An image has its y downwards and its z along the beam, so that its pose
begins with half a turn about x. Angles are right-handed: a rotation, of the stage or of the scan, is counter-clockwise
as seen from the source (Odemis, ``MD_POS`` and ``MD_ROTATION`` in its ``model`` package); a tilt about x lifts what
the upper edge of the image shows, as for EBSD. Vendors differ in the signs of their rotations and rarely publish them:
within a file the poses agree whatever the sign; between files, landmarks tell.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from fusion.affine import Affine
from fusion.frames import Frame

STAGE: Final = Frame("stage", on_stage=True)
_ABOUT_X: Final = (0.0, 0.0, 1.0)
_ABOUT_Y: Final = (0.0, 1.0, 0.0)
# half a turn about x, without the rounding of a sine
_UPRIGHT: Final = Affine.scaling(z=-1.0, y=-1.0)


class Stage(NamedTuple):
    """What a stage reads.

    Parameters
    ----------
    x, y, z : float
        Position in um: the place of the plate that the centre of the field shows.
    rotation : float
        Of the plate in its plane, in degrees; it lies on top of the tilts.
    tilt : float
        About x in degrees: the tilt of an SEM, alpha of a TEM holder.
    cross_tilt : float
        About y in degrees, carried by `tilt`: beta of a double-tilt holder.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    rotation: float = 0.0
    tilt: float = 0.0
    cross_tilt: float = 0.0


def stage_pose(stage: Stage, *, scan_rotation: float = 0.0, y: float = 0.0, x: float = 0.0) -> Affine:
    """Return the pose of an image in the frame "stage".

    The image's field is turned by the scan rotation s; the plate below it is rotated by r, then tilted by β about y,
    then by α about x. Undone in the reverse order: p = position + R_z(-r) R_y(-β) R_x(-α) R_z(s) (image - centre).

    Parameters
    ----------
    stage : Stage
    scan_rotation : float
        Of the scanning directions, in degrees.
    y, x : float
        Centre of the field in the image's own coordinates, in um.

    Returns
    -------
    Affine
        From the image's coordinates, with y downwards, to the frame.

    Examples
    --------
    >>> pose = stage_pose(Stage(x=100.0, y=50.0, z=2.0), y=3.0, x=4.0)
    >>> pose([0.0, 3.0, 4.0]), pose([0.0, 2.0, 4.0])
    (array([  2.,  50., 100.]), array([  2.,  51., 100.]))
    """
    plate = (
        Affine.translation(z=stage.z, y=stage.y, x=stage.x)
        @ Affine.rotation(-stage.rotation)
        @ Affine.rotation(-stage.cross_tilt, axis=_ABOUT_Y)
        @ Affine.rotation(-stage.tilt, axis=_ABOUT_X)
    )
    exact = plate @ Affine.rotation(scan_rotation) @ _UPRIGHT @ Affine.translation(y=-y, x=-x)
    # what a stage reads has an error that the file does not state: `Affine.with_repeatability` does
    return Affine(exact.matrix)
