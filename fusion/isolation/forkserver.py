"""The child's side of `fusion.isolation.sandbox`: a server that forks a worker for each file, the worker under limits.

The server is a fresh interpreter that has imported the libraries and does nothing else: a worker is there within
milliseconds and knows nothing of the program that asked. A worker reads one file, answers, and hands out the blocks of
its lazy arrays until nobody needs them any more.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import signal
import socket
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NoReturn

import numpy as np

from fusion.errors import ConspectusError
from fusion.isolation import wire

_FORBIDDEN: Final = (
    "os.chmod", "os.chown", "os.exec", "os.fork", "os.forkpty", "os.kill", "os.link", "os.mkdir",
    "os.posix_spawn", "os.remove", "os.removexattr", "os.rename", "os.rmdir", "os.setxattr", "os.spawn", "os.symlink",
    "os.system", "os.truncate", "os.utime", "pickle.find_class", "pty.spawn", "shutil.rmtree", "socket.__new__",
    "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen",
)  # fmt: skip
_TRUSTED: Final = ("dask.tokenize", "numba.core.caching", "numba.core.serialize")
"""Modules that pickle what is their own: the names of graphs, and compiled functions in a folder of their own."""
_SYSTEM: Final = ("/usr/lib", "/lib", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices", "/dev/null", "/dev/urandom")
_OWN: Final = ("cgroup", "maps", "stat", "statm", "status")
"""What a process may know of itself: not its environment, in which keys and passwords stand."""
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def serve(control: int) -> None:
    """Fork a worker for each pair of handles that arrives, until the other end of `control` is closed.

    Parameters
    ----------
    control : int
        Handle of a socket. With each byte come two handles: a connection for requests and answers, and a pipe to
        which is written how the worker ended.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=control) as channel:
        while True:
            message, handles, *_ = socket.recv_fds(channel, 1, 2)
            if not message:
                return
            _forked(channel, *handles)


def _forked(channel: socket.socket, connection: int, status: int) -> None:
    with Connection(connection) as requests, open(status, "wb") as report, suppress(EOFError):
        preparations, spool = pickle.loads(requests.recv_bytes())
        for prepare in preparations:
            prepare()
        _libraries(len(sys.modules))
        if os.fork() == 0:
            channel.close()
            _watch(requests, report, spool)


def _watch(requests: Connection, report: Any, spool: str) -> NoReturn:
    """Start the worker, write how it ended, which only its parent learns, and remove what it left.

    The worker ends with the last process that holds the other end, however that ends.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    worker = os.fork()
    if worker == 0:
        report.close()
        _work(requests)
    requests.close()
    report.write(f"{worker}\n".encode())
    report.flush()
    _, outcome = os.waitpid(worker, 0)
    with suppress(OSError), report:
        if os.WIFSIGNALED(outcome):
            report.write(signal.Signals(os.WTERMSIG(outcome)).name.encode())
    shutil.rmtree(spool, ignore_errors=True)
    os._exit(0)


def _work(requests: Connection) -> NoReturn:
    """Answer requests on one file until the connection is closed."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        function, arguments, file, limits = pickle.loads(requests.recv_bytes())
        spool = Path(limits["spool"])
        _limit(limits["memory"], limits["output"])
        # a link that the user names is meant; what else it stands beside is not
        readable = [file.resolve(), file if file.is_dir() else file.parent]
        sys.addaudithook(_guard(readable, spool, _linked(file, limits["links"]) if file.is_dir() else frozenset()))
        lazy: dict[str, Any] = {}
        _answer(requests, partial(function, *arguments), spool, lazy, limits["seconds"])
        while True:
            key, index = json.loads(requests.recv_bytes())
            _answer(requests, partial(_block, lazy[key], index), spool, {}, limits["seconds"])
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)


def _answer(requests: Connection, read: Callable[[], Any], spool: Path, lazy: dict[str, Any], seconds: float) -> None:
    # the default action of the alarm ends the process wherever it is, in a loop of a C library too
    signal.setitimer(signal.ITIMER_REAL, seconds)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer: Mapping[str, Any] = {"value": wire.pack(read(), spool, lazy)}
        except ConspectusError as error:
            answer = {"error": wire.pack_error(error)}
        except MemoryError:
            answer = {"fault": "MemoryError"}
        except Exception as error:  # readers of other people's files raise anything
            answer = {"fault": f"{type(error).__name__}: {error}"}
    signal.setitimer(signal.ITIMER_REAL, 0)
    messages = [wire.pack_warning(warning.message) for warning in caught]
    requests.send_bytes(json.dumps({**answer, "warnings": messages}).encode())


def _block(array: Any, index: list[list[int]]) -> np.ndarray[Any, Any]:
    """Compute one block of a lazy array in this very thread."""
    from dask.core import flatten
    from dask.local import get_sync

    part = array[tuple(slice(start, stop) for start, stop in index)]
    # not part.compute(): to name its graph it would pickle it
    finish, extra = part.__dask_postcompute__()
    keys = part.__dask_keys__()
    # without the tasks of all other blocks, which take seconds to sort where there are thousands
    graph = part.__dask_graph__().cull(set(flatten(keys)))
    return np.asarray(finish(get_sync(graph, keys), *extra))


def _limit(memory: int, output: int) -> None:
    # not the address space: a file that is mapped and larger than memory takes none
    statm = Path("/proc/self/statm").read_text().split() if sys.platform == "linux" else ["0"] * 6
    resource.setrlimit(resource.RLIMIT_DATA, (int(statm[5]) * os.sysconf("SC_PAGE_SIZE") + memory,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (output, output))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _linked(folder: Path, every: bool) -> frozenset[str]:
    """Return the files to which links of a folder lead, as far as they may be followed.

    A stranger's folder could show any file of this machine as pixels. What lies in the store of git-annex, in the
    repository that holds the folder, came with it; links to other files are followed if the user says so.
    """
    roots = [folder.resolve(), *folder.resolve().parents]
    store = next((f"{root}/.git/annex/objects/" for root in roots if (root / ".git").is_dir()), None)
    targets = [os.path.realpath(entry) for entry in folder.iterdir() if entry.is_symlink()]
    return frozenset(target for target in targets if every or (store is not None and target.startswith(store)))


def _guard(readable: list[Path], spool: Path, linked: frozenset[str]) -> Callable[[str, Any], None]:
    """Return an audit hook that lets a reader see its file's folder and the libraries, and write to `spool`.

    The files in `linked` may be read, too.
    """
    inside = os.path.realpath(spool)
    own = [f"/proc/{os.getpid()}/{name}" for name in _OWN]
    open_to = (*map(os.path.realpath, readable), inside, *_libraries(len(sys.modules)), *own)

    def hook(event: str, arguments: Any) -> None:
        if event in _FORBIDDEN and not _trusted():
            raise PermissionError(f"{event} is not allowed while a file is read")
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            place = os.path.realpath(os.fsdecode(arguments[0]))
            writes = bool((arguments[2] or 0) & _WRITING) and place != os.devnull
            allowed = (inside,) if writes else open_to
            inside_one = any(place == root or place.startswith(f"{root}{os.sep}") for root in allowed)
            if not (inside_one or (place in linked and not writes) or _trusted()):
                raise PermissionError(f"{place} may not be {'written' if writes else 'read'} while a file is read")

    return hook


@cache
def _libraries(_: int) -> tuple[str, ...]:
    """Return the folders of Python, its packages and the shared libraries, and what the system says of itself.

    They are found by the server, once for each number of modules: that takes longer than the fork.
    """
    packages = [str(Path(str(module.__file__)).parent) for module in list(sys.modules.values()) if _is_package(module)]
    places = {sys.prefix, sys.base_prefix, *packages, *_SYSTEM}
    return tuple(sorted(map(os.path.realpath, places)))


def _is_package(module: ModuleType) -> bool:
    return bool(getattr(module, "__path__", None) and getattr(module, "__file__", None))


def _trusted() -> bool:
    """Whether a module of `_TRUSTED` is among the callers."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_globals.get("__name__") in _TRUSTED:
            return True
    return False
