import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.loading import index_shards, load_batches
from phalanx.data.sample import concatenate
from phalanx.data.shards import read_shard, write_shard
from phalanx.synth import SynthConfig, make_chunk

CONFIG = SynthConfig(size=32, chunk=5, tiles=2, skins=1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for number in range(2):
        write_shard(folder / f"{number}.tar", [make_chunk(CONFIG, 1, number)])
    return [folder / "0.tar", folder / "1.tar"]


@pytest.fixture(scope="module")
def everything(shards):
    return concatenate([sample for path in shards for sample in read_shard(path)])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_in_order_are_what_the_shards_hold(shards, everything, workers):
    batches = list(load_batches(index_shards(shards), 3, workers))
    assert [len(batch) for batch in batches] == [3, 3, 3]  # the tenth is dropped
    read = concatenate(batches)
    assert read.present().keys() == everything.present().keys()
    for name, value in everything[:9].present().items():
        assert torch.equal(read.present()[name], value), name


def test_chosen_fields_alone_are_read(shards, everything):
    (batch,) = load_batches(index_shards(shards), 10, fields=("image", "joints"))
    assert batch.present().keys() == {"image", "joints"}
    assert torch.equal(batch.joints, everything.joints)
    with pytest.raises(InputError, match="0.tar: has pictures without sensed_depth"):
        next(load_batches(index_shards(shards), 2, fields=("image", "sensed_depth")))


def test_each_round_has_every_picture_in_another_order_and_starts_anywhere(shards, everything):
    index = index_shards(shards)
    batches = load_batches(index, 5, fields=("ids",), seed=4)
    rounds = [torch.cat([next(batches).ids, next(batches).ids]) for _ in range(3)]
    for ids in rounds:
        assert not torch.equal(ids, everything.ids)
        assert sorted(ids.tolist()) == sorted(everything.ids.tolist())
    assert not torch.equal(rounds[0], rounds[1])
    later = load_batches(index, 5, fields=("ids",), seed=4, start=3)
    assert torch.equal(next(later).ids, rounds[1][5:])


def test_faults_are_named(shards, tmp_path):
    content = shards[0].read_bytes()
    cut = tmp_path / "cut.tar"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cut.tar: is (cut short|not a whole tar file)"):
        index_shards([cut])
    with pytest.raises(InputError, match="none.tar: cannot be read"):
        index_shards([tmp_path / "none.tar"])
    with pytest.raises(InputError, match="no shards given"):
        index_shards([])
    index = index_shards(shards)
    with pytest.raises(InputError, match="a batch of 11 out of 10"):
        next(load_batches(index, 11))
    first, length = index.places["image.png"][2]
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(content[:first] + bytes(int(length)) + content[first + length :])
    with pytest.raises(InputError, match="damaged.tar: image.png of picture 2 cannot be decoded"):
        next(load_batches(index_shards([damaged]), 5))
