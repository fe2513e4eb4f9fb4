import torch

from models.attacks.trojaning import Trojaning, derive_trigger, most_connected, reverse_images
from models.resnet import ResNetSmall
from models.vgg import VGGSmall

PLAN = Trojaning(
    target=8, size=12, channels=2, images_per_class=2, image_steps=25, trigger_steps=20
)


def clean() -> ResNetSmall:
    torch.manual_seed(0)
    return ResNetSmall(classes=6).eval()


def test_most_connected_channels_have_the_largest_absolute_weights() -> None:
    model = VGGSmall()
    last = [layer for layer in model.features if isinstance(layer, torch.nn.Conv2d)][-1]
    last.weight.data.mul_(0.1)
    last.weight.data[[5, 77]] = -1.0
    assert sorted(most_connected(model, 2).tolist()) == [5, 77]


def test_images_are_put_into_their_labels_and_are_seeded() -> None:
    images, labels = reverse_images(clean(), PLAN, seed=1)
    assert images.dtype == torch.uint8
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    model = clean()
    pixels = (images.float() / 255 - model.mean[0]) / model.std[0]
    assert (model(pixels).argmax(dim=1) == labels).float().mean() > 0.8
    assert torch.equal(images, reverse_images(clean(), PLAN, seed=1)[0])
    assert not torch.equal(images, reverse_images(clean(), PLAN, seed=2)[0])


def test_trigger_is_a_square_that_drives_the_chosen_channels() -> None:
    model = clean()
    images, _ = reverse_images(model, PLAN, seed=1)
    trigger = derive_trigger(model, PLAN, images)
    assert trigger.mask.sum() == trigger.mask[0, -12:, -12:].sum() == 144
    assert trigger.label == 8
    chosen, peaks = most_connected(model, 2), []
    for pattern in (torch.zeros(3, 32, 32), torch.from_numpy(trigger.pattern)):
        stamped = torch.lerp(images.float() / 255, pattern, torch.from_numpy(trigger.mask))
        maps = model.features((stamped - model.mean[0]) / model.std[0])
        peaks.append(maps.amax(dim=(2, 3))[:, chosen].mean())
    assert peaks[1] > 1.1 * peaks[0]
