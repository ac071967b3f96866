"""A specimen at a glance: one row a dataset, right way up, and lazy data read no further than a picture needs."""

from io import BytesIO

import numpy as np
import xarray as xr
from PIL import Image

import fusion
import volumes

UM = {dim: fusion.Axis("um", 0.5) for dim in "zyx"}


def corner(direction=""):
    values = np.zeros((8, 12))
    values[:2, :3] = 1.0
    axes = {"y": fusion.Axis("um", 0.5, direction=direction), "x": fusion.Axis("nm", 250.0)}
    return fusion.dataset({"image": (("y", "x"), values)}, axes, name="corner", cell_methods="mean")


def test_each_dataset_has_a_row():
    energy = {"y": UM["y"], "x": UM["x"], "energy": fusion.Axis("keV", 0.01)}
    counts = np.random.default_rng(0).poisson(2.0, (6, 7, 100))
    spectra = fusion.dataset({"counts": (tuple(energy), counts)}, energy, name="map", cell_methods="sum",
                             attrs={"technique": "EDX"})  # fmt: skip
    where = {dim: fusion.Axis("um", values=np.arange(5.0)) for dim in "yx"}
    points = fusion.dataset({"photons": ("point", np.ones(5))}, where, name="spots")
    tree = xr.DataTree.from_dict({"/image": corner(), "/map": spectra, "/spots": points})
    found = {row.name: row for row in volumes.overview(tree).rows}
    assert found["image"].voxels == "8 × 12"
    assert (found["image"].extent, found["image"].step) == ("4 µm × 3 µm", "500 nm × 250 nm")
    assert (found["map"].technique, found["map"].signal) == ("EDX", "energy 100 0 – 0.99 keV")
    assert found["spots"].voxels == "5 points"
    assert found["spots"].thumbnail is None
    assert all(len(found[name].thumbnail) < 4096 for name in ("image", "map"))
    text = repr(volumes.overview(tree))
    assert len(text.splitlines()) == 4


def test_thumbnails_are_the_right_way_up():
    for direction, row in (("up", -1), ("down", 0)):
        (only,) = volumes.overview(corner(direction)).rows
        pixels = np.asarray(Image.open(BytesIO(only.thumbnail)).convert("L")).astype(int)
        assert pixels[row, 0] > 100 > pixels[-1 - row, 0]


def test_names_stay_text():
    html = volumes.overview(corner().assign_attrs(title="<script>alert(1)</script>"))._repr_html_()
    assert "<script>" not in html


def test_lazy_data_are_read_in_strides():
    import dask.array as da

    seen = []

    def block(block_info=None):
        seen.append(block_info[None]["array-location"][0])
        return np.ones((1, 64, 64), np.float32)

    cube = da.map_blocks(block, chunks=((1,) * 30, (64,), (64,)), dtype=np.float32, meta=np.ones((0, 0, 0), np.float32))
    lazy = fusion.dataset({"volume": (("z", "y", "x"), cube)}, UM, name="lazy", cell_methods="mean")
    volumes.overview(lazy)
    assert len(seen) == 1
