"""Whether this machine can draw: tried in a child process, because VTK ends its process where there is no OpenGL."""

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
if window.SupportsOpenGL():
    print(window.GetClassName())
"""
_CHOICE: Final = "VTK_DEFAULT_OPENGL_WINDOW"


@cache
def window_class() -> str | None:
    """Return the class of window with which VTK can draw here, or None; determined once per process, in about 1 s.

    The environment variable ``CONSPECTUS_NO_OPENGL=1`` says none without trying.
    """
    if os.environ.get(HIDE, "") not in ("", "0"):
        return None
    command = [sys.executable, "-c", _TRIAL]
    try:
        trial = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return trial.stdout.strip() or None if trial.returncode == 0 else None


def available() -> bool:
    """Whether VTK can draw on this machine."""
    return window_class() is not None


def require() -> None:
    """Refuse to draw where VTK would end the process.

    VTK is given the class of window that works, or it would first try an X server and complain.

    Raises
    ------
    DataError
        Saying what to install.
    """
    window = window_class()
    if window is None:
        raise DataError(f"3D rendering is not possible here: {ADVICE}; or use volumes.picture, which draws flat then")
    os.environ.setdefault(_CHOICE, window)
