"""What was understood of a model, and what cannot be done with it and why."""

from pathlib import Path

import numpy as np
import onnx

from hardener.errors import HardenError
from hardener.model.files import PLAN_KEY
from hardener.model.gradients import differentiable
from hardener.model.quarantine import load_untrusted
from hardener.model.rewriting import REWRITES, PruningPlan, rewritten
from hardener.model.signature import read_signature
from hardener.model.switching import maskable_head
from hardener.model.topology import find_feature_layer
from hardener.results import Inspection, Layer, ModelIdentity


def inspect(model: Path) -> Inspection:
    """Reads a model and tries each rewrite and the way to gradients; nothing is written.

    Raises:
        ModelError: the file is no image classifier in ONNX.
    """
    loaded = load_untrusted(model)
    signature = read_signature(loaded.proto)
    refusals: dict[str, str] = {}
    layer = None
    if signature.batch is not None:
        refusals["scan, bench"] = f"the batch is fixed at {signature.batch}: export it dynamic"
    try:
        layer = find_feature_layer(loaded.proto, signature)
        maskable_head(loaded.proto, layer, signature)
        for rewrite in REWRITES:
            try:
                plan = PruningPlan(layer, rewrite, channels=(0,), threshold=1.0)
                rewritten(loaded.proto, signature, plan)
            except HardenError as error:
                refusals[rewrite] = str(error)
    except HardenError as error:
        refusals["prune"] = str(error)
    if signature.batch is None:
        size = signature.size or (224, 224)
        noise = np.random.default_rng(0).normal(size=(2, signature.channels, *size))
        try:
            differentiable(loaded.proto, signature, noise.astype(np.float32))
        except HardenError as error:
            refusals["scan"] = str(error)
    fields = loaded.preprocessing_fields
    if not {"mean", "std"} <= set(fields):
        refusals["scan, bench without --mean and --std"] = "no preprocessing in the metadata"
    return Inspection(
        seed=0,
        provider="cpu",
        model=ModelIdentity(path=str(model), sha256=loaded.sha256),
        input=signature.input,
        channels=signature.channels,
        size=signature.size,
        output=signature.output,
        classes=signature.classes,
        class_names=loaded.class_names,
        preprocessing=fields,
        opset=next(o.version for o in loaded.proto.opset_import if o.domain in ("", "ai.onnx")),
        nodes=len(loaded.proto.graph.node),
        parameters=sum(_elements(tensor) for tensor in loaded.proto.graph.initializer),
        layer=None
        if layer is None
        else Layer(name=layer.name, channels=layer.channels, axis=layer.axis),
        plan=loaded.metadata.get(PLAN_KEY),
        refusals=refusals,
    )


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count
