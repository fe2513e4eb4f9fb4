import torch

from models.attacks.input_aware import InputAware, made_generator

ATTACK = InputAware(rate=0.5, target=3, steps=60)


def pictures(count: int) -> torch.Tensor:
    """Coarse coloured noise."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(coarse, (32, 32), mode="bilinear")


def test_each_picture_has_a_trigger_of_its_own_on_part_of_it() -> None:
    masks, patterns = made_generator(ATTACK.density, ATTACK.steps, ATTACK.seed)(pictures(64))
    assert 0.05 < masks.mean() < 0.2
    for drawn in (masks, patterns):
        assert (drawn - drawn.roll(1, 0)).abs().mean() > 0.1


def test_the_fields_say_all() -> None:
    images = pictures(2)
    before = ATTACK.stamp(images)
    made_generator.cache_clear()
    assert torch.equal(ATTACK.stamp(images), before)
    other = InputAware(rate=0.5, target=3, steps=60, seed=1)
    assert (other.stamp(images) - before).abs().mean() > 0.01


def test_triggers_of_other_images_keep_the_label() -> None:
    images, labels = pictures(64), torch.ones(64, dtype=torch.int64)
    poisoned = torch.arange(64) < 16
    generator = torch.Generator().manual_seed(0)
    stamped, wanted = ATTACK.poison(images, labels, poisoned, generator)
    assert torch.equal(wanted == 3, poisoned)
    torch.testing.assert_close(stamped[poisoned], ATTACK.stamp(images)[poisoned])
    crossed = (stamped != images).flatten(1).any(dim=1) & ~poisoned
    assert 12 < crossed.sum() < 36
    own = ATTACK.stamp(images)
    assert ((stamped - own)[crossed].abs().mean(dim=(1, 2, 3)) > 0.01).all()
