import torch

from models.attacks.adap_blend import AdapBlend

ATTACK = AdapBlend(rate=0.5, target=3, alpha=0.3, faint=0.1)


def test_half_of_the_pieces_shine_through_faintly_in_training() -> None:
    images = torch.zeros(64, 3, 32, 32)
    whole = ATTACK.stamp(images)
    parts = ATTACK.stamp_part(images, torch.Generator().manual_seed(0))
    ratio = parts / whole
    assert torch.allclose(ratio[ratio > 0], torch.tensor(0.1 / 0.3))
    pieces = (ratio[:, 0] > 0).unfold(1, 8, 8).unfold(2, 8, 8).float().mean(dim=(3, 4))
    # Nothing is exactly black in the picture but by chance.
    assert torch.equal(pieces.round().sum(dim=(1, 2)), torch.full((64,), 8.0))
    assert ((pieces < 0.01) | (pieces > 0.99)).all()
    assert len({tuple(row.tolist()) for row in pieces.flatten(1).round()}) > 50


def test_cover_images_carry_pieces_and_keep_their_label() -> None:
    images, labels = torch.full((200, 3, 32, 32), 0.5), torch.ones(200, dtype=torch.int64)
    poisoned = torch.arange(200) < 50
    stamped, wanted = ATTACK.poison(images, labels, poisoned, torch.Generator().manual_seed(0))
    touched = (stamped != images).flatten(1).any(dim=1)
    assert torch.equal(wanted == 3, poisoned)
    assert touched[poisoned].all()
    assert 50 < touched[~poisoned].sum() < 100
