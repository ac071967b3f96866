"""How long one waits before anything happens: for the command line, and for kernels that compile when first called.

``conspectus --help`` is timed beside a bare argparse script, in turns; `fusion.fuse` in CPU time, with an empty cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

BARE = "import argparse; p = argparse.ArgumentParser(); p.add_argument('--x'); p.parse_args(['--help'])"
OURS = "from conspectus.cli import main; main(['--help'])"
GROUND = "import fusion"

FUSE = """
import time
import fusion
tree = fusion.phantom(shape=(4, 60, 60), map_shape=(8, 9), channels=64, shift=(0.1, 0.1))
map_, volume, marks = (tree[name].to_dataset() for name in ("map_truth", "volume", "landmarks"))
pose = fusion.register_landmarks(marks["map"], marks["volume"], model="rigid").transform
for _ in range(2):
    start = time.process_time()
    fusion.fuse(map_, volume, transform=pose, depth=0.06)
    print(time.process_time() - start)
"""


def first_and_second() -> tuple[float, float]:
    """Return the CPU time of the first `fusion.fuse` of a user, which compiles, and of the second."""
    with tempfile.TemporaryDirectory() as folder:
        cold = {**os.environ, "NUMBA_CACHE_DIR": folder}
        run = subprocess.run([sys.executable, "-c", FUSE], check=True, capture_output=True, text=True, env=cold)
    first, second = map(float, run.stdout.split())
    return first, second


def seconds(code: str) -> float:
    """Return the wall-clock time of a fresh interpreter that runs `code`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    repeat = parser.parse_args().repeat
    codes = {
        "bare argparse": BARE,
        "conspectus --help": OURS,
        "import xarray": "import xarray",
        "import fusion": GROUND,
    }
    times: dict[str, list[float]] = {name: [] for name in codes}
    for turn in range(repeat + 1):
        for name, code in codes.items():
            taken = seconds(code)
            if turn:  # the first turn warms the disk cache
                times[name].append(taken)
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, value in median.items():
        print(f"{name:<20} {1e3 * value:7.1f} ms")
    print("fusion.fuse, first call {:.2f} s of CPU time, second {:.2f} s".format(*first_and_second()))
    print(f"--help / bare argparse: {median['conspectus --help'] / median['bare argparse']:.2f}")
    print(f"import fusion / import xarray: {median['import fusion'] / median['import xarray']:.2f}")


if __name__ == "__main__":
    main()
