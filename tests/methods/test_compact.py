import json
from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.model import HandModel, HandPose
from phalanx.methods.compact import CompactConfig, CompactEstimator, centre_ray, load, save_weights, targets
from phalanx.nets.blocks import can_pack

SMALL = CompactConfig(size=64, widths=(8, 12, 16, 24), depths=(0, 1, 1, 1), top_down=(12, 12, 8), hidden=16)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.open_hand()


def labelled(hand: HandModel, batch: int = 4, size: int = 64) -> Sample:
    torch.manual_seed(0)
    pose = HandPose(
        rotvec_to_rotmat(0.2 * torch.randn(batch, 16, 3)),
        torch.randn(batch, 10),
        rotvec_to_rotmat(torch.randn(batch, 3)),
        torch.tensor([0.02, 0.01, 0.6]) + 0.02 * torch.randn(batch, 3),
    )
    joints = hand.joints(pose)
    K = torch.tensor([[150.0, 0, 31.5], [0, 150, 31.5], [0, 0, 1]]).expand(batch, 3, 3)
    pixels = joints @ K.mT
    return Sample(
        image=torch.rand(batch, 3, size, size),
        mask=torch.rand(batch, size, size),
        joints=joints,
        joints_2d=pixels[..., :2] / pixels[..., 2:],
        K=K,
        rotations=pose.rotations,
        shape=pose.shape,
        orientation=pose.orientation,
        translation=pose.translation,
    )


def network(config: CompactConfig = SMALL) -> CompactEstimator:
    torch.manual_seed(1)
    made = CompactEstimator(config)
    with torch.no_grad():  # batch statistics, so that evaluation mode is not the identity of a fresh network
        made.train()(torch.rand(8, 3, 64, 64))
    return made.eval()


def test_default_network_is_compact_enough():
    count = sum(p.numel() for p in CompactEstimator().parameters())
    assert 1e6 < count < 1e7


@pytest.mark.parametrize("size", [64, 96])
def test_evidence(size):
    evidence = network()(torch.rand(3, 3, size, size))
    assert evidence.joints_2d.shape == (3, 21, 2)
    assert bool(((evidence.joints_2d > 0) & (evidence.joints_2d < 1)).all())
    assert evidence.sigma_2d.shape == evidence.depth.shape == evidence.sigma_depth.shape == (3, 21)
    assert bool((evidence.sigma_2d > 0).all()) and bool((evidence.sigma_depth > 0).all())
    assert float(evidence.depth[:, 9].detach().abs().max()) == 0.0
    for rotation in (evidence.rotations, evidence.orientation):
        eye = torch.eye(3).expand_as(rotation)
        torch.testing.assert_close(rotation @ rotation.mT, eye, atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(rotation.shape[:-2]), atol=1e-5, rtol=0)
    assert evidence.rotations.shape == (3, 16, 3, 3)
    assert evidence.shape.shape == (3, 10)


def test_targets_give_the_joints_back(hand):
    sample = labelled(hand)
    want = targets(sample)
    focal, size = 150.0, 64
    # docs/architecture.md: joints are z_root * (1 + depth_j * S / f) * ray_j
    pixels = want.joints_2d * size - 0.5
    rays = torch.cat(((pixels - 31.5) / focal, torch.ones(4, 21, 1)), -1)
    again = sample.joints[:, 9:10, 2:] * (1 + want.depth[..., None] * size / focal) * rays
    torch.testing.assert_close(again, sample.joints, atol=1e-5, rtol=1e-4)
    ray = centre_ray(sample.K, size)
    torch.testing.assert_close(ray, torch.tensor([0.0, 0.0, 1.0]).expand(4, 3))
    torch.testing.assert_close(want.orientation, sample.orientation)


def test_orientation_target_does_not_change_when_hand_and_crop_turn_about_the_camera(hand):
    sample = labelled(hand)
    aside = torch.tensor([0.3, -0.2, 1.0]).expand(4, 3)
    turn = ray_to_rotmat(aside)
    moved = Sample(**(sample.present() | {"orientation": turn @ sample.orientation, "K": sample.K.clone()}))
    moved.K[:, 0, 2] = 31.5 - 150 * 0.3  # the crop's centre looks along `aside`
    moved.K[:, 1, 2] = 31.5 + 150 * 0.2
    torch.testing.assert_close(targets(moved).orientation, targets(sample).orientation, atol=1e-5, rtol=1e-5)


def test_perfect_output_has_the_least_loss(hand):
    sample = labelled(hand)
    made = network()
    want = targets(sample)
    reading = made.read(sample.image)
    plain = made.losses_of(reading, sample)
    reading.evidence.joints_2d, reading.evidence.depth = want.joints_2d, want.depth
    perfect = made.losses_of(reading, sample)
    for name in ("coordinates", "depth", "directions"):
        assert float(perfect[name].detach()) < 1e-3 < float(plain[name].detach())


def test_losses_of_a_part_of_what_was_read(hand):
    sample = labelled(hand)
    made = network()
    whole = made.read(sample.image)
    for name, value in made.losses_of(whole[:1], sample[:1]).items():
        torch.testing.assert_close(value, made.losses(sample[:1])[name], atol=1e-4, rtol=1e-4)


def test_losses_train_and_absent_labels_are_left_out(hand):
    sample = labelled(hand)
    made = network().train()
    descent = torch.optim.Adam(made.parameters(), lr=1e-2)
    first = last = 0.0
    for step in range(50):
        terms = made.losses(sample)
        total = torch.stack(list(terms.values())).sum()
        descent.zero_grad()
        total.backward()
        descent.step()
        first, last = (float(total.detach()) if step == 0 else first), float(total.detach())
    assert last < 0.7 * first
    assert set(terms) == {
        "coordinates", "maps", "depth", "directions", "uncertainty", "rotations", "orientation", "shape", "mask"
    }  # fmt: skip
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in made.parameters())
    weak = Sample(image=sample.image, joints_2d=sample.joints_2d)
    assert set(made.losses(weak)) == {"coordinates", "maps", "uncertainty"}
    assert set(made.losses(Sample(image=sample.image, mask=sample.mask))) == {"mask"}


def test_handedness_is_learnt_from_mirror_images(hand):
    """Its loss is that of telling the first crops from their mirror images, and a few steps on them teach it."""
    batch = labelled(hand, batch=6)
    plain = network()
    headed = CompactEstimator(replace(SMALL, handedness=8)).eval()
    headed.start_from(plain.state_dict())
    assert "handedness" not in plain.losses(batch) and plain(batch.image).right is None
    terms = headed.losses(batch)
    shown, mirrored = (headed(images).right for images in (batch.image[:2], batch.image[:2].flip(-1)))
    wanted = headed.config.weights.handedness * torch.log1p(torch.exp(mirrored - shown)).mean()
    assert torch.allclose(terms["handedness"], wanted, atol=1e-6)
    for name, value in plain.losses(batch).items():  # the others are those of the crops alone
        assert torch.allclose(terms[name], value, atol=1e-5), name
    descent = torch.optim.Adam(headed.parameters(), 0.01)
    for _ in range(30):
        descent.zero_grad()
        headed.losses(batch)["handedness"].backward()
        descent.step()
    assert (headed(batch.image[:2]).right > headed(batch.image[:2].flip(-1)).right).all()


def test_joints_outside_the_crop_do_not_pull(hand):
    sample = labelled(hand)
    sample.joints_2d[:, 4] += 500
    want = targets(sample)
    assert want.inside[:, 4].sum() == 0
    made = network()
    terms = made.losses(sample)
    sample.joints_2d[:, 4] += 500
    again = made.losses(sample)
    for name, value in terms.items():
        if name not in ("directions",):  # bones to it are weighted out as well, up to rounding
            torch.testing.assert_close(value, again[name])


def test_saved_and_loaded_again(hand, tmp_path):
    made = network()
    path = tmp_path / "weights.safetensors"
    save_weights(made, path, hand)
    again = load(path, hand)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        first, second = made(images), again(images)
    torch.testing.assert_close(first.joints_2d, second.joints_2d, atol=2e-3, rtol=0)  # float16, folded
    torch.testing.assert_close(first.rotations, second.rotations, atol=1e-2, rtol=0)
    assert again.config == made.config
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    # the order of labels in the file does not matter, and it is readable by others
    assert path.stat().st_mode & 0o044 == 0o044


def test_evidence_is_what_the_network_says_without_gradients():
    made, images = network(), torch.rand(2, 3, 64, 64)
    plain, evidence = made(images), made.evidence(images)
    assert plain.joints_2d.requires_grad and evidence.joints is None
    for name in ("joints_2d", "sigma_2d", "depth", "sigma_depth", "rotations", "orientation", "shape"):
        got = getattr(evidence, name)
        assert torch.equal(got, getattr(plain, name)) and not got.requires_grad


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_of_inference_can_be_chosen(hand, tmp_path, precision):
    path = tmp_path / "weights.safetensors"
    save_weights(network(), path, hand)
    if precision == "bfloat16" and not can_pack(torch.bfloat16):
        with pytest.raises(InputError, match="precision: .* bfloat16 on this CPU"):
            load(path, hand, precision)
        return
    made = load(path, hand, precision)
    assert made.precision == getattr(torch, precision)
    images = torch.rand(2, 3, 64, 64)
    error = (made.evidence(images).joints_2d - network().evidence(images).joints_2d).abs().max()
    assert float(error) < (2e-3 if precision == "bfloat16" else 1e-4)
    with pytest.raises(InputError, match="precision: must be 'auto', 'float32' or 'bfloat16', not 'float16'"):
        load(path, hand, "float16")


def spoil(path, how: str, hand: HandModel) -> HandModel:
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not weights")
    elif how == "flipped":
        path.write_bytes(content[:-5] + bytes([content[-5] ^ 0x10]) + content[-4:])
    elif how == "missing":
        path.unlink()
    elif how == "foreign":
        import safetensors.torch

        path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}))
    elif how in ("later", "other method"):
        change = {"format": 99} if how == "later" else {"method": "spheres"}
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        about = json.loads(header["__metadata__"]["phalanx"]) | change
        header["__metadata__"]["phalanx"] = json.dumps(about)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    elif how == "not a number":
        broken = network()
        broken.maps.bias.data[3] = float("nan")
        save_weights(broken, path, hand)
    elif how == "other hand":
        changed = dict(hand.named_buffers())
        changed["rest_joints"] = changed["rest_joints"] + 0.01
        changed.pop("parts")
        return HandModel(**changed)
    return hand


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("missing", "no such weights file"),
        ("empty", "not a readable weights file"),
        ("truncated", "not a readable weights file"),
        ("text", "not a readable weights file"),
        ("flipped", "damaged"),
        ("foreign", "not a weights file of this project"),
        ("later", "format 99"),
        ("other method", "weights of spheres, not of compact"),
        ("other hand", "another hand model"),
        ("not a number", "not finite"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(hand, tmp_path, how, says):
    path = tmp_path / "weights.safetensors"
    save_weights(network(), path, hand)
    wanted = spoil(path, how, hand)
    with pytest.raises(InputError, match=says) as caught:
        load(path, wanted)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_grown_network_begins_where_the_smaller_one_was():
    from dataclasses import replace

    small = network()
    large = CompactEstimator(replace(SMALL, depths=(1, 2, 1, 2), detail=6))
    large.start_from(small.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        first, second = small(images), large.eval()(images)
    torch.testing.assert_close(first.joints_2d, second.joints_2d)
    torch.testing.assert_close(first.rotations, second.rotations)
    with pytest.raises(InputError, match="no place for the weights"):
        network().start_from(large.state_dict())
