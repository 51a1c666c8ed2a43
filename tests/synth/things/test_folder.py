"""Users' own things: what can be used is, and what cannot is named in one sentence."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from phalanx.core.errors import InputError
from phalanx.render.solids import BOX
from phalanx.synth.things.folder import read_folder, read_model


def cube(path, size, **more):
    trimesh.creation.box(size).export(path, **more)
    return path


def test_units_are_guessed_by_size_and_the_guess_is_said(tmp_path, capsys):
    metres = read_model(cube(tmp_path / "metres.ply", (0.1, 0.06, 0.05)))
    centimetres = read_model(cube(tmp_path / "centimetres.ply", (10.0, 6.0, 5.0)))
    said = capsys.readouterr().err
    assert "metres.ply: is 10 units long, which are taken to be centimetres" in said and said.count("\n") == 1
    for model in (metres, centimetres):
        np.testing.assert_allclose(np.ptp(model.vertices, axis=0), (0.1, 0.06, 0.05), atol=1e-6)
        assert model.vertices[:, 2].min() == pytest.approx(0.0, abs=1e-9)
        assert model.kind.tolist() == [BOX] and model.role == "held"


def test_bad_models_are_named_and_the_rest_is_used(tmp_path, capsys):
    cube(tmp_path / "good.glb", (0.1, 0.06, 0.05))
    cube(tmp_path / "planet.ply", (12e6, 12e6, 12e6))
    (tmp_path / "empty.obj").write_bytes(b"")
    (tmp_path / "foreign.glb").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    (tmp_path / "points.ply").write_bytes(trimesh.PointCloud(np.eye(3)).export(file_type="ply"))
    assert list(read_folder(tmp_path)) == ["good.glb"]
    lines = capsys.readouterr().err.splitlines()
    for name in ("planet.ply", "empty.obj", "foreign.glb", "points.ply"):
        assert sum(name in line and line.endswith("; it is left out") for line in lines) == 1
    assert len(lines) == 4


def test_stl_is_in_millimetres(tmp_path, capsys):
    model = read_model(cube(tmp_path / "phone.stl", (150.0, 70.0, 9.0)))
    assert np.ptp(model.vertices, 0).max() == pytest.approx(0.15, abs=1e-3)
    assert "150 units long, which are taken to be millimetres" in capsys.readouterr().err


def test_a_broken_texture_leaves_a_thing_in_one_colour(tmp_path, capsys):
    path = tmp_path / "crate.obj"
    path.write_text(
        "mtllib crate.mtl\nusemtl wood\nv 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\nvt 0 0\nvt 1 0\nvt 0 1\n"
        "f 1/1 3/2 2/3\nf 1/1 2/2 4/3\nf 1/1 4/2 3/3\nf 2/1 3/2 4/3\n"
    )
    (tmp_path / "crate.mtl").write_text("newmtl wood\nKd 0.2 0.4 0.6\nmap_Kd crate.png\n")
    (tmp_path / "crate.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    model = read_model(path)
    assert {len(patch) for patch in model.patches} == {1}
    assert "crate.obj: its texture" in capsys.readouterr().err
    Image.fromarray(np.uint8([[[255, 0, 0], [0, 0, 255]]] * 2)).resize((64, 64), 0).save(tmp_path / "crate.png")
    found = np.concatenate([patch.reshape(-1, 3) for patch in read_model(path).patches])
    assert (found[:, 0] > 200).any() and (found[:, 2] > 200).any()
    whole = (tmp_path / "crate.png").read_bytes()
    (tmp_path / "crate.png").write_bytes(whole[: len(whole) // 2])  # the head is right, pixels are missing
    assert {len(patch) for patch in read_model(path).patches} == {1}
    assert "crate.obj: its texture is damaged" in capsys.readouterr().err


def test_files_that_a_model_asks_for_and_that_are_missing_are_named(tmp_path, capsys):
    shape = "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    (tmp_path / "crate.obj").write_text("mtllib paints.mtl\nusemtl wood\n" + shape)
    assert {len(patch) for patch in read_model(tmp_path / "crate.obj").patches} == {1}
    assert capsys.readouterr().err.count("crate.obj: paints.mtl is not beside it") == 1
    box = trimesh.creation.box((0.1, 0.06, 0.05))
    box.visual = trimesh.visual.TextureVisuals(uv=box.vertices[:, :2], image=Image.new("RGB", (8, 8)))
    whole = box.export(file_type="glb")
    end = 20 + int.from_bytes(whole[12:16], "little")
    document = json.loads(whole[20:end])
    document["images"] = [{"uri": "red%20paint.png"}]
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    length = (20 + len(text) + len(whole) - end).to_bytes(4, "little")
    (tmp_path / "box.glb").write_bytes(
        whole[:8] + length + len(text).to_bytes(4, "little") + whole[16:20] + text + whole[end:]
    )
    assert {len(patch) for patch in read_model(tmp_path / "box.glb").patches} == {1}
    assert capsys.readouterr().err.count("box.glb: red paint.png is not beside it") == 1


def test_a_flat_model_is_held_like_a_box(tmp_path):
    (tmp_path / "card.obj").write_text("v 0 0 0\nv 0.1 0 0\nv 0 0.06 0\nv 0.1 0.06 0\nf 1 2 3\nf 2 4 3\n")
    assert read_model(tmp_path / "card.obj").kind.tolist() == [BOX]


def test_of_too_many_models_it_is_said_how_many_are_used(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("phalanx.synth.things.folder.MOST", 2)
    for number in range(3):
        cube(tmp_path / f"{number}.ply", (0.1, 0.06, 0.05))
    assert list(read_folder(tmp_path)) == ["0.ply", "2.ply"]
    assert "has 3 models, of which 2 are used" in capsys.readouterr().err


def test_a_model_of_many_triangles_becomes_coarser_and_a_million_are_too_many(tmp_path, monkeypatch):
    ball = trimesh.creation.icosphere(5, 0.04)
    ball.export(tmp_path / "ball.ply")
    model = read_model(tmp_path / "ball.ply")
    assert 200 < len(model.faces) <= 800
    np.testing.assert_allclose(np.linalg.norm(model.vertices - (0, 0, 0.04), axis=1), 0.04, atol=0.003)
    monkeypatch.setattr("phalanx.synth.things.folder._MOST_FACES", len(ball.faces))
    with pytest.raises(InputError, match="20480 triangles"):
        read_model(tmp_path / "ball.ply")


def test_a_folder_without_a_usable_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(InputError, match="holds no models"):
        read_folder(tmp_path)
    (tmp_path / "empty.obj").write_bytes(b"")
    with pytest.raises(InputError, match="none of its 1 models"):
        read_folder(tmp_path)
