"""How large a page is, what it costs until it is ready, and how fast its volume turns without a graphics card.

Ready is when its first picture is asked for; the time of a processor is that of all processes of the browser.
Run ``python benchmarks/volumes/page.py``; ``--size 32`` for a quick look. Needs Chromium.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import fusion
import spectra
import volumes
from tests.makers.browser import Browser

TURN = """
(async () => {
  const view = conspectus.volume, spent = [];
  for (let i = 0; i < COUNT; i++) {
    conspectus.state.yaw += 0.2;
    await new Promise(done => { view.finished = done; view.draw(false); });
    spent.push(view.spent);
  }
  view.finished = null;
  return {spent, share: view.share};
})()
"""


def phases(size: int, components: int = 4, seed: int = 0):
    """Return a fused cube as maps give it: phases piecewise smooth, with counting noise in the image alone."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(rng.normal(size=(size,) * 3), size / 16) for _ in range(components)], axis=-1)
    phase = fields.argmax(axis=-1)
    amounts = (phase[..., None] == np.arange(components)) * 300.0
    amounts = np.stack([gaussian_filter(amounts[..., k], 1.5) for k in range(components)], axis=-1)
    outside = np.sqrt(sum((np.indices((size,) * 3)[d] - size / 2) ** 2 for d in range(3))) > 0.55 * size
    amounts[outside] = np.nan
    dims = ("z", "y", "x")
    axes = {dim: fusion.Axis("um", 0.02) for dim in dims}
    axes |= {"component": np.arange(components), "energy": fusion.Axis("keV", 0.01)}
    variables = {
        "image": (dims, (40.0 * phase + rng.normal(0.0, 6.0, phase.shape)).astype(np.float32)),
        "abundance": ((*dims, "component"), amounts.astype(np.float32),
                      {"units": "count", "ancillary_variables": "abundance_stderr"}),
        "abundance_stderr": ((*dims, "component"), np.sqrt(amounts + 1.0).astype(np.float32), {"units": "count"}),
        "endmember": (("component", "energy"), rng.dirichlet(np.ones(1024), components)),
    }  # fmt: skip
    return fusion.dataset(variables, axes, name="cube", cell_methods="mean")


def processor_seconds(browser: Browser) -> float:
    """Return what all processes of the browser have used."""
    parent = psutil.Process(browser.process.pid)
    times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def measure(size: int, folder: Path, frames: int) -> str:
    ds = phases(size)
    started = time.perf_counter()
    written = volumes.page(ds, folder / f"{size}.html", largest=1e9)
    (folder / "blank.html").write_text("<!doctype html><meta charset=utf-8><main id=explorer data-ready=1></main>")
    seconds = time.perf_counter() - started
    browser = Browser(folder / f"profile{size}")
    try:
        browser.open(written.path.with_name("blank.html"))
        before = processor_seconds(browser)
        browser.open(written.path, seconds=240)
        spent = processor_seconds(browser) - before
        ready = browser.js("+document.querySelector('#explorer').dataset.ready") / 1e3
        browser.wait("conspectus.volume.spent", 240)
        rest = browser.js("conspectus.volume.spent") / 1e3
        turning = browser.js(TURN.replace("COUNT", str(frames)))
        wrong = browser.complaints() + [url for url in browser.requests() if not url.startswith("file:")]
    finally:
        browser.close()
    assert wrong == []
    frame = np.array(turning["spent"][frames // 2 :]) / 1e3
    return (
        f"{size}³ × 4: {written.size / 1e6:.2f} MB, written in {seconds:.1f} s, rounding {written.rounding:.2g} "
        f"standard errors; ready after {ready:.1f} s and {spent:.1f} s of a processor; at rest {rest:.2f} s; "
        f"turning {1 / frame.mean():.1f} pictures/s "
        f"({turning['share']:.2f} of the width)"
    )


def phantom_size(size: int, folder: Path) -> str:
    """Return how large the page of a cube of the phantom is, whose abundances come from a map of its face."""
    tree = fusion.phantom(shape=(size,) * 3, map_shape=(size // 5, size // 5 + 1))
    map_, volume, marks = (tree[name].to_dataset() for name in ("map", "volume", "landmarks"))
    pose = fusion.register_landmarks(marks["map"], marks["volume"], model="rigid").transform
    fused = fusion.fuse(spectra.decompose(map_, 4), volume, transform=pose, depth=0.1 * size)
    written = volumes.page(fused, folder / "phantom.html", largest=1e9)
    return f"phantom of {size}³ × 4: {written.size / 1e6:.2f} MB, rounding {written.rounding:.2g} standard errors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[128, 256], help="edges of the cubes, in voxels")
    parser.add_argument("--frames", type=int, default=12)
    options = parser.parse_args()
    for size in options.size:
        with tempfile.TemporaryDirectory() as folder:
            if size >= 128:  # the phantom's map does not fit on the face of a smaller one
                print(phantom_size(size, Path(folder)))
            print(measure(size, Path(folder), options.frames), f"(load {os.getloadavg()[0]:.1f})", flush=True)


if __name__ == "__main__":
    main()
