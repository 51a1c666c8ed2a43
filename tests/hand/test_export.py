import os

import numpy as np
import pytest
import trimesh

from phalanx.core.errors import InputError
from phalanx.hand.export import save_mesh


@pytest.fixture(scope="module")
def ball():
    """A bumpy ball half a metre before the camera, which has no symmetry."""
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    vertices = mesh.vertices * [1.0, 0.7, 0.4] + np.random.default_rng(0).normal(size=mesh.vertices.shape) * 0.002
    return vertices + [0.02, -0.03, 0.5], np.asarray(mesh.faces)


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl", ".glb"])
def test_mesh_files_hold_the_mesh(tmp_path, ball, suffix):
    vertices, faces = ball
    path = tmp_path / f"a{suffix}"
    save_mesh(path, [ball])
    assert os.listdir(tmp_path) == [path.name]
    mesh = trimesh.load(path, process=False, force="mesh")
    flip = np.array([1, -1, -1]) if suffix == ".glb" else np.ones(3)
    if suffix != ".stl":  # which knows no shared vertices
        np.testing.assert_allclose(mesh.vertices, vertices * flip, atol=1e-6)
        np.testing.assert_array_equal(mesh.faces, faces)
    np.testing.assert_allclose(mesh.triangles, (vertices * flip)[faces], atol=1e-6)
    assert mesh.volume > 0  # still inside in, outside out


def test_several_hands(tmp_path, ball):
    vertices, faces = ball
    save_mesh(tmp_path / "a.ply", [ball, (vertices + 1, faces)])
    mesh = trimesh.load(tmp_path / "a.ply", process=False)
    np.testing.assert_allclose(mesh.vertices, np.concatenate([vertices, vertices + 1]), atol=1e-6)
    save_mesh(tmp_path / "a.glb", [ball, (vertices + 1, faces)])
    assert set(trimesh.load(tmp_path / "a.glb").geometry) == {"hand_0", "hand_1"}


def test_nodes_of_a_glb_have_the_names_of_the_hands(tmp_path, ball):
    vertices, faces = ball
    save_mesh(tmp_path / "a.glb", [ball, (vertices + 1, faces)], ["right_1", "left_1"])
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    assert set(scene.geometry) == {"right_1", "left_1"} and {"right_1", "left_1"} <= set(scene.graph.nodes_geometry)
    np.testing.assert_allclose(scene.geometry["left_1"].vertices, (vertices + 1) * [1, -1, -1], atol=1e-6)


def test_glb_has_normals_and_a_skin_material(tmp_path, ball):
    save_mesh(tmp_path / "a.glb", [ball])
    content = (tmp_path / "a.glb").read_bytes()
    assert content[:4] == b"glTF" and b'"NORMAL"' in content and b"baseColorFactor" in content


def test_bad_requests(tmp_path, ball):
    with pytest.raises(InputError, match=r"a\.fbx: meshes are saved as .obj"):
        save_mesh(tmp_path / "a.fbx", [ball])
    with pytest.raises(InputError, match="no mesh"):
        save_mesh(tmp_path / "a.obj", [])
    with pytest.raises(InputError, match="cannot be written"):
        save_mesh(tmp_path / "none" / "a.obj", [ball])
