import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from phalanx.core.errors import InputError
from phalanx.data.depth_images import looks_like_depth, looks_packed, read_depth_values

VALUES = np.array([[0, 800, 65_535], [1200, 1, 40_000]], np.uint16)
CLEAN = np.array([[0, 800, 0], [1200, 1, 40_000]], np.uint16)
METRES = np.array([[0.0, 0.8, np.nan], [-1.0, np.inf, 0.5]], np.float32)
CLEAN_METRES = np.array([[0.0, 0.8, 0.0], [0.0, 0.0, 0.5]], np.float32)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".pgm", ".npy"])
def test_sixteen_bits_come_back_without_what_is_no_reading(tmp_path, suffix):
    path = tmp_path / f"frame{suffix}"
    if suffix == ".npy":
        np.save(path, VALUES)
    else:
        Image.fromarray(VALUES).save(path)
    found = read_depth_values(path)
    assert found.dtype == np.uint16 and np.array_equal(found, CLEAN)


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".exr"])
def test_floating_point_frames_are_metres(tmp_path, suffix):
    path = tmp_path / f"frame{suffix}"
    if suffix == ".npy":
        np.save(path, METRES[..., None].astype(np.float64))
    elif suffix == ".exr":
        openexr = pytest.importorskip("OpenEXR")
        openexr.File({"type": openexr.scanlineimage}, {"Z": METRES}).write(str(path))
    else:
        Image.fromarray(METRES).save(path)
    found = read_depth_values(path)
    assert found.dtype == np.float32 and np.allclose(found, CLEAN_METRES)


def test_photos_and_other_files_are_named(tmp_path):
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    Image.new("L", (20, 20)).save(tmp_path / "grey.png")
    np.save(tmp_path / "stack.npy", np.zeros((3, 4, 4), np.uint16))
    np.save(tmp_path / "flags.npy", np.zeros((4, 4), bool))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "frame.txt").write_text("1 2 3")
    for name, says in {
        "photo.png": "one value a pixel",
        "grey.png": "not a depth frame of 16 bits, but of uint8",
        "stack.npy": r"shape \(3, 4, 4\)",
        "flags.npy": "but of bool",
        "objects.npy": "truncated, damaged or no NPY",
        "frame.txt": "is no depth frame",
        "missing.png": "missing.png",
        "https://example.org/frame.png": "is a URL; download the file first",
    }.items():
        with pytest.raises(InputError, match=says):
            read_depth_values(name if "://" in name else tmp_path / name)
        assert not looks_like_depth(tmp_path / name)


@settings(max_examples=40, deadline=None)
@given(
    suffix=st.sampled_from([".png", ".tif", ".npy", ".pgm", ".exr"]), content=st.binary(max_size=120), cut=st.booleans()
)
def test_damaged_files_are_one_sentence(tmp_path_factory, suffix, content, cut):
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / f"frame{suffix}"
    if cut and suffix == ".npy":
        np.save(path, VALUES)
        path.write_bytes(path.read_bytes()[: 10 + len(content)])
    elif cut and suffix != ".exr":
        Image.fromarray(VALUES).save(path)
        path.write_bytes(path.read_bytes()[: 20 + len(content) // 4])
    else:
        path.write_bytes(content)
    try:
        values = read_depth_values(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert values.ndim == 2


def test_grey_photos_of_sixteen_bits_are_no_depth_frames(tmp_path):
    ramp = np.linspace(6_000, 60_000, 64 * 48).round().astype(np.uint16).reshape(48, 64)
    eight = np.linspace(2, 28, 64 * 48).round().astype(np.uint16).reshape(48, 64)
    rough = np.random.default_rng(0).integers(500, 4_000, (48, 64)).astype(np.uint16)
    holes = ramp.copy()
    holes[:4] = 0
    for name, values, depth in (
        ("photo", ramp, False),
        ("repeated", 257 * eight, False),  # 8 bits made 16
        ("grained", rough, False),
        ("millimetres", ramp // 32, True),
        ("holes", holes, True),
    ):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
        assert looks_like_depth(tmp_path / f"{name}.png") is depth, name
    for suffix in (".tif", ".pgm"):
        Image.fromarray(ramp // 32).save(tmp_path / f"frame{suffix}")
        assert looks_like_depth(tmp_path / f"frame{suffix}")
    np.save(tmp_path / "frame.npy", ramp // 32)
    assert looks_like_depth(tmp_path / "frame.npy")


def test_values_of_pgm_are_not_scaled_and_archives_are_no_frames(tmp_path):
    values = np.array([[0, 800], [1200, 9_999]], np.uint16)
    (tmp_path / "frame.pgm").write_bytes(b"P5 2 2 10000\n" + values.astype(">u2").tobytes())
    assert np.array_equal(read_depth_values(tmp_path / "frame.pgm"), values)
    np.savez(tmp_path / "archive.npz", depth=values)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    with pytest.raises(InputError, match="truncated, damaged or no NPY"):
        read_depth_values(tmp_path / "archive.npy")


def png_of_size(width, height):
    """The head of a grey PNG of 16 bits; its pixels are missing."""
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x10\0\0\0\0"
    data = b"IDAT" + zlib.compress(b"")
    parts = (len(part[4:]).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big") for part in (head, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_too_large_frames_are_refused_by_their_head(tmp_path):
    (tmp_path / "a.png").write_bytes(png_of_size(14_000, 13_000))
    (tmp_path / "b.png").write_bytes(png_of_size(11_000, 10_000))
    (tmp_path / "c.pgm").write_bytes(b"P5\n# a comment\n14000 13000\n65535\n")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"shape": (13_000, 14_000), "fortran_order": False, "descr": "<u2"})
    (tmp_path / "d.npy").write_bytes(head.getvalue())
    for name, says in (("a.png", "more pixels than any depth camera"), ("b.png", "11000x10000 pixels are more")):
        with pytest.raises(InputError, match=says):
            read_depth_values(tmp_path / name)
    for name in ("c.pgm", "d.npy"):
        with pytest.raises(InputError, match="14000x13000 pixels are more than any depth camera has"):
            read_depth_values(tmp_path / name)


def test_numbers_of_other_widths(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "double.tif"), METRES.astype(np.float64))
    assert np.allclose(read_depth_values(tmp_path / "double.tif"), CLEAN_METRES)
    np.save(tmp_path / "wide.npy", np.array([[0, 800], [2**31 - 1, -3]], np.int32))
    assert read_depth_values(tmp_path / "wide.npy").tolist() == [[0, 800], [0, 0]]
    np.save(tmp_path / "micrometres.npy", np.array([[0, 800_000]]))
    with pytest.raises(
        InputError, match=r"micrometres\.npy: has whole numbers up to 800000, and those of depth frames"
    ):
        read_depth_values(tmp_path / "micrometres.npy")
    (tmp_path / "text.pgm").write_bytes(b"P2 2 2 # two\n 9999\n0 800 # and\n1200 9999\n")
    assert read_depth_values(tmp_path / "text.pgm").tolist() == [[0, 800], [1200, 9999]]


def test_libraries_say_nothing_about_damaged_files(tmp_path, capfd):
    openexr = pytest.importorskip("OpenEXR")
    ramp = np.linspace(500, 900, 48 * 64).reshape(48, 64)
    openexr.File({"type": openexr.scanlineimage}, {"Z": (ramp / 1000).astype(np.float32)}).write(
        str(tmp_path / "a.exr")
    )
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "b.tif", compression="tiff_lzw")
    (tmp_path / "c.pgm").write_bytes(b"P5 64 48 65535\n1234")
    (tmp_path / "d.tif").write_bytes(b"no TIFF")
    for name in ("a.exr", "b.tif"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for name in ("a.exr", "b.tif", "c.pgm", "d.tif"):
        with pytest.raises(InputError, match="is truncated, damaged or no"):
            read_depth_values(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_frames_packed_into_colours_are_told_from_photos(tmp_path):
    millimetres = np.linspace(500, 2_001, 480 * 640).reshape(480, 640).astype(np.uint16)
    packed = np.stack([0 * millimetres, millimetres // 256, millimetres % 256], -1).astype(np.uint8)
    photo = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    bluish = photo * np.array([0, 1, 1], np.uint8)
    for name, picture, is_packed in (
        ("packed", packed, True),
        ("photo", photo, False),
        ("bluish", bluish, False),
        ("black", 0 * photo, False),
        ("part", packed[:100], False),
    ):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        assert looks_packed(tmp_path / f"{name}.png") is is_packed, name
    Image.fromarray(packed).save(tmp_path / "packed.bmp")
    assert not looks_packed(tmp_path / "packed.bmp")
    assert not looks_packed(tmp_path / "missing.png")
