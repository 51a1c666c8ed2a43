"""Every kind of picture file, good and bad, made on the spot."""

import io
import os
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from phalanx.core.errors import InputError
from phalanx.data.images import (
    MAX_RATIO,
    MIN_SIDE,
    find_inputs,
    image_batch,
    image_bytes,
    read_depth,
    read_image,
    read_image_of_size,
    rgb_of_array,
)


@pytest.fixture(scope="module")
def picture():
    """(48, 64, 3) uint8: smooth, so that lossy formats stay near it, and different in every corner and channel."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x * 3 + 20, y * 4 + 10, 220 - x - y], axis=-1).astype(np.uint8)


def save(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.PNG"])
def test_lossless_formats_are_exact(tmp_path, picture, name):
    image = read_image(save(tmp_path / name, picture))
    assert image.dtype == np.uint8 and image.flags.writeable
    np.testing.assert_array_equal(image, picture)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
def test_lossy_formats_are_near(tmp_path, picture, name):
    image = read_image(save(tmp_path / name, picture, quality=95))
    assert np.abs(image.astype(int) - picture).mean() < 3


def test_colours_are_rgb_as_opencv_reads_them_in_reverse(tmp_path, picture):
    path = save(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path))[..., ::-1])


def test_grey_palette_and_one_bit(tmp_path, picture):
    grey = picture[..., 0]
    np.testing.assert_array_equal(read_image(save(tmp_path / "grey.png", grey)), np.stack([grey] * 3, axis=-1))
    quantised = Image.fromarray(picture).quantize(64)
    quantised.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), np.array(quantised.convert("RGB")))
    Image.fromarray(grey > 100).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png")[..., 1], np.where(grey > 100, 255, 0))


def test_transparent_pixels_lie_over_white(tmp_path, picture):
    alpha = np.full((48, 64, 1), 255, np.uint8)
    alpha[:10] = 0
    image = read_image(save(tmp_path / "a.png", np.concatenate([picture, alpha], axis=-1)))
    assert (image[:10] == 255).all()
    np.testing.assert_array_equal(image[10:], picture[10:])


def test_sixteen_bits(tmp_path, picture):
    deep = picture.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "rgb.png"), deep[..., ::-1])
    cv2.imwrite(str(tmp_path / "grey.png"), deep[..., 0])
    cv2.imwrite(str(tmp_path / "grey.tif"), deep[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.png"), picture)
    for name in ("grey.png", "grey.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.stack([picture[..., 0]] * 3, axis=-1))


def test_sixteen_bit_extremes(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 48).round().astype(np.uint16).reshape(48, 64)
    cv2.imwrite(str(tmp_path / "a.png"), ramp)
    image = read_image(tmp_path / "a.png")[..., 0]
    assert image.min() == 0 and image.max() == 255
    np.testing.assert_allclose(image, ramp / 257, atol=0.51)


def test_pixels_without_a_known_range_are_refused(tmp_path, picture):
    save(tmp_path / "f.tif", picture[..., 0].astype(np.float32))
    save(tmp_path / "i.tif", picture[..., 0].astype(np.int32) * 1000)
    with pytest.raises(InputError, match=r"f\.tif: has floating-point pixels"):
        read_image(tmp_path / "f.tif")
    with pytest.raises(InputError, match=r"i\.tif: has grey values beyond 16 bits"):
        read_image(tmp_path / "i.tif")


def test_cmyk_jpeg(tmp_path, picture):
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as stored:
        assert stored.mode == "CMYK"
    image = read_image(tmp_path / "a.jpg")
    assert np.abs(image.astype(int) - picture).mean() < 4  # not a negative, not channels swapped


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_every_exif_orientation(tmp_path, picture, orientation, suffix):
    # What a camera held in that way stores, written from the definition of the tag: where row 0 and column 0 are seen.
    stored = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: np.rot90(picture, 1),
        7: picture[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(picture, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 98, "subsampling": 0} if suffix == "jpg" else {}
    path = save(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored), exif=exif, **options)
    image = read_image(path)
    assert image.shape == picture.shape
    assert np.abs(image.astype(int) - picture).max() <= (12 if suffix == "jpg" else 0)


def test_unreadable_exif_does_not_matter(tmp_path, picture):
    path = save(tmp_path / "a.jpg", picture, exif=b"Exif\x00\x00garbage that is no TIFF header")
    assert np.abs(read_image(path).astype(int) - picture).mean() < 20


def test_animation_gives_its_first_picture(tmp_path, picture):
    frames = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.abs(read_image(tmp_path / "a.gif").astype(int) - picture).mean() < 20


def bad_files(picture):
    """name -> (bytes or None, what the sentence must say)."""
    png, jpeg, tiff, tiny, thin = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(png, "PNG")
    Image.fromarray(noise).save(jpeg, "JPEG")
    Image.fromarray(picture).save(tiff, "TIFF")
    Image.new("RGB", (1, 1)).save(tiny, "PNG")
    Image.new("RGB", (500, MIN_SIDE - 1)).save(thin, "PNG")
    long = io.BytesIO()
    Image.new("L", (16 * MAX_RATIO + 1, 16)).save(long, "PNG")
    half = {k: v.getvalue()[: len(v.getvalue()) // 2] for k, v in (("png", png), ("jpg", jpeg), ("tif", tiff))}
    flipped = bytearray(png.getvalue())
    flipped[len(flipped) // 2] ^= 255
    return {
        "missing.png": (None, "cannot be read: no such file"),
        "empty.jpg": (b"", "the file is empty"),
        "text.jpg": (b"This is not a picture at all, but some text.\n" * 20, "is not a picture of a known kind"),
        "program.png": (bytes(range(256)) * 10, "is not a picture of a known kind"),
        "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "is not a picture of a known kind"),
        "head.png": (png.getvalue()[:20], "is not a picture of a known kind, or is damaged"),
        "half.png": (half["png"], "truncated or damaged"),
        "half.jpg": (half["jpg"], "truncated or damaged"),
        "half.tif": (half["tif"], "truncated or damaged"),
        "flipped.png": (bytes(flipped), "truncated or damaged"),
        "long.png": (long.getvalue(), "1601x16 pixels: one side is more than 100 times the other"),
        "tiny.png": (tiny.getvalue(), "1x1 pixels are too few"),
        "thin.png": (thin.getvalue(), "500x15 pixels are too few"),
        "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    }


def test_bad_files_are_one_sentence_each(tmp_path, picture):
    for name, (content, says) in bad_files(picture).items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=says) as caught:
            read_image(path)
        sentence = str(caught.value)
        assert sentence.startswith(f"{path}: ") and "\n" not in sentence and len(sentence) < len(str(path)) + 120


def test_folder_is_no_picture(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def huge_png(path, width, height):
    """A valid PNG of width x height black pixels, packed without ever being whole in memory."""

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    packer, packed = zlib.compressobj(1), []
    for _ in range(height):
        packed.append(packer.compress(bytes(1 + width)))
    packed.append(packer.flush())
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"".join(packed)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (12_000, 12_000)])
def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path, width, height):
    huge_png(tmp_path / "a.png", width, height)
    read_image(save(tmp_path / "warm.png", np.zeros((20, 20, 3), np.uint8)))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="larger than 100 million pixels"):
            read_image(tmp_path / "a.png")
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_find_inputs_expands_sorts_and_drops_doubles(tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner.png").mkdir(parents=True)
    for name in ("b.JPG", "a.png", "c.mp4", ".hidden.png", "notes.txt", "a_overlay.png", "c_overlay.mp4"):
        (folder / name).write_bytes(b"x")
    assert find_inputs([folder]) == [folder / "a.png", folder / "b.JPG", folder / "c.mp4"]
    single = tmp_path / "no suffix"
    given = [single, folder / "b.JPG", folder, str(folder / ".." / "folder" / "a.png")]
    assert find_inputs(given) == [single, folder / "b.JPG", folder / "a.png", folder / "c.mp4"]
    assert find_inputs([folder / "a_overlay.png"]) == [folder / "a_overlay.png"]  # who names it wants it


def test_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=f"^{tmp_path}: the folder has no pictures"):
        find_inputs([tmp_path])


def test_links_in_a_circle_and_pipes(tmp_path):
    (tmp_path / "a.png").symlink_to("a.png")
    assert find_inputs([tmp_path / "a.png"]) == [tmp_path / "a.png"]
    with pytest.raises(InputError, match="cannot be read: too many levels"):
        read_image(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    with pytest.raises(InputError, match="is a pipe"):
        read_image(tmp_path / "b.png")


def test_name_that_the_system_refuses(tmp_path):
    path = tmp_path / ("a" * 300 + ".png")
    assert find_inputs([path]) == [path]
    with pytest.raises(InputError, match="cannot be read: file name too long"):
        read_image(path)


def test_pictures_of_a_size_and_as_a_batch(tmp_path, picture):
    path = save(tmp_path / "a.png", picture)
    batch = image_batch(read_image_of_size(path, 64, 48))
    assert batch.shape == (1, 3, 48, 64) and batch.dtype.is_floating_point
    np.testing.assert_array_equal((255 * batch[0]).round().numpy().transpose(1, 2, 0), picture)
    with pytest.raises(InputError, match=r"a\.png: 48x64 pixels expected, has 64x48"):
        read_image_of_size(path, 48, 64)


def test_depth_is_in_metres_without_what_is_no_reading(tmp_path):
    path, values = tmp_path / "a.png", np.array([[0, 1, 1234], [32000, 32001, 65535]], np.uint16)
    cv2.imwrite(str(path), values)
    depth = read_depth(path, 0.001)
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, values.astype(np.float32) / 1000)
    np.testing.assert_array_equal(read_depth(path, 0.5, (3, 2), 32001), np.where(values > 32000, 0, values / 2))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "cannot be read: no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "is truncated, damaged or no PNG"),
        (lambda path: Image.new("I;16", (40, 32)).save(path, format="TIFF"), "is truncated, damaged or no PNG"),
        (lambda path: Image.new("L", (40, 32)).save(path), "is not a 16-bit grey picture, but of kind L"),
        (lambda path: Image.new("RGB", (40, 32)).save(path), "is not a 16-bit grey picture, but of kind RGB"),
        (lambda path: Image.new("I;16", (32, 40)).save(path), "40x32 pixels expected, has 32x40"),
    ],
)
def test_faults_of_depth_are_named(tmp_path, spoil, message):
    path = tmp_path / "a.png"
    Image.new("I;16", (40, 32)).save(path)
    spoil(path)
    with pytest.raises(InputError, match=rf"a\.png: {message}"):
        read_depth(path, 0.001, (40, 32))


def test_pictures_go_to_bytes_and_back():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(image_bytes(image_batch(image)[0]), image)


def test_arrays_are_treated_as_files_are(tmp_path, picture):
    """Grey, opacity and 16 bits, each in memory and in a file."""
    opacity = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64, 1)
    rgba = np.concatenate((picture, opacity), axis=-1)
    wide = picture.astype(np.uint16) * 257 + 40
    for number, array in enumerate((rgba, picture[..., 0], wide[..., 0])):
        Image.fromarray(array).save(tmp_path / f"{number}.png")
        np.testing.assert_array_equal(rgb_of_array(array), read_image(tmp_path / f"{number}.png"))
    cv2.imwrite(str(tmp_path / "wide.png"), wide[..., ::-1])
    np.testing.assert_array_equal(rgb_of_array(wide), read_image(tmp_path / "wide.png"))
    np.testing.assert_array_equal(rgb_of_array(picture[..., :1]), rgb_of_array(picture[..., 0]))
    np.testing.assert_array_equal(
        rgb_of_array(rgba[..., [0, 3]])[..., 1], rgb_of_array(rgba[..., [0, 0, 0, 3]])[..., 1]
    )
    np.testing.assert_allclose(rgb_of_array(rgba / 255.0), rgb_of_array(rgba) / 255, atol=0.003)
    assert rgb_of_array(picture) is picture


def test_urls_and_texts_are_no_paths(tmp_path, picture):
    for given, says in [
        ("https://example.org/hand.jpg", "^https://example.org/hand.jpg: is a URL; download the file first"),
        ("file:///hand.jpg", "is a URL"),
        ("data:image/png;base64," + "A" * 9000, "^data:image/png;base64,A*[.]{3}: is a URL"),
        ("A" * 9000, "is not a path; it has 9000 characters"),
    ]:
        for read in (read_image, lambda path: find_inputs([path])):
            with pytest.raises(InputError, match=says) as caught:
                read(given)
            assert len(str(caught.value)) < 200
