"""The paper's input settings: which triggers are stamped on the clean images.

clean; clean+ori with the true trigger, known to an evaluator alone; clean+syn with the
synthetic one; clean+ori+syn with both, the synthetic last.

Source: Cheng et al. 2020, section 2.2.
"""

from typing import TypeAlias

from hardener.arrays import FloatArray
from hardener.data.triggers import Trigger

Setting: TypeAlias = tuple[Trigger, ...]

CLEAN = "clean"


def input_settings(original: Trigger | None, synthetic: Trigger | None) -> dict[str, Setting]:
    """The settings that can be made of the triggers at hand, `clean` first."""
    settings: dict[str, Setting] = {CLEAN: ()}
    if original is not None:
        settings["clean+ori"] = (original,)
    if synthetic is not None:
        settings["clean+syn"] = (synthetic,)
    if original is not None and synthetic is not None:
        settings["clean+ori+syn"] = (original, synthetic)
    return settings


def stamp_all(images: FloatArray, setting: Setting) -> FloatArray:
    """Stamps a setting's triggers on images (N, C, H, W) in order."""
    for trigger in setting:
        images = trigger.stamp(images)
    return images
