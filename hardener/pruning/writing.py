"""A hardened model and its JSON go to disk."""

import json
import re
from collections.abc import Collection
from pathlib import Path

import onnx

from hardener.errors import DataError, UsageError
from hardener.files import check_output, write_bytes, write_pair
from hardener.model.files import PLAN_KEY, SOURCE_KEY, VERSION_KEY
from hardener.model.saving import model_content, with_metadata
from hardener.results import ModelIdentity, PruneResult


def check_outputs(output: Path, *inputs: Path | None) -> None:
    """Raises UsageError where the hardened file or the JSON beside it cannot be written."""
    check_output(output, ".onnx", *inputs)
    beside = output.with_suffix(".json")
    check_output(beside, ".json", *inputs)
    if beside.exists():
        try:
            PruneResult.read(beside)
        except DataError as error:
            raise UsageError(
                f"{beside} is no result of an earlier prune and would be replaced: give "
                f"{output.name} another name"
            ) from error


def write_hardened(hardened: onnx.ModelProto, result: PruneResult, output: Path) -> PruneResult:
    """Writes the ONNX file with its origin in the metadata, and the JSON beside it.

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
            SOURCE_KEY: result.model.sha256,
            VERSION_KEY: result.tool.version,
            PLAN_KEY: json.dumps(plan),
        },
    )
    content, external, digest = model_content(signed, output.stem)
    identity = ModelIdentity(path=str(output), sha256=digest)
    written = result.model_copy(update={"outcome": "written", "hardened": identity})
    for name, data in external.items():
        write_bytes(output.parent / name, data)
    write_pair(output, content, output.with_suffix(".json"), written.to_json())
    _remove_weights_of_earlier_models(output, external)
    return written


def _remove_weights_of_earlier_models(output: Path, external: Collection[str]) -> None:
    """Of the external data that this file's earlier versions pointed to nothing is needed."""
    own = re.compile(re.escape(output.stem) + r"\.[0-9a-f]{16}\.data")
    for path in output.parent.iterdir():
        if own.fullmatch(path.name) and path.name not in external:
            path.unlink(missing_ok=True)
