"""The attempts of one round: the closed form with several weights, distilled, and front to back.

Which of them is best depends on the network: the closed form takes out more of the attack and, in
networks whose late layers know a label by one direction alone, more of that label's accuracy; the
distillation the other way round; front to back costs less of both in some networks, and leaves more
in others. So each is measured on images that nothing is fitted on, and the best is kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from statistics import mean

import onnx
from torch import nn

from hardener.arrays import BoolArray, IntArray
from hardener.errors import InconclusiveError
from hardener.measuring.budget import within_budget
from hardener.measuring.intervals import paired_loss
from hardener.repairing.choice import ENDED, Standing, standing
from hardener.repairing.closed_form import Sums
from hardener.repairing.cure import Patient, Weights
from hardener.repairing.distillation import DistillationSettings
from hardener.repairing.stamping import Pool
from hardener.repairing.trials import Trial
from hardener.repairing.universal import UniversalSettings
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import SyntheticTrigger

_FRONT_TO_BACK_SEED = 10_000
"""Beside a round's: of what front to back is solved on."""

WEIGHTS = (0.03, 0.06, 0.1, 0.2, 0.4, 1.0, 3.0)
"""Of stamped images beside clean ones in the closed form."""

_DISTILLED_FROM = 0.1
"""The weight whose closed form is distilled."""

DISTILLED = 4
"""Times that it is, each time on what reaches the label at that moment."""

PASSES = 3
"""Front to back, each on what reaches the label at that moment."""

FOLDS = 2
"""Sets of triggers that the layers see by turns, front to back."""

AGAINST = UniversalSettings(starts=8)
"""Of universal perturbations that reach the label before a distillation or a pass."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """New weights, and how they stand.

    Attributes:
        weights: of the whole network or of some layers.
        weight: of stamped images beside clean ones in the closed form they come from.
        distilled: how often they were distilled since.
        passes: front to back; 0 where each layer was solved by itself.
        triggers: on how many it was fitted.
        network: with them, from normalised images to logits.
        lost: accuracy, on all images that nothing is fitted on.
        standing: the lower, the better.
    """

    weights: Weights
    weight: float
    distilled: int
    passes: int
    triggers: int
    network: nn.Module
    lost: float
    standing: Standing


@dataclass(frozen=True, eq=False)
class Attempts:
    """What all attempts of one repair share.

    Attributes:
        patient: the model, and the images to fit on.
        trial: how a model is measured, with triggers that none is fitted on.
        unmet: universal perturbations that none is fitted on either.
        tried_on: positions of the images that tell what is left of the attack.
        held_out: positions of those that tell what accuracy is lost.
        groups: (N,) which of all images are alike.
        budget: allowed loss of accuracy.
        distillation: the budget of each distillation.
        against: takes a network and a seed, gives triggers that reach the label on it.
        on_step: told of each finished step of a distillation.
    """

    patient: Patient
    trial: Trial
    unmet: Sequence[AdditiveTrigger]
    tried_on: IntArray
    held_out: IntArray
    groups: IntArray
    budget: float
    distillation: DistillationSettings
    against: Callable[[nn.Module, int], list[AdditiveTrigger]]
    on_step: Callable[[int], None]

    def best(self, sums: Mapping[str, Sums], pool: Pool, seed: int) -> Attempt:
        """The attempt that stands best.

        Args:
            sums: of every layer.
            pool: triggers to unlearn; those that come first are known, the others universal.
            seed: of every draw.

        Raises:
            InconclusiveError: a closed form gives values that are not finite.
        """
        right, count = self._right(self.patient.proto), sum(map(len, pool))
        solved = (
            self._measured(self.patient.solved(sums, weight), weight, right, count)
            for weight in WEIGHTS
        )
        best = min(solved, key=_standing)
        if best.standing < ENDED:
            return best
        for more in (self._distilled(sums, pool, right, seed), self._in_order(pool, right, seed)):
            best = min(chain((best,), _finite(more)), key=_standing)
            if best.standing < ENDED:
                return best
        return best

    def _distilled(
        self, sums: Mapping[str, Sums], pool: Pool, right: BoolArray, seed: int
    ) -> Iterator[Attempt]:
        """After each distillation, on what reached the label before it, too."""
        weights, met = self.patient.solved(sums, _DISTILLED_FROM), list[SyntheticTrigger]()
        for number in range(DISTILLED):
            own = DISTILLED * seed + number
            met += self.against(self.patient.network(weights), own)
            given = (*pool, met)
            weights = self.patient.distilled(weights, given, self.distillation, own, self.on_step)
            count = sum(map(len, given))
            yield self._measured(weights, _DISTILLED_FROM, right, count, distilled=number + 1)

    def _in_order(self, pool: Pool, right: BoolArray, seed: int) -> Iterator[Attempt]:
        """After each pass front to back, on what reached the label before it, too."""
        known, *_ = pool
        weights: Weights = {}
        folds: list[list[SyntheticTrigger]] = [[] for _ in range(FOLDS)]
        for number in range(PASSES):
            network = self.patient.network(weights)
            for position, fold in enumerate(folds):
                own = FOLDS * (PASSES * seed + number) + position
                fold.extend(self.against(network, own + _FRONT_TO_BACK_SEED))
            pools = [(known, fold) for fold in folds]
            weights = self.patient.solved_front_to_back(weights, pools, seed)
            count = len(known) + sum(map(len, folds))
            yield self._measured(weights, 1.0, right, count, passes=number + 1)

    def _measured(
        self,
        weights: Weights,
        weight: float,
        right: BoolArray,
        triggers: int,
        *,
        distilled: int = 0,
        passes: int = 0,
    ) -> Attempt:
        proto = self.patient.with_weights(weights)
        lost = paired_loss(right, self._right(proto), self.groups[self.held_out])
        inside = within_budget(lost.value, 0.0, self.budget)
        left = self._left(proto) if inside else 1.0
        network = self.patient.network(weights)
        stands = standing(lost, left, self.budget)
        return Attempt(weights, weight, distilled, passes, triggers, network, lost.value, stands)

    def _left(self, proto: onnx.ModelProto) -> float:
        """The most images that what no attempt is fitted on moves to its label."""
        attacked, _ = self.trial.counts(proto, self.tried_on, self.unmet)
        labels = {trigger.label for trigger in self.unmet}
        # By the mean of those toward one label, of which any one may be a bad one.
        spread = (
            mean(attacked.moved[one] for one in self.unmet if one.label == label)
            for label in labels
        )
        return max(attacked.provoked, *spread)

    def _right(self, proto: onnx.ModelProto) -> BoolArray:
        clean = replace(self.trial, unseen=(), stronger=())
        return clean.counts(proto, self.held_out)[0].right


def _finite(attempts: Iterator[Attempt]) -> Iterator[Attempt]:
    """Those before numbers are no longer finite: what is there already may still do."""
    with suppress(InconclusiveError):
        yield from attempts


def _standing(attempt: Attempt) -> Standing:
    return attempt.standing
