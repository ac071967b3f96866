"""Reading other people's files in a process of their own, under limits of memory, time and output.

A vendor's file is read by whatever library knows it, and such libraries crash, hang or ask for all the memory there is
when a file is damaged. What happens in a worker process stays there: this process sees a labelled dataset or an error.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, TypeVar, cast

import numpy as np

from fusion.errors import FileReadError
from fusion.isolation import wire

Read = TypeVar("Read")
Preparations: TypeAlias = Sequence[Callable[[], object]]
AVAILABLE: Final = hasattr(os, "fork") and hasattr(socket, "send_fds") and bool(sys.executable)
"""Whether files are read in a process of their own here: on Linux and macOS, not on Windows."""
_LONGEST_ANSWER: Final = 256 * 2**20
_MEMORY: Final = Path("/dev/shm")
_DAMAGED: Final = "the file is damaged or hostile; copy or export it again"


@dataclass(frozen=True)
class Limits:
    """What a reader may use before it is stopped.

    Parameters
    ----------
    memory : int
        Bytes; half of this machine's memory if left out. The system does not enforce it on macOS.
    seconds : float
        For a file, and again for each block of a lazy one; left out, two minutes and a second for each 10 MB.
    direct : bool
        Read in this very process: no protection, for finding faults in readers.
    links : bool
        Follow the links in a folder of slices wherever they lead, for a folder that you linked together yourself.
        Links into the store of git-annex (DataLad) of the folder's own repository are followed anyway.
    """

    memory: int = 0
    seconds: float = 0.0
    direct: bool = False
    links: bool = False


_LIMITS: ContextVar[Limits] = ContextVar("limits", default=Limits())  # noqa: B039 (frozen)


@contextmanager
def limits(
    *, memory: int | None = None, seconds: float | None = None, direct: bool | None = None, links: bool | None = None
) -> Iterator[None]:
    """Read files under other limits than usual.

    Parameters
    ----------
    memory, seconds, direct, links : optional
        See `Limits`; what is left out stays as it is.

    Returns
    -------
    context manager

    Examples
    --------
    >>> with limits(memory=64 * 2**30, seconds=600):
    ...     _LIMITS.get().seconds
    600
    """
    settings: dict[str, Any] = {"memory": memory, "seconds": seconds, "direct": direct, "links": links}
    mark = _LIMITS.set(replace(_LIMITS.get(), **{key: value for key, value in settings.items() if value is not None}))
    try:
        yield
    finally:
        _LIMITS.reset(mark)


def run(
    function: Callable[..., Read],
    *arguments: Any,
    file: str | os.PathLike[str],
    prepare: Callable[[], object] | None = None,
) -> Read:
    """Call a function that reads a file, in a process of its own.

    Parameters
    ----------
    function : callable
        Found by its name in its module. It returns a Dataset, or numbers and text in lists and mappings; tuples
        arrive as lists. Dask arrays of a dataset stay lazy: the process stays, and reads a block when asked.
    *arguments
        What it is called with.
    file : path-like
        The file, or folder, that is read; the function may read what lies beside it and nothing else.
    prepare : callable, optional
        Does what all calls need and what takes long, such as imports; it should do nothing when called again. What
        it does is there for all later workers.

    Returns
    -------
    object
        What the function returned.

    Raises
    ------
    FileReadError
        If the reader crashes, takes too much time or memory, or fails with an error that is not one of this project.
    ConspectusError
        As the function raises it.

    Examples
    --------
    >>> import math
    >>> run(math.hypot, 3.0, 4.0, file="map.bcf")
    5.0
    """
    if _LIMITS.get().direct or not AVAILABLE:
        return function(*arguments)
    worker = _Worker((function, arguments, Path(file).absolute()), [prepare] if prepare else [])
    return cast(Read, worker.opened())


class _Lazy:
    """An array whose blocks a worker reads when they are asked for."""

    def __init__(self, worker: _Worker, key: str, description: Mapping[str, Any]) -> None:
        self.worker, self.key = worker, key
        self.shape, self.dtype = tuple(map(int, description["shape"])), np.dtype(description["dtype"])
        self.ndim = len(self.shape)

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        # the worker reads the range; a step, which few ask for, is taken of what arrives
        ranges = [part.indices(size) for part, size in zip(index, self.shape, strict=True)]
        block = self.worker.block(self.key, [[start, stop] for start, stop, _ in ranges])
        return block[tuple(slice(None, None, step) for *_, step in ranges)]


class _Worker:
    """A process that has one file open, and the connection to it."""

    def __init__(self, job: tuple[Callable[..., Any], tuple[Any, ...], Path], preparations: Preparations) -> None:
        self.job, self.preparations, self.allowed = job, preparations, _allowed(_LIMITS.get(), job[2])
        self.lock = threading.Lock()
        self.owner = 0
        self.close: Callable[[], object] = int
        self.stamp = _stamp(job[2])

    def __reduce__(self) -> tuple[Any, ...]:
        return _Worker, (self.job, self.preparations)

    def opened(self) -> Any:
        """Start the process, and return what its function returns."""
        with self.lock:
            return self._start()

    def block(self, key: str, index: list[list[int]]) -> Any:
        """Return a block of a lazy array."""
        with self.lock:
            if _stamp(self.job[2]) != self.stamp:
                raise FileReadError(self.job[2], "the file has changed since it was opened", hint="open it again")
            if self.owner != os.getpid():
                # the worker is gone, or that of another process from which this object came
                self._start()
            request = json.dumps([key, index]).encode()
            try:
                self.requests.send_bytes(request)
            except ConnectionError:
                # somebody ended the worker while it waited, as the system does where memory is short
                self._start()
                self.requests.send_bytes(request)
            return self._received()

    def _start(self) -> Any:
        self.close()
        try:
            self.spool, self.allowed["output"] = _room(self.allowed["memory"])
            self.requests, self.status = _server().fork(self.preparations, self.spool)
            self.close = weakref.finalize(self, _close, self.requests, self.status)
            self.process, self.owner = int(self.status.readline()), os.getpid()
            self.requests.send_bytes(pickle.dumps((*self.job, {**self.allowed, "spool": str(self.spool)})))
        except (OSError, ValueError) as error:
            if hasattr(self, "spool"):
                shutil.rmtree(self.spool, ignore_errors=True)
            reason = f"no process could be started to read it ({error or type(error).__name__})"
            hint = "too many lazy files may be open at once, or the folder for temporary files be full"
            raise FileReadError(self.job[2], reason, hint=hint) from error
        return self._received()

    def _received(self) -> Any:
        try:
            answer = json.loads(self.requests.recv_bytes(_LONGEST_ANSWER))
        except (EOFError, ConnectionError):
            self.owner = 0
            raise self._failure(self.status.read().decode()) from None
        except OSError:
            self._kill()
            raise self._failure("an answer that is too long") from None
        except BaseException:
            # interrupted here: the worker would go on until its time is up
            self._kill()
            raise
        for name, message in answer["warnings"]:
            warnings.warn(message, wire.warning_class(name), stacklevel=2)
        if "error" in answer:
            raise wire.unpack_error(answer["error"])
        if "fault" in answer:
            raise self._failure(answer["fault"])
        return wire.unpack(answer["value"], self.spool, self._lazy)

    def _lazy(self, key: str, description: Mapping[str, Any]) -> Any:
        import dask.array as da

        chunks = tuple(tuple(map(int, sizes)) for sizes in description["chunks"])
        array = _Lazy(self, key, description)
        # without meta, dask would ask for an empty block while the answer is still being read
        meta = np.empty((0,) * array.ndim, array.dtype)
        return da.from_array(array, chunks=chunks, name=self._name(key), asarray=False, fancy=False, meta=meta)

    def _name(self, key: str) -> str | bool:
        """Return a name for the graph of an array: one for a file as it is now, in whatever process it is opened.

        A folder has no stamp that would tell whether it changed, so that its arrays get any name (False).
        """
        if not self.stamp:
            return False
        function, arguments, file = self.job
        origin = repr((function.__module__, function.__qualname__, arguments, str(file.resolve()), self.stamp, key))
        return f"file-{hashlib.sha256(origin.encode()).hexdigest()}"

    def _failure(self, fault: str) -> FileReadError:
        reason, hint = _explained(fault, self.allowed)
        return FileReadError(self.job[2], reason, hint=hint)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        self.owner = 0


def _close(requests: Connection, status: BinaryIO) -> None:
    """End a worker, which waits for requests."""
    requests.close()
    status.close()


class _Server:
    """The process that forks workers; see `fusion.isolation.forkserver`."""

    def __init__(self) -> None:
        self.owner, self.lock = os.getpid(), threading.Lock()
        self.control, theirs = socket.socketpair()
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        with theirs:
            code = f"from fusion.isolation.forkserver import serve; serve({theirs.fileno()})"
            self.process = subprocess.Popen(
                # -P: else a numpy.py in the working directory, beside the data, would be imported there
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": paths},
                # an interrupt from the keyboard is for this process, which stops its workers itself
                start_new_session=True,
            )

    def fork(self, preparations: Preparations, spool: Path) -> tuple[Connection, BinaryIO]:
        """Return the connection to a new worker, and the pipe that tells its number and how it ended."""
        ours, theirs = socket.socketpair()
        status, report = os.pipe()
        with self.lock, theirs:
            socket.send_fds(self.control, [b"+"], [theirs.fileno(), report])
            os.close(report)
        connection = Connection(ours.detach())
        connection.send_bytes(pickle.dumps((preparations, str(spool))))
        return connection, os.fdopen(status, "rb")

    def close(self) -> None:
        """End the process."""
        self.control.close()
        self.process.wait()


_ONE_THREAD: Final = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "NUMBA")}
"""A process that forks has one thread, or its children wait for locks that nobody holds."""
_running: list[_Server] = []
_starting = threading.Lock()


def _server() -> _Server:
    with _starting:
        if not _running or _running[-1].owner != os.getpid() or _running[-1].process.poll() is not None:
            _running[:] = [_Server()]
            atexit.register(_running[-1].close)
        return _running[-1]


def _allowed(limits: Limits, file: Path) -> dict[str, Any]:
    """Return the limits for one file as numbers."""
    memory = limits.memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    size = file.stat().st_size if file.is_file() else 0
    return {"memory": memory, "seconds": limits.seconds or 120.0 + size / 1e7, "links": limits.links}


def _stamp(file: Path) -> tuple[int, ...]:
    """Return what differs if a file was written or replaced: number, size and time of change; of a folder nothing."""
    if not file.is_file():
        return ()
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _room(output: int) -> tuple[Path, int]:
    """Return a new folder for values and how many bytes go into it: in memory where that has room, else on disk."""
    free = shutil.disk_usage(_MEMORY).free if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else 0
    if free < output // 2:
        return Path(tempfile.mkdtemp(prefix="conspectus-")), output
    return Path(tempfile.mkdtemp(prefix="conspectus-", dir=_MEMORY)), min(output, free)


def _explained(fault: str, allowed: Mapping[str, Any]) -> tuple[str, str]:
    """Return reason and hint for what a worker ended with: a signal, or the words of the reader."""
    gigabytes, seconds = allowed["output" if fault == "SIGXFSZ" else "memory"] / 1e9, allowed["seconds"]
    if fault == "MemoryError" or fault == "SIGXFSZ":
        reason = f"reading it takes more than {gigabytes:.3g} GB of memory"
        return reason, f"{_DAMAGED}; if it is sound: with fusion.limits(memory=...), in bytes"
    if fault == "SIGALRM":
        return (
            f"reading it takes longer than {seconds:.3g} s",
            f"{_DAMAGED}; if it is sound: with fusion.limits(seconds=...)",
        )
    if fault.startswith("SIG"):
        return f"the reader crashed ({fault})", _DAMAGED
    return f"the reader failed ({fault or 'it ended without an answer'})", _DAMAGED
