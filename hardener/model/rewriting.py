"""A pruning plan written into a model, and checked against what the plan means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from hardener.arrays import AnyArray, FloatArray
from hardener.errors import InconclusiveError, ModelError, UsageError
from hardener.model.channel_flow import Shapes
from hardener.model.chosen_outputs import with_outputs
from hardener.model.rewrites.clip import clip
from hardener.model.rewrites.fold import fold
from hardener.model.rewrites.guard import guard
from hardener.model.rewrites.mask import mask
from hardener.model.rewrites.slim import slim
from hardener.model.runtime import on_cpu, open_runner
from hardener.model.signature import Signature
from hardener.model.topology import FeatureLayer
from hardener.model.trial_heads import (
    KEEP_INPUT,
    THRESHOLD_INPUT,
    MakeHead,
    clippable_head,
    guardable_head,
    maskable_head,
    trunk_model,
)

LOGIT_TOLERANCE = 1e-4
_SMALLEST_SCALE = 1e-3
_LEAST_TIMES_SMALLER = 4
_HALF_WEIGHTS = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
_INTEGER_WEIGHTS = frozenset({onnx.TensorProto.INT8, onnx.TensorProto.UINT8})


@dataclass(frozen=True)
class PruningPlan:
    """What to prune and how to write it down.

    Attributes:
        layer: the feature layer.
        rewrite: mask, fold or slim for `channels`, guard or clip for `threshold` or `limits`.
        channels: pruned for good, ascending.
        threshold: of a guard or clip, of all channels alike, in activation units.
        limits: instead of that, one a channel.
        alarm: whether a guard says by a further output how many channels it zeroed.
    """

    layer: FeatureLayer
    rewrite: str
    channels: tuple[int, ...] = ()
    threshold: float | None = None
    limits: tuple[float, ...] = ()
    alarm: bool = False

    @property
    def limit(self) -> FloatArray:
        """What a guard or clip compares with: () for all channels alike, or (C,).

        Raises:
            UsageError: the plan says nothing, or not for each channel.
        """
        if self.limits and len(self.limits) != self.layer.channels:
            raise UsageError(
                f"{len(self.limits)} limits are given: the feature layer {self.layer.name!r} has "
                f"{self.layer.channels} channels"
            )
        if not self.limits and self.threshold is None:
            raise UsageError(f"--rewrite {self.rewrite} needs a --threshold, not channels")
        return np.array(self.limits or self.threshold, np.float32)


@dataclass(frozen=True)
class Rewrite:
    """A way to write a pruning into a graph.

    Attributes:
        write: from the model, a plan and the shapes of every tensor to the rewritten model.
        head: the head that tries the same pruning without writing it.
        limiting: whether it leaves every channel in and acts on the images that exceed a limit.
        criterion: that is used where none is named.
        gives_alarm: whether it can say by a further output on how many channels it acted.
        instead: what to try where its result is not the plan's.
    """

    write: Callable[[onnx.ModelProto, PruningPlan, Shapes], onnx.ModelProto]
    head: MakeHead
    limiting: bool = False
    criterion: str = "linf-gap"
    gives_alarm: bool = False
    instead: str = ""


REWRITES: Mapping[str, Rewrite] = {
    "mask": Rewrite(
        lambda proto, plan, _: mask(proto, plan.layer, plan.channels),
        maskable_head,
    ),
    "fold": Rewrite(
        lambda proto, plan, shapes: fold(proto, plan.layer, shapes, plan.channels),
        maskable_head,
    ),
    "guard": Rewrite(
        lambda proto, plan, _: guard(proto, plan.layer, plan.limit, alarm=plan.alarm),
        guardable_head,
        limiting=True,
        criterion="linf",
        gives_alarm=True,
    ),
    "slim": Rewrite(
        lambda proto, plan, shapes: slim(proto, plan.layer, shapes, plan.channels),
        maskable_head,
        instead=", use --rewrite fold or mask",
    ),
    "clip": Rewrite(
        lambda proto, plan, _: clip(proto, plan.layer, plan.limit),
        clippable_head,
        limiting=True,
        criterion="linf-ratio",
    ),
}


def check_rewrite(rewrite: str) -> None:
    """Raises UsageError for a rewrite that does not exist or not yet."""
    if rewrite not in REWRITES:
        raise UsageError(f"no rewrite {rewrite!r}: use one of {', '.join(REWRITES)}")


def default_rewrite(
    proto: onnx.ModelProto,
    signature: Signature,
    layer: FeatureLayer,
    shapes: Shapes,
    network_input: AnyArray,
) -> str:
    """Fold, or mask where the graph cannot take a fold of every other channel.

    Args:
        proto: the model.
        signature: its input and output.
        layer: its feature layer.
        shapes: of every tensor, as observed in one run.
        network_input: what the fold is tried on.
    """
    plan = PruningPlan(layer, "fold", tuple(range(0, layer.channels, 2)))
    try:
        changed = rewritten(proto, plan, shapes)
        require_planned_logits(proto, changed, signature, plan, network_input)
    except ModelError:
        return "mask"
    return "fold"


def check_channels(channels: tuple[int, ...], layer: FeatureLayer) -> None:
    """Raises UsageError where a channel is not one of the feature layer's."""
    wrong = [c for c in channels if not 0 <= c < layer.channels]
    if wrong:
        raise UsageError(
            f"channel {wrong[0]} does not exist: the feature layer {layer.name!r} has channels "
            f"0 to {layer.channels - 1}"
        )


def rewritten(proto: onnx.ModelProto, plan: PruningPlan, shapes: Shapes) -> onnx.ModelProto:
    """Writes a plan into a copy of the model.

    Args:
        proto: the model.
        plan: what to write.
        shapes: of every tensor, as observed in one run.

    Raises:
        UsageError: the plan lacks what its rewrite needs.
        ModelError: the graph does not allow it.
    """
    check_rewrite(plan.rewrite)
    check_channels(plan.channels, plan.layer)
    return REWRITES[plan.rewrite].write(proto, plan, shapes)


def require_planned_logits(
    original: onnx.ModelProto,
    changed: onnx.ModelProto,
    signature: Signature,
    plan: PruningPlan,
    network_input: AnyArray,
) -> float:
    """Compares on one input, as `comparison` does."""
    return comparison(original, changed, signature, plan)(network_input)


def comparison(
    original: onnx.ModelProto,
    changed: onnx.ModelProto,
    signature: Signature,
    plan: PruningPlan,
    threads: int | None = None,
) -> Callable[[AnyArray], float]:
    """Prepares to compare the rewritten model with the plan simulated on the original.

    The logits are compared, before a closing softmax, which would hide differences. They may
    differ by what rounding explains, and by no more than a quarter of what the plan changes.

    Args:
        original: the model before.
        changed: the model after.
        signature: of both.
        plan: what was written.
        threads: of one operator; by default one for each core.

    Returns:
        A function from normalised images, as the model takes them, to the largest difference of
        any logit; it raises ModelError where a logit differs by more than allowed and
        InconclusiveError where one is not finite.
    """
    signature = replace(signature, output=signature.logits)
    original, changed = (with_outputs(proto, signature.logits) for proto in (original, changed))
    rewrite = REWRITES[plan.rewrite]
    head_model = rewrite.head(original, plan.layer, signature)
    if rewrite.limiting:
        planned = {THRESHOLD_INPUT: plan.limit}
        idle = {THRESHOLD_INPUT: np.array(np.finfo(np.float32).max)}
    else:
        idle = {KEEP_INPUT: np.ones(plan.layer.channels, np.float32)}
        planned = {KEEP_INPUT: idle[KEEP_INPUT].copy()}
        planned[KEEP_INPUT][list(plan.channels)] = 0
    trunk, head, after = (
        open_runner(proto, on_cpu(threads), batch=signature.batch, frugal=True)
        for proto in (trunk_model(original, plan.layer, signature), head_model, changed)
    )
    names = [output.name for output in trunk.session.get_outputs()]

    def compare(network_input: AnyArray) -> float:
        images = {signature.input: network_input}
        features = dict(zip(names, trunk.run(images), strict=True))
        (expected,) = head.run(features | planned)
        (unpruned,) = head.run(features | idle)
        return require_planned(original, after.run(images)[0], expected, unpruned, rewrite.instead)

    return compare


def require_planned(
    original: onnx.ModelProto,
    found: AnyArray,
    planned: AnyArray,
    unpruned: AnyArray,
    instead: str = "",
) -> float:
    """Compares a rewritten model's logits with what was planned.

    Args:
        original: the model before; its number types say how much rounding explains.
        found: logits (N, K) of the rewritten model.
        planned: logits of the plan simulated on the original.
        unpruned: logits of the original.
        instead: what an error advises.

    Returns:
        The largest difference of any logit.

    Raises:
        InconclusiveError: a logit is not finite.
        ModelError: a logit differs by more than rounding explains, or by more than a quarter of
            what the plan changes.
    """
    if not np.isfinite(planned.astype(np.float32)).all():
        raise InconclusiveError("the model gives values that are not finite: nothing can be said")
    difference = _largest_difference(found, planned)
    allowed = _allowed(original, planned, _largest_difference(unpruned, planned))
    if not difference <= allowed:
        raise ModelError(
            f"the rewritten model's logits differ from the plan's by {difference:.2g}, more "
            f"than {allowed:.2g}: nothing was written{instead}"
        )
    return difference


def _largest_difference(one: AnyArray, other: AnyArray) -> float:
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).max())


def _allowed(proto: onnx.ModelProto, expected: AnyArray, effect: float) -> float:
    largest = np.abs(expected.astype(np.float32)).max(axis=0)
    # Of the classes the middle one: a single absurd score must not switch the comparison off.
    scale = max(_SMALLEST_SCALE, float(np.median(largest)))
    exact = LOGIT_TOLERANCE * scale
    return min(tolerance(proto) * scale, max(exact, effect / _LEAST_TIMES_SMALLER))


def tolerance(proto: onnx.ModelProto) -> float:
    """Largest difference of logits, as a fraction of the largest one, that rounding explains.

    onnxruntime may fuse a model and its parts differently; what it then rounds differently is
    1e-4 in float32, a few units in the last place in float16, a few steps in integers.
    """
    types = {tensor.data_type for tensor in proto.graph.initializer}
    if types & _INTEGER_WEIGHTS:
        return 0.05
    if types & _HALF_WEIGHTS:
        return 0.01
    return LOGIT_TOLERANCE
