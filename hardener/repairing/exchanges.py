"""The cure of an attack from all labels to all, whose trigger is a square that exchanges labels.

There is no label to search triggers for. Squares in many places and colours are tried, as the scan
does; those that exchange labels are fitted on, and squares in other places measure. What counts as
success is that an image gets another label with the square than without.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import onnx
from torch import nn

from hardener.arrays import IntArray
from hardener.errors import InconclusiveError
from hardener.measuring.suitability import check_accuracy
from hardener.progress import Progress, counting
from hardener.repairing.attempts import DISTILLED
from hardener.repairing.choice import another_round_helps
from hardener.repairing.closed_form import Sums
from hardener.repairing.course import Course, Cure
from hardener.repairing.residual import Probes
from hardener.repairing.trials import Trial, round_of
from hardener.scanning.calibration import shipped
from hardener.scanning.label_search import density_for
from hardener.scanning.planning import plan_for
from hardener.scanning.screening import places, scattered, solid_square, try_squares
from hardener.triggers.families import strengthened
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

_EXCHANGED = 0.5
"""Of what the strongest square exchanges: those that exchange as much count."""
_MEASURING = 8
"""Squares that measure, at most."""
_AGAINST = 8
"""Squares that are sought on a network before each distillation of it."""


@dataclass(frozen=True, eq=False)
class Exchanges(Course):
    """A course of cures against squares that exchange labels."""

    def run(
        self, triggers: Sequence[SyntheticTrigger], most: int, progress: Progress, *, force: bool
    ) -> tuple[list[Cure], Trial]:
        """Cures until squares no longer exchange labels, or another round does not help.

        Args:
            triggers: the scan's square.
            most: at most so many rounds.
            progress: told how far it is.
            force: goes on where the model does not know the images.

        Returns:
            The model as it came and every cure, and what measured them.

        Raises:
            InconclusiveError: the model does not know the images, or too few squares exchange
                labels to measure a cure by.
        """
        images, preprocessing = self.patient.images, self.patient.preprocessing
        labels, device = range(self.patient.signature.classes), self.patient.device
        density = density_for(plan_for(len(labels), images[0].size), preprocessing)
        searches = 1 + most * (1 + DISTILLED)
        height, width = images.shape[2:]
        count = searches * places(height, width, density.steps_per_side)
        searching = counting(progress, "trying squares", count)
        mending = counting(progress, "distilling", most * DISTILLED * self.distillation.steps)

        def squares(network: nn.Module) -> tuple[Trigger, ...]:
            where = images, preprocessing, labels, searching, device, density
            return try_squares(network, *where).scattering

        proto = self.patient.proto
        working = self._exchanging(proto, [*triggers, *squares(self.patient.frozen)])
        measuring = self._measuring(working, density.steps_per_side)
        larger = [strengthened(square) for square in measuring]
        trial = replace(
            self.trial,
            unseen=measuring,
            stronger=larger,
            exchanging=frozenset([*measuring, *larger]),
        )
        held_back = {_place(square) for square in measuring}

        def others(found: Sequence[SyntheticTrigger]) -> list[SyntheticTrigger]:
            return [square for square in found if _place(square) not in held_back]

        attacked, _ = trial.counts(proto, self.chosen_on)
        if not force:
            accuracy = attacked.clean.correct / attacked.clean.n
            check_accuracy(accuracy, self.scanned.accuracy, "these images")
        cures = [Cure(proto, round_of(attacked, self.scanned.score, 0), attacked.right)]
        attempts = self.attempts(
            trial, (), lambda network, _: others(squares(network))[:_AGAINST], mending
        )
        fitted = others(working)
        known = [*fitted, *map(strengthened, fitted)]
        sums = dict[str, Sums]()
        for number in range(1, most + 1):
            seed = self.seed + number
            own = self.patient.sums((known,), seed)
            sums = {name: sums[name] + one if sums else one for name, one in own.items()}
            best = attempts.best(sums, (known,), seed)
            proto = self.patient.with_weights(best.weights)
            left = squares(best.network)
            attacked, _ = trial.counts(proto, self.chosen_on)
            (strength,) = self._strengths(proto, left[:1], self.chosen_on)
            told = len(known) + best.met, best.weight, best.distilled, best.lost
            found = round_of(attacked, shipped().moving_score(strength), *told)
            cures.append(Cure(proto, found, attacked.right))
            if not another_round_helps([cure.found for cure in cures]):
                break
            with suppress(InconclusiveError):
                known += others(self._exchanging(proto, left))
        return cures, trial

    def probes(self, _: Sequence[SyntheticTrigger], measured: Trial) -> Probes:
        """What tells how much of the attack is left: squares that no cure was fitted on.

        Args:
            measured: what measured the rounds.
        """
        return {"squares": measured.unseen, "squares, larger": measured.stronger}

    def _exchanging(
        self, proto: onnx.ModelProto, squares: Sequence[SyntheticTrigger]
    ) -> list[SyntheticTrigger]:
        """Those squares that exchange a model's labels about as much as the strongest.

        Raises:
            InconclusiveError: a scan would see nothing in the strongest.
        """
        strengths = self._strengths(proto, squares, self.tried_on)
        strongest = max(strengths, default=0.0)
        if shipped().moving_score(strongest) < shipped().clean_below:
            raise InconclusiveError(
                "no square exchanges the labels of these images: no repair could be measured; use "
                "the scan's images, or more"
            )
        pairs = zip(squares, strengths, strict=True)
        return [square for square, one in pairs if one >= _EXCHANGED * strongest]

    def _strengths(
        self, proto: onnx.ModelProto, squares: Sequence[SyntheticTrigger], positions: IntArray
    ) -> list[float]:
        """How far each square exchanges a model's labels."""
        own, *gone = self.trial.predicted(proto, squares, positions)
        return [scattered(own, after) for after in gone]

    def _measuring(
        self, working: Sequence[SyntheticTrigger], steps_per_side: int
    ) -> list[SyntheticTrigger]:
        """Squares that measure: between the places where squares are tried, or some of those.

        Raises:
            InconclusiveError: squares in one place alone exchange labels.
        """
        fitted_at = {_place(square) for square in working}
        beside = [one for square in working for one in between_places(square, steps_per_side)]
        with suppress(InconclusiveError):
            new = [one for one in beside if _place(one) not in fitted_at]
            return self._exchanging(self.patient.proto, new)[:_MEASURING]
        places_in_turn = list(dict.fromkeys(map(_place, working)))
        if len(places_in_turn) < 2:
            raise InconclusiveError(
                "squares in one place alone exchange labels, and none beside it does: there is "
                "none to measure a repair by"
            )
        every_second = places_in_turn[1::2]
        return [square for square in working if _place(square) in every_second][:_MEASURING]


def _place(square: SyntheticTrigger) -> bytes:
    """Where a square stands, whatever its colour."""
    return square.mask.tobytes() if isinstance(square, Trigger) else b""


def between_places(square: SyntheticTrigger, steps_per_side: int) -> list[Trigger]:
    """A square moved by half a step each way; on small images squares may be tried there, too.

    Args:
        square: one that `try_squares` tries.
        steps_per_side: how many of its places there are to the length of a side.
    """
    if not isinstance(square, Trigger):
        return []
    rows, columns = (np.flatnonzero(square.mask[0].any(axis)) for axis in (1, 0))
    step = max(1, len(rows) // steps_per_side // 2)
    colour = square.pattern[:, rows[0], columns[0]]
    height, width = square.mask.shape[1:]
    return [
        solid_square(colour, (height, width), (rows[0] + down, columns[0] + across), len(rows))
        for down, across in product((-step, step), repeat=2)
        if 0 <= rows[0] + down <= height - len(rows)
        and 0 <= columns[0] + across <= width - len(columns)
    ]
