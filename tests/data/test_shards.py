import io
import tarfile

import numpy as np
import pytest
import torch
from webdataset import autodecode, tariterators

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample, concatenate
from phalanx.data.shards import DEPTH_UNIT, read_shard, write_shard


def made(count: int, first: int = 0) -> Sample:
    random = torch.Generator().manual_seed(first)
    depth = torch.randint(0, 20000, (count, 6, 9), generator=random) * DEPTH_UNIT
    return Sample(
        image=torch.randint(0, 256, (count, 3, 6, 9), generator=random) / 255,
        depth=depth,
        sensed_depth=depth.flip(1),
        mask=(depth > 1).float(),
        parts=torch.randint(0, 18, (count, 6, 9), generator=random).byte(),
        hand_masks=torch.randint(0, 5, (count, 2, 6, 9), generator=random) * 51 / 255,
        boxes=torch.randn(count, 2, 4, generator=random),
        time=torch.arange(count) / 30,
        joints=torch.randn(count, 21, 3, generator=random),
        vertices=torch.randn(count, 50, 3, generator=random),
        K=torch.eye(3).expand(count, 3, 3).clone(),
        ids=torch.tensor([[7, first, i] for i in range(count)]),
    )


def test_what_is_written_is_read(tmp_path):
    samples = [made(3), made(2, 1)]
    assert write_shard(tmp_path / "a.tar", samples) == 5
    found = concatenate(list(read_shard(tmp_path / "a.tar"))).check()
    want = concatenate(samples)
    assert found.present().keys() == want.present().keys()
    for name, value in want.present().items():
        torch.testing.assert_close(found.present()[name], value, atol=1e-7, rtol=1e-6, msg=name)
    assert found.parts.dtype == torch.uint8 and found.ids.dtype == torch.int64


def test_same_samples_same_bytes(tmp_path):
    write_shard(tmp_path / "a.tar", [made(3)])
    write_shard(tmp_path / "b.tar", [made(3)[:2], made(3)[2:]])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_absent_fields_stay_absent(tmp_path):
    sample = made(2)
    write_shard(tmp_path / "a.tar", [Sample(joints=sample.joints, ids=sample.ids)])
    (first, _) = read_shard(tmp_path / "a.tar")
    assert first.present().keys() == {"joints", "ids"}


def test_webdataset_reads_it_too(tmp_path):
    sample = made(4)
    write_shard(tmp_path / "a.tar", [sample])
    with (tmp_path / "a.tar").open("rb") as file:
        members = ({**member, "__url__": "a.tar"} for member in tariterators.tar_file_iterator(file))
        grouped = tariterators.group_by_keys(members)
        found = list(map(autodecode.Decoder([autodecode.imagehandler("rgb8")]), grouped))
    assert [item["__key__"] for item in found] == [f"00000007_00000000_0000000{i}" for i in range(4)]
    image = sample.image[2].permute(1, 2, 0).mul(255).round().byte().numpy()
    np.testing.assert_array_equal(found[2]["image.png"], image)
    np.testing.assert_allclose(found[2]["labels.npy"]["joints"], sample.joints[2])


def test_damaged_shards_are_named(tmp_path):
    path = tmp_path / "a.tar"
    write_shard(path, [made(3)])
    whole = path.read_bytes()
    for content, says in [
        (b"", "is not a whole tar file"),
        (b"no tar" * 200, "is not a whole tar file"),
        (whole[:3000], "is cut short|is not a whole tar file|cannot be decoded"),
        (whole.replace(b"\x89PNG", b"\x88PNG", 1), r"00000007_00000000_00000000\.image\.png cannot be decoded"),
        (whole.replace(b"\x93NUMPY", b"\x92NUMPY", 1), r"labels\.npy cannot be decoded"),
        (whole.replace(b"'descr': [", b"'descr': {", 1), r"labels\.npy cannot be decoded"),
        (whole.replace(b"('ids', '<i8'", b"('ids', '|O8'", 1), r"labels\.npy cannot be decoded"),
    ]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=says) as caught:
            list(read_shard(path))
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match=r"none\.tar: cannot be read"):
        list(read_shard(tmp_path / "none.tar"))
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("7.txt")
        member.size = 2
        tar.addfile(member, io.BytesIO(b"hi"))
    with pytest.raises(InputError, match="7 holds nothing that a sample has"):
        list(read_shard(path))


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_shard(tmp_path / "file" / "a.tar", [made(1)])
