"""Readers that do what a damaged or hostile file can make a reader do; called in a worker process by test_sandbox."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import socket
import subprocess
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

import fusion
from fusion.model import Axis


def crash() -> None:
    faulthandler._sigsegv()  # type: ignore[attr-defined]


def leave() -> None:
    os._exit(3)


def hang() -> None:
    while True:
        time.sleep(0.01)


def hang_in_c() -> None:
    # one call into a library that does not come back and lets no signal handler of Python run
    sum(range(10**15))


def devour() -> None:
    np.ones(2**34)


def flood() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.zeros(2**26, np.uint8)


def prepare() -> None:
    volume(True)


def chatter() -> str:
    return "x" * (300 * 2**20)


def nest() -> list[object]:
    inner: list[object] = []
    for _ in range(10**5):
        inner = [inner]
    return inner


def multiply() -> None:
    while True:
        os.fork()


def call_out() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"values", ("127.0.0.1", 9))


def make_a_folder(path: str) -> None:
    Path(path).mkdir()


def be_killed() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGKILL)


def fail() -> None:
    raise ZeroDivisionError("no pixels")


def refuse(kind: str) -> None:
    if kind == "file":
        raise fusion.FileReadError("map.bcf", "cut short", hint="copy it again")
    if kind == "convention":
        raise fusion.ConventionError(["y: no units", "x: no units"])
    raise fusion.UnitError("no unit")


def grumble() -> str:
    warnings.warn("two spellings of a unit", UserWarning, stacklevel=1)
    return "read"


def unpickle() -> object:
    return pickle.loads(pickle.dumps(subprocess.Popen))


def start_a_program(mark: str) -> None:
    os.system(f"touch {mark}")


def read(path: str) -> str:
    return Path(path).read_text()


def write(path: str) -> None:
    Path(path).write_text("mine")


def process() -> int:
    return os.getpid()


def volume(lazy: bool) -> xr.Dataset:
    values = 100.0 * np.arange(3)[:, None, None] + 10.0 * np.arange(4)[:, None] + np.arange(5)
    import dask.array as da

    data = da.from_array(values, chunks=(1, 4, 3)) if lazy else values
    axes = {dim: Axis("nm", step=20.0, offset=-10.0) for dim in "zyx"}
    attrs = {"elements": ["Fe", "O"], "beam_energy": 20.0, "note": "µ\ud800"[:1], "gains": [1, 2]}
    return fusion.dataset({"image": (("z", "y", "x"), data)}, axes, name="v", cell_methods="mean", attrs=attrs)


def mapped(path: str) -> xr.Dataset:
    import dask.array as da

    values = np.memmap(path, np.uint8, "r", shape=(2**13, 2**10, 2**10))
    axes = {dim: Axis("nm", step=20.0) for dim in "zyx"}

    def slab(
        block_info: dict[None, dict[str, list[tuple[int, int]]]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        start, stop = block_info[None]["array-location"][0]
        return np.array(values[start:stop])

    data = da.map_blocks(slab, chunks=((2**6,) * 2**7, (2**10,), (2**10,)), dtype=np.uint8)
    return fusion.dataset({"image": (("z", "y", "x"), data)}, axes, name="v", cell_methods="mean")


def volume_then_crash() -> xr.Dataset:
    import dask.array as da

    ds = volume(True)
    return ds.assign(image=ds["image"].copy(data=da.map_blocks(_crash_on, ds["image"].data, dtype=float)))


def _crash_on(
    block: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    if block.size and block[0, 0, 0] == 100.0:
        crash()
    return block
