"""Whether this machine can draw: asked in a child process, because VTK dies where it finds no OpenGL."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from typing import Final

from fusion.errors import DataError

HIDE: Final = "CONSPECTUS_NO_OPENGL"
ADVICE: Final = "no OpenGL was found; install it, e.g. apt-get install libegl1 libgl1-mesa-dri"
_SECONDS: Final = 60
_TRIAL: Final = """
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow
window = vtkRenderWindow()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
window.AddRenderer(vtkRenderer())
window.Render()
raise SystemExit(0 if window.SupportsOpenGL() else 1)
"""


@cache
def available() -> bool:
    """Whether VTK can draw here; found out once per process, in about half a second.

    The environment variable ``CONSPECTUS_NO_OPENGL=1`` says no without trying.
    """
    if os.environ.get(HIDE, "") not in ("", "0"):
        return False
    command = [sys.executable, "-c", _TRIAL]
    try:
        trial = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return trial.returncode == 0


def require() -> None:
    """Refuse to draw where VTK would end the process.

    Raises
    ------
    DataError
        Saying what to install.
    """
    if not available():
        raise DataError(f"3D rendering is not possible here: {ADVICE}; or use volumes.picture, which draws flat then")
