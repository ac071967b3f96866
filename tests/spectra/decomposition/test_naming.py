"""Names of components reach selection, picture and file."""

import numpy as np
import pytest

import fusion
import spectra
from fusion import Axis, DataError


@pytest.fixture(scope="module")
def result():
    counts = np.random.default_rng(0).poisson(np.kron(np.eye(2), np.full((5, 4), 50.0)))[:, None, :]
    axes = {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "energy": Axis("keV", 1.0)}
    return spectra.decompose(fusion.dataset({"counts": (tuple(axes), counts)}, axes, name="map", cell_methods="sum"), 2)


def test_names_are_drawn_saved_and_selected(result, tmp_path):
    named = spectra.name_components(result, ["iron", "oxide"])
    figure = spectra.plot(named)
    assert {"iron", "oxide"} <= {text.get_text() for axes in figure.axes for text in axes.texts}
    fusion.save(named, tmp_path / "named.nc")
    loaded = fusion.load(tmp_path / "named.nc")
    ds = loaded if "abundance" in loaded.data_vars else next(iter(loaded.children.values())).to_dataset()
    np.testing.assert_array_equal(ds["abundance"].sel(component="oxide"), result["abundance"].isel(component=1))


def test_a_mapping_names_some(result):
    assert spectra.name_components(result, {1: "oxide"})["component"].values.tolist() == ["0", "oxide"]


@pytest.mark.parametrize(
    ("names", "message"),
    [(["iron"], "1 names for 2"), (["iron", "iron"], "texts that differ"), (["iron", ""], "texts that differ"),
     ({2: "oxide"}, r"from 0 to 1; received \[2\]"), ("ab", "2 names for 2|give one for each")],
)  # fmt: skip
def test_refusals(result, names, message):
    with pytest.raises(DataError, match=message):
        spectra.name_components(result, names)
