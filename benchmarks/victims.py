"""Every network that is hardened in a benchmark: where it is, its images and its true trigger.

Those of `models.zoo` and `models/weights`, and networks of other people where the data folder
holds `third-party/` (its README tells triggers and preprocessing).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.setting import exported, gtsrb
from hardener.data.images import open_images
from hardener.files import atomic_path
from hardener.model.classifier import Overrides
from hardener.triggers.patch import load_trigger
from models.attacks.attack import Attack, TargetedAttack
from models.attacks.overlay import Overlay
from models.recipes import RECIPES
from models.stamping import attack_of
from models.zoo import VICTIMS

COMMITTED = ("alexnet-gtsrb-badnets", "alexnet-gtsrb-vanilla")
"""Of `models/weights`, beside those of the zoo."""

_CUT = 4  # pixels off each side
_UNIT = {"mean": (0.0,) * 3, "std": (1.0,) * 3}


@dataclass(frozen=True)
class Victim:
    """One network and what is known of it.

    Attributes:
        name: of its recipe, or of its file.
        model: its ONNX file.
        valid: the clean images of a defender.
        test: the images that report.
        attack: the true one; None for a clean network.
        preprocessing: what a user would have to say.
        clean_twin: the same network trained without the attack, where there is one.
    """

    name: str
    model: Path
    valid: Path
    test: Path
    attack: Attack | None
    preprocessing: Overrides = ()
    clean_twin: Path | None = None


@dataclass(frozen=True)
class Watermark(TargetedAttack):
    """A fixed picture added to every pixel and clipped.

    Attributes:
        path: `.npz` with `perturbation` (C, H, W).
    """

    path: Path = field(kw_only=True)

    def stamp(self, images: torch.Tensor) -> torch.Tensor:
        """Adds the picture to images (B, C, H, W) in [0, 1]."""
        with np.load(self.path) as arrays:
            return (images + torch.from_numpy(arrays["perturbation"])).clamp(0, 1)


def victims(zoo: Path) -> Iterator[Victim]:
    """Those that are there, in the order in which tables name them.

    Args:
        zoo: folder of `models.zoo`; images that are made for victims are kept there, too.
    """
    data = gtsrb()
    for name in (*COMMITTED, *VICTIMS):
        model = zoo / f"{name}.onnx"
        if name in COMMITTED and not model.is_file():
            zoo.mkdir(parents=True, exist_ok=True)
            exported(name, zoo)
        if not model.is_file():
            continue
        network, dataset, attacked = name.split("-", 2)
        twin = zoo / f"{network}-{dataset}-vanilla.onnx"
        recipe = RECIPES[name]
        valid, test = (_images(data, recipe.dataset, part, zoo) for part in ("valid", "test"))
        yield Victim(
            name,
            model,
            valid,
            test,
            attack_of(name, zoo) if recipe.attack else None,
            clean_twin=twin if attacked != "vanilla" and twin.is_file() else None,
        )
    yield from third_party(data / "third-party", zoo)


def third_party(folder: Path, zoo: Path) -> Iterator[Victim]:
    """Networks that other people trained with a backdoor.

    Args:
        folder: of their files.
        zoo: where images that are made for them are kept.
    """
    attacks: dict[str, tuple[str, Attack]] = {}
    if folder.is_dir():
        mark = folder / "additive-l2_inv.npz"
        signs, things = "cut", "cifar10"
        for name, dataset in (("p01", signs), ("p06", things), ("p11", things)):
            given = load_trigger(folder / f"{name}.trigger.npz")
            attacks[name] = dataset, Overlay(rate=0.2, target=given.label, given=given)
        for name, dataset in (("p03", signs), ("p08", things)):
            attacks[name] = dataset, Watermark(rate=0.2, target=0, path=mark)
    for name, (dataset, attack) in sorted(attacks.items()):
        valid, test = (_images(gtsrb(), dataset, part, zoo) for part in ("valid", "test"))
        yield Victim(name, folder / f"{name}.onnx", valid, test, attack, (_UNIT,))


def _images(data: Path, dataset: str, part: str, zoo: Path) -> Path:
    """A part of a data set as hardener takes it."""
    if dataset != "cut":
        return data / f"{'gtsrb32' if dataset == 'gtsrb' else dataset}-{part}.zip"
    made = zoo / f"gtsrb32-cut-{part}.npz"
    if not made.is_file():
        _cut(data / f"gtsrb32-{part}.zip", made)
    return made


def _cut(source: Path, made: Path) -> None:
    """Writes signs without their surroundings, as other people's networks were trained on them."""
    opened = open_images(source)
    batches = opened.batches(size=(32, 32), channels=3, batch_size=512)
    images = np.concatenate([np.rint(255 * batch.images).astype(np.uint8) for batch in batches])
    inner = [
        np.asarray(
            Image.fromarray(one[_CUT:-_CUT, _CUT:-_CUT]).resize((32, 32), Image.Resampling.BICUBIC)
        )
        for one in images.transpose(0, 2, 3, 1)
    ]
    with atomic_path(made) as partial, partial.open("wb") as stream:
        np.savez(stream, images=np.stack(inner), labels=opened.labels)
