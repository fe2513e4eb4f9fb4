"""Named channels pruned, without a scan and without images."""

from collections.abc import Sequence
from pathlib import Path

from hardener.documents.identity import Layer, ModelIdentity
from hardener.documents.prune import PruneResult
from hardener.errors import UsageError
from hardener.files import FileName
from hardener.model.classifier import ModelGiven, open_model, path_of
from hardener.model.rewriting import (
    REWRITES,
    PruningPlan,
    check_channels,
    check_rewrite,
    default_rewrite,
    require_planned_logits,
    rewritten,
)
from hardener.model.runtime import choose_machine
from hardener.model.signature import read_signature
from hardener.model.topology import find_feature_layer
from hardener.writing import check_outputs, write_hardened


def prune_channels(
    model: ModelGiven,
    channels: Sequence[int],
    output: FileName,
    *,
    layer: str | None = None,
    rewrite: str | None = None,
    dry_run: bool = False,
    provider: str = "auto",
    seed: int = 0,
) -> PruneResult:
    """Zeroes named channels of the feature layer, or takes them out.

    Args:
        model: an ONNX classifier, a file or open.
        channels: which ones.
        output: the hardened ONNX file; a JSON file is written beside it.
        layer: name of the feature layer's tensor, where the graph's own is not wanted.
        rewrite: fold, mask or slim; by default fold, or mask where the graph cannot take it.
        dry_run: checks everything, but writes nothing.
        provider: refused where it cannot run; the comparison itself runs on the CPU.
        seed: of the noise that original and result are compared on.

    Raises:
        HardenError: the model or an argument cannot be used.
    """
    output = Path(output)
    check_outputs(output, path_of(model))
    if rewrite is not None:
        check_rewrite(rewrite)
        if REWRITES[rewrite].limiting:
            raise UsageError(
                f"a {rewrite} limits every channel by a threshold: it goes with --scan"
            )
    choose_machine(provider)
    pruned = tuple(sorted(set(channels)))
    if not pruned:
        raise UsageError("no channels are named: --channels 3,17,40")
    loaded = open_model(model)
    check_outputs(output, *loaded.external)
    signature = read_signature(loaded.proto)
    feature = find_feature_layer(loaded.proto, signature, loaded.shapes, layer)
    check_channels(pruned, feature)
    if len(pruned) == feature.channels:
        raise UsageError(
            f"all {feature.channels} channels of the feature layer are named: the model would say "
            "the same of every image"
        )
    noise = signature.example(loaded.preferred_size, seed)
    rewrite = rewrite or default_rewrite(loaded.proto, signature, feature, loaded.shapes, noise)
    plan = PruningPlan(feature, rewrite, pruned)
    hardened = rewritten(loaded.proto, plan, loaded.shapes)
    require_planned_logits(loaded.proto, hardened, signature, plan, noise)
    result = PruneResult(
        seed=seed,
        provider="cpu",
        model=ModelIdentity(path=str(loaded.path), sha256=loaded.sha256),
        layer=Layer(name=feature.name, channels=feature.channels, axis=feature.axis),
        outcome="planned",
        criterion="named",
        rewrite=rewrite,
        channels=pruned,
        notes=(*signature.notes, *feature.notes),
    )
    return result if dry_run else write_hardened(hardened, result, output, loaded.external)
