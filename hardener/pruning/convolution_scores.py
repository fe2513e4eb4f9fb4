"""Criteria that look at convolutions: one score for each channel of each; larger goes first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardener.arrays import FloatArray
from hardener.errors import InconclusiveError
from hardener.model.convolutions import Convolution, Convolutions
from hardener.pruning.candidate import Choosing
from hardener.pruning.channel_lipschitzness import lipschitzness
from hardener.pruning.fine_pruning import inactivity


@dataclass(frozen=True)
class ConvolutionCriterion:
    """A way to score the channels of convolutions.

    Attributes:
        scores: from what to choose with, whose clean images alone are looked at, and the
            convolutions to scores (C,) for each.
        last_alone: whether its paper looks at the last convolution alone, not at all of them.
    """

    scores: Callable[[Choosing, Sequence[Convolution]], list[FloatArray]]
    last_alone: bool = False


def _fine_pruning(choosing: Choosing, convolutions: Sequence[Convolution]) -> list[FloatArray]:
    return [
        inactivity(choosing.classifier, one, choosing.source, choosing.indices, choosing.machine)
        for one in convolutions
    ]


def _clp(_choosing: Choosing, convolutions: Sequence[Convolution]) -> list[FloatArray]:
    return [lipschitzness(convolution) for convolution in convolutions]


def _anp(choosing: Choosing, convolutions: Sequence[Convolution]) -> list[FloatArray]:
    from hardener.pruning.learnt_scores import anp  # noqa: PLC0415  torch is slow to import

    return anp(choosing, convolutions)


def _rnp(choosing: Choosing, convolutions: Sequence[Convolution]) -> list[FloatArray]:
    from hardener.pruning.learnt_scores import rnp  # noqa: PLC0415  torch is slow to import

    return rnp(choosing, convolutions)


CONVOLUTION_CRITERIA: Mapping[str, ConvolutionCriterion] = {
    "fine-pruning": ConvolutionCriterion(_fine_pruning, last_alone=True),
    "clp": ConvolutionCriterion(_clp),
    "anp": ConvolutionCriterion(_anp),
    "rnp": ConvolutionCriterion(_rnp),
}


def looked_at(criterion: str, found: Convolutions, name: str | None) -> tuple[Convolution, ...]:
    """The convolutions that a criterion prunes: a named one, else those of its paper.

    Raises:
        UsageError: there is none of that name, or its channels cannot be made zero.
    """
    if name is not None:
        return (found.named(name),)
    return found.usable[-1:] if CONVOLUTION_CRITERIA[criterion].last_alone else found.usable


def scores_of(
    criterion: str, choosing: Choosing, convolutions: Sequence[Convolution]
) -> list[FloatArray]:
    """Scores (C,) for each convolution.

    Args:
        criterion: a name from CONVOLUTION_CRITERIA.
        choosing: its clean images are looked at, its triggers are not.
        convolutions: to score.

    Raises:
        InconclusiveError: a score is not finite.
        ModelError: an operator has no gradient, where the criterion needs one.
    """
    scores = CONVOLUTION_CRITERIA[criterion].scores(choosing, convolutions)
    if not all(np.isfinite(own).all() for own in scores):
        raise InconclusiveError(
            f"the scores by {criterion} are not all finite numbers: nothing can be said"
        )
    return scores
