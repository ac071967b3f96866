"""A volume on a turntable: as many pictures as asked for, of all its sides."""

import numpy as np
import pytest
from PIL import Image

import fusion
import volumes
from fusion.errors import DataError, StoreError
from volumes.drawing import options
from volumes.drawing.options import thinned

needs_opengl = pytest.mark.usefixtures("drawing")


def volume(shape=(8, 10, 12)):
    values = np.zeros(shape, np.float32)
    values[:, : shape[1] // 2, : shape[2] // 2] = 1.0
    axes = {dim: fusion.Axis("um", 0.5) for dim in "zyx"}
    return fusion.dataset({"image": (("z", "y", "x"), values)}, axes, name="v", cell_methods="mean")


@needs_opengl
def test_a_turn_shows_all_sides(tmp_path):
    done = []
    path = volumes.turntable(volume(), tmp_path / "turn.gif", frames=4, seconds=2.0, progress=done.append,
                             window_size=(200, 200))  # fmt: skip
    with Image.open(path) as film:
        assert film.n_frames == 4
        assert film.info["duration"] == 500
        pictures = []
        for n in range(4):
            film.seek(n)
            pictures.append(np.asarray(film.convert("L"), dtype=float)[60:160])
    assert done == [0.25, 0.5, 0.75, 1.0]
    middles = [(picture * np.arange(200)).sum() / picture.sum() for picture in pictures]
    assert np.ptp(middles) > 4.0
    # the bright corner goes round: what is left of the middle in one picture is right of it half a turn later
    assert (middles[0] - np.mean(middles)) * (middles[2] - np.mean(middles)) < 0
    assert list(tmp_path.iterdir()) == [path]


def test_refusals(tmp_path):
    with pytest.raises(StoreError, match=r"\.gif, \.webp or \.png"):
        volumes.turntable(volume(), tmp_path / "turn.mp4")
    with pytest.raises(DataError, match="two frames or more"):
        volumes.turntable(volume(), tmp_path / "turn.gif", frames=1)


def test_what_is_left_out_of_a_large_volume_is_written_in_the_picture(monkeypatch):
    monkeypatch.setattr(options, "LARGEST", 300.0)
    ds = volume()
    small = thinned(ds)
    assert small.attrs["thinned"] == "one in 2 along y, one in 2 along x"
    assert small["image"].shape == (8, 5, 6)
    figure = volumes.plot(ds)
    assert any("drawn from voxels: one in 2 along y" in text.get_text() for text in figure.texts)
    assert "thinned" not in thinned(small).attrs or thinned(small) is small


@needs_opengl
def test_the_command_line_draws_pictures_and_films(tmp_path, capsys):
    from conspectus import cli

    path = tmp_path / "volume.nc"
    fusion.save(volume(), path)
    assert cli.main(["picture", str(path), "-o", str(tmp_path / "still.png")]) == 0
    assert cli.main(["picture", str(path), "-o", str(tmp_path / "turn.txt"), "--turn"]) == 2
    assert (tmp_path / "still.png").stat().st_size > 1000
    assert "a film is a .gif" in capsys.readouterr().err
