"""Reading pairs of colour and depth: hands are where they were seen, and what cannot be used is named."""

import numpy as np
import pytest
from rgbd_folder import see_truly, write_pairs
from weak_folder import hands

from phalanx.adapt.rgbd_pairs import RgbdFiles, read_pairs
from phalanx.core.errors import InputError
from phalanx.fit.chain import hand_length, numpy_chain_of
from phalanx.hand.plain import PlainHand


@pytest.fixture(scope="module")
def sample():
    return hands(8)


def test_hands_have_their_readings_and_their_size(sample, tmp_path):
    write_pairs(tmp_path / "pairs", sample)
    pairs = read_pairs(RgbdFiles(tmp_path / "pairs"), see_truly(sample), lambda line: None)
    assert len(pairs.hands) + len({one["input"] for one in pairs.skipped}) >= 6 and len(pairs.hands) >= 4
    lengths, _ = hand_length(numpy_chain_of(PlainHand.open_hand()), sample.shape.double().numpy())
    assert pairs.calibrated and abs(pairs.hand_length - np.median(lengths)) < 0.02
    away = []
    for row, name in enumerate(pairs.hands.names):
        number = int(name[:2])
        depth = pairs.hands.depth[row]
        near = float(sample.joints[number, :, 2].median())
        away.append(abs(float(np.median(depth[depth > 0])) - near))
        focal = float(sample.K[number, 0, 0])
        extent = np.ptp(sample.joints_2d[number].numpy(), axis=0).max() / focal
        assert extent < pairs.hands.spread[row] < 4 * extent
    assert np.median(away) < 0.03 and max(away) < 0.15  # readings of the hand, not of what is behind it


def test_without_a_camera_the_likeliest_length_is_taken(sample, tmp_path):
    write_pairs(tmp_path / "pairs", sample, camera=False)
    pairs = read_pairs(RgbdFiles(tmp_path / "pairs", unit=0.00025), see_truly(sample), lambda line: None)
    assert not pairs.calibrated and 0.16 < pairs.hand_length < 0.22 and len(pairs.hands) >= 4


def test_bad_folders_are_refused_in_a_sentence(sample, tmp_path):
    see = see_truly(sample)
    with pytest.raises(InputError, match="no such folder"):
        read_pairs(RgbdFiles(tmp_path / "none"), see)
    write_pairs(tmp_path / "pairs", sample, camera=False)
    said = []
    with pytest.raises(InputError, match="none of its 8 pictures has a hand and depth that can be used"):
        read_pairs(RgbdFiles(tmp_path / "pairs"), see, said.append)
    assert len(said) == 8 and "their unit is not given" in said[0]
    (tmp_path / "pairs" / "depth").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="has no folder depth of depth frames"):
        read_pairs(RgbdFiles(tmp_path / "pairs"), see)
    with pytest.raises(InputError, match="none of its 8 pictures"):
        (tmp_path / "elsewhere").rename(tmp_path / "pairs" / "depth")
        read_pairs(RgbdFiles(tmp_path / "pairs", unit=0.00025), lambda *_, **__: [], lambda line: None)
