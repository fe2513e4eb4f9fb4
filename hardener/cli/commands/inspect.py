"""`harden inspect`: what is understood of a model."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hardener
from hardener.cli.command import Command
from hardener.cli.lines import Fact, Line, Sentence, notes
from hardener.cli.next_commands import SCAN, free, next_scan
from hardener.cli.options import Common, ModelArgument
from hardener.cli.printing import show
from hardener.exit_codes import DONE

if TYPE_CHECKING:
    from hardener.documents.inspection import Inspection

_OPERATORS_SHOWN = 8


def _inspect(model: ModelArgument, *, common: Common) -> int:
    """Print what is understood of a model, and what cannot be done with it and why."""
    result = hardener.inspect(model)
    show(result, [*summary(result), *what_next(result, model)], common)
    return DONE


def summary(result: "Inspection") -> list[Line]:
    """One line a fact."""
    height, width = result.size or ("any", "any")
    axes = {"N": result.batch or "N", "C": result.channels, "H": height, "W": width}
    form = ", ".join(str(axes[axis]) for axis in result.layout)
    layer, beside = result.layer, [name for name in result.outputs if name != result.output]
    known = ", ".join(_values(*field) for field in result.preprocessing.items())
    facts = {
        "model": result.model.path,
        "sha256": result.model.sha256,
        "input": f"{result.input} ({form}) {result.layout} {result.element_type}",
        "output": f"{result.output} ({axes['N']}, {result.classes})",
        "other outputs": ", ".join(beside),
        "preprocessing": known or "unknown",
        "feature layer": f"{layer.name}, {layer.channels} channels on axis {layer.axis} of "
        f"({axes['N']}, {', '.join(map(str, result.layer_shape[1:]))})"
        if layer and result.layer_shape
        else "not found",
        "head": _head(result.head),
        "opset": str(result.opset),
        "nodes": str(result.nodes),
        "parameters": f"{result.parameters:,}",
        "hardened": result.plan or "",
    }
    return [
        *(Fact(name, value) for name, value in facts.items() if value),
        *notes(result.notes),
        *(Sentence(why, f"cannot {what}: ") for what, why in result.refusals.items()),
    ]


def _head(operators: Sequence[str]) -> str:
    shown = ", ".join(operators[:_OPERATORS_SHOWN]) or "none"
    left = len(operators) - _OPERATORS_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown


def _values(name: str, numbers: Iterable[float]) -> str:
    return f"{name} {' '.join(f'{number:g}' for number in numbers)}"


def what_next(result: "Inspection", model: Path) -> list[str]:
    """A scan of the model, where it can be scanned."""
    if "scan" in result.refusals:
        return []
    known = result.preprocessing
    asked = [] if {"mean", "std"} <= set(known) else ["--mean", "MEAN", "--std", "STD"]
    if result.size is None and "size" not in known:
        asked += ["--size", "SIZE"]
    return [next_scan(model, None, free(model.parent / SCAN), asked)]


INSPECT = Command("inspect", _inspect)
