"""Joint decompositions: a truth that no modality tells alone, scales that do not matter, one modality as before."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import fusion
import spectra
from fusion import Affine, Axis, DataError, FrameError, provenance
from spectra.factorisation.uncertainty import abundance_error

Y, X = 14, 18


def as_map(name, dim, values, *, method="mean", unit="1", step=1.0, frame="stage"):
    units = {"energy": "keV", "raman_shift": "1/cm", "wavelength": "nm"}
    axes = {"y": Axis("um", step), "x": Axis("um", step), dim: Axis(units[dim], 1.0)}
    return fusion.dataset({"values": (("y", "x", dim), values, {"units": unit})}, axes, name=name, cell_methods=method,
                          frame=frame)  # fmt: skip


def peak(size, *centres):
    return sum(np.exp(-0.5 * ((np.arange(size) - centre) / 2.0) ** 2) for centre in centres)


def truth():
    """Return three shared abundances with pure pixels; X-rays cannot tell 1 from 2, Raman cannot tell 0 from 1."""
    y, x = np.mgrid[0:Y, 0:X] / 17.0
    share = np.stack([np.clip(1.2 - 1.6 * (x + y), 0, None), np.clip(x - 0.3, 0, None), np.clip(y - 0.3, 0, None)], -1)
    share = (share + 1e-3) / (share + 1e-3).sum(axis=-1, keepdims=True)
    xray = np.stack([peak(40, 8, 30), peak(40, 22), peak(40, 22)])
    raman = np.stack([peak(60, 15), peak(60, 15), peak(60, 40, 50)])
    return share, xray, raman


def modalities(seed=0, dose=300.0):
    share, xray, raman = truth()
    rng = np.random.default_rng(seed)
    return {
        "edx": as_map("edx", "energy", rng.poisson(dose * share @ xray), method="sum", unit="count"),
        "raman": as_map(
            "raman", "raman_shift", np.clip(share @ raman + rng.normal(scale=0.01, size=(Y, X, 60)), 0, None)
        ),
    }


def correlations(abundance):
    share = truth()[0].reshape(-1, 3)
    found = abundance.values.reshape(-1, abundance.sizes["component"])
    kept = np.isfinite(found).all(axis=1)
    found, share = found[kept], share[kept]
    return np.corrcoef(found.T, share.T)[: found.shape[1], found.shape[1] :].max(axis=0)


def test_together_they_tell_what_neither_tells_alone():
    maps = modalities()
    joint = correlations(spectra.decompose_jointly(maps, 3)["shared/abundance"])
    assert joint.min() > 0.99
    with pytest.warns(fusion.IncompleteResultWarning, match="hardly determine"):
        alone = [spectra.decompose(ds, 3, weighting=None)["abundance"] for ds in maps.values()]
    assert all(correlations(abundance).min() < 0.9 for abundance in alone)


def test_endmembers_and_shares_of_each_modality():
    share, xray, _ = truth()
    maps = modalities()
    tree = spectra.decompose_jointly(maps, 3)
    assert set(tree.children) == {"shared", "edx", "raman"}
    model = xr.dot(tree["shared/abundance"], tree["edx/endmember"], dim="component").values
    np.testing.assert_allclose(model, 300.0 * share @ xray, atol=20.0)
    assert tree["edx/endmember"].attrs["units"] == "count"
    np.testing.assert_allclose(tree["shared/abundance"].sum("component").mean(), 1.0, rtol=0.02)
    shares = [tree[f"{name}/explained_variance"].values for name in maps]
    np.testing.assert_allclose(tree["shared/explained_variance"], np.mean(shares, axis=0))
    assert (np.diff(tree["shared/explained_variance"]) <= 0).all()


@pytest.mark.parametrize("method", ["nmf", "pca"])
def test_the_unit_of_a_modality_does_not_matter(method):
    maps = modalities()
    scaled = {
        **maps,
        "raman": maps["raman"].assign(
            values=(1000.0 * maps["raman"]["values"]).assign_attrs(maps["raman"]["values"].attrs)
        ),
    }
    first, second = (spectra.decompose_jointly(given, 3, method=method) for given in (maps, scaled))
    np.testing.assert_allclose(second["shared/abundance"], first["shared/abundance"], atol=1e-6)
    np.testing.assert_allclose(second["raman/endmember"], 1000.0 * first["raman/endmember"], atol=1e-3)
    np.testing.assert_allclose(second["raman/explained_variance"], first["raman/explained_variance"], atol=1e-8)
    unscaled = [spectra.decompose_jointly(given, 3, method=method, scaling=None) for given in (maps, scaled)]
    assert not np.allclose(unscaled[0]["shared/abundance"], unscaled[1]["shared/abundance"], atol=1e-2)


@pytest.mark.parametrize("method", ["nmf", "pca"])
def test_one_modality_is_decomposed_as_before(method):
    ds = modalities()["edx"]
    ours = spectra.decompose_jointly({"edx": ds}, 2, method=method)
    plain = spectra.decompose(ds, 2, method=method)
    product, expected = (
        xr.dot(a, e, dim="component").values
        for a, e in ((ours["shared/abundance"], ours["edx/endmember"]), (plain["abundance"], plain["endmember"]))
    )
    np.testing.assert_allclose(product, expected, atol=1e-3 * expected.max())
    np.testing.assert_allclose(ours["shared/explained_variance"], plain["explained_variance"], rtol=1e-4)
    if method == "nmf":
        mean = float(ds["values"].sum("energy").mean())
        np.testing.assert_allclose(mean * ours["shared/abundance"], plain["abundance"], atol=1e-3 * mean)
        # those of `decompose` also know that the endmembers are uncertain
        found, weight = plain["abundance"].values, ds["values"].sum(("y", "x")).values
        live = weight > 0
        fixed = abundance_error(found.reshape(-1, 2), plain["endmember"].values[:, live], weight[live])
        fixed = fixed.reshape(found.shape)
        np.testing.assert_allclose(mean * ours["shared/abundance_stderr"], fixed, rtol=1e-2)
        assert (fixed <= plain["abundance_stderr"].values).all()


def test_pca_is_that_of_brute_force():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(Y, X, 9)), rng.normal(size=(Y, X, 7)) * 50.0
    tree = spectra.decompose_jointly(
        {"a": as_map("a", "energy", first), "b": as_map("b", "wavelength", second)}, 3, method="pca"
    )
    blocks = [values.reshape(Y * X, -1) / np.linalg.norm(values) for values in (first, second)]
    left, values, right = np.linalg.svd(np.hstack(blocks), full_matrices=False)
    expected = (
        (left[:, :3] * values[:3]) @ right[:3] * np.repeat([np.linalg.norm(first), np.linalg.norm(second)], [9, 7])
    )
    found = [xr.dot(tree["shared/abundance"], tree[f"{name}/endmember"], dim="component").values for name in "ab"]
    np.testing.assert_allclose(np.concatenate(found, -1).reshape(Y * X, -1), expected, atol=1e-8)
    assert "abundance_stderr" not in tree["shared"]


def test_standard_errors_cover_the_truth():
    drawn = [spectra.decompose_jointly(modalities(seed), 3)["shared"] for seed in range(4)]
    found = xr.concat([one["abundance"] for one in (node.to_dataset() for node in drawn)], "draw")
    error = xr.concat([one["abundance_stderr"] for one in (node.to_dataset() for node in drawn)], "draw")
    spread = found.std("draw", ddof=1)
    inside = (found.mean("draw") > 0.2).values
    ratio = np.sqrt((spread.values[inside] ** 2).mean() / (error.mean("draw").values[inside] ** 2).mean())
    assert 0.8 < ratio < 1.25


def test_pixels_without_a_value_are_left_out_and_counted():
    maps = modalities()
    values = maps["raman"]["values"].copy()
    values[0, :4] = np.nan
    values[5, 5, 7] = np.nan
    holed = {**maps, "raman": maps["raman"].assign(values=values)}
    tree = spectra.decompose_jointly(holed, 3)
    gone = tree["shared/abundance"].isnull().any("component")
    assert int(gone.sum()) == tree["shared"].attrs["pixels_left_out"] == 5
    assert correlations(tree["shared/abundance"]).min() > 0.95


def test_a_pixel_that_is_dark_in_one_modality_counts_in_the_other():
    maps = modalities()
    dark = maps["edx"]["values"].copy()
    dark[3, 4] = 0
    tree = spectra.decompose_jointly({**maps, "edx": maps["edx"].assign(values=dark)}, 3)
    assert float(tree["shared/abundance"][3, 4].sum()) > 0.1


def test_trees_sequences_and_lazy_maps_are_taken():
    maps = modalities()
    lazy = {name: ds.chunk({"y": 5, "x": 7}) for name, ds in maps.items()}
    assert isinstance(lazy["edx"]["values"].data, da.Array)
    expected = spectra.decompose_jointly(maps, 2)["shared/abundance"]
    sem = fusion.dataset({"image": (("y", "x"), np.ones((5, 5)))}, {"y": Axis("um", 2.0), "x": Axis("um", 2.0)},
                         name="sem", cell_methods="mean")  # fmt: skip
    for given in (lazy, list(maps.values()), xr.DataTree.from_dict({**maps, "sem": sem})):
        np.testing.assert_allclose(spectra.decompose_jointly(given, 2)["shared/abundance"], expected, atol=1e-9)


def test_labels_history_and_file(tmp_path):
    maps = {name: provenance.record(ds, "spectra.open", {"name": name}) for name, ds in modalities().items()}
    tree = spectra.decompose_jointly(maps, 2, seed=3)
    names = [step["name"] for step in provenance.read(tree["shared"].to_dataset())["steps"]]
    assert names == ["spectra.open", "spectra.open", "spectra.decompose_jointly"]
    assert tree["shared/abundance"].attrs["ancillary_variables"] == "abundance_stderr"
    fusion.save(tree, tmp_path / "joint.nc")
    again = fusion.load(tmp_path / "joint.nc")
    xr.testing.assert_allclose(again["shared/abundance"], tree["shared/abundance"])


def test_a_resampled_map_joins_its_grid():
    maps = modalities()
    fine = as_map("raman", "raman_shift", np.repeat(np.repeat(maps["raman"]["values"].values, 2, 0), 2, 1), step=0.5)
    with pytest.raises(FrameError, match=r"raman and edx do not lie on one grid .* fusion.resample"):
        spectra.decompose_jointly([maps["edx"], fine], 2)
    moved = fusion.resample(fine, maps["edx"])
    tree = spectra.decompose_jointly({"edx": maps["edx"], "raman": moved}, 3)
    assert correlations(tree["shared/abundance"]).min() > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "ica"}, "unknown method 'ica'"),
        ({"scaling": "auto"}, "unknown scaling 'auto'"),
        ({"components": 0}, "whole number from 1 to"),
        ({"components": 2.5}, "whole number from 1 to"),
    ],
)
def test_choices_that_cannot_be_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        spectra.decompose_jointly(modalities(), **{"components": 2, **options})


def test_modalities_that_cannot_be_told_apart_by_name_are_refused():
    edx = modalities()["edx"]
    for given, message in (
        ({}, "received none"),
        ({"shared": edx}, "other than 'shared'"),
        ([edx, edx], "one title"),
        (edx, "received one map"),
    ):
        with pytest.raises(DataError, match=message):
            spectra.decompose_jointly(given, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [(0.0, "raman: no pixel"), (np.nan, "no finite value"), (-1.0, "raman: negative values")],
)
def test_values_that_cannot_be_used_are_refused(values, message):
    flat = as_map("raman", "raman_shift", np.full((Y, X, 5), values))
    with pytest.raises(DataError, match=message):
        spectra.decompose_jointly({**modalities(), "raman": flat}, 2)


def test_maps_elsewhere_are_refused():
    maps = modalities()
    for moved in (
        fusion.set_pose(maps["raman"], Affine.translation(x=1.0), "stage"),
        fusion.set_pose(maps["raman"], Affine.identity(), "other"),
        maps["raman"].isel(x=slice(1, None)),
    ):
        with pytest.raises(FrameError, match="do not lie on one grid"):
            spectra.decompose_jointly({**maps, "raman": moved}, 2)
