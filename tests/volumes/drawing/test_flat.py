"""Images face-on: which way is up, what lies over what, and that nothing is replaced or cut off in silence."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import fusion
import spectra
import volumes
from fusion.display import PALETTE, color, y_upwards
from fusion.errors import DataError
from fusion.reading.stage import STAGE
from volumes.drawing import layers, legend, mixing
from volumes.drawing.options import Options, chosen

OVER = fusion.Affine.rotation(180.0, axis=(0.0, 0.0, 1.0))
"""What the pose of an electron microscope's image does: y and z of the stage are turned over."""


def image(values=None, *, name="image", pose=None, frame=None, direction="", method="mean", **more):
    values = np.zeros((4, 6)) if values is None else values
    axes = {"y": fusion.Axis("um", 1.0, direction=direction), "x": fusion.Axis("um", 0.5)}
    return fusion.dataset({name: (("y", "x"), values), **more}, axes, name=name, cell_methods=method, pose=pose,
                          frame=frame)  # fmt: skip


def photograph():
    values = np.full((4, 6, 3), 100, np.uint8)
    values[0, 0] = 200, 0, 0
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 0.5), "channel": list("RGB")}
    return fusion.dataset({"photo": (("y", "x", "channel"), values)}, axes, name="photo", cell_methods="mean",
                          frame="stage")  # fmt: skip


def components(values, labels, frame="stage"):
    axes = {"y": fusion.Axis("um", 1.0), "x": fusion.Axis("um", 0.5), "component": labels}
    return fusion.dataset({"abundance": (("y", "x", "component"), values, {"units": "count"})}, axes, name="map",
                          cell_methods="mean", frame=frame)  # fmt: skip


@pytest.mark.parametrize(
    ("ds", "upwards"),
    [
        (image(), False),
        (image(frame=STAGE.of("scan.ibw")), True),
        (image(frame=STAGE, pose=fusion.Affine.rotation(180.0, axis=(1.0, 0.0, 0.0))), True),
        (image(frame=STAGE, pose=OVER), False),
        (image(frame=STAGE, direction="down"), False),
        (image(direction="up"), True),
    ],
    ids=["image", "scan", "scan turned by half", "electron microscope", "light microscope", "said so"],
)
def test_which_way_y_points_is_one_rule(ds, upwards):
    assert y_upwards(ds) is upwards
    panel = volumes.plot(ds).axes[0]
    assert bool(panel.yaxis_inverted()) is not upwards
    values = np.zeros((4, 6))
    values[0, 0] = 1.0  # the first row is at y = 0, wherever that is on the screen
    marked = ds.assign(image=ds["image"].copy(data=values))
    figure = volumes.plot(marked, axes=False, scale_bar=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int).sum(axis=-1)
    box = figure.axes[0].get_window_extent()
    inside = pixels[int(900 - box.y1) + 3 : int(900 - box.y0) - 3, int(box.x0) + 3 : int(box.x1) - 3]
    rows, columns = np.nonzero(inside > 700)
    assert bool(rows.mean() > inside.shape[0] / 2) is upwards
    assert columns.mean() < inside.shape[1] / 2


def test_an_image_on_the_stage_is_drawn_in_its_own_axes(tmp_path):
    far = image(frame="stage", pose=fusion.Affine.translation(x=-8250.0) @ OVER)
    left, right = volumes.plot(far).axes[0].get_xlim()
    assert (left, right) == (-0.25, 2.75)
    assert not volumes.picture(far, tmp_path / "own.png").rendered
    with pytest.raises(DataError, match="three dimensions"):
        volumes.plot(far, in_frame=True)


class TestOver:
    def test_a_map_over_a_photograph_shows_both(self):
        """Two channels of the photograph used to be drawn instead, in false colour."""
        values = np.zeros((4, 6, 2))
        values[2, 3, 1] = 5.0
        over = components(values, [0, 1]).assign(explained=("component", [0.6, 0.3]))
        ds = photograph().assign(abundance=components(values, [0, 1])["abundance"])
        for drawn in (chosen(ds, Options(variable="photo", components=[0, 1])),
                      chosen(*_with(photograph(), over))):  # fmt: skip
            assert [layer.role for layer in drawn.behind] == ["photograph"] * 3
            assert [layer.name for layer in drawn.layers] == ["component 0", "component 1"]
            rgba = mixing.mixed(drawn.all_layers(alpha=0.5))
            assert rgba[2, 3, 2] > rgba[2, 3, 0]  # sky blue, the colour of component 1
            assert rgba[0, 0, 0] > rgba[0, 0, 1] == rgba[0, 0, 2] == 0  # the red of the photograph shows through

    def test_a_channel_of_a_photograph_can_still_be_named(self):
        drawn = chosen(photograph(), Options(variable="photo", components=["R"]))
        assert (drawn.behind, [layer.name for layer in drawn.layers]) == ([], ["R"])

    def test_counts_and_points_lie_over_an_image(self):
        base = image(np.random.default_rng(0).random((4, 6)), frame="stage")
        figure = volumes.plot(base, overlay=image(np.eye(4, 6), name="counts", method="sum", frame="stage"))
        assert any("counts" in text.get_text() for text in figure.texts)
        points = fusion.dataset({"photons": ("point", [1.0, 2.0])}, {"y": fusion.Axis("um", values=[1.0, 2.0]),
                                "x": fusion.Axis("um", values=[0.5, 1.5])}, name="spots", frame="stage")  # fmt: skip
        (drawn,) = volumes.plot(base, overlay=points).axes[0].collections
        np.testing.assert_allclose(drawn.get_offsets(), [[0.5, 1.0], [1.5, 2.0]])
        assert any("spots  2 points" in text.get_text() for text in volumes.plot(base, overlay=points).texts)

    def test_contours_leave_the_image_as_it_is(self):
        values = np.zeros((4, 6, 1))
        values[1:3, 2:4, 0] = 1.0
        base = image(np.random.default_rng(0).random((4, 6)), frame="stage")
        figure = volumes.plot(base, overlay=components(values, ["iron"]), contours=True)
        panel = figure.axes[0]
        assert len(panel.collections) == 1
        behind = chosen(base, Options(variable="image", components=["image"])).behind
        np.testing.assert_array_equal(panel.get_images()[0].get_array()[..., :3], mixing.mixed(behind)[..., :3])

    def test_frames_that_have_nothing_in_common_are_refused(self):
        with pytest.raises(fusion.FrameError, match="share no frame"):
            volumes.plot(image(frame="stage"), overlay=components(np.ones((4, 6, 1)), ["a"], frame="other"))

    def test_particles_are_the_circles_in_which_the_plane_cuts_them(self):
        axes = {dim: fusion.Axis("um", 1.0) for dim in "zyx"}
        volume = fusion.dataset({"image": (("z", "y", "x"), np.ones((5, 4, 6)))}, axes, name="v", cell_methods="mean",
                                frame="stage")  # fmt: skip
        at = {"z": [2.0, 2.6, 4.0], "y": [1.0, 1.5, 3.0], "x": [1.0, 3.0, 2.0]}
        where = {dim: fusion.Axis("um", values=values) for dim, values in at.items()}
        radius = {"radius": ("point", [0.5, 1.0, 1.0], {"units": "um"})}
        over = fusion.dataset(radius, where, name="balls", frame="stage")
        circles = volumes.plot(volume, overlay=over).axes[0].patches
        np.testing.assert_allclose([circle.radius for circle in circles], [0.5, 0.8, 0.0])
        np.testing.assert_allclose([circle.center for circle in circles], [[1.0, 1.0], [3.0, 1.5], [2.0, 3.0]])


class TestFade:
    def test_a_colour_fades_by_its_standard_error(self):
        values, errors = np.full((4, 6, 1), 2.0), np.full((4, 6, 1), 2.0)
        errors[0], errors[1], errors[2] = 0.0, np.inf, np.nan
        over = components(values, ["iron"])
        amount = over["abundance"]
        error = amount.copy(data=errors)
        over = over.assign(
            abundance=amount.assign_attrs(ancillary_variables="abundance_stderr"), abundance_stderr=error
        )
        expected = np.broadcast_to([[2.0], [0.0], [np.nan], [1.0]], (4, 6))
        (layer,) = chosen(over, Options(fade=True)).layers
        np.testing.assert_array_equal(layer.values, expected)
        below = image(np.ones((4, 6)), name="abundance", frame="stage")
        ds, options = _with(below, over)
        (layer,) = chosen(ds, replace(options, fade=True)).layers
        np.testing.assert_array_equal(layer.values, expected)

    def test_without_an_error_nothing_fades(self):
        with pytest.raises(DataError, match="it has none; leave out fade="):
            chosen(components(np.ones((4, 6, 1)), ["a"]), Options(fade=True))
        with pytest.raises(DataError, match="components="):
            chosen(image(), Options(fade=True))


def _with(ds, over):
    from volumes.drawing.overlay import with_overlay

    ds, options, _ = with_overlay(ds, Options(overlay=over))
    return ds, options


class TestHonesty:
    def test_a_component_keeps_its_colour(self):
        ds = components(np.random.default_rng(0).random((4, 6, 4)), [0, 1, 2, 3])
        alone = layers.layers(ds, None, [2], None)
        together = layers.layers(ds, None, None, None)
        assert alone[0].color == together[2].color == color(2) == PALETTE[2]

    def test_zero_everywhere_draws_nothing_and_a_constant_is_drawn(self):
        values = np.zeros((4, 6, 2))
        values[..., 1] = 3.0
        drawn = layers.layers(components(values, ["none", "all"]), None, None, None)
        assert not mixing.mixed(drawn[:1]).any()
        assert bytes(mixing.mixed(drawn[1:])[0, 0, :3]).hex() == PALETTE[1][1:]
        lines = [text for text, _ in legend.of_layers(drawn, "white")]
        assert lines == ["none  0 count everywhere", "all  3 count everywhere"]

    def test_a_constant_image_says_so(self):
        figure = volumes.plot(image(np.full((4, 6), 7.0)))
        assert "image  7 everywhere" in [text.get_text() for text in figure.texts]

    def test_components_without_a_colour_are_counted(self):
        figure = volumes.plot(components(np.random.default_rng(0).random((4, 6, 8)), list("abcdefgh")))
        assert "2 further components not drawn; name them" in [text.get_text() for text in figure.texts]

    def test_labels_are_not_cut_off(self):
        name = "a long name of a variable " * 6
        figure = volumes.plot(image(np.random.default_rng(0).random((4, 6))).assign_attrs(title=name),
                              window_size=(500, 400))  # fmt: skip
        FigureCanvasAgg(figure).draw()
        for text in [*figure.texts, *(axis.label for panel in figure.axes for axis in (panel.xaxis, panel.yaxis))]:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= 500
            assert box.y0 >= 0
            assert box.y1 <= 400


@pytest.mark.parametrize(("suffix", "begins"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_vector_drawings(tmp_path, suffix, begins):
    written = volumes.picture(image(np.eye(4, 6)), tmp_path / f"image.{suffix}")
    assert written.path.read_bytes().startswith(begins)
    assert (written.rendered, written.note) == (False, "")


def test_axes_of_the_user():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert volumes.plot(image(np.eye(4, 6)), ax=left) is figure
    volumes.plot(components(np.random.default_rng(0).random((4, 6, 2)), ["iron", "oxygen"]), ax=right)
    assert left.get_title() == "image"
    assert [text.get_text().split()[0] for text in right.get_legend().get_texts()] == ["iron", "oxygen"]
    cube = fusion.dataset({"v": (("z", "y", "x"), np.zeros((3, 3, 3)))}, {d: fusion.Axis("um", 1.0) for d in "zyx"},
                          name="v", cell_methods="mean")  # fmt: skip
    with pytest.raises(DataError, match="take a plane"):
        volumes.plot(cube, ax=left)


def test_the_photograph_of_a_raman_microscope_is_not_mirrored(measured):
    """It is drawn as a viewer of pictures shows the JPEG that the file holds."""
    path = measured("raman/renishaw_test_streamline.wdf")
    data = path.read_bytes()
    jpeg = Image.open(BytesIO(data[data.find(b"\xff\xd8\xff") :])).convert("L")
    figure = volumes.plot(spectra.open(path, name="white light"), axes=False, scale_bar=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.axes[0].get_window_extent()
    rows, columns = slice(int(900 - box.y1) + 1, int(900 - box.y0) - 1), slice(int(box.x0) + 1, int(box.x1) - 1)
    drawn = np.asarray(canvas.buffer_rgba())[rows, columns, :3].mean(axis=-1)
    original = np.asarray(jpeg.resize(drawn.shape[::-1])).astype(float)
    upright, mirrored = (np.corrcoef(one.ravel(), drawn.ravel())[0, 1] for one in (original, original[::-1]))
    assert upright > 0.9 > 0.5 > mirrored
