"""A network in an ONNX file that is made here: its answers voxel by voxel, and what it is refused for."""

import numpy as np
import pytest

import volumes
from fusion.errors import DataError, FileReadError
from tests.makers.networks import blur_network
from tests.makers.segmented import image
from volumes.segmentation import image as blocks

STEPS = {"z": 0.05, "y": 0.005, "x": 0.005}
META = {"classes": "resin cell", "pixel": "5 nm", "halo": "1"}


@pytest.fixture
def ds():
    values = np.random.default_rng(0).random((3, 40, 50)).astype(np.float32)
    return image(values, steps=STEPS)


def test_it_answers_as_its_layers_say_however_the_image_is_cut(ds, tmp_path, monkeypatch):
    from scipy.ndimage import uniform_filter

    path = blur_network(tmp_path / "blur.onnx", META)
    monkeypatch.setattr(blocks, "_SIDES", {2: 17})
    result = volumes.segment(ds, model=path)
    mean = uniform_filter(ds["image"].values, (0, 3, 3), mode="nearest")
    expected = 1 / (1 + np.exp(4 - 8 * mean))
    np.testing.assert_allclose(result["probability"].sel(component="cell"), expected, atol=1e-5)
    np.testing.assert_array_equal(result["label"], np.where(expected > 0.5, 2, 1))
    assert np.isnan(result["disagreement"]).all()
    assert "sha256" in result.attrs["provenance"]


def test_what_is_nan_has_no_answer(ds, tmp_path):
    ds["image"][1, 5, 6] = np.nan
    result = volumes.segment(ds, model=blur_network(tmp_path / "blur.onnx", META))
    assert int(result["label"][1, 5, 6]) == -1
    assert int((result["label"] == -1).sum()) == 1


def test_it_refuses(ds, tmp_path):
    path = blur_network(tmp_path / "a.onnx", META | {"pixel": "10 nm"})
    with pytest.raises(DataError, match=r"trained on pixels of 0.01 um, and those along y, x are 0.005 um"):
        volumes.segment(ds, model=path)
    with pytest.raises(FileReadError, match="do not say pixel, halo"):
        volumes.segment(ds, model=blur_network(tmp_path / "b.onnx", {"classes": "a b"}))
    with pytest.raises(DataError, match="no probabilities, which add up to 1"):
        volumes.segment(ds, model=blur_network(tmp_path / "c.onnx", META, softmax=False))
    with pytest.raises(DataError, match="segmented over z, y, x, the network over y, x"):
        volumes.segment(image(ds["image"].values, steps=STEPS | {"z": 0.005}), model=blur_network(path, META))
    with pytest.raises(FileReadError, match="its pixel is 'small', not a length such as"):
        volumes.segment(ds, model=blur_network(path, META | {"pixel": "small"}))
    broken = tmp_path / "d.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(FileReadError, match="no ONNX network"):
        volumes.segment(ds, model=broken)
    with pytest.raises(FileReadError):
        volumes.segment(ds, model=tmp_path / "missing.onnx")
