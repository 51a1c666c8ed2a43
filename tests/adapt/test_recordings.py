"""Reading one's own recordings: frames of one camera and of a rig, left hands, frames that are no good."""

import contextlib
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from finders import Surface
from frames import UNIT, camera_text, write_depth

from phalanx.adapt.recordings import RecordingFiles, _spread_first, fit_errors, read_recording
from phalanx.core.errors import InputError

pytestmark = pytest.mark.usefixtures("lenient")


def test_frames_of_a_camera_are_cut_out_and_bad_ones_named(tmp_path, network, sample):
    folder = tmp_path / "frames"
    write_depth(folder / "a.png", sample.depth[0])
    write_depth(folder / "b.png", np.zeros((96, 96)))
    speck = np.zeros((96, 96))
    speck[50, 50] = 0.5
    write_depth(folder / "c.png", speck)
    (folder / "d.png").write_bytes(b"no picture")
    said = []
    recording = read_recording(RecordingFiles(folder, camera_text(sample.K[0]), UNIT), network, Surface(), said.append)
    assert recording.names == ["a.png"] and recording.views.maps.shape == (1, 1, 64, 64)
    assert recording.views.joints is None
    problems = [entry["problem"] for entry in recording.skipped]
    assert sorted(problems) == sorted(said) and len(problems) == 3
    assert "is empty" in problems[0] and "no right hand is seen clearly" in problems[1] and "d.png" in problems[2]
    assert (recording.views.maps < 0.15).float().mean() > 0.03
    with pytest.raises(InputError, match="none of its 1 frames"):
        (folder / "a.png").unlink(), (folder / "b.png").unlink(), (folder / "d.png").unlink()
        read_recording(RecordingFiles(folder, camera_text(sample.K[0]), UNIT), network, Surface(), said.append)
    with pytest.raises(InputError, match="no such folder"):
        read_recording(RecordingFiles(folder / "none", "azure"), network, Surface())


def test_left_hands_are_mirrored(tmp_path, network, sample):
    write_depth(tmp_path / "right" / "a.png", sample.depth[0])
    write_depth(tmp_path / "left" / "a.png", sample.depth[0].flip(-1))
    K = sample.K[0].clone()
    right = read_recording(RecordingFiles(tmp_path / "right", camera_text(K), UNIT), network, Surface())
    K[0, 2] = 95 - K[0, 2]
    left = read_recording(RecordingFiles(tmp_path / "left", camera_text(K), UNIT, "left"), network, Surface("left"))
    assert torch.allclose(left.views.middles, right.views.middles, atol=6e-3)
    assert (left.views.maps - right.views.maps).abs().mean() < 0.01
    assert (left.side, right.side) == ("left", "right")


def test_a_missing_unit_is_said_once(tmp_path, network, sample):
    for number in range(5):
        write_depth(tmp_path / f"{number}.png", sample.depth[0])
    said = []
    files = RecordingFiles(tmp_path, camera_text(sample.K[0]))
    with pytest.raises(InputError, match=r"0\.png and 4 other frames: unit: a camera given as"):
        read_recording(files, network, Surface(), said.append)
    np.save(tmp_path / "metres.npy", sample.depth[0].numpy())
    recording = read_recording(files, network, Surface(), said.append)
    assert recording.names == ["metres.npy"] and len(recording.skipped) == 5
    assert len(said) == 1 and " and 4 other frames: unit: " in said[0]


def test_views_of_a_rig_go_together(rig, network, sample):
    said = []
    recording = read_recording(RecordingFiles(rig, "500,500,1,1", UNIT), network, Surface(), said.append)
    assert recording.views.maps.shape == (1, 3, 64, 64) and recording.names == ["c0/0.png"]
    (problem,) = said
    assert "c2/1.png: is missing, so that what other cameras have of it is not used" in problem
    assert recording.skipped == [{"input": str(rig / "c2" / "1.png"), "problem": problem}]
    # The same joint, seen from each camera, is one point.
    joint = (sample.joints[:3] - recording.views.middles[0, :, None])[:, 9]
    first = torch.einsum("vij,vj->vi", recording.views.to_first[0, :, :3, :3], joint)
    first = first + recording.views.to_first[0, :, :3, 3]
    assert torch.allclose(first, first[:1].expand(3, 3), atol=1e-4)


def test_faults_of_a_rigs_frames_are_said_and_the_others_used(rig, network, sample):
    write_depth(rig / "c2" / "1.png", sample.depth[5][:48])

    def problems():
        said = []
        with contextlib.suppress(InputError):
            read_recording(RecordingFiles(rig, "azure", UNIT), network, Surface(), said.append)
        return said

    assert ["c2/1.png: has 96x48, and not 96x96 pixels as rig.json says" in problem for problem in problems()] == [True]
    about = json.loads((rig / "rig.json").read_text())
    about["cameras"][1]["world_to_camera"][0][3] += 300.0  # as if in millimetres
    (rig / "rig.json").write_text(json.dumps(about))
    assert ["c1/0.png: the hand is 299.9" in problem for problem in problems()] == [True, False]
    with pytest.raises(InputError, match="box and mask are of one camera's frames"):
        read_recording(RecordingFiles(rig, "azure", UNIT, box=(0, 0, 9, 9)), network, Surface())


def test_box_and_mask_say_where_the_hand_is(tmp_path, network, sample):
    both = sample.depth[0].clone()
    both[:, :20] = 0.2  # something nearer
    write_depth(tmp_path / "frames" / "a.png", both)
    mask = np.full((96, 96), 255, np.uint8)
    mask[:, :20] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    files = RecordingFiles(tmp_path / "frames", camera_text(sample.K[0]), UNIT)
    within_mask = replace(files, mask=tmp_path / "mask.png")
    boxed = read_recording(replace(files, box=(20, 0, 76, 96)), network, Surface())
    masked = read_recording(within_mask, network, Surface())
    assert torch.equal(boxed.views.maps, masked.views.maps)
    cv2.imwrite(str(tmp_path / "mask.png"), mask[:50])
    with pytest.raises(InputError, match="none of its 1 frames"):
        read_recording(within_mask, network, Surface(), complain=lambda said: None)
    with pytest.raises(InputError, match="box: must have shape"):
        read_recording(replace(files, box=(0, 0, 20)), network, Surface())
    with pytest.raises(InputError, match="neither one of kinect1"):
        read_recording(RecordingFiles(tmp_path / "frames", "sr3O5"), network, Surface())


def test_fit_errors_are_of_what_both_show():
    class Still(torch.nn.Module):
        radii = torch.zeros(41)

        def forward(self, maps):
            centres = torch.zeros(len(maps), 41, 3)
            centres[:, 1:, 0] = 0.14  # all but one out of the way
            centres[:, 1:, 2] = -0.2
            return centres

    flat = torch.full((2, 64, 64), 0.15)
    flat[0, 31:33, 31:33] = 0.0
    errors = fit_errors(Still(), flat)
    assert 15 < errors[0] < 20 and errors[1] == 0  # the first sphere's radius is 17.9 mm


def test_frames_are_read_spread_over_all_until_time_is_up(tmp_path, network, sample):
    for number in range(8):
        write_depth(tmp_path / f"{number}.png", sample.depth[0])
    files = RecordingFiles(tmp_path, camera_text(sample.K[0]), UNIT)
    few = read_recording(files, network, Surface(), seconds=0.0)
    assert few.read == ["0.png"] and few.unread == 7 and len(few.views) == 1
    chosen = read_recording(files, network, Surface(), only=["2.png", "6.png"])
    assert chosen.names == ["2.png", "6.png"] and chosen.unread == 0
    assert sorted(_spread_first(8)) == list(range(8)) and max(_spread_first(8)[:3]) - min(_spread_first(8)[:3]) > 3


def test_the_side_is_the_one_that_frames_speak_for_and_what_is_unsure_is_left_out(tmp_path, network, sample):
    for number in range(3):
        write_depth(tmp_path / f"{number}.png", sample.depth[0])
    files = RecordingFiles(tmp_path, camera_text(sample.K[0]), UNIT)
    finder = Surface("left")
    assert read_recording(files, network, finder).side == "left" and finder.calls == 3 * 6  # each is searched once
    recording = read_recording(files, network, Surface())
    assert recording.side == "right" and recording.unsure == 0
    assert recording.guesses.shape == (3, 1, 21, 3) and float(recording.guesses.mean(2).abs().max()) < 1e-6
    said = []
    with pytest.raises(InputError, match="none of its 3 frames"):
        read_recording(replace(files, side="right"), network, Surface("left"), said.append)
    assert len(said) == 3 and all("no right hand is seen clearly" in sentence for sentence in said)
