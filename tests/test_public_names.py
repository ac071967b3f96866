"""Names that scripts of users rely on stay where they are."""

import importlib
import inspect

import pytest

NAMES = {
    "fusion": """
        Affine Axis ConspectusError ConventionError DataError FileReadError FrameError Registration Response Warp
        read_landmarks read_transform write_landmarks write_transform from_napari to_napari PointRegistration
        RegistrationError StoreError StrayCountsWarning TruncatedFileWarning UnitError backproject between check
        compatible dataset fuse get_pose limits load locate phantom project register_landmarks register_points resample
        save set_pixel_size set_pose spectrum window
    """,
    "spectra": """
        Candidate Content Element Method band_map baseline bootstrap calibrate clean cleaning_steps clip cluster
        contents count_components crop decompose decompose_jointly despike faulty_channels fill_channels
        find_elements fit_lines from_hyperspy identify learning_results line_map mask_channels normalise open
        plot quantify region scree similarities smooth stability to_hyperspy unmix
    """,
    "volumes": """
        Content Orientation Picture contents density from_pyvista height_from_interference open orient picture
        render shift_between to_pyvista
    """,
}
"""Every public name of version 0.1; names may be added, none may go."""


@pytest.mark.parametrize("package", NAMES)
def test_every_public_name_is_as_before(package: str) -> None:
    module = importlib.import_module(package)
    assert set(NAMES[package].split()) <= set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", NAMES)
def test_a_public_name_is_a_function_a_class_or_a_type(package: str) -> None:
    """A function is never hidden by a module of its name."""
    module = importlib.import_module(package)
    modules = [name for name in NAMES[package].split() if inspect.ismodule(getattr(module, name))]
    assert modules == []
