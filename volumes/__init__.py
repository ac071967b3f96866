"""volumes: images, stacks, volumes and surfaces; how they are read, turned into meshes and drawn."""

from volumes.readers import Content as Content
from volumes.readers import contents as contents
from volumes.readers import open as open
