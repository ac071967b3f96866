"""A page within a notebook that reports to Python what the user does in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from fusion.errors import DataError

Report = dict[str, Any]


class Frame:
    """A page in a sandbox of its own, and the way back to Python.

    Parameters
    ----------
    page : str
        HTML.
    height : int
        In pixels.
    heard : callable
        Takes a report of the page and says whether it was one that it understands. The page may hold labels of hostile
        files: nothing it says is trusted beyond what `heard` checks.
    """

    def __init__(self, page: str, height: int, heard: Callable[[Report], bool]) -> None:
        self._heard = heard
        self._calls: list[Callable[[], Any]] = []
        self.widget = _widget()(page=page, height=height)
        self.widget.observe(self._take, names="report")

    def observe(self, call: Callable[[], Any]) -> None:
        """Call a function after each report."""
        self._calls.append(call)

    def ask(self, request: Report) -> None:
        """Send a request to the page."""
        self.widget.request = request

    def mimebundle(self, **options: Any) -> Any:
        """Return what Jupyter displays."""
        return self.widget._repr_mimebundle_(**options)

    def _take(self, change: Any) -> None:
        if isinstance(change["new"], dict) and self._heard(change["new"]):
            for call in self._calls:
                call()


@cache
def _widget() -> Any:
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise DataError(
            f"{error.name} is missing, which answers to Python in a notebook: pip install 'conspectus[jupyter]'; "
            "volumes.show and the pages in files do without"
        ) from error

    class Page(anywidget.AnyWidget):
        _esm = files("volumes.widgets").joinpath("frame.js").read_text(encoding="utf-8")
        page = traitlets.Unicode().tag(sync=True)
        height = traitlets.Int().tag(sync=True)
        report = traitlets.Any().tag(sync=True)
        request = traitlets.Dict().tag(sync=True)

    return Page
