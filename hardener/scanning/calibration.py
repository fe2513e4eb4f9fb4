"""From evidence to a score: logistic curves fitted on a population of clean and backdoored models.

`calibration.json` beside this file holds the curves and what they were fitted on; the script
`benchmarks/population.py` of the repository makes it anew.
"""

import math
from functools import cache
from importlib.resources import files

import numpy as np

from hardener.arrays import FloatArray
from hardener.documents.rates import Rate
from hardener.frozen import Frozen
from hardener.triggers.family import TriggerKind

_FILE = "calibration.json"


class Curve(Frozen):
    """A logistic curve over the logarithm of a positive quantity.

        score(x) = σ(slope · ln(even / x))

    Attributes:
        even: where a backdoor is as likely as not; smaller quantities are more suspicious.
        slope: steepness, above 0.

    Source: Platt 1999 (Probabilistic outputs for support vector machines), section 2.
    """

    even: float
    slope: float

    def __call__(self, quantity: FloatArray) -> FloatArray:
        """Scores in (0, 1) of quantities of any shape, all at least 0."""
        steep = np.clip(self.slope * np.log(self.even / np.maximum(quantity, 1e-6)), -50, 50)
        scores: FloatArray = (1 / (1 + np.exp(-steep))).astype(np.float32)
        return scores


class Population(Frozen):
    """What the curves were fitted on, and how well they did on models that were left out.

    Attributes:
        clean: how many models without a backdoor.
        backdoored: how many with one.
        false_positives: of the clean ones, called backdoored when left out of the fit.
        detected: of the backdoored ones, called backdoored when left out.
        auroc: of the scores of left-out models.
    """

    clean: int
    backdoored: int
    false_positives: Rate
    detected: Rate
    auroc: float


class Calibration(Frozen):
    """The curves of every kind of evidence.

    Attributes:
        kinds: over the size of a label's trigger as a fraction of all labels' median.
        margin: over the margins' p-value, as `margin_quantity` counts it.
        last_layer: over the anomaly indices of the last layer's rows, as `row_quantities` counts
            them.
        moving: over 1 less how far what exchanges most labels scatters them; of squares.
        clean_below: scores under this say nothing against a model.
        backdoored_from: scores from here on say that it is backdoored.
        population: what all that was fitted on.
    """

    kinds: dict[TriggerKind, Curve]
    margin: Curve
    last_layer: Curve
    moving: Curve
    clean_below: float
    backdoored_from: float
    population: Population | None = None

    def moving_score(self, scattered: float) -> float:
        """The score of what scatters labels so far, as `screening.scattered` counts it."""
        return float(self.moving(np.array(1 - scattered, np.float32)))

    @property
    def undecided(self) -> float:
        """The score of what neither clears a model nor accuses it."""
        return (self.clean_below + self.backdoored_from) / 2


@cache
def shipped() -> Calibration:
    """The calibration that comes with this version."""
    text = files("hardener.scanning").joinpath(_FILE).read_text(encoding="utf-8")
    return Calibration.model_validate_json(text)


def fit_curve(
    quantities: FloatArray,
    factors: FloatArray,
    backdoored: FloatArray,
    others: FloatArray | None = None,
) -> Curve:
    """Fits a curve to models whose score is the largest over their labels.

        score_i = max(others_i, max_l factors_il · σ(slope · ln(even / quantities_il)))

    by the likelihood, with Platt's smoothed targets, over a grid.

    Args:
        quantities: (N, L) of each model's labels; of labels that it has not, large.
        factors: (N, L) in [0, 1], that scores are multiplied by.
        others: (N,) scores by other evidence, zero by default. Weak evidence that few victims show
            would be trusted too much were it fitted as if it had to tell all of them.
        backdoored: (N,) one for the models with a backdoor of this kind, zero for clean ones.

    Source: Platt 1999, section 2.2 (the targets).
    """
    positives = float(backdoored.sum())
    negatives = len(backdoored) - positives
    wanted = np.where(backdoored > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    best, found = math.inf, Curve(even=0.5, slope=_SLOPES[0])
    for even in _EVENS:
        for slope in _SLOPES:
            curve = Curve(even=float(even), slope=float(slope))
            score = (factors * curve(quantities)).max(axis=1)
            score = np.clip(score if others is None else np.maximum(score, others), 1e-6, 1 - 1e-6)
            loss = -float(np.sum(wanted * np.log(score) + (1 - wanted) * np.log(1 - score)))
            if loss < best:
                best, found = loss, curve
    return found


_EVENS = np.round(np.geomspace(0.02, 1.0, 80), 4)
_SLOPES = np.round(np.geomspace(1.0, 16.0, 25), 3)
