"""A hardened model and its JSON go to disk."""

import json
from pathlib import Path

import onnx

from hardener.errors import UsageError
from hardener.files import check_writable
from hardener.model.files import save_model, with_metadata
from hardener.results import ModelIdentity, PruneResult


def check_output(output: Path, model: Path) -> None:
    """Raises UsageError where the hardened file cannot go by that name."""
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"{output}: the hardened model's name ends in .onnx")
    if output.resolve() == model.resolve():
        raise UsageError(f"{output} is the model itself: give the hardened one another name")
    check_writable(output)


def write_hardened(hardened: onnx.ModelProto, result: PruneResult, output: Path) -> PruneResult:
    """Writes the ONNX file with its origin in the metadata, then the JSON beside it.

    Returns:
        The result with `outcome` and `hardened` filled in.
    """
    plan = {
        "layer": result.layer.name,
        "criterion": result.criterion,
        "threshold": result.threshold,
        "rewrite": result.rewrite,
        "channels": result.channels,
    }
    signed = with_metadata(
        hardened,
        {
            "hardener.source_sha256": result.model.sha256,
            "hardener.version": result.tool.version,
            "hardener.plan": json.dumps(plan),
        },
    )
    digest = save_model(signed, output)
    identity = ModelIdentity(path=str(output), sha256=digest)
    written = result.model_copy(update={"outcome": "written", "hardened": identity})
    written.write(output.with_suffix(".json"))
    return written
