"""Criteria that look at convolutions: one score for each channel of each; larger goes first."""

from collections.abc import Sequence

import numpy as np

from hardener.arrays import FloatArray
from hardener.errors import InconclusiveError
from hardener.model.convolutions import Convolution, Convolutions
from hardener.pruning.candidate import Choosing
from hardener.pruning.channel_lipschitzness import lipschitzness
from hardener.pruning.fine_pruning import inactivity

CONVOLUTION_CRITERIA = ("fine-pruning", "clp", "anp", "rnp")


def looked_at(criterion: str, found: Convolutions, name: str | None) -> tuple[Convolution, ...]:
    """The convolutions that a criterion prunes: a named one, else those of its paper.

    Fine-pruning looks at the last one, the others at all.

    Raises:
        UsageError: there is none of that name, or its channels cannot be made zero.
    """
    if name is not None:
        return (found.named(name),)
    return found.usable[-1:] if criterion == "fine-pruning" else found.usable


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
    if criterion == "clp":
        scores = [lipschitzness(convolution) for convolution in convolutions]
    elif criterion == "fine-pruning":
        scores = [
            inactivity(
                choosing.classifier, one, choosing.source, choosing.indices, choosing.provider
            )
            for one in convolutions
        ]
    else:
        from hardener.pruning.learnt_scores import learnt_scores  # noqa: PLC0415  torch is slow to import

        scores = learnt_scores(criterion, choosing, convolutions)
    if not all(np.isfinite(own).all() for own in scores):
        raise InconclusiveError(
            f"the scores by {criterion} are not all finite numbers: nothing can be said"
        )
    return scores
