"""What was understood of a model, and what cannot be done with it and why."""

import numpy as np
import onnx

from hardener.arrays import FloatArray
from hardener.documents.identity import Layer, ModelIdentity
from hardener.documents.inspection import Inspection
from hardener.errors import HardenError
from hardener.model.classifier import ModelGiven, open_model
from hardener.model.files import PLAN_KEY, OnnxModel
from hardener.model.gradients import differentiable, torch_on
from hardener.model.operators import operator
from hardener.model.rewriting import REWRITES, PruningPlan, require_planned_logits, rewritten
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import EXAMPLE_SIZE, Signature, read_signature
from hardener.model.splitting import split
from hardener.model.surgery import opset_of
from hardener.model.topology import FeatureLayer, find_feature_layer
from hardener.model.trial_heads import maskable_head


def inspect(model: ModelGiven) -> Inspection:
    """Reads a model and tries each rewrite and the way to gradients; nothing is written.

    Raises:
        ModelError: the file is no image classifier in ONNX.
    """
    loaded = open_model(model)
    signature = read_signature(loaded.proto)
    notes = list(signature.notes)
    refusals: dict[str, str] = {}
    layer: FeatureLayer | None = None
    head: tuple[str, ...] = ()
    try:
        layer = find_feature_layer(loaded.proto, signature, loaded.shapes)
        head = tuple(map(operator, split(loaded.proto, layer, signature).head.nodes))
        open_runner(maskable_head(loaded.proto, layer, signature), Machine())
        notes += layer.notes
        refusals |= _refused_rewrites(loaded, signature, layer)
    except HardenError as error:
        refusals["prune"] = str(error)
    torch_on(Machine())
    try:
        differentiable(loaded.proto, signature, _images(loaded, signature))
    except HardenError as error:
        refusals["scan"] = str(error)
    fields = loaded.preprocessing_fields
    if not {"mean", "std"} <= set(fields):
        refusals["scan, bench without --mean and --std"] = "no preprocessing in the metadata"
    if signature.batch is not None:
        notes.append(
            f"the batch is fixed at {signature.batch}: it is filled up where there are fewer images"
        )
    if signature.element_type == "bfloat16":
        notes.append("runs in float32 here: onnxruntime's CPU provider has no bfloat16 kernels")
    return Inspection(
        seed=0,
        provider="cpu",
        model=ModelIdentity(path=str(loaded.path), sha256=loaded.sha256),
        input=signature.input,
        channels=signature.channels,
        size=signature.size,
        layout=signature.layout,
        element_type=signature.element_type,
        batch=signature.batch,
        output=signature.output,
        outputs=tuple(value.name for value in loaded.proto.graph.output),
        classes=signature.classes,
        class_names=loaded.class_names,
        preprocessing={name: _told(name, values) for name, values in fields.items()},
        opset=opset_of(loaded.proto),
        nodes=len(loaded.proto.graph.node),
        parameters=sum(_elements(tensor) for tensor in loaded.proto.graph.initializer),
        layer=None
        if layer is None
        else Layer(name=layer.name, channels=layer.channels, axis=layer.axis),
        layer_shape=None if layer is None else (1, *loaded.shapes[layer.name][1:]),
        head=head,
        plan=loaded.metadata.get(PLAN_KEY),
        notes=tuple(notes),
        refusals=refusals,
    )


def _refused_rewrites(
    loaded: OnnxModel, signature: Signature, layer: FeatureLayer
) -> dict[str, str]:
    refused: dict[str, str] = {}
    every_other = tuple(range(0, layer.channels, 2))
    noise = signature.example(loaded.preferred_size)
    for rewrite in REWRITES:
        plan = PruningPlan(layer, rewrite, every_other, threshold=1.0)
        try:
            changed = rewritten(loaded.proto, plan, loaded.shapes)
            require_planned_logits(loaded.proto, changed, signature, plan, noise)
        except HardenError as error:
            refused[rewrite] = str(error)
    return refused


def _images(loaded: OnnxModel, signature: Signature) -> FloatArray:
    size = signature.size or loaded.preferred_size or EXAMPLE_SIZE
    shape = (signature.batch or 2, signature.channels, *size)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _told(name: str, values: tuple[float, ...]) -> tuple[int, ...] | tuple[float, ...]:
    """A size in whole numbers, where it has them: a model's metadata may hold anything."""
    whole = name == "size" and all(value.is_integer() for value in values)
    return tuple(int(value) for value in values) if whole else values


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count
