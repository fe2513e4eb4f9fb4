"""A pruning of convolutions written into their weights, and checked against a simulation of it."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from hardener.arrays import AnyArray, BoolArray
from hardener.model.channel_flow import Shapes
from hardener.model.channel_masks import mask_feeds, maskable_model
from hardener.model.chosen_outputs import with_outputs
from hardener.model.convolutions import Convolution
from hardener.model.rewrites.fold import fold_where_made
from hardener.model.rewriting import require_planned
from hardener.model.runtime import on_cpu, open_runner
from hardener.model.signature import Signature


def folded(
    proto: onnx.ModelProto,
    convolutions: Sequence[Convolution],
    kept: Sequence[BoolArray],
    shapes: Shapes,
) -> onnx.ModelProto:
    """The same nodes with some channels of some convolutions zero.

    Args:
        proto: the model.
        convolutions: from `find_convolutions`.
        kept: for each of them (C,) true where a channel stays.
        shapes: of every tensor, as observed in one run.

    Raises:
        ModelError: the graph does not allow it.
    """
    pruned = {
        convolution.layer: np.flatnonzero(~own).tolist()
        for convolution, own in zip(convolutions, kept, strict=True)
        if not own.all()
    }
    return fold_where_made(proto, pruned, shapes)


def folding_comparison(
    original: onnx.ModelProto,
    changed: onnx.ModelProto,
    signature: Signature,
    convolutions: Sequence[Convolution],
    kept: Sequence[BoolArray],
    threads: int | None = None,
) -> Callable[[AnyArray], float]:
    """Prepares to compare the folded model with the original whose channels are multiplied by 0.

    It runs on the CPU with so many threads of one operator, by default one for each core.

    Returns:
        A function from normalised images, as the model takes them, to the largest difference of
        any logit; it raises as `require_planned` does.
    """
    simulated, after = (
        open_runner(proto, on_cpu(threads), batch=signature.batch, frugal=True)
        for proto in (
            maskable_model(original, convolutions, signature.logits),
            with_outputs(changed, signature.logits),
        )
    )
    planned = mask_feeds(convolutions, kept)
    idle = mask_feeds(convolutions, [np.ones_like(own) for own in kept])

    def compare(network_input: AnyArray) -> float:
        images = {signature.input: network_input}
        (found,) = after.run(images)
        (expected,) = simulated.run(images | planned)
        (unpruned,) = simulated.run(images | idle)
        return require_planned(original, found, expected, unpruned)

    return compare
