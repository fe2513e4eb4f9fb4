"""A hardened model and its JSON go to disk."""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

import onnx

from hardener.documents.identity import ModelIdentity
from hardener.documents.prune import PruneResult
from hardener.documents.repair import RepairResult
from hardener.errors import DataError, ModelError, UsageError
from hardener.files import check_output, write_bytes, write_pair
from hardener.model.files import PLAN_KEY, SOURCE_KEY, VERSION_KEY, external_files
from hardener.model.saving import model_content, with_metadata

Hardened = TypeVar("Hardened", PruneResult, RepairResult)


def check_outputs(output: Path, *inputs: Path | None) -> None:
    """Raises UsageError where the hardened file or the JSON beside it cannot be written."""
    check_output(output, ".onnx", *inputs)
    beside = output.with_suffix(".json")
    check_output(beside, ".json", *inputs)
    if beside.exists() and not any(_is(kind, beside) for kind in (PruneResult, RepairResult)):
        raise UsageError(
            f"{beside} is no result of an earlier prune or repair and would be replaced: give "
            f"{output.name} another name"
        )


def write_hardened(
    hardened: onnx.ModelProto,
    result: Hardened,
    output: Path,
    inputs: Collection[Path] = (),
) -> Hardened:
    """Writes the ONNX file with its origin in the metadata, and the JSON beside it.

    Args:
        hardened: the model.
        result: what is said of it.
        output: the ONNX file.
        inputs: files with the original's weights, which stay.

    Returns:
        The result with `outcome` and `hardened` filled in.
    """
    signed = with_metadata(
        hardened,
        {
            SOURCE_KEY: result.model.sha256,
            VERSION_KEY: result.tool.version,
            PLAN_KEY: json.dumps(result.plan),
        },
    )
    content, external, digest = model_content(signed, output.stem)
    identity = ModelIdentity(path=str(output), sha256=digest)
    written = result.model_copy(update={"outcome": "written", "hardened": identity})
    earlier = _weights_of_earlier_model(output)
    for name, data in external.items():
        write_bytes(output.parent / name, data)
    write_pair(output, content, output.with_suffix(".json"), written.to_json())
    for path in earlier:
        if path.name not in external and not any(map(path.samefile, inputs)):
            path.unlink(missing_ok=True)
    return written


def _is(document: type[PruneResult | RepairResult], path: Path) -> bool:
    try:
        document.read(path)
    except DataError:
        return False
    return True


def _weights_of_earlier_model(output: Path) -> list[Path]:
    """The external data, named by us, of the model that will be replaced."""
    own = re.compile(re.escape(output.stem) + r"\.[0-9a-f]{16}\.data")
    try:
        return [path for path in external_files(output) if own.fullmatch(path.name)]
    except ModelError:  # there is none, or something else goes by that name
        return []
