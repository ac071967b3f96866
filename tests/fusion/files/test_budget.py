"""Saving within a budget: the same bytes, no more memory than was granted, and a refusal that says what is needed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fusion
from fusion import Affine, Axis

PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_budget import resampled
import fusion

def megabytes(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return float(line.split()[1]) / 1024

folder = Path({target!r})
fusion.save(resampled(2), folder / "warm.nc")
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = megabytes("VmRSS")
fusion.save(resampled(24), folder / "large.nc", memory={memory!r})
print(megabytes("VmHWM") - before)
"""


def make(block_info: Any = None) -> np.ndarray:
    """Make a block of 1 MB."""
    (z0, z1), (y0, y1), (x0, x1) = block_info[None]["array-location"]
    z, y, x = np.ogrid[z0:z1, y0:y1, x0:x1]
    return np.asarray(z + np.sin(y / 7.0) + x % 5, np.float32)


def resampled(planes: int, block: int = 64) -> xr.Dataset:
    """Return a slightly turned volume of 2 x 2 blocks in each of some planes of blocks."""
    chunks = tuple((block,) * n for n in (planes, 2, 2))
    values = da.map_blocks(make, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    um = {dim: Axis("um", 1.0) for dim in "zyx"}
    shape = values.shape
    ds = fusion.dataset({"v": (tuple("zyx"), values)}, um, name="v", cell_methods="mean", frame="s")
    empty = da.zeros(shape, chunks=block, dtype=np.uint8)
    grid = fusion.dataset({"g": (tuple("zyx"), empty)}, um, name="g", cell_methods="mean", frame="s")
    turn = Affine.translation(x=0.3) @ Affine.rotation(1.0, axis=(1.0, 0.05, 0.02))
    return fusion.resample(ds, grid, transform=turn)


@pytest.mark.parametrize("blocks", [False, True])
def test_the_file_is_the_same_and_the_bar_runs_to_its_end(tmp_path: Path, blocks: bool) -> None:
    ds, shares = resampled(5, 8), []
    kept = tmp_path / "kept" if blocks else None
    fusion.save(ds, tmp_path / "budget.nc", memory="60 kB", blocks=kept, progress=shares.append)
    fusion.save(ds, tmp_path / "plain.nc")
    assert fusion.load(tmp_path / "budget.nc").identical(fusion.load(tmp_path / "plain.nc"))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 3


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells the peak of memory")
def test_the_budget_is_kept_where_dask_alone_takes_more(tmp_path: Path) -> None:
    """96 MB are made from as many: within 20 MB where that is the budget."""
    here = str(Path(__file__).parent)
    peaks = []
    for memory in ("20 MB", None):
        code = PEAK.format(folder=here, target=str(tmp_path), memory=memory)
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(float(run.stdout.split()[-1]))
    assert peaks[0] < 20.0 < peaks[1]


@pytest.mark.parametrize("memory", ["a lot", -1, 0, "nan"])
def test_what_is_no_size_is_refused(tmp_path: Path, memory: Any) -> None:
    with pytest.raises(fusion.StoreError, match="such as '1 GB'"):
        fusion.save(resampled(1, 8), tmp_path / "a.nc", memory=memory)
    assert not (tmp_path / "a.nc").exists()


def test_less_than_one_block_needs_is_refused_with_the_least_that_will_do(tmp_path: Path) -> None:
    with pytest.raises(fusion.StoreError, match="give more, or make smaller blocks") as refused:
        fusion.save(resampled(3, 16), tmp_path / "a.nc", memory=1000)
    least = float(str(refused.value).split(" need ")[1].split(" MB")[0])
    fusion.save(resampled(3, 16), tmp_path / "a.nc", memory=least * 3e6)
