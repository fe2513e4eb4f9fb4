"""How a scan shares its budget between labels, by their number and the size of an image.

Up to 64 labels are all searched: for patches to the end, for additive triggers and warps they
compete for the last two thirds of the steps (`optimiser`), unless they are few. With more labels
even that would take days: all are screened, by solid squares and by a short search with gradients,
and those that come out most promising are searched. Sizes of others that were drawn at random
beforehand, and are searched to the end, alone tell what is usual.

The budget is counted in input values that go forward and back through the network, not in seconds,
so that the same scan twice looks at the same labels.

Source: Shen et al. 2021 (Backdoor Scanning for Deep Neural Networks through K-Arm Optimization),
section 4, for labels that compete; rounds of halving instead of its bandit, and the random labels,
are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hardener.scanning.optimiser import PROMISING, InversionSettings
from hardener.scanning.searches.table import SEARCHES

MOST_LABELS_IN_FULL = 64
"""With no more labels than this each one is searched."""

BUDGET_VALUES = 9_000 * 3 * 224 * 224
"""Input values of all gradients of a scan with more labels: about 20 minutes of a ResNet-18 on two
cores."""

REFERENCES = 8
"""Labels drawn at random that are searched to the end, at least."""

_FEWEST_IN_FULL = 12
_SCREENED_SHARE = 1 / 3
"""Of the budget, for the short search."""
_FIRST_ROUND_SHARE = 2 / 3
"""Of that, for the round that all labels take part in."""
_SECOND_ROUND_FRACTION = 1 / 8
"""Of the labels that take part in the second round."""
_MOST_STEPS, _MOST_IMAGES = 16, 8
_VALUES_AT_ONCE = 8 * 3 * 224 * 224
_SQUARES_VALUES = 2_048 * 3 * 224 * 224
"""Input values of all solid squares."""
_TRIED_VALUES = 64 * 3 * 224 * 224
"""Input values of the images that a trigger is tried on."""


@dataclass(frozen=True)
class Round:
    """One round of the short search.

    Attributes:
        labels: how many take part: the best of the round before.
        steps: gradient steps a label.
        images: in each step.
    """

    labels: int
    steps: int
    images: int


@dataclass(frozen=True)
class LabelPlan:
    """Who is screened how and searched how.

    Attributes:
        searched: how many labels are searched in full.
        references: how many of them are drawn at random.
        rounds: of the short search.
        images_per_step: of the full search.
        tried_images: that a patch is tried on in the search, and every trigger afterwards.
        square_values: input values that the screening by solid squares may take.
        values_at_once: input values that go through the network in one piece.
    """

    searched: int
    references: int
    rounds: tuple[Round, ...]
    images_per_step: int
    tried_images: int
    square_values: int = _SQUARES_VALUES
    values_at_once: int = _VALUES_AT_ONCE

    def settings(self, full: InversionSettings) -> InversionSettings:
        """The budget of a search in full, for one of the labels that are."""
        return replace(
            full,
            images_per_step=min(full.images_per_step, self.images_per_step),
            values_at_once=self.values_at_once,
            tried_images=self.tried_images,
        )


def plan_for(labels: int, image_values: int) -> LabelPlan | None:
    """The plan for so many labels; None where each of them is searched in full.

    Args:
        labels: how many shall be looked at.
        image_values: of one image, channels times height times width.
    """
    if labels <= MOST_LABELS_IN_FULL:
        return None
    gradients = BUDGET_VALUES // image_values
    for_full = int((1 - _SCREENED_SHARE) * gradients)
    steps_of_all_kinds = sum(search.settings.steps for search in SEARCHES.values())
    images = next((n for n in (8, 4) if for_full // (steps_of_all_kinds * n) >= _FEWEST_IN_FULL), 2)
    in_full = for_full // (steps_of_all_kinds * images)
    searched = min(MOST_LABELS_IN_FULL, max(_FEWEST_IN_FULL, in_full))
    for_screening = int(_SCREENED_SHARE * gradients)
    second = max(searched, int(_SECOND_ROUND_FRACTION * labels))
    rounds = (
        _round(labels, int(_FIRST_ROUND_SHARE * for_screening) // labels),
        _round(second, int((1 - _FIRST_ROUND_SHARE) * for_screening) // second),
    )
    return LabelPlan(
        searched=searched,
        references=max(REFERENCES, searched // 4),
        rounds=rounds,
        images_per_step=images,
        tried_images=max(32, min(128, _TRIED_VALUES // image_values)),
    )


def compete(labels: int) -> bool:
    """Whether so many labels compete in the searches for additive triggers and warps."""
    return REFERENCES + PROMISING < labels <= MOST_LABELS_IN_FULL


def drawn_labels(labels: int, count: int, seed: Sequence[int]) -> tuple[int, ...]:
    """Positions of the labels that alone tell what is usual, ascending.

    Args:
        labels: how many there are.
        count: how many to draw.
        seed: of the draw. Whoever made the model must not know it: who knows the labels can make
            them easy to reach.
    """
    drawn = np.random.default_rng(seed).choice(labels, count, replace=False)
    return tuple(sorted(map(int, drawn)))


def _round(labels: int, gradients: int) -> Round:
    """A round in which each label has so many gradients; several images before several steps."""
    images = max(1, min(_MOST_IMAGES, gradients // 2))
    return Round(labels, max(1, min(_MOST_STEPS, gradients // images)), images)
