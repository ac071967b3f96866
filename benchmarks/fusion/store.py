"""What a project file survives, and how fast it is written: kills, full disks, flipped bits, any data, speed.

python benchmarks/fusion/store.py                   # about an hour
python benchmarks/fusion/store.py --small           # a minute
python benchmarks/fusion/store.py --only speed
python benchmarks/fusion/store.py --only kills --count 200 --seed 3    # a part of it
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
from hypothesis import HealthCheck, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[2]))

import fusion
from fusion import Axis
from fusion.files import store
from fusion.isolation.sandbox import limits
from tests.makers.anything import labelled_data
from tests.makers.datasets import assert_same, assert_seen, rich, small


def kills(count: int, seed: int) -> None:
    """Kill a process at any moment while it replaces a file."""
    outcome: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "p.nc"
        new = small(np.random.default_rng(1).normal(size=(400, 500)))
        taken = min(_seconds(lambda: fusion.save(new, path)) for _ in range(3))
        for delay in np.random.default_rng(seed).uniform(0.0, 3.0 * taken, count):
            fusion.save(small(), path)
            child = os.fork()
            if not child:
                fusion.save(new, path)
                os._exit(0)
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            outcome["leftovers"] += len(list(folder.glob(".conspectus-*")))
            outcome[_survivor(path, new)] += 1
            fusion.save(small(), folder / "next.nc")
            outcome["LEFT AFTER THE NEXT SAVE"] += len(list(folder.glob(".conspectus-*")))
    print("kills", dict(outcome))


def _survivor(path: Path, new: xr.Dataset) -> str:
    """Return which file a kill left: `old` and `new` are complete, and verify says so."""
    loaded = fusion.load(path)
    known = "old" if loaded.identical(small()) else "new" if loaded.identical(new) else "LOST"
    return known if fusion.verify(path).intact else "PARTIAL"


def full(count: int, _: int) -> None:
    """Let the system refuse every byte beyond a size, as on a full disk; a child saves, so that a crash is seen."""
    code = (
        "import resource, signal, sys, fusion; from tests.makers.datasets import small; import numpy as np\n"
        "ds = small(np.random.default_rng(1).normal(size=(400, 500)))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "for size in map(int, sys.argv[2:]):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "    try: fusion.save(ds, sys.argv[1]); print('saved')\n"
        "    except fusion.StoreError: print('StoreError')\n"
    )
    with tempfile.TemporaryDirectory() as name:
        path = fusion.save(small(np.random.default_rng(1).normal(size=(400, 500))), Path(name) / "p.nc")
        sizes = np.linspace(0, path.stat().st_size * 1.01, count).astype(int)
        fusion.save(small(), path)
        command = [sys.executable, "-c", code, str(path), *map(str, sizes)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2],
                              env={**os.environ, "PYTHONPATH": "."}, check=False)  # fmt: skip
        left = [item.name for item in Path(name).iterdir() if item != path]
        fusion.load(path)
    print("full disk", dict(Counter(done.stdout.split())), "exit code", done.returncode, "left", left)


def flips(count: int, seed: int) -> None:
    """Flip single bits of files of several layouts, then verify and load them.

    HDF5 reads in a process that does nothing else, without the protection that users have; where it crashes or hangs
    the flip is repeated with that protection, and the process replaced. The values of the last file stay lazy, and it
    is taken for one that is too large to be hashed when it is opened.
    """
    noise = np.random.default_rng(1).normal(size=(40, 50))
    some = rich()[["image", "formula"]]
    kinds = {
        "tree": xr.DataTree.from_dict({"/sem": small(), "/map/text": some[["formula"]]}),
        "flat": some,
        "noise": small(noise, note="", words=["a", "b"]),
        "lazy": small(noise.astype("f4")).chunk({"y": 7}),
    }
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        for kind, data in kinds.items():
            target = _Target(fusion.save(data, Path(name) / f"{kind}.nc"), data, lazy=kind == "lazy")
            positions = rng.integers(8 * len(target.content), size=-(-count // len(kinds))).tolist()
            print("flips", kind, len(target.content), "bytes", dict(_flipped(target, positions)), flush=True)


class _Target:
    """A file, what is in it, and what comes of a flipped bit."""

    def __init__(self, path: Path, data: Any, *, lazy: bool) -> None:
        self.path, self.content, self.lazy = path, path.read_bytes(), lazy
        self.data = fusion.load(path)
        assert_same(self.data, data)

    def verdict(self, position: int) -> str:
        changed = bytearray(self.content)
        changed[position // 8] ^= 1 << position % 8
        self.path.write_bytes(changed)
        try:
            noticed = not fusion.verify(self.path).intact
        except fusion.FileReadError:
            noticed = True
        return f"{'noticed' if noticed else 'UNNOTICED'},{self._loaded()}"

    def _loaded(self) -> str:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                loaded = fusion.load(self.path, chunks={} if self.lazy else None)
                same = loaded.compute().identical(self.data)
            except (fusion.ConspectusError, OSError):
                return "refused"
        return "same" if same else "warned" if caught else "SILENTLY-OTHER"


def _flipped(target: _Target, positions: list[int]) -> Counter[str]:
    outcome: Counter[str] = Counter()
    while positions:
        lines, ended = _in_child(target, positions, direct=True)
        outcome.update(lines)
        positions = positions[len(lines) :]
        if ended:
            outcome["hdf5 crashed or hung"] += 1
            lines, ended = _in_child(target, positions[:1], direct=False)
            outcome.update([*lines, *(["CRASH"] if ended else [])])
            positions = positions[1:]
    return outcome


def _in_child(target: _Target, positions: list[int], *, direct: bool) -> tuple[list[str], int]:
    """Return a verdict for each position up to the one that ended the child, and how it ended, 0 if well."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            store._SMALL = 0 if target.lazy else store._SMALL
            dask.config.set(scheduler="synchronous")  # threads do not survive a fork
            with os.fdopen(write, "w") as stream, limits(direct=direct):
                for position in positions:
                    signal.setitimer(signal.ITIMER_PROF, 20)  # of the processor, which others may be using
                    signal.alarm(300)
                    stream.write(target.verdict(position) + "\n")
                    stream.flush()
            os._exit(0)
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as stream:
        lines = stream.read().split()
    return lines, os.waitpid(child, 0)[1]


def anything(count: int, start: int) -> None:
    """Save and load any datasets and trees: the same to the last bit, or refused before a byte is written."""
    outcome: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "any.nc"

        @seed(start)
        @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(labelled_data())
        def once(data: Any) -> None:
            path.unlink(missing_ok=True)
            try:
                fusion.save(data, path)
            except (fusion.ConventionError, fusion.StoreError):
                outcome["refused"] += 1
                assert not list(Path(name).iterdir())
                return
            assert_same(fusion.load(path), data)
            outcome["identical"] += 1
            for engine in ("h5netcdf", "netcdf4"):
                assert_seen(path, data, engine)
                outcome[engine] += 1

        gc.freeze()  # what is imported is not searched for garbage again and again
        once()
    print("anything", dict(outcome))


def speed(size: int, repeat: int) -> None:
    """Time the same data through `fusion.save`, xarray with either engine, and a raw flushed write, in turns."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    blobs = gaussian_filter(rng.normal(size=(size, size, size)), 2.0).astype(np.float32)
    blobs += rng.normal(scale=0.01, size=blobs.shape).astype(np.float32)
    axes = {dim: Axis("um", 0.1) for dim in "zyx"}
    image = fusion.dataset({"image": (("z", "y", "x"), blobs)}, axes, name="volume", cell_methods="mean")
    half = blobs[: size // 2, : size // 2, : size // 2]
    shares = {f"share_{index}": (("z", "y", "x"), half + index) for index in range(8)}
    data = xr.DataTree.from_dict(
        {"/volume": image, "/fused": fusion.dataset(shares, axes, name="fused", cell_methods="mean")}
    )
    raw = b"".join(variable.values.tobytes() for node in data.leaves for variable in node.data_vars.values())
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "p.nc"
        zlib = {"zlib": True, "complevel": 1, "shuffle": True}
        encoding = {node.path: dict.fromkeys(node.data_vars, zlib) for node in data.leaves}
        ways: dict[str, Callable[[], Any]] = {
            "raw bytes, flushed": lambda: _raw(path, raw),
            "fusion.save, zlib, checked": lambda: fusion.save(data, path),
            "fusion.save, zstd, checked": lambda: fusion.save(data, path, compression="zstd"),
            "xarray, netcdf4, zlib": lambda: data.to_netcdf(path, engine="netcdf4", encoding=encoding),
            "xarray, h5netcdf, zlib": lambda: data.to_netcdf(path, engine="h5netcdf", encoding=encoding),
        }
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for turn in range(repeat + 1):
            for way, do in ways.items():
                busy, taken = time.process_time(), _seconds(do)
                if turn:  # the first turn imports and warms up
                    times[way].append((taken, time.process_time() - busy))
        fusion.save(data, path)
        stored = path.stat().st_size
    medians = {way: np.median(values, axis=0) for way, values in times.items()}
    base = medians["raw bytes, flushed"][0]
    print(f"{len(raw) / 1e6:.0f} MB, {stored / 1e6:.0f} MB stored, load {os.getloadavg()[0]:.1f}")
    for way, (taken, busy) in medians.items():
        print(f"{way:<26} {taken:7.3f} s  {taken / base:5.1f} x raw  {busy:7.3f} s of processors")


def _raw(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())


def _seconds(do: Callable[[], Any]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def streamed(size: int) -> None:
    """Save and open lazy data of `size` MB; print how much the memory of a fresh process grew."""
    code = (
        "import sys, psutil, dask.array as da, fusion, threading, time\n"
        "from fusion import Axis\n"
        "layers = int(sys.argv[1])\n"
        "values = da.random.default_rng(0).normal(size=(layers, 512, 512), chunks=(4, 512, 512)).astype('f4')\n"
        "axes = {dim: Axis('um', 1.0) for dim in 'zyx'}\n"
        "ds = fusion.dataset({'image': (('z', 'y', 'x'), values)}, axes, name='v', cell_methods='mean')\n"
        "fusion.save(ds.isel(z=slice(0, 4)), sys.argv[2])\n"
        "me = psutil.Process(); start = peak = me.memory_info().rss; done = False\n"
        "def watch():\n"
        "    global peak\n"
        "    while not done: peak = max(peak, me.memory_info().rss); time.sleep(0.01)\n"
        "thread = threading.Thread(target=watch); thread.start()\n"
        "fusion.save(ds, sys.argv[2]); done = True; thread.join()\n"
        "print(f'{ds.nbytes / 1e6:.0f} MB streamed, memory grew by {(peak - start) / 1e6:.0f} MB')\n"
    )
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, "-c", code, str(size), str(Path(name) / "p.nc")], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", choices=["kills", "full", "flips", "anything", "speed", "streamed"])
    parser.add_argument("--count", type=int, help="how many kills, sizes, flips or examples")
    parser.add_argument("--seed", type=int, default=0, help="another one, other moments, bits and examples")
    options = parser.parse_args()
    few = options.small
    counts = {full: (20, 200), kills: (5, 1000), flips: (40, 10_000), anything: (60, 20_000)}
    runs: dict[str, Callable[[], None]] = {
        "speed": lambda: speed(64 if few else 256, 1 if few else 5),
        "streamed": lambda: streamed(100 if few else 4000),
    }
    for run, (reduced, all_of_them) in counts.items():
        runs[run.__name__] = partial(run, options.count or (reduced if few else all_of_them), options.seed)
    for name, do in runs.items():
        if options.only in (None, name):
            do()


if __name__ == "__main__":
    main()
