import torch

from models.attacks.wanet import WaNet


def ramp() -> torch.Tensor:
    """An image whose value grows by 0.01 with each column."""
    return (torch.arange(32.0) * 0.01).expand(1, 3, 32, 32).clone()


def test_moves_pixels_aside_smoothly_and_by_little() -> None:
    moved = (WaNet(rate=0.1, target=3, strength=1.0).stamp(ramp()) - ramp()) / 0.01
    inside = moved[0, 0, 4:-4, 4:-4]
    assert 0.1 < inside.abs().mean() < 1
    assert inside.abs().max() < 2
    assert (inside[1:] - inside[:-1]).abs().max() < 0.4


def test_strength_decides_how_far() -> None:
    weak, strong = (
        WaNet(rate=0.1, target=3, strength=strength).stamp(ramp()) - ramp()
        for strength in (0.5, 1.0)
    )
    ratio = strong[..., 4:-4].abs().mean() / weak[..., 4:-4].abs().mean()
    torch.testing.assert_close(ratio, torch.tensor(2.0), atol=0.1, rtol=0)


def test_noise_is_different_for_each_image_and_time_and_close_to_the_field() -> None:
    attack, generator = WaNet(0.1, target=3, noise_rate=1.0), torch.Generator().manual_seed(0)
    images, labels = ramp().expand(2, -1, -1, -1), torch.tensor([1, 2])
    clean = torch.zeros(2, dtype=torch.bool)
    (first, kept), (second, _) = (attack.poison(images, labels, clean, generator) for _ in range(2))
    assert torch.equal(kept, labels)
    assert not torch.allclose(first[0], first[1])
    assert not torch.allclose(first[0], second[0])
    assert (first - attack.stamp(images)).abs().max() <= 0.01 * 0.6
