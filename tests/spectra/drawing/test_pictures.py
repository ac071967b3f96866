"""Pictures: what is drawn is what was found, and labels can be read."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

import fusion
import spectra
from fusion import Axis
from fusion.errors import ConventionError, DataError
from fusion.reading.stage import STAGE

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"


@pytest.fixture
def found():
    """Two components on unequal axes, with an error that is infinite at one place each."""
    rng = np.random.default_rng(1)
    values = rng.uniform(0.0, 9.0, (3, 4, 2))
    spectra_, error = rng.uniform(0.0, 1.0, (2, 6)), np.full((2, 6), 0.1)
    error[0, 2] = np.inf
    spread = np.ones((3, 4, 2))
    spread[1, 2, 0] = np.inf
    linked = {"ancillary_variables": "abundance_stderr", "units": "count"}
    return fusion.dataset(
        {
            "abundance": (("y", "x", "component"), values, linked),
            "abundance_stderr": (("y", "x", "component"), spread, {"units": "count"}),
            "endmember": (("component", "energy"), spectra_, {"ancillary_variables": "endmember_stderr"}),
            "endmember_stderr": (("component", "energy"), error),
        },
        {"y": Axis("um", 2.0), "x": Axis("um", 0.5), "component": [0, 1], "energy": Axis("keV", 1.0)},
        name="map", cell_methods="mean",
    )  # fmt: skip


def test_numbers_drawn_are_those_found(found):
    axes = spectra.plot(found).axes
    rows = [axes[0:3], axes[3:6]]
    for row, (spectrum, map_, error) in enumerate(rows):
        np.testing.assert_array_equal(spectrum.lines[0].get_ydata(), found["endmember"][row])
        np.testing.assert_array_equal(map_.collections[0].get_array(), found["abundance"][..., row])
        drawn = error.collections[0].get_array()
        np.testing.assert_array_equal(np.ma.getmaskarray(drawn), np.isinf(found["abundance_stderr"][..., row]))
        assert (map_.get_xlim(), map_.get_ylim()) == ((-0.25, 1.75), (5.0, -1.0))
        assert map_.get_aspect() == 1.0


def test_y_runs_up_on_a_stage(found):
    placed = fusion.set_pose(found, fusion.Affine(np.eye(4)), STAGE.of("a file"))
    assert spectra.plot(placed).axes[1].get_ylim() == (-1.0, 5.0)


def test_labels_do_not_overlap_nor_leave_the_figure(found):
    crowd = {
        f"Fe_{shell}": at for shell, at in zip(("Ka", "Kb", "La", "Lb1", "Ma"), np.linspace(4.9, 5.0, 5), strict=True)
    }
    figure = spectra.plot(found, peaks={"C_Ka": 0.0, "O_Ka": 0.01, **crowd}, names=["one", "another"])
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    # Text's own, as that of an annotation takes in the line to its place
    boxes = sorted((Text.get_window_extent(text) for text in figure.axes[0].texts[:-1]), key=lambda box: box.x0)
    assert len(boxes) == 7
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))
    assert boxes[0].x0 >= 0
    assert max(box.y1 for box in boxes) <= figure.bbox.y1


def test_of_a_peak_the_nearest_candidate_is_marked_in_its_own_endmember(found):
    line = spectra.Candidate(1, 2.0, 1.0, "S_Ka", 0.3), spectra.Candidate(1, 2.0, 1.0, "Pb_Ma", -0.1)
    figure = spectra.plot(found, peaks=line)
    assert figure.axes[0].texts[0].get_text() == "Pb Mα"
    guides = [
        [path.vertices[0, 0] for path in axes.collections[-1].get_paths()] for axes in (figure.axes[0], figure.axes[3])
    ]
    assert guides == [[], [pytest.approx(1.9)]]


def test_refused(found):
    with pytest.raises(ConventionError, match=r"spectra\.decompose"):
        spectra.plot(found.drop_vars("endmember"))
    with pytest.raises(DataError, match="1 names for 2 components"):
        spectra.plot(found, names=["one"])


def test_infinite_errors_stay_infinite_when_fused(found):
    grid = fusion.dataset({"v": (("z", "y", "x"), np.ones((2, 5, 4)))},
                          {"z": Axis("um", 1.0), "y": Axis("um", 1.0), "x": Axis("um", 0.5)},
                          name="volume", cell_methods="mean")  # fmt: skip
    exact = found.assign(endmember=found["endmember"].copy(data=np.eye(2, 6)))
    moved = fusion.fuse(exact, grid, transform=fusion.Affine(np.eye(4)), depth=1.0)
    error = moved["abundance_stderr"].isel(z=0)
    assert not error.isnull().any()
    assert np.isinf(error[:, :, 0]).any()
    assert not np.isinf(error[:, :, 1]).any()
    spectrum = fusion.spectrum(moved, z=0.0, y=2.0, x=1.0)
    assert spectrum["spectrum_stderr"].values.tolist() == [np.inf, 1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_plain_python_without_outputs(notebook):
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert cells
    for cell in cells:
        compile("".join(cell["source"]), notebook.name, "exec")
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


def test_components_are_named_by_their_elements():
    energy = 0.01 * np.arange(30, 1000)
    pure = [np.exp(-0.5 * ((energy - at) / (0.0425 * (at / 1.74) ** 0.22)) ** 2) for at in (1.7397, 6.4039)]
    pure[1] = pure[1] + 0.127 * np.exp(-0.5 * ((energy - 7.058) / 0.0595) ** 2)
    header = {"Acquisition_instrument": {"SEM": {"Detector": {"EDS": {"energy_resolution_MnKa": 130.0}}}}}
    made = fusion.dataset(
        {
            "abundance": (("y", "x", "component"), np.full((2, 2, 2), 5e3), {"units": "count"}),
            "endmember": (("component", "energy"), np.array([one / one.sum() for one in pure])),
        },
        {"y": Axis("um", 1.0), "x": Axis("um", 1.0), "component": [0, 1], "energy": Axis("keV", values=energy)},
        name="map", cell_methods="sum", attrs={"beam_energy": 20.0, "metadata": json.dumps(header)},
    )  # fmt: skip
    figure = spectra.plot(made)
    assert [figure.axes[row].texts[-1].get_text() for row in (0, 2)] == ["Si", "Fe"]
