"""Pictures: what is drawn, in which colour, with which scale; and what happens where there is no OpenGL."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fusion
import volumes
from fusion.errors import DataError, StoreError
from volumes.drawing import layers, legend, mixing, opengl
from volumes.drawing.annotations import round_length, ticks
from volumes.drawing.flat import plot as flat
from volumes.drawing.options import Options, chosen

ROOT = Path(__file__).resolve().parents[3]
NO_WINDOW = {"VTK_DEFAULT_OPENGL_WINDOW": "vtkOSOpenGLRenderWindow"}
SMALL = (400, 300)


def axes(step=1.0, unit="um", dims="zyx"):
    return {dim: fusion.Axis(unit, step) for dim in dims}


def ball(size=24):
    """Return a volume with a bright ball, and two components: its left half and its right half."""
    z, y, x = np.indices((size,) * 3) - (size - 1) / 2
    solid = (np.sqrt(z**2 + y**2 + x**2) < size / 3).astype(np.float32)
    parts = np.stack([solid * (x < 0), solid * (x > 0)], axis=-1)
    dims = ("z", "y", "x")
    variables = {"volume": (dims, solid), "abundance": ((*dims, "component"), parts, {"units": "counts"})}
    return fusion.dataset(variables, {**axes(), "component": ["Co", "Mn"]}, name="ball", cell_methods="mean")


def resampled(dims):
    """Return an image or a volume on a finer grid, where its values name ``coverage``."""
    values = np.random.default_rng(0).random((9,) * len(dims))
    ds = fusion.dataset({"image": (tuple(dims), values)}, axes(dims=dims), name="fine", cell_methods="mean")
    return fusion.resample(ds, fusion.dataset({"grid": (tuple(dims), np.zeros((12,) * len(dims)))},
                                              axes(0.7, dims=dims), name="fine", cell_methods="mean"))  # fmt: skip


def photograph(**more):
    """Return a picture of a red and a dark green half, stored as blue, green, red."""
    values = np.zeros((20, 30, 3), np.uint8)
    values[:, :15, 2], values[:, 15:, 1] = 200, 100
    variables = {"image": (("y", "x", "channel"), values), **more}
    labels = {"component": ["a", "b"]} if more else {}
    return fusion.dataset(variables, {**axes(dims="yx"), "channel": list("BGR"), **labels}, name="photo",
                          cell_methods="mean")  # fmt: skip


def labelled(names):
    """Return labels 0, 1, 2, ... in vertical stripes three pixels wide."""
    values = np.tile(np.repeat(np.arange(len(names), dtype=np.uint8), 3), (8, 1))
    attrs = {"flag_values": np.arange(len(names), dtype=np.uint8), "flag_meanings": " ".join(names)}
    return fusion.dataset({"labels": (("y", "x"), values, attrs)}, axes(dims="yx"), name="labels")


def shot(ds, **options):
    plotter = volumes.render(ds, off_screen=True, window_size=SMALL, **options)
    try:
        return plotter.screenshot(None, return_img=True).astype(int)
    finally:
        plotter.close()


@pytest.mark.usefixtures("drawing")
class TestRender:
    @pytest.mark.parametrize("style", ["volume", "slices", "both", "faces"])
    @pytest.mark.parametrize("dims", ["yx", "zyx"])
    def test_what_was_resampled_is_drawn(self, dims, style):
        fine = resampled(dims)
        assert fine["image"].attrs["ancillary_variables"] == "coverage"
        alone = fine.drop_vars("coverage")
        for ds, options in (
            (fine, {}),
            (alone, {}),
            (alone.assign(red=fine["image"]), {"components": ["red"]}),
            (alone.assign(red=fine["image"]), {"variable": "image", "components": ["red"]}),
        ):
            assert shot(ds, style=style, axes=False, scale_bar=False, **options)[80:280, 50:300].max() > 100
            flat(ds, style=style, **options).canvas.draw()

    def test_a_volume_is_bright_in_the_middle(self):
        image = shot(ball(), variable="volume", axes=False, scale_bar=False)
        assert image[140:160, 190:210].mean() > 150
        assert image[:10].mean() < 30

    def test_components_stand_on_their_own_side(self):
        image = shot(ball(), style="slices", axes=False, scale_bar=False, colors=["red", "lime"])
        red, green = image[80:, :, 0], image[80:, :, 1]
        columns = [np.nonzero(part)[1].mean() for part in (red > green + 100, green > red + 100)]
        assert columns[0] < columns[1] - 20

    @pytest.mark.parametrize("options", [{"variable": "volume"}, {"variable": "abundance"}])
    def test_opacity_does_not_depend_on_the_scale(self, options):
        ds = ball()
        images = []
        for factor in (1e-3, 1.0, 1e3):
            scaled = ds.assign_coords({dim: ds[dim] * factor for dim in "zyx"})
            for dim in "zyx":
                scaled[dim].attrs = ds[dim].attrs
            images.append(shot(scaled, axes=False, scale_bar=False, **options))
        assert images[0].max() > 150
        for other in images[1:]:
            assert np.abs(images[0] - other).mean() < 2

    def test_an_image_is_shown_as_it_is_stored(self):
        values = np.zeros((30, 40), np.float32)
        values[:10, :10] = 1.0
        ds = fusion.dataset({"image": (("y", "x"), values)}, axes(dims="yx"), name="corner", cell_methods="mean")
        image = shot(ds, axes=False, scale_bar=False).sum(axis=-1)
        rows, columns = np.nonzero(image[:, :330] > 600)
        assert rows.mean() < 110
        assert columns.mean() < 150

    def test_what_is_not_covered_is_not_drawn(self):
        ds = ball()
        empty = ds.assign(coverage=(("z", "y", "x"), np.zeros((24,) * 3), {"cell_methods": "z: y: x: point"}))
        volumes.render(empty, off_screen=True).close()
        empty["abundance"] = empty["abundance"].assign_attrs(ancillary_variables="coverage")
        with pytest.raises(DataError, match="no finite value"):
            volumes.render(empty, off_screen=True)

    def test_the_scale_bar_is_true_and_follows_the_zoom(self):
        ds = fusion.dataset(
            {"image": (("y", "x"), np.full((60, 60), 0.5))}, axes(0.1, dims="yx"), name="square", cell_methods="mean"
        )
        plotter = volumes.render(ds, off_screen=True, axes=False, window_size=SMALL)
        try:
            for zoom, text in ((1.0, "2 µm"), (10.0, "200 nm")):
                plotter.camera.zoom(zoom)
                plotter.render()
                image = plotter.screenshot(None, return_img=True).astype(int)
                bar = image[285].min(axis=-1) > 200
                seen = 2 * plotter.camera.parallel_scale * SMALL[0] / SMALL[1]
                length = float(text.split()[0]) * (1.0 if "µm" in text else 1e-3)
                assert bar[: SMALL[0] // 3].sum() == pytest.approx(length / seen * SMALL[0], abs=2)
                props = plotter.renderer.GetViewProps()
                assert text in [prop.GetInput() for prop in props if prop.IsA("vtkTextActor")]
        finally:
            plotter.close()

    def test_a_turned_volume_is_drawn_turned(self):
        bar = np.zeros((9, 9, 41), np.float32)
        bar[3:6, 3:6] = 1.0
        pose = fusion.Affine.rotation(90.0, axis=(0.0, 1.0, 0.0))
        spans = []
        for placed in (None, pose):
            ds = fusion.dataset(
                {"volume": (("z", "y", "x"), bar)}, axes(), name="bar", cell_methods="mean", pose=placed
            )
            image = shot(ds, axes=False, scale_bar=False)[40:, :340].sum(axis=-1)
            rows, columns = np.nonzero(image > 250)
            spans.append((np.ptp(rows), np.ptp(columns)))
        assert spans[0][1] > 1.5 * spans[0][0]
        assert spans[1][0] > 1.5 * spans[1][1]

    def test_pictures_of_measured_files(self, measured, tmp_path):
        needle = volumes.open(measured("electron_tomography/needle_fbp_128.nc"))
        written = volumes.picture(needle, tmp_path / "needle.png", window_size=SMALL)
        assert (written.rendered, written.note) == (True, "")
        with Image.open(written.path) as image:
            assert image.size == SMALL
        maps = volumes.open(measured("correlative_haadf_chem/Co3O4_Mn3O4.h5"), voxel="0.1 nm")
        assert not volumes.picture(maps, tmp_path / "maps.png", variable="HAADF", components=["Co", "Mn"]).rendered


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"variable": "missing"}, "missing"),
            ({"style": "cloud"}, "style is one of volume, slices, both"),
            ({"components": ["Fe"]}, "no component or variable 'Fe'"),
            ({"components": ["Co", "Mn"], "colors": ["red"]}, "2 arrays to draw in 1 colours"),
        ],
    )
    def test_unknown_names(self, options, reason, tmp_path):
        with pytest.raises(DataError, match=reason):
            volumes.picture(ball(), tmp_path / "never.png", **options)

    def test_a_line_cannot_be_drawn(self):
        ds = fusion.dataset({"line": (("x",), np.ones(5))}, axes(dims="x"), name="line", cell_methods="mean")
        with pytest.raises(DataError, match="two or three spatial dims"):
            volumes.render(ds, off_screen=True)

    def test_a_place_that_cannot_be_written(self, tmp_path):
        for path in (tmp_path / "a.tiff", tmp_path / "missing" / "a.png"):
            with pytest.raises(StoreError, match="a picture is a"):
                volumes.picture(ball(), path)


SCRIPT = """
import sys, numpy as np, fusion, volumes
axes = {dim: fusion.Axis("um", 1.0) for dim in "zyx"}
values = np.random.default_rng(0).random((8, 9, 10))
ds = fusion.dataset({"volume": (("z", "y", "x"), values)}, axes, name="v", cell_methods="mean")
try:
    volumes.render(ds, off_screen=True)
except fusion.DataError as error:
    print("refused:", error)
written = volumes.picture(ds, sys.argv[1], style="both")
print(written.rendered, written.note)
"""


@pytest.mark.parametrize("hidden", [{"CONSPECTUS_NO_OPENGL": "1"}, NO_WINDOW], ids=["told", "real"])
def test_without_opengl_the_picture_is_flat(tmp_path, hidden):
    """The second case is real: VTK ends the process where libOSMesa is asked for and missing."""
    env = {**os.environ, **hidden, "PYTHONPATH": str(ROOT)}
    if hidden is NO_WINDOW:
        trial = subprocess.run([sys.executable, "-c", opengl._TRIAL], env=env, capture_output=True, check=False)
        if trial.returncode == 0 and trial.stdout:
            pytest.skip("this machine has OSMesa")
    path = tmp_path / "flat.png"
    run = subprocess.run([sys.executable, "-c", SCRIPT, path], env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "refused: 3D rendering is not possible here" in run.stdout
    assert "False drawn flat: no OpenGL was found; install it, e.g. apt-get install libegl1" in run.stdout
    with Image.open(path) as image:
        assert image.size == (1200, 900)
        assert np.asarray(image.convert("L")).max() > 200


def test_the_answer_is_asked_for_once(monkeypatch):
    calls = []
    monkeypatch.setattr(opengl.subprocess, "run", lambda *args, **options: calls.append(args))
    monkeypatch.setenv(opengl.HIDE, "1")
    opengl.window_class.cache_clear()
    try:
        assert [opengl.available() for _ in range(3)] == [False] * 3
    finally:
        opengl.window_class.cache_clear()
    assert calls == []


class TestEdges:
    @pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1, 6), (1, 6, 7), (6, 1, 1)])
    def test_one_row_is_drawn(self, shape):
        dims = ("z", "y", "x")[-len(shape) :]
        values = np.arange(np.prod(shape), dtype=float).reshape(shape)
        ds = fusion.dataset({"image": (dims, values)}, axes(dims=dims), name="row", cell_methods="mean")
        figure = flat(ds, window_size=SMALL)
        figure.canvas.draw()
        drawn = figure.axes[0].get_images()[0].get_array()
        np.testing.assert_array_equal(drawn, values.squeeze().reshape(drawn.shape))

    @pytest.mark.usefixtures("drawing")
    @pytest.mark.parametrize("shape", [(1, 6), (6, 1), (1, 1, 6)])
    def test_one_row_is_rendered(self, shape):
        dims = ("z", "y", "x")[-len(shape) :]
        ds = fusion.dataset({"image": (dims, np.ones(shape))}, axes(dims=dims), name="row", cell_methods="mean")
        shot(ds)

    @pytest.mark.parametrize("draw", [flat, volumes.render])
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"cmap": "nope"}, "cmap is the name of a colour map"),
            ({"variable": "abundance", "colors": ["nope"] * 3}, "colors are names or codes"),
            ({"window_size": (0, 0)}, "window_size is a width and a height"),
            ({"window_size": (400.0, 300)}, "window_size is a width and a height"),
            ({"window_size": (400, 300, 2)}, "window_size is a width and a height"),
            ({"opacity": 1.5}, "opacity lies between 0 and 1"),
        ],
    )
    def test_options_that_cannot_be_drawn_with(self, draw, options, reason):
        with pytest.raises(DataError, match=reason):
            draw(ball(), **options)

    @pytest.mark.parametrize("draw", [flat, volumes.render])
    def test_one_pixel_is_no_picture(self, draw):
        ds = fusion.dataset({"image": (("y", "x"), np.ones((1, 1)))}, axes(dims="yx"), name="dot", cell_methods="mean")
        with pytest.raises(DataError, match="two pixels or more"):
            draw(ds)


class TestBlend:
    def test_a_photograph_is_drawn_as_it_was_taken(self):
        found = layers.layers(photograph(), None, None, None)
        rgba = mixing.mixed(found)
        np.testing.assert_array_equal(rgba[5, [5, 25], :3], [[255, 0, 0], [0, 128, 0]])
        assert len({(layer.bottom, layer.top) for layer in found}) == 1
        other = photograph().assign_coords(channel=("channel", ["Co", "Mn", "O"]))
        assert [layer.name for layer in layers.layers(other, None, None, None)] == ["Co", "Mn", "O"]
        assert len({layer.top for layer in layers.layers(other, None, None, None)}) > 1

    def test_components_are_drawn_and_not_the_photograph_below(self):
        shares = np.random.default_rng(0).random((20, 30, 2))
        ds = photograph(abundance=(("y", "x", "component"), shares))
        assert [layer.name for layer in layers.layers(ds, None, None, None)] == ["a", "b"]
        assert [layer.name for layer in layers.layers(ds, "image", None, None)] == ["red", "green", "blue"]
        assert [layer.name for layer in layers.layers(ds, None, ["b", "R"], None)] == ["b", "R"]

    def test_a_photograph_has_one_line_in_the_legend(self):
        assert legend.of_layers(layers.layers(photograph(), None, None, None), "white") == [
            ("red, green, blue  0 – 200", "white")
        ]

    def test_labels_have_names_and_colours(self):
        ds = labelled(["background", "cell_wall", "nucleus"])
        grey, found, *_ = chosen(ds, Options())
        assert grey is None
        lines = legend.of_layers(found, "white")
        assert [text for text, _ in lines] == ["cell_wall", "nucleus"]
        assert len({color for _, color in lines}) == 2
        rgba = mixing.mixed(found)
        assert rgba[0, 0, 3] == 0
        assert ["#" + bytes(rgba[0, x, :3]).hex() for x in (3, 6)] == [color for _, color in lines]
        flat(ds, colors=["red", "lime"]).canvas.draw()
        with pytest.raises(DataError, match="2 labels to draw in 1 colours"):
            flat(ds, colors=["red"])

    def test_many_labels_have_a_short_legend_and_different_colours(self):
        _, found, *_ = chosen(labelled([f"grain_{i}" for i in range(15)]), Options())
        assert len({layer.color for layer in found}) == 15
        assert legend.of_layers(found, "white")[-1] == ("and 6 more", "white")
        for names in ([f"grain_{i}" for i in range(30)], ["background"]):
            grey, found, *_ = chosen(labelled(names), Options())
            assert grey is not None
            assert found == []

    def test_what_lies_behind_is_known_by_more_than_its_colour(self):
        ds = ball()
        ds["abundance"] = ds["abundance"].where(ds["x"] < 8)
        found = layers.layers(ds, "abundance", ["Co"], ["#c9ced6"])
        grey = layers.grey_layer(ds["volume"])
        assert mixing.focus([grey, *found])["x"] == mixing.focus(found)["x"] < 8

    def test_light_is_mixed(self):
        ds = ball()
        found = layers.layers(ds, "abundance", ["Co", "Mn"], ["#ff0000", "#0000ff"])
        rgba = mixing.mixed(found)
        np.testing.assert_array_equal(rgba[12, 12, 8], [255, 0, 0, 255])
        np.testing.assert_array_equal(rgba[12, 12, 15], [0, 0, 255, 255])
        np.testing.assert_array_equal(rgba[0, 0, 0], [0, 0, 0, 0])

    def test_each_layer_has_its_own_top(self):
        values = np.linspace(0.0, 1.0, 101)[None] * np.array([[1.0], [10.0]])
        ds = fusion.dataset({"a": (("y", "x"), values), "b": (("y", "x"), 7 * values)}, axes(dims="yx"), name="t",
                            cell_methods="mean")  # fmt: skip
        a, b = layers.layers(ds, None, ["a", "b"], None)
        assert a.top == pytest.approx(np.percentile(values, 99.0))
        assert b.top == pytest.approx(7 * a.top)

    def test_nothing_is_transparent_and_zero_is_black(self):
        values = np.ones((4, 5))
        values[0], values[1] = np.nan, 0.0
        ds = fusion.dataset({"a": (("y", "x"), values)}, axes(dims="yx"), name="t", cell_methods="mean")
        found = layers.layers(ds, None, ["a"], None)
        assert mixing.covered(found)[:, 0].tolist() == [False, True, True, True]
        assert mixing.mixed(found)[0, 0].tolist() == [0, 0, 0, 0]


class TestAnnotations:
    @pytest.mark.parametrize("span", np.geomspace(1e-4, 1e5, 19))
    @pytest.mark.parametrize("start", [0.0, -3.7, 1234.5])
    def test_ticks_are_few_round_and_inside(self, span, start):
        found = ticks((start, start + span))
        assert 2 <= found.size <= 5
        assert found[0] >= start - 1e-9 * span
        assert found[-1] <= start + span * (1 + 1e-9)
        step = np.diff(found)
        np.testing.assert_allclose(step, step[0])

    @pytest.mark.parametrize("longest", [0.0123, 0.99, 1.0, 1.999, 5.0, 777.0])
    def test_a_bar_is_the_longest_round_length(self, longest):
        length = round_length(longest)
        assert longest / 2.5 < length <= longest
        assert f"{length:.0e}"[0] in "125"
