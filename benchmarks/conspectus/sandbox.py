"""What a process of its own costs: real files opened through the sandbox and directly, in pairs, once all is warm."""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from types import ModuleType
from typing import Any, Final

import fusion
import spectra
import volumes
from fusion.specimens import measured

FILES: Final[tuple[tuple[ModuleType, str, dict[str, Any]], ...]] = (
    (spectra, "raman/renishaw_test_zscan.wdf", {}),
    (spectra, "edx/test_TEM.bcf", {"name": "EDX"}),
    (spectra, "eels/EELS_SI.dm4", {}),
    (volumes, "sem_tem/zeiss_example_sem.tif", {}),
    (volumes, "confocal/colocsample1b-red.tif", {}),
    (volumes, "afm/spot_1-1000nm.ibw", {}),
    (volumes, "electron_tomography/needle_fbp_128.nc", {}),
    (volumes, "correlative_edx_tomo/bispl_nanorod/HAADF_STEM_ground_truth.mat", {"dims": ("z", "y", "x")}),
    (volumes, "correlative_edx_tomo/bispl_nanorod/Proposed_STEM_EDX_reconstruction.mat", {"dims": ("z", "y", "x")}),
)
ALLOWED: Final = 0.3


def seconds(wing: ModuleType, path: Any, options: dict[str, Any], *, direct: bool) -> float:
    """Return the wall-clock time until the file is open and its values, if they are not lazy, have been looked at."""
    gc.collect()
    with fusion.limits(direct=direct):
        start = time.perf_counter()
        ds = wing.open(path, **options)
        sums = [variable.values.sum() for variable in ds.data_vars.values() if variable.chunks is None]
        taken = time.perf_counter() - start
    del ds, sums
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    repeat = parser.parse_args().repeat
    print(f"{'file':<40}{'MB':>7}{'direct':>9}{'child':>9}{'more':>9}   seconds, medians of {repeat} pairs")
    worst = 0.0
    for wing, name, options in FILES:
        path = measured.locate(name)
        pairs = [[seconds(wing, path, options, direct=direct) for direct in (True, False)] for _ in range(repeat + 1)][
            1:
        ]  # the first pair warms both
        direct, child = (statistics.median(times) for times in zip(*pairs, strict=True))
        more = statistics.median(second - first for first, second in pairs)
        worst = max(worst, more)
        print(f"{path.name:<40}{path.stat().st_size / 1e6:7.1f}{direct:9.3f}{child:9.3f}{more:9.3f}")
    print(f"at most {worst:.3f} s more; promised {ALLOWED} s")


if __name__ == "__main__":
    main()
