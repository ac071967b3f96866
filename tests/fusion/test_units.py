"""Units: every spelling seen in real files, against pint and against numbers known by heart."""

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion import units
from fusion.errors import UnitError

REGISTRY = pint.UnitRegistry()


def test_a_micro_sign_in_latin_1_is_read():
    assert units.parse(b"\xb5m".decode("utf-8", "surrogateescape")) == "um"
    with pytest.raises(UnitError, match="unknown unit 'ÿþ'"):
        units.parse(b"\xff\xfe".decode("utf-8", "surrogateescape"))


LENGTHS = ["nm", "um", "mm", "cm", "m", "pm", "angstrom", "inch"]
ENERGIES = ["eV", "keV", "MeV", "meV", "J"]
WAVENUMBERS = ["1/cm", "1/nm", "1/m", "1/um"]
OTHERS = ["degree", "radian", "s", "ms", "1", "count", "V", "mV", "A", "nA", "K", "uM", "mM"]
FAMILIES = [LENGTHS, ENERGIES, WAVENUMBERS, ["s", "ms", "us", "h"], ["V", "mV"], ["A", "nA"], ["uM", "mM", "nM"]]
PIXELS = ["px", "pixel", "pixels", "Pixel", "PX", "pix", " px "]

related = st.sampled_from(FAMILIES).flatmap(lambda family: st.tuples(st.sampled_from(family), st.sampled_from(family)))
every_unit = st.sampled_from([*LENGTHS, *ENERGIES, *WAVENUMBERS, *OTHERS])


@pytest.mark.parametrize(
    ("spelling", "meaning"),
    [
        ("\u00b5m", "um"), ("\u03bcm", "um"), ("um", "um"), ("micron", "um"), ("Microns", "um"), ("micrometre", "um"),
        ("micrometer", "um"), (" um ", "um"), ("nm", "nm"), ("mm", "mm"), ("\u00c5", "angstrom"),
        ("\u212b", "angstrom"), ("A\u030a", "angstrom"), ("Angstrom", "angstrom"), ("angstroms", "angstrom"),
        ("cm-1", "1/cm"), ("1/cm", "1/cm"), ("cm\u207b\u00b9", "1/cm"), ("cm^-1", "1/cm"), ("cm**-1", "1/cm"),
        ("nm-1", "1/nm"), ("\u00b5m-1", "1/um"), ("1/\u03bcm", "1/um"), ("1/nm", "1/nm"),
        ("keV", "keV"), ("KeV", "keV"), ("KEV", "keV"), ("eV", "eV"), ("ev", "eV"),
        ("", "1"), (" ", "1"), ("1", "1"), ("a.u.", "1"), ("Arbitrary units", "1"), ("dimensionless", "1"),
        ("counts", "count"), ("Counts", "count"), ("cts", "count"),
        ("deg", "degree"), ("\u00b0", "degree"), ("degrees", "degree"),
        *((pixel, "px") for pixel in PIXELS),
    ],
)  # fmt: skip
def test_spellings_of_real_files_are_understood(spelling: str, meaning: str) -> None:
    assert units.parse(spelling) == meaning


@pytest.mark.parametrize("spelling", ["\u00c5-1", "\u00c5\u207b\u00b9", "1/\u00c5", "\u212b^-1", "A\u030a-1"])
def test_reciprocal_angstroms_are_ten_per_nanometre(spelling: str) -> None:
    assert units.convert_factor(spelling, "1/nm") == pytest.approx(10.0, rel=1e-14)


@pytest.mark.parametrize("nothing", [None, 3, b"um", ["um"]])
def test_a_missing_unit_is_refused_and_not_guessed(nothing: object) -> None:
    with pytest.raises(UnitError, match="no unit given"):
        units.parse(nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("nonsense", ["furlongs per what", "nmm", "?", "seconds since 2020-01-01", "1/"])
def test_unknown_units_are_refused_with_what_was_received(nonsense: str) -> None:
    with pytest.raises(UnitError) as caught:
        units.parse(nonsense)
    assert repr(nonsense) in str(caught.value)


@pytest.mark.parametrize(
    ("unit", "to", "factor"),
    [
        ("nm", "um", 1e-3), ("\u00c5", "um", 1e-4), ("\u212b", "nm", 0.1), ("mm", "um", 1e3), ("m", "um", 1e6),
        ("eV", "keV", 1e-3), ("1/cm", "1/m", 100.0), ("degree", "radian", 0.017453292519943295), ("", "1", 1.0),
        ("inch", "um", 25400.0), ("pm", "um", 1e-6), ("cm\u207b\u00b9", "1/nm", 1e-7), ("Mm", "um", 1e12),
    ],
)  # fmt: skip
def test_factors_known_by_heart_are_exact_decimals(unit: str, to: str, factor: float) -> None:
    assert units.convert_factor(unit, to) == factor


@given(related)
def test_there_and_back_is_one_and_agrees_with_pint(pair: tuple[str, str]) -> None:
    unit, to = pair
    assert units.convert_factor(unit, to) * units.convert_factor(to, unit) == pytest.approx(1.0, rel=1e-13)
    assert units.convert_factor(unit, to) == pytest.approx(REGISTRY.Quantity(1.0, unit).to(to).magnitude, rel=1e-12)


@given(every_unit, every_unit)
def test_units_are_compatible_exactly_where_pint_says_so(unit: str, to: str) -> None:
    first, second = (REGISTRY.Unit("dimensionless" if name == "1" else name) for name in (unit, to))
    assert units.is_compatible(unit, to) == first.is_compatible_with(second)


@given(every_unit)
def test_parsing_twice_changes_nothing(unit: str) -> None:
    assert units.parse(units.parse(unit)) == units.parse(unit)


@given(st.sampled_from(PIXELS), every_unit)
def test_a_pixel_never_becomes_anything_else(pixel: str, unit: str) -> None:
    assert not units.is_compatible(pixel, unit)
    assert not units.is_compatible(unit, pixel)
    for pair in ((pixel, unit), (unit, pixel)):
        with pytest.raises(UnitError, match="pixel"):
            units.convert_factor(*pair)


def test_pint_alone_would_take_a_pixel_for_a_length() -> None:
    assert REGISTRY.Quantity(1.0, "px").to("um").magnitude == pytest.approx(264.583, rel=1e-5)


@pytest.mark.parametrize(("unit", "to"), [("1/px", "1/um"), ("px-1", "1/nm"), ("px^2", "um^2"), ("um/px", "1")])
def test_a_pixel_within_a_composite_unit_is_no_length_either(unit: str, to: str) -> None:
    assert not units.is_compatible(unit, to)
    with pytest.raises(UnitError):
        units.convert_factor(unit, to)


def test_pixels_convert_to_pixels() -> None:
    assert units.convert_factor("pixels", "px") == 1.0
    assert units.is_compatible("pix", "Pixels")


def test_a_is_an_ampere_and_says_how_to_write_the_length() -> None:
    assert units.convert_factor("A", "mA") == 1000.0
    with pytest.raises(UnitError, match=r"ampere.*Å"):
        units.convert_factor("A", "um")


@pytest.mark.parametrize(("molar", "length"), [("uM", "um"), ("\u00b5M", "um"), ("nM", "nm"), ("mM", "mm")])
def test_a_concentration_is_not_read_as_a_length(molar: str, length: str) -> None:
    assert not units.is_compatible(molar, length)
    assert units.convert_factor(molar, "mol/m^3") > 0


@pytest.mark.parametrize(("unit", "to"), [("degC", "K"), ("K", "degC"), ("degF", "degC")])
def test_a_scale_with_another_zero_has_no_factor(unit: str, to: str) -> None:
    assert not units.is_compatible(unit, to)
    with pytest.raises(UnitError):
        units.convert_factor(unit, to)


@pytest.mark.parametrize(("unit", "to"), [("eV", "nm"), ("nm", "1/cm"), ("s", "um"), ("1", "um"), ("degree", "um")])
def test_different_kinds_are_refused_with_both_units_named(unit: str, to: str) -> None:
    with pytest.raises(UnitError, match=rf"{unit}.*{to}"):
        units.convert_factor(unit, to)
