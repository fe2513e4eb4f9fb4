"""Whether what is done to a classifier is what it is said to be, in numbers from onnxruntime.

The reference is computed apart from the rewrites: the trunk runs, numpy zeroes channels of the
feature layer it gives or lowers them to a bound, and the head runs on the result.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx

from hardener.arrays import AnyArray, FloatArray
from hardener.errors import HardenError, ModelError
from hardener.model.external_data import check_model
from hardener.model.files import OnnxModel
from hardener.model.gradients import differentiable
from hardener.model.operators import ALARM_OUTPUT
from hardener.model.quarantine import load_untrusted
from hardener.model.rewriting import PruningPlan, rewritten, tolerance
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.sessions import weight_bytes
from hardener.model.signature import Signature, read_signature
from hardener.model.topology import FeatureLayer, find_feature_layer
from hardener.model.trial_heads import KEEP_INPUT, maskable_head, trunk_model

_LEAST_EFFECT = 20
"""The pruning must change the logits at least so many times more than the rewrite misses it by."""

_INTEGERS = frozenset({onnx.TensorProto.INT8, onnx.TensorProto.UINT8})

Features = Mapping[str, AnyArray]


@dataclass(frozen=True)
class Proof:
    """What came out for one classifier.

    Attributes:
        layer: the feature layer's name; empty where the model is refused.
        shape: its shape for one image.
        bypassed: whether values lead around it.
        errors: for each rewrite that was written the largest difference of a logit, as a
            fraction of the largest logit.
        refusals: for each that was refused (or `all`, or `scan`) why.
        failures: what is wrong; none where the proof holds.
    """

    layer: str = ""
    shape: tuple[int, ...] = ()
    bypassed: bool = False
    errors: Mapping[str, float] | None = None
    refusals: Mapping[str, str] | None = None
    failures: tuple[str, ...] = ()


def prove(path: Path, channels: int | None = None) -> Proof:
    """Opens a model as the commands do, prunes it in every way, and compares.

    Args:
        path: an ONNX file.
        channels: of the feature layer, where the architecture tells.
    """
    try:
        model = load_untrusted(path)
        signature = read_signature(model.proto)
        layer = find_feature_layer(model.proto, signature, model.shapes)
        subject = _subject(model, signature, layer)
    except HardenError as error:
        return Proof(refusals={"all": str(error)})
    failures: list[str] = []
    if channels is not None and layer.channels != channels:
        failures.append(f"{layer.channels} channels, the architecture has {channels}")
    pruned = np.zeros(layer.channels, np.bool_)
    pruned[np.random.default_rng(1).permutation(layer.channels)[: layer.channels // 2]] = True
    errors: dict[str, float] = {}
    refusals: dict[str, str] = {}
    subject_of_slim = subject
    if _INTEGERS & {tensor.data_type for tensor in model.proto.graph.initializer}:
        # Saturating products depend on which weights stand side by side.
        subject_of_slim = _subject(model, signature, layer, exact=True)

    def pruned_everywhere(maps: FloatArray) -> AnyArray:
        return np.broadcast_to(pruned, maps.shape)

    zeroed = subject.with_channels(pruned_everywhere)
    channels_pruned = tuple(int(c) for c in np.flatnonzero(pruned))
    # Half of the channels exceed these. No round numbers, so that no quantised peak equals one.
    factors = np.where(pruned, np.float32(0.47), np.float32(1.53))
    limits = factors * _peaks(subject.maps).mean(axis=(0, 1))
    by_channel = tuple(limits.tolist())
    cases = {
        "fold": (PruningPlan(layer, "fold", channels_pruned), zeroed),
        "mask": (PruningPlan(layer, "mask", channels_pruned), zeroed),
        "guard": (
            PruningPlan(layer, "guard", threshold=subject.middle_peak),
            subject.with_channels(lambda maps: _peaks(maps) > subject.middle_peak),
        ),
        "guard by channel": (
            PruningPlan(layer, "guard", limits=by_channel, alarm=True),
            subject.with_channels(lambda maps: _peaks(maps) > limits),
        ),
        "clip": (PruningPlan(layer, "clip", limits=by_channel), subject.lowered_to(limits)),
        "slim": (
            PruningPlan(layer, "slim", channels_pruned),
            subject_of_slim.with_channels(pruned_everywhere),
        ),
    }
    for rewrite, (plan, expected) in cases.items():
        judged = subject_of_slim if rewrite == "slim" else subject
        try:
            changed = rewritten(model.proto, plan, model.shapes)
        except HardenError as error:
            refusals[rewrite] = str(error)
            continue
        found = judged.logits(changed)
        errors[rewrite] = _relative(found, expected)
        failures += [f"{rewrite}: {what}" for what in _wrong(judged, changed, found, expected)]
        if rewrite in ("fold", "mask"):
            failures += [f"{rewrite}: {what}" for what in _not_zero(judged, changed, pruned)]
        if rewrite == "slim" and not weight_bytes(changed) < weight_bytes(model.proto):
            failures.append("slim: no fewer bytes of weights")
    try:
        size = signature.size or (224, 224)
        form = (signature.batch or 2, signature.channels, *size)
        noise = np.random.default_rng(2).normal(size=form).astype(np.float32)
        differentiable(model.proto, signature, noise)
    except HardenError as error:
        refusals["scan"] = str(error)
    shape = (1, *model.shapes[layer.name][1:])
    return Proof(layer.name, shape, layer.bypassed, errors, refusals, tuple(failures))


@dataclass(frozen=True, eq=False)
class Subject:
    """A model on some images: what its trunk gives, and how its head answers.

    `open` makes onnxruntime sessions.
    """

    proto: onnx.ModelProto
    signature: Signature
    layer: FeatureLayer
    images: AnyArray
    features: Features
    head: Callable[[Features], FloatArray]
    open: Callable[[onnx.ModelProto], Runner]

    @cached_property
    def original(self) -> FloatArray:
        """Class scores of the model as it was."""
        return self.logits(self.proto)

    def logits(self, proto: onnx.ModelProto) -> FloatArray:
        """Class scores of a whole model on the images."""
        runner = self.open(proto)
        names = [value.name for value in runner.session.get_outputs()]
        found = runner.run({self.signature.input: self.images})
        return found[names.index(self.signature.output)].astype(np.float32)

    @property
    def maps(self) -> FloatArray:
        """The feature layer in activation units with the channels last, (N, positions, C)."""
        values = self.features[self.layer.name].astype(np.float32)
        if self.layer.scale is not None:
            values = (values - (self.layer.zero_point or 0)) * np.float32(self.layer.scale)
        moved = np.moveaxis(values, self.layer.axis, -1)
        return moved.reshape(len(moved), -1, self.layer.channels)

    @property
    def middle_peak(self) -> float:
        """A threshold that about half of the channels' peaks exceed, between two of them."""
        peaks = np.unique(_peaks(self.maps))
        middle = len(peaks) // 2
        return float((peaks[max(0, middle - 1)] + peaks[middle]) / 2)

    def with_channels(self, zeroed: Callable[[FloatArray], AnyArray]) -> FloatArray:
        """Class scores where numpy zeroed the channels that `zeroed` marks in (N, 1, C)."""
        values = self.features[self.layer.name]
        where = zeroed(self.maps)[:, :1]
        form = [len(values), *[1] * (values.ndim - 1)]
        form[self.layer.axis] = self.layer.channels
        zero = np.array(self.layer.zero_point or 0, values.dtype)
        changed = np.where(where.reshape(form), zero, values)
        return self.head({**self.features, self.layer.name: changed})

    def lowered_to(self, bounds: FloatArray) -> FloatArray:
        """Class scores where numpy lowered channels to bounds (C,)."""
        values = self.features[self.layer.name]
        form = [1] * values.ndim
        form[self.layer.axis] = self.layer.channels
        limits = bounds.reshape(form)
        if self.layer.scale is not None:
            limits = np.rint(limits / self.layer.scale) + (self.layer.zero_point or 0)
        changed = np.minimum(values, limits).astype(values.dtype)
        return self.head({**self.features, self.layer.name: changed})


def _subject(
    model: OnnxModel, signature: Signature, layer: FeatureLayer, *, exact: bool = False
) -> Subject:
    def opened(proto: onnx.ModelProto) -> Runner:
        if exact:
            with suppress(ModelError):  # not every quantised model can be multiplied exactly
                return open_runner(proto, Machine(), batch=signature.batch, exact=True)
        return open_runner(proto, Machine(), batch=signature.batch)

    images = signature.example(model.preferred_size, seed=3)
    trunk = opened(trunk_model(model.proto, layer, signature))
    names = [value.name for value in trunk.session.get_outputs()]
    features = dict(zip(names, trunk.run({signature.input: images}), strict=True))
    head = opened(maskable_head(model.proto, layer, signature))
    ones = np.ones(layer.channels, np.float32)

    def run(given: Features) -> FloatArray:
        return head.run({**given, KEEP_INPUT: ones})[0].astype(np.float32)

    return Subject(model.proto, signature, layer, images, features, run, opened)


def _peaks(maps: FloatArray) -> FloatArray:
    return np.abs(maps).max(axis=1, keepdims=True)


def _relative(found: FloatArray, expected: FloatArray) -> float:
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-6))


def _wrong(
    subject: Subject, changed: onnx.ModelProto, found: FloatArray, expected: FloatArray
) -> list[str]:
    """What does not hold of a rewritten model."""
    wrong: list[str] = []
    error = _relative(found, expected)
    allowed = tolerance(subject.proto)
    if not error <= allowed:
        wrong.append(f"logits differ by {error:.2g} of the largest, {allowed:g} allowed")
    effect = _relative(subject.original, expected)
    if not effect >= _LEAST_EFFECT * error or effect < 1e-5:
        wrong.append(f"the pruning changes logits by only {effect:.2g}: the case proves nothing")
    try:
        check_model(changed, full=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error_:
        wrong.append(f"checker: {str(error_).splitlines()[0]}")
    for side in ("input", "output"):
        before, after = getattr(subject.proto.graph, side), getattr(changed.graph, side)
        after = [value for value in after if value.name != ALARM_OUTPUT]
        if [v.SerializeToString() for v in before] != [v.SerializeToString() for v in after]:
            wrong.append(f"{side}s changed")
    return wrong


def _not_zero(subject: Subject, changed: onnx.ModelProto, pruned: AnyArray) -> list[str]:
    """Where integers are pruned, whether the channels dequantise to exactly zero."""
    if subject.layer.scale is None:
        return []
    masked = f"{subject.layer.name}/hardener_masked"
    made = {name for node in changed.graph.node for name in node.output}
    shown = onnx.ModelProto()
    shown.CopyFrom(changed)
    name = masked if masked in made else subject.layer.name
    shown.graph.output.append(onnx.ValueInfoProto(name=name))
    runner = open_runner(shown, Machine(), batch=subject.signature.batch)
    values = np.moveaxis(
        runner.run({subject.signature.input: subject.images})[-1], subject.layer.axis, -1
    )
    zero = np.all(values[..., pruned] == (subject.layer.zero_point or 0))
    # Folded into the layers that read it, the tensor itself stays as it was.
    original = np.moveaxis(subject.features[subject.layer.name], subject.layer.axis, -1)
    unread = masked not in made and np.array_equal(values, original)
    return [] if zero or unread else ["pruned channels are not exactly zero"]
