"""How long the command line takes to answer: ``conspectus --help`` beside a bare argparse script, in turns."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BARE = "import argparse; p = argparse.ArgumentParser(); p.add_argument('--x'); p.parse_args(['--help'])"
OURS = "from conspectus.cli import main; main(['--help'])"
GROUND = "import fusion"


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
    print(f"--help / bare argparse: {median['conspectus --help'] / median['bare argparse']:.2f}")
    print(f"import fusion / import xarray: {median['import fusion'] / median['import xarray']:.2f}")


if __name__ == "__main__":
    main()
