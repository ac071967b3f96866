"""The table of techniques: every figure has a source, every word finds its row, pairs go together as in the lab."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fusion
from conspectus import cli
from conspectus.pages import techniques as page
from fusion import compatible
from fusion.conventions import SIGNAL
from fusion.display import length
from fusion.techniques.catalogue import HARM, NEEDS, PROBES, Quantity, Technique, find, one, references, table
from fusion.techniques.chart import chart
from fusion.techniques.compatibility import rank
from spectra import attributes

ROOT = Path(__file__).parents[3]
ROWS = list(table().values())
QUANTITIES = ("lateral", "axial", "field", "depth")
ELECTRON_IMAGES = {"TEM", "SEM", "environmental SEM", "cryo-EM"}
row = st.sampled_from(ROWS)
sizes = st.floats(1e-5, 1e5)


@pytest.mark.parametrize("technique", ROWS, ids=lambda technique: technique.name)
def test_every_figure_is_ordered_and_has_a_source(technique: Technique) -> None:
    for key in QUANTITIES:
        quantity = getattr(technique, key)
        if quantity is not None:
            assert 0 < quantity.low <= quantity.high
            assert quantity.sources
    assert set(technique.sources) <= set(references())
    assert technique.lateral is not None
    if technique.field:
        assert technique.lateral.low < technique.field.high


@pytest.mark.parametrize("technique", ROWS, ids=lambda technique: technique.name)
def test_every_entry_is_one_of_the_known_words(technique: Technique) -> None:
    assert technique.probe in PROBES
    assert technique.dimensions in {"surface", "2-D", "3-D"}
    assert set(technique.environment) <= {"vacuum", "low vacuum", "ambient", "liquid"}
    assert technique.environment
    assert set(technique.needs) <= set(NEEDS)
    assert technique.signal in {"", *SIGNAL}
    assert 0 <= technique.harm < len(HARM)
    assert technique.contrast
    assert technique.damage


def test_every_source_is_used_once_at_least_and_says_where_it_was_printed() -> None:
    used = {key for technique in ROWS for key in technique.sources} | set(page._PRACTICE)
    assert used == set(references())
    for key, reference in references().items():
        year = re.search(r"(19|20)\d\d$", key)
        assert year is not None
        assert year.group() in reference.text
        assert re.fullmatch(r"(10\.\d{4,}/\S+)?", reference.doi)


def test_no_name_stands_for_two_techniques() -> None:
    names = [re.sub(r"[\W_]", "", name.casefold()) for row in ROWS for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["widefield fluorescence", "confocal", "RICM", "Raman"])
def test_what_diffraction_limits_does_not_beat_it(name: str) -> None:
    """Abbe: wavelength / (2 NA), of violet light and an oil lens."""
    assert table()[name].lateral.low >= 0.4 / (2 * 1.49)  # type: ignore[union-attr]


def test_scales_are_those_of_physics() -> None:
    lateral = {row.name: row.lateral.low for row in ROWS if row.lateral}
    assert lateral["TEM"] < lateral["SEM"] < lateral["SEM-EDX"] < lateral["confocal"]
    assert lateral["SMLM"] < lateral["STED"] < lateral["confocal"]
    assert lateral["AFM tapping"] < lateral["SECM"] < lateral["SECCM"]
    assert table()["RICM"].axial.high < table()["SMLM"].axial.low < table()["confocal"].axial.low  # type: ignore[union-attr]


def test_harm_orders() -> None:
    light, electrons = ({row.harm for row in ROWS if row.probe == probe} for probe in ("light", "electrons"))
    assert max(light) < min(electrons)
    assert max(light) < table()["XRF"].harm < min(electrons)
    assert [row.name for row in ROWS if row.destroys] == ["FIB-SEM"]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("EDX", {"SEM-EDX", "STEM-EDX"}), ("EELS", {"EELS"}), ("Raman", {"Raman"}), ("CL", {"cathodoluminescence"}),
        ("SEM", {"SEM"}), ("AFM", {"AFM contact", "AFM tapping"}), ("SMLM", {"SMLM"}), ("confocal", {"confocal"}),
        ("XRF", {"XRF"}), ("XANES", {"XANES"}), ("SECM", {"SECM"}), ("SECCM", {"SECCM"}), ("fib sem", {"FIB-SEM"}),
        ("cryo-em", {"cryo-EM"}), ("4D electron microscopy", {"ultrafast EM"}), ("PALM/STORM", {"SMLM"}),
        ("EDX (STEM)", {"STEM-EDX"}), ("tilt series", {"electron tomography"}),
    ],
)  # fmt: skip
def test_words_of_readers_find_their_rows(word: str, names: set[str]) -> None:
    assert {technique.name for technique in find(word)} == names


def test_what_the_spectral_readers_say_is_understood() -> None:
    said = {*attributes._TECHNIQUES.values(), *attributes._BY_DIM.values(), "image"}
    for word in ("mass spectrometry", "WDS"):
        with pytest.raises(fusion.DataError, match="is known, but the table has no figures"):
            find(word)
    for word in said - {"mass spectrometry", "WDS"}:
        assert find(word), word
    images = {technique.name for technique in find("image")}
    assert {*ELECTRON_IMAGES, "widefield fluorescence", "AFM tapping"} <= images
    assert not images & {"Raman", "EELS", "STEM-EDX"}


@pytest.mark.parametrize(
    ("word", "said"),
    [("confocl", "'confocal'"), ("SECMM", "'SECM'"), ("zzz", "there are 'widefield"), ("", "there are")],
)
def test_a_wrong_name_lists_what_is_near(word: str, said: str) -> None:
    with pytest.raises(fusion.DataError, match=re.escape(said)) as caught:
        one(word)
    assert repr(word) in str(caught.value)


@pytest.mark.parametrize("word", [None, 3, ["SEM"]])
def test_what_is_no_text_is_refused(word: object) -> None:
    with pytest.raises(fusion.DataError, match="is no technique"):
        find(word)  # type: ignore[arg-type]


def test_a_word_of_two_meanings_is_not_guessed() -> None:
    with pytest.raises(fusion.DataError, match="'AFM contact', 'AFM tapping'; say which"):
        compatible("AFM", "confocal")


# first, second, and what must be said: the order in which they go, or why they do not
PAIRS = [
    ("AFM tapping", "confocal", ["confocal", "AFM tapping"], ["surface"]),
    ("cryo-EM", "widefield", ["widefield fluorescence", "cryo-EM"], ["not at one time", "film"]),
    ("SEM", "SECM", ["SECM", "SEM"], ["not at one time: SECM works in liquid, SEM in vacuum", "coat for SEM"]),
    ("SEM", "confocal", ["confocal", "SEM"], ["quench"]),
    ("FIB-SEM", "SEM-EDX", ["SEM-EDX", "FIB-SEM"], ["comes last"]),
    ("FIB-SEM", "SMLM", ["SMLM", "FIB-SEM"], ["comes last", "quench"]),
    ("STEM-EDX", "TEM", ["TEM", "STEM-EDX"], ["sees what TEM has done"]),
    ("TEM", "confocal", ["confocal", "TEM"], ["only the thin section"]),
    ("Raman", "SEM", ["Raman", "SEM"], ["coat for SEM only after Raman"]),
    ("Raman", "confocal", ["Raman", "confocal"], ["drowns Raman"]),
    ("SECCM", "electron tomography", ["SECCM", "electron tomography"], ["footprint", "5 resolved points"]),
    ("XRF", "XANES", ["XANES", "XRF"], ["sees what XANES has done"]),
    ("SEM", "environmental SEM", ["environmental SEM", "SEM"], ["not at one time"]),
]
IMPOSSIBLE = [
    ("TEM", "FIB-SEM", "section cut out of the block"),
    ("FIB-SEM", "EELS", "section cut out of the block"),
    ("FIB-SEM", "FIB-SEM", "leave nothing"),
    ("cryo-EM", "SECM", "ice on a grid"),
]


@pytest.mark.parametrize(("first", "second", "order", "reasons"), PAIRS, ids=[f"{a}, {b}" for a, b, *_ in PAIRS])
def test_pairs_go_together_as_in_the_lab(first: str, second: str, order: list[str], reasons: list[str]) -> None:
    answer = compatible(first, second)
    assert answer
    assert list(answer.order) == order
    for reason in reasons:
        assert any(reason in said for said in answer.reasons), answer


@pytest.mark.parametrize(("first", "second", "reason"), IMPOSSIBLE)
def test_what_cannot_be_says_why(first: str, second: str, reason: str) -> None:
    answer = compatible(first, second)
    assert not answer
    assert answer.order == ()
    assert reason in answer.reasons[0]
    assert repr(answer).startswith("not possible\n- ")


def test_a_cryo_specimen_is_not_stained() -> None:
    assert not any("quench" in reason for reason in compatible("confocal", "cryo-EM").reasons)


@given(row, row)
def test_the_order_of_the_names_does_not_matter(a: Technique, b: Technique) -> None:
    answer = compatible(a, b)
    assert answer == compatible(b.name, a.name)
    assert answer.possible == bool(answer.order)
    assert answer.possible or answer.reasons
    assert sorted(answer.order) in ([], sorted([a.name, b.name]))
    assert len(repr(answer).splitlines()) == 1 + len(answer.reasons)


@given(row, row, row)
def test_the_orders_of_pairs_fit_together(a: Technique, b: Technique, c: Technique) -> None:
    """What comes before something that comes before a third comes before the third."""
    chain = sorted((a, b, c), key=rank)
    for first, second in [*pairwise(chain), (chain[0], chain[2])]:
        answer = compatible(first, second)
        assert not answer or answer.order == (first.name, second.name)
        assert first.destroys <= second.destroys


@given(sizes, sizes, sizes, sizes)
def test_lengths_that_share_nothing_forbid_a_pair(fine: float, wide: float, coarse: float, far: float) -> None:
    def sized(name: str, low: float, high: float) -> Technique:
        low, high = sorted((low, high))
        quantities = {"lateral": Quantity(low, low, ("x",)), "field": Quantity(high, high, ("x",))}
        return replace(table()["Raman"], name=name, **quantities)  # type: ignore[arg-type]

    a, b = sized("a", fine, wide), sized("b", coarse, far)
    apart = max(fine, wide) < min(coarse, far) or max(coarse, far) < min(fine, wide)
    answer = compatible(a, b)
    assert bool(answer) == (not apart)
    assert not apart or "is smaller than the finest" in answer.reasons[0]


def test_what_is_not_known_forbids_nothing() -> None:
    blank = replace(table()["Raman"], name="new", lateral=None, field=None, axial=None, depth=None)
    assert compatible(blank, "SEM").order == ("new", "SEM")


def test_the_chart_shows_what_the_table_says(tmp_path: Path) -> None:
    figure = chart(tmp_path / "chart.png")
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [technique.name for technique in ROWS]
    places = dict(zip([label.get_text() for label in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    for technique in ROWS:
        bars = [bar for bar in ax.patches if abs(bar.get_y() + bar.get_height() / 2 - places[technique.name]) < 1e-9]
        assert technique.lateral is not None
        assert min(bar.get_x() for bar in bars) == technique.lateral.low
        end = (technique.field or technique.lateral).high
        assert max(bar.get_x() + bar.get_width() for bar in bars) == pytest.approx(end, rel=0.2)
        assert ax.get_xlim()[0] < technique.lateral.low <= end < ax.get_xlim()[1]
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_the_labels_of_the_chart_do_not_touch() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = chart()
    FigureCanvasAgg(figure).draw()
    ax = figure.axes[0]
    boxes = [text.get_window_extent() for text in [*ax.get_yticklabels(), *ax.get_xticklabels(), *ax.texts]]
    inside = figure.bbox
    for index, box in enumerate(boxes):
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_the_committed_page_is_what_the_command_writes(tmp_path: Path) -> None:
    assert cli.main(["techniques", "--page", str(tmp_path / "techniques.md")]) == 0
    written = (tmp_path / "techniques.md").read_text(encoding="utf-8")
    again = "run: conspectus techniques --page docs/techniques.md"
    assert written == (ROOT / "docs" / "techniques.md").read_text(encoding="utf-8"), again
    assert (tmp_path / "techniques.png").stat().st_size > 10_000
    assert (ROOT / "docs" / "techniques.png").is_file()


def test_the_page_cites_what_it_lists() -> None:
    text = page.markdown("x.png")
    listed = set(re.findall(r'<a id="(\d+)">', text))
    assert set(re.findall(r"\]\(#(\d+)\)", text)) == listed
    assert len(listed) == len(references())
    for line in text.splitlines():
        assert not line.startswith("|") or line.count("|") in {3, 6, 7}, line


def test_the_command_prints_the_table_and_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["techniques"]) == 0
    printed = capsys.readouterr().out
    assert "SECCM" in printed
    assert cli.main(["techniques", "sem", "secm"]) == 0
    assert capsys.readouterr().out.startswith("possible: SECM, then SEM\n- ")


def test_a_word_of_several_techniques_is_answered_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["techniques", "SEM", "AFM"]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if "possible" in line]
    assert heads == [f"SEM and {name}: possible: {name}, then SEM" for name in ("AFM contact", "AFM tapping")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["SEM"], "name two techniques"), (["SEM", "confocl"], "'confocal'"), (["--page", "page.txt"], "ends in .md")],
)
def test_the_command_refuses(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["techniques", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("um", "text"), [(1e-4, "0.1 nm"), (0.999, "999 nm"), (1.0, "1 µm"), (1e3, "1 mm"), (1e5, "10 cm")]
)
def test_lengths_read_well(um: float, text: str) -> None:
    assert length(um) == text
