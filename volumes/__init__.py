"""volumes: images, stacks, volumes, surfaces and points; how they are read, turned into meshes and drawn."""

from fusion.contents import Content as Content
from volumes.interference import height_from_interference as height_from_interference
from volumes.mesh import from_pyvista as from_pyvista
from volumes.mesh import to_pyvista as to_pyvista
from volumes.pictures import Picture as Picture
from volumes.pictures import picture as picture
from volumes.points import density as density
from volumes.readers import contents as contents
from volumes.readers import open as open
from volumes.render import render as render
from volumes.tomography import Orientation as Orientation
from volumes.tomography import orient as orient
from volumes.tomography import shift_between as shift_between
