"""PyVista's live view in Jupyter, on loopback and with a key that nobody else knows."""

from __future__ import annotations

import secrets
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from fusion.errors import DataError

_WITHOUT_SERVER: Final = ("static", "none", "html")


@cache
def plotter_class() -> Any:
    """Return PyVista's plotter, whose live view in a notebook is locked."""
    import pyvista as pv

    class Plotter(pv.Plotter):
        """PyVista's plotter; in a notebook its server answers to a random key only."""

        def show(self, *args: Any, **options: Any) -> Any:
            """Show the scene, as `pyvista.Plotter.show`."""
            backend = options.get("jupyter_backend") or pv.global_theme.jupyter_backend
            if self.notebook and backend not in _WITHOUT_SERVER and find_spec("trame_pyvista"):
                lock()
            return super().show(*args, **options)

    return Plotter


@cache
def lock() -> None:
    """Give the server of PyVista's live view a random key, and the addresses of its views the same.

    The key of the library is a constant, so that any page in the browser, and any user of the machine, could command
    the server through its port.

    Raises
    ------
    DataError
        If the server runs already: its key cannot be changed.
    """
    import pyvista as pv
    from trame_pyvista import jupyter

    server = jupyter.get_server(pv.global_theme.trame.jupyter_server_name)
    if server.running:
        raise DataError(
            "PyVista's server runs already, with a key that is the same everywhere; restart the kernel and draw with "
            "volumes.render first, or pass jupyter_backend='static'"
        )
    key = secrets.token_urlsafe(32)
    server.cli.set_defaults(authKey=key)
    plain = jupyter.build_url

    # The library builds the address of each view with this function and has no setting for the key: all views of the
    # kernel need it, also those that PyVista shows without us.
    def build_url(*args: Any, **options: Any) -> str:
        return f"{plain(*args, **options)}&secret={key}"

    jupyter.build_url = build_url
