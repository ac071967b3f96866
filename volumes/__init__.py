"""volumes: images, stacks, volumes, surfaces and points; how they are read, turned into meshes and drawn."""

from fusion.reading.contents import Content as Content
from volumes.drawing.mesh import from_pyvista as from_pyvista
from volumes.drawing.mesh import to_pyvista as to_pyvista
from volumes.drawing.pictures import Picture as Picture
from volumes.drawing.pictures import picture as picture
from volumes.drawing.render import render as render
from volumes.points.density import density as density
from volumes.readers.opening import contents as contents
from volumes.readers.opening import open as open
from volumes.surfaces.interference import height_from_interference as height_from_interference
from volumes.tomography.orientation import Orientation as Orientation
from volumes.tomography.orientation import orient as orient
from volumes.tomography.orientation import shift_between as shift_between
