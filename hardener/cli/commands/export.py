"""`harden export`: a PyTorch checkpoint becomes an ONNX file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hardener
from hardener.cli.command import Command
from hardener.cli.lines import Line
from hardener.cli.next_commands import SCAN, free, next_scan
from hardener.cli.options import Common, MeanOption, StdOption
from hardener.cli.parsers import (
    ImageShape,
    KeywordArgument,
    image_shape,
    keyword_argument,
    lines_of,
)
from hardener.cli.printing import show
from hardener.exit_codes import DONE

if TYPE_CHECKING:
    from hardener.documents.export import ExportResult


def _export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A state dictionary: .safetensors or .pt.")
    ],
    arch: Annotated[
        str, typer.Option(help="MODULE:CLASS or FILE.py:CLASS; importing it runs its code.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    input_size: Annotated[
        ImageShape | None,
        typer.Option(
            metavar="C,H,W",
            parser=image_shape,
            help="Shape of one image; by default the class's.",
        ),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="ONNX opset; by default the exporter's.")
    ] = None,
    class_names: Annotated[
        Sequence[str] | None,
        typer.Option(
            metavar="<path>",
            parser=lines_of,
            help="Text file with one class name a line, in label order.",
        ),
    ] = None,
    arch_arg: Annotated[
        list[KeywordArgument] | None,
        typer.Option(
            metavar="NAME=VALUE",
            parser=keyword_argument,
            help="Argument of the class, as JSON; repeatable.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Images to compare logits on; by default rendered traffic signs."),
    ] = None,
    mean: MeanOption = None,
    std: StdOption = None,
    *,
    common: Common,
) -> int:
    """Write a PyTorch checkpoint as ONNX, with logits equal to PyTorch's within 1e-4."""
    result = hardener.export(
        checkpoint,
        arch,
        output,
        input_size=input_size,
        opset=opset,
        class_names=class_names,
        mean=None if mean is None else mean.values,
        std=None if std is None else std.values,
        data=data,
        arch_arguments=dict(arch_arg or ()),
    )
    show(result, [*summary(result), *what_next(result, output, data)], common)
    return DONE


def summary(result: "ExportResult") -> list[Line]:
    """Where the model went and how close it is."""
    return [
        f"wrote {result.model.path}: logits equal PyTorch's within "
        f"{result.largest_difference:.1e} on {result.parity_images} images"
    ]


def what_next(result: "ExportResult", model: Path, data: Path | None) -> list[str]:
    """A scan of the model, with the images that logits were compared on, if any were named."""
    asked = () if result.preprocessing else ("--mean", "MEAN", "--std", "STD")
    return [next_scan(model, data, free(model.parent / SCAN), asked)]


EXPORT = Command("export", _export)
