"""How far long work is: a bar after a second, on a terminal or in a notebook; nothing where the output is piped."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import length_hint
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar, cast

Progress: TypeAlias = Callable[[float], object]
"""Takes the share of the work that is done, from 0 to 1."""

_DELAY: Final = 1.0
"""Seconds of work before a bar appears."""

_Item = TypeVar("_Item")


class Work(NamedTuple):
    """What takes long, and how much of it there is: 300 "spectra", 100 "%"."""

    name: str
    unit: str
    total: float


class Line(Protocol):
    """A bar that is shown."""

    def to(self, done: float) -> None:
        """Show that so much is done, in the unit of the work."""

    def close(self) -> None:
        """Take the bar away."""


Display: TypeAlias = Callable[[Work], Line]


def counted(items: Iterable[_Item], name: str, unit: str, total: int = 0) -> Iterator[_Item]:
    """Yield items, and show how many of them are done; `total` is needed where they have no length.

    Examples
    --------
    >>> [2 * n for n in counted(range(3), "double", "numbers")]
    [0, 2, 4]
    """
    with bar(name, unit, total or length_hint(items)) as to:
        for done, item in enumerate(items, 1):
            yield item
            to(done)


@contextmanager
def bar(name: str, unit: str, total: float, progress: Progress | None = None) -> Iterator[Callable[[float], object]]:
    """Yield a function that shows how much of some work is done.

    Work within work shows nothing of its own, nor does a thread.

    Parameters
    ----------
    name, unit : str
    total : float
        How much there is to do.
    progress : callable, optional
        Called with the share that is done, instead of a bar.

    Examples
    --------
    >>> shares = []
    >>> with bar("add up", "slices", 4, shares.append) as to:
    ...     to(1), to(4)
    (None, None)
    >>> shares
    [0.25, 1.0]
    """
    if progress is not None:
        yield lambda done: progress(done / total)
    elif _shown.busy or threading.current_thread() is not threading.main_thread():
        yield lambda done: None
    else:
        line = _LateLine(Work(name, unit, total))
        _shown.busy = True
        try:
            yield line.to
        finally:
            _shown.busy = False
            line.close()


@contextmanager
def watched(name: str, progress: Progress | None = None) -> Iterator[None]:
    """Show how far dask is, task by task; the workers of a cluster tell its dashboard instead.

    Examples
    --------
    >>> import dask.array as da
    >>> shares = []
    >>> with watched("add up", shares.append):
    ...     total = da.ones(4, chunks=1).sum().compute(scheduler="synchronous")
    >>> shares == sorted(shares), shares[-1]
    (True, 1.0)
    """
    from dask.callbacks import Callback

    with bar(name, "%", 100.0, progress) as to:

        def tell(_key: object, _value: object, _graph: object, state: Mapping[str, Any], _worker: object) -> None:
            done = len(state["finished"])
            to(100.0 * (done / (done + sum(len(state[name]) for name in ("waiting", "ready", "running")))))

        with Callback(posttask=tell):
            yield


@contextmanager
def shown_by(display: Display) -> Iterator[None]:
    """Let another display show the bars.

    Examples
    --------
    >>> with shown_by(Silent):
    ...     sum(counted(range(4), "add up", "numbers"))
    6
    """
    before, _shown.display = _shown.display, display
    try:
        yield
    finally:
        _shown.display = before


class Silent:
    """No bar."""

    def __init__(self, work: Work) -> None:
        pass

    def to(self, done: float) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Leave nothing."""


class _LateLine:
    """A bar that appears once its work has taken a second."""

    def __init__(self, work: Work) -> None:
        self._work, self._since = work, monotonic()
        self._line: Line | None = None

    def to(self, done: float) -> None:
        if self._line is None and monotonic() - self._since > _DELAY:
            self._line = _shown.display(self._work)
        if self._line is not None:
            self._line.to(done)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()


class _TerminalLine:
    """A bar below what the terminal shows, on the error stream, so that output can go to a file."""

    def __init__(self, work: Work) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(work.unit)
        console = Console(stderr=True)
        self._bars = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, redirect_stdout=False)
        self._bar = self._bars.add_task(work.name, total=work.total)
        self._bars.start()

    def to(self, done: float) -> None:
        self._bars.update(self._bar, completed=int(done))

    def close(self) -> None:
        self._bars.stop()


class _NotebookLine:
    """A bar in the output of a cell, in plain HTML, which every notebook shows and which goes when the work is done."""

    def __init__(self, work: Work) -> None:
        from IPython import display

        self._work, self._next, self._as_html = work, 0.0, cast(Callable[[str], Any], display.HTML)
        self._handle = cast(Any, display).display(self._html(0.0), display_id=True)

    def to(self, done: float) -> None:
        if monotonic() >= self._next:
            self._next = monotonic() + 0.2
            self._handle.update(self._html(done))

    def close(self) -> None:
        self._handle.update(self._as_html(""))

    def _html(self, done: float) -> Any:
        name, unit, total = self._work
        text = f"{name}: {done:.0f} of {total:.0f} {unit}"
        return self._as_html(f"<progress max='{total:g}' value='{done:g}'></progress> {text}")


def _here(work: Work) -> Line:
    """Return a bar for the place where Python runs."""
    if (shell := sys.modules.get("IPython")) and getattr(shell.get_ipython(), "kernel", None):
        return _NotebookLine(work)
    return _TerminalLine(work) if sys.stderr is not None and sys.stderr.isatty() else Silent(work)


@dataclass
class _Shown:
    """Whether a bar is at work, and what shows bars."""

    busy: bool = False
    display: Display = _here


_shown = _Shown()
