"""The paper's input settings: which triggers are stamped on the clean images.

clean; clean+ori with the true trigger, known to an evaluator alone; clean+syn with the
synthetic one; clean+ori+syn with both, the synthetic last.

Source: Cheng et al. 2020, section 2.2.
"""

from typing import Protocol, TypeAlias

from hardener.arrays import FloatArray


class Stamp(Protocol):
    """A trigger of any kind."""

    @property
    def label(self) -> int:
        """The target label."""

    def stamp(self, images: FloatArray) -> FloatArray:
        """Puts the trigger on images (N, C, H, W) in [0, 1]; they stay as they are."""


Setting: TypeAlias = tuple[Stamp, ...]

CLEAN = "clean"


def input_settings(original: Stamp | None, synthetic: Stamp | None) -> dict[str, Setting]:
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
