"""The attempts of one round: the closed form with several weights, and steps of distillation.

Which of them is best depends on the network: the closed form takes out more of the attack and, in
networks whose late layers know a label by one direction alone, more of that label's accuracy; the
distillation the other way round. So each is measured on images that nothing is fitted on, and the
best is kept.
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
from hardener.measuring.quality import Counts
from hardener.repairing.choice import ENDED, Standing, standing
from hardener.repairing.closed_form import Sums
from hardener.repairing.cure import Patient, Weights
from hardener.repairing.distillation import DistillationSettings
from hardener.repairing.stamping import Pool
from hardener.repairing.trials import Trial
from hardener.repairing.universal import UniversalSettings
from hardener.triggers.family import SyntheticTrigger

WEIGHTS = (0.03, 0.06, 0.1, 0.2, 0.4, 1.0, 3.0)
"""Of stamped images beside clean ones in the closed form."""

_DISTILLED_FROM = 0.1
"""The weight whose closed form is distilled."""

DISTILLED = 4
"""Times that it is, each time on what reaches the label at that moment."""

AGAINST = UniversalSettings(starts=8)
"""Of universal perturbations that reach the label before a distillation."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """New weights, and how they stand.

    Attributes:
        weights: of the whole network or of some layers.
        weight: of stamped images beside clean ones in the closed form they come from.
        distilled: how often they were distilled since.
        met: on how many triggers beside the pool's.
        network: with them, from normalised images to logits.
        lost: accuracy, on all images that nothing is fitted on.
        standing: the lower, the better.
    """

    weights: Weights
    weight: float
    distilled: int
    met: int
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
    unmet: Sequence[SyntheticTrigger]
    tried_on: IntArray
    held_out: IntArray
    groups: IntArray
    budget: float
    distillation: DistillationSettings
    against: Callable[[nn.Module, int], Sequence[SyntheticTrigger]]
    on_step: Callable[[int], None]

    def best(self, sums: Mapping[str, Sums], pool: Pool, seed: int) -> Attempt:
        """The attempt that stands best.

        Args:
            sums: of every layer.
            pool: triggers to unlearn.
            seed: of every draw.

        Raises:
            InconclusiveError: no closed form gives values that are finite.
        """
        right = self._right(self.patient.proto)
        solved = (
            self._measured(self.patient.solved(sums, weight), weight, right) for weight in WEIGHTS
        )
        held = list(_finite(solved))
        if not held:
            raise InconclusiveError(
                "no closed form gives weights that are finite in the model's own type: nothing can "
                "be repaired"
            )
        best = min(held, key=_standing)
        if best.standing < ENDED:
            return best
        return min(chain((best,), _finite(self._distilled(sums, pool, right, seed))), key=_standing)

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
            yield self._measured(weights, _DISTILLED_FROM, right, number + 1, len(met))

    def _measured(
        self, weights: Weights, weight: float, right: BoolArray, distilled: int = 0, met: int = 0
    ) -> Attempt:
        proto = self.patient.with_weights(weights)
        lost = paired_loss(right, self._right(proto), self.groups[self.held_out])
        inside = within_budget(lost.value, 0.0, self.budget)
        left = self._left(proto) if inside else 1.0
        network = self.patient.network(weights)
        stands = standing(lost, left, self.budget)
        return Attempt(weights, weight, distilled, met, network, lost.value, stands)

    def _left(self, proto: onnx.ModelProto) -> float:
        """The highest success of what no attempt is fitted on."""
        attacked, unmet = self.trial.counts(proto, self.tried_on, self.unmet)
        return max(
            attacked.unseen.success_rate,
            attacked.strengthened.success_rate,
            *(self._mean(label, unmet) for label in {trigger.label for trigger in self.unmet}),
        )

    def _mean(self, label: int, counts: Sequence[Counts]) -> float:
        """Success of the triggers toward one label, of which any one may be a bad one."""
        pairs = zip(self.unmet, counts, strict=True)
        return mean(one.success_rate for trigger, one in pairs if trigger.label == label)

    def _right(self, proto: onnx.ModelProto) -> BoolArray:
        clean = replace(self.trial, unseen=(), stronger=())
        return clean.counts(proto, self.held_out)[0].right


def _finite(attempts: Iterator[Attempt]) -> Iterator[Attempt]:
    """Those before numbers are no longer finite: what is there already may still do."""
    with suppress(InconclusiveError):
        yield from attempts


def _standing(attempt: Attempt) -> Standing:
    return attempt.standing
