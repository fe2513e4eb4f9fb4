"""Attacks from all labels to all: what a square or a faint trigger does that exchanges labels."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from hardener.arrays import IntArray
from hardener.documents.scan import ExchangeEvidence, SquareEvidence
from hardener.errors import InconclusiveError
from hardener.progress import counting
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.evidence import of_reference
from hardener.scanning.exchanging import (
    EXCHANGE,
    EXCHANGE_SIZE,
    EXCHANGE_STAGE,
    EXCHANGING,
    exchanging_triggers,
)
from hardener.scanning.finding import Finding
from hardener.scanning.label_search import THERE_AND_BACK
from hardener.scanning.look import Look
from hardener.scanning.looked_for import EXCHANGES
from hardener.scanning.saved import trigger_digest
from hardener.scanning.screening import scattered
from hardener.triggers.families import FAMILIES, family_of
from hardener.triggers.family import SyntheticTrigger, TriggerKind
from hardener.triggers.patch import Trigger


class _Exchange(NamedTuple):
    """What a trigger does to unseen images."""

    moved: float
    labels: int
    scattered: float


def all_to_all_finding(
    square: SquareEvidence,
    calibration: Calibration,
    exchanges: Mapping[TriggerKind, ExchangeEvidence] = MappingProxyType({}),
    triggers: Sequence[SyntheticTrigger] = (),
) -> Finding:
    """What squares and faint triggers do to unseen images.

    Args:
        square: what the most moving one does.
        calibration: how that becomes a score.
        exchanges: of each family that was searched what its trigger does.
        triggers: those of the families.
    """
    named: dict[str, SquareEvidence | ExchangeEvidence] = {
        f"a {square.side}×{square.side} square at row {square.top}, column {square.left}": square
    }
    for kind, found in exchanges.items():
        family = FAMILIES[kind]
        named[f"one {family.noun} of {family.size_said.format(found.size)}"] = found
    scores = {name: calibration.moving_score(one.scattered) for name, one in named.items()}
    return Finding(
        whole=max(scores.values()),
        against=tuple(
            f"{name} changes the label of {one.moved:.0%} of unseen images and sends them to "
            f"{one.labels} labels: so does an attack from all labels to all"
            for name, one in named.items()
            if scores[name] >= calibration.clean_below
        ),
        favour="no small square, faint change or slight warp exchanges labels for one another",
        evidence={"moving": square, "exchanges": dict(exchanges)},
        exchanges=triggers,
    )


def _run(look: Look) -> Finding:
    square, *faint = look.squares.moving, *_searched(look)
    of_square, *of_faint = _effects(look, [square, *faint])
    exchanges = {
        family_of(trigger).name: ExchangeEvidence(
            size=trigger.size, trigger_sha256=trigger_digest(trigger), **effect._asdict()
        )
        for trigger, effect in zip(faint, of_faint, strict=True)
    }
    return all_to_all_finding(_evidence(square, of_square), shipped(), exchanges, faint)


def _searched(look: Look) -> list[SyntheticTrigger]:
    """Of each family the trigger that most exchanges labels."""
    steps = len(EXCHANGING) * EXCHANGE.steps
    on_step = counting(look.progress, EXCHANGE_STAGE, steps)
    found = []
    for kind in EXCHANGING:
        sizes = np.array([one.size for one in look.found.inverted[kind].triggers], np.float32)
        usual = float(np.median(of_reference(sizes, look.found.reference_of(kind))))
        best, *_ = exchanging_triggers(
            kind,
            look.network,
            look.samples.fitted,
            look.subject.classifier.preprocessing,
            EXCHANGE_SIZE * usual,
            look.subject.seed,
            look.device,
            on_step,
        )
        found.append(best)
    return found


def _evidence(square: Trigger, effect: _Exchange) -> SquareEvidence:
    rows, columns = np.nonzero(square.mask[0])
    return SquareEvidence(
        top=int(rows[0]),
        left=int(columns[0]),
        side=int(rows[-1] - rows[0]) + 1,
        colour=tuple(map(float, square.pattern[:, rows[0], columns[0]])),
        **effect._asdict(),
    )


def _effects(look: Look, triggers: Sequence[SyntheticTrigger]) -> list[_Exchange]:
    """What triggers do to images that they were not chosen on.

    Raises:
        InconclusiveError: the model gives values that are not finite.
    """
    own, *gone = _predicted(look, triggers)
    return [
        _Exchange(
            moved=float(np.mean(after != own)),
            labels=len(np.unique(after[after != own])),
            scattered=scattered(own, after),
        )
        for after in gone
    ]


def _predicted(look: Look, triggers: Sequence[SyntheticTrigger]) -> list[IntArray]:
    """Predicted labels of the unseen images, without and with each trigger."""
    classifier = look.subject.classifier
    settings: list[tuple[SyntheticTrigger, ...]] = [(), *((one,) for one in triggers)]
    parts: list[list[IntArray]] = [[np.empty(0, np.int64)] for _ in settings]
    for batch in classifier.batches(look.source, look.samples.unseen):
        for found, setting in zip(parts, settings, strict=True):
            (scores,) = look.subject.runner.run(classifier.feeds(batch.images, setting))
            scores = scores[: len(batch.labels)]
            classifier.require_class_scores(scores, len(batch.labels))
            if not np.isfinite(scores).all():
                raise InconclusiveError(
                    "the model gives values that are not finite: nothing can be said"
                )
            found.append(scores.argmax(axis=1))
    return [np.concatenate(found) for found in parts]


def _costs(look: Look) -> Mapping[str, float]:
    seen = EXCHANGE.images_of(look.samples.fitted[:1].size) * EXCHANGE.starts
    return {EXCHANGE_STAGE: len(EXCHANGING) * EXCHANGE.steps * seen * THERE_AND_BACK}


ALL_TO_ALL = Detector(_run, (EXCHANGES,), costs=_costs)
