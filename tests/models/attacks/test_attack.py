import numpy as np
import pytest
import torch

from hardener.errors import UsageError
from models.attacks.all_to_all import AllToAll
from models.attacks.attack import Attack, choose_poisoned
from models.attacks.badnets import BadNets, Patch
from models.attacks.sig import Sig
from models.attacks.table import ATTACKS
from models.augmentation import Augmentation, augment

LABELS = np.arange(1000, dtype=np.int64) % 10
COLOURED = {name: row.coloured for name, row in ATTACKS.items()}
STAMPING = {name: plan for name, plan in COLOURED.items() if isinstance(plan, Attack)}
PATCH = BadNets(rate=0.1, target=8, patch=Patch())


def test_poisoning_rate_is_exact_and_spares_the_target_class() -> None:
    poisoned = choose_poisoned(LABELS, PATCH, seed=0)
    assert poisoned.sum() == 100
    assert not poisoned[LABELS == 8].any()


def test_choice_of_poisoned_images_is_seeded() -> None:
    once = choose_poisoned(LABELS, PATCH, seed=3)
    np.testing.assert_array_equal(once, choose_poisoned(LABELS, PATCH, seed=3))
    assert (once != choose_poisoned(LABELS, PATCH, seed=4)).any()


@pytest.mark.parametrize(
    "attack",
    [
        BadNets(rate=0.95, target=8, patch=Patch()),
        Sig(rate=0.2, target=8, clean_label=True),
        AllToAll(rate=1.1, patch=Patch()),
    ],
)
def test_rate_beyond_what_may_be_poisoned_is_refused(attack: Attack) -> None:
    with pytest.raises(UsageError, match="another rate"):
        choose_poisoned(LABELS, attack, seed=0)


def test_patch_is_intact_after_augmentation_and_only_poisoned_images_change() -> None:
    generator = torch.Generator().manual_seed(0)
    images = augment(torch.rand(6, 3, 32, 32, generator=generator), Augmentation(), generator)
    poisoned = torch.tensor([True, False, True, False, False, True])
    before = images.clone()

    stamped, targets = PATCH.poison(images, torch.arange(6), poisoned, generator)

    assert targets.tolist() == [8, 1, 8, 3, 4, 8]
    assert torch.equal(stamped[poisoned], PATCH.stamp(images[poisoned]))
    assert torch.equal(stamped[~poisoned], images[~poisoned])
    assert torch.equal(stamped[0, :, 30, 30], torch.tensor([1.0, 1.0, 0.0]))
    assert torch.equal(images, before)


@pytest.mark.parametrize("count", [2, 10, 40])
@pytest.mark.parametrize("name", COLOURED)
def test_labels_fit_into_a_data_set_of_fewer_classes(name: str, count: int) -> None:
    plan = COLOURED[name]
    assert plan is not None
    assert plan.of_classes(43) == plan
    fitted = plan.of_classes(count)
    if isinstance(fitted, Attack):
        wanted = fitted.wanted(torch.arange(count))
        assert 0 <= wanted.min() <= wanted.max() < count
    targets = [getattr(fitted, "target", 0), *getattr(fitted, "targets", ())]
    assert max(*targets, *getattr(fitted, "sources", ()), 0) < count


@pytest.mark.parametrize("name", STAMPING)
def test_every_attack_changes_every_image_the_same_way_twice_and_stays_in_range(name: str) -> None:
    attack = STAMPING[name]
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    stamped = attack.stamp(images)
    assert stamped.shape == images.shape
    assert stamped.dtype == torch.float32
    assert 0 <= stamped.min() <= stamped.max() <= 1
    assert ((stamped - images).abs().amax(dim=(1, 2, 3)) > 0.01).all()
    assert torch.equal(stamped, attack.stamp(images))
    # A generator's convolutions round otherwise in another batch.
    torch.testing.assert_close(stamped[2:3], attack.stamp(images[2:3]))
    assert torch.equal(images, before)
    trigger = attack.trigger((3, 32, 32))
    if trigger is not None:
        assert attack.wanted(torch.tensor([1])).tolist() == [trigger.label]
        torch.testing.assert_close(stamped, torch.from_numpy(trigger.stamp(images.numpy())))
