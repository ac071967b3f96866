"""Points in three dimensions: where they are in the frame, and as large as the particles."""

import numpy as np
import pytest

import fusion
import volumes

pytestmark = pytest.mark.usefixtures("drawing")


@pytest.mark.parametrize("sized", [True, False])
def test_a_sphere_lies_where_the_particle_is_in_the_frame(sized):
    pose = fusion.Affine.translation(3.0, -2.0, 7.0) @ fusion.Affine.rotation(25.0, axis=(1.0, 0.0, 0.0))
    axes = {dim: fusion.Axis("um", step) for dim, step in zip("zyx", (0.5, 0.4, 0.3), strict=True)}
    volume = fusion.dataset({"image": (("z", "y", "x"), np.zeros((8, 10, 12)))}, axes, name="volume",
                            cell_methods="mean", pose=pose, frame="stage")  # fmt: skip
    own = np.array([[1.0, 1.0, 1.0], [3.0, 2.0, 2.5]])
    at = {dim: fusion.Axis("um", values=column) for dim, column in zip("zyx", pose(own).T, strict=True)}
    sizes = {"radius": ("point", [0.25, 0.5], {"units": "um"})} if sized else {"photons": ("point", [1.0, 2.0])}
    points = fusion.dataset(sizes, at, name="balls", frame="stage")
    plotter = volumes.render(volume, style="slices", overlay=points, off_screen=True, axes=False, scale_bar=False)
    try:
        (spheres,) = (mesh for mesh in plotter.meshes if mesh.n_points > 500)
        extents = [(np.array(body.center), np.array(body.bounds)) for body in spheres.split_bodies()]
        extents.sort(key=lambda extent: extent[0][2])  # by z, as they are listed
    finally:
        plotter.close()
    np.testing.assert_allclose(np.stack([centre for centre, _ in extents]), pose(own)[:, ::-1], atol=1e-3)
    reach = [(bounds[1] - bounds[0]) / 2 for _, bounds in extents]
    if sized:
        np.testing.assert_allclose(reach, [0.25, 0.5], rtol=0.02)
    else:
        assert reach[0] == pytest.approx(reach[1])
