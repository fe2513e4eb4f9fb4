"""Labels that compete in a search, on a network that has one easier than all others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from support.many_labels import IMAGES, PLAIN, TARGET, Planted
from torch import Tensor

from hardener.data.triggers import Trigger
from hardener.scanning.inversion import PATCHES, Inverted, invert_patches
from hardener.scanning.searching import CPU, PROMISING, halt_of, label_steps
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished

LABELS, STEPS = 40, 60
DRAWN = (2, 3, 5, 7, 11, 13, 19, 23)
SETTINGS = replace(PATCHES, steps=STEPS, stops_unsolved=True)


def _patches(
    drawn: tuple[int, ...] | None, steps: list[int], kept: Unfinished = NOTHING_KEPT
) -> Inverted[Trigger]:
    network = Planted(LABELS)
    labels = range(LABELS)
    return invert_patches(
        network, IMAGES, PLAIN, labels, SETTINGS, 0, steps.append, CPU, (), kept, drawn
    )


def test_after_the_halt_only_the_drawn_and_the_most_promising_go_on() -> None:
    steps: list[int] = []
    found = _patches(DRAWN, steps)
    assert [trigger.label for trigger in found.triggers] == list(range(LABELS))
    assert len(found.stopped) == LABELS - len(DRAWN) - PROMISING
    assert not found.stopped & {*DRAWN, TARGET}
    assert sum(steps) == label_steps(SETTINGS, LABELS, len(DRAWN))
    assert sum(steps) < label_steps(SETTINGS, LABELS, None) == STEPS * LABELS


def test_without_drawn_labels_or_with_few_labels_all_go_on() -> None:
    assert not _patches(None, []).stopped
    assert not _patches(tuple(range(LABELS - PROMISING)), []).stopped


def test_the_planted_label_is_as_small_as_without_competition() -> None:
    sizes = [
        np.array([trigger.mask_l1 for trigger in _patches(drawn, []).triggers])
        for drawn in (DRAWN, None)
    ]
    shares = [of_all[TARGET] / np.median(of_all[list(DRAWN)]) for of_all in sizes]
    assert shares[0] < 0.5
    np.testing.assert_allclose(shares[0], shares[1], rtol=1e-3)


class Bouncing(Planted):
    """A label that gradients come to no patch for: its logit is always the least."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        never = torch.nn.functional.one_hot(torch.tensor(30), LABELS)
        return logits - 1000 * never


def test_a_label_that_no_patch_works_for_is_not_stopped() -> None:
    settings = replace(PATCHES, steps=STEPS)
    found = invert_patches(Bouncing(LABELS), IMAGES, PLAIN, range(LABELS), settings, 0, drawn=DRAWN)
    assert found.stopped
    assert not found.stopped & {30, TARGET, *DRAWN}


def test_groups_that_were_finished_before_or_after_the_halt_are_not_searched_again(
    tmp_path: Path,
) -> None:
    steps: list[int] = []
    whole = _patches(DRAWN, steps, Unfinished(tmp_path, "key"))
    pieces = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert len(pieces) >= 2
    for kept in (len(pieces), len(pieces) - 1, 1):
        for path in pieces[kept:]:
            path.unlink()
        again = _patches(DRAWN, steps, Unfinished(tmp_path, "key"))
        assert again.stopped == whole.stopped
        for one, other in zip(whole.triggers, again.triggers, strict=True):
            np.testing.assert_array_equal(one.mask, other.mask)
    assert halt_of(SETTINGS) == STEPS // 3
