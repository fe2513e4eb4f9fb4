"""The options that commands share, and how their texts are read."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hardener.errors import UsageError
from hardener.files import read_regular

_LARGEST_TEXT_BYTES = 64 << 20


class OutputFormat(StrEnum):
    """What goes to standard output."""

    text = "text"
    json = "json"


class ReportFormat(StrEnum):
    """The same, of a command whose result goes into a pull request too."""

    text = "text"
    json = "json"
    markdown = "markdown"


class ScanFormat(StrEnum):
    """The same, of a command whose result goes to code scanning too."""

    text = "text"
    json = "json"
    markdown = "markdown"
    sarif = "sarif"


class ProviderName(StrEnum):
    """Execution providers that can be asked for."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"


ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX classifier.")]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Labelled images: a folder or zip of class folders, a CSV of path,label, or an .npz "
        "with images (N, H, W, C) uint8 and labels.",
    ),
]
OptionalDataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Labelled images, as for the other commands. Without them only what needs none is "
        "looked at, and the verdict is never clean.",
    ),
]
LayerOption = Annotated[
    str | None, typer.Option(help="Tensor to use as feature layer instead of the graph's own.")
]
MeanOption = Annotated[
    str | None,
    typer.Option(metavar="M[,M,M]", help="Mean of each channel, on pixels in 0 to 1."),
]
StdOption = Annotated[
    str | None,
    typer.Option(
        metavar="S[,S,S]", help="Standard deviation of each channel, on pixels in 0 to 1."
    ),
]
SizeOption = Annotated[
    str | None, typer.Option(metavar="H[,W]", help="Height and width that images are resized to.")
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(help="TOML file with [preprocessing]; by default harden.toml if it is here."),
]
ProviderOption = Annotated[
    ProviderName, typer.Option(help="Execution provider; auto takes CUDA where it works.")
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of every random choice.")]
FormatOption = Annotated[
    OutputFormat, typer.Option("--format", help="What to print on standard output.")
]
ReportFormatOption = Annotated[
    ReportFormat,
    typer.Option(
        "--format",
        help="What to print on standard output; markdown is a short summary for a pull request.",
    ),
]
ScanFormatOption = Annotated[
    ScanFormat,
    typer.Option(
        "--format",
        help="What to print on standard output; markdown is a short summary for a pull request, "
        "sarif a SARIF 2.1.0 log for code scanning.",
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report", help="Also write one HTML page that shows the result, as harden report does."
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", help="Log what libraries say; traceback of a bug.")
]


def preprocessing_overrides(
    policy: Path | None, mean: str | None, std: str | None, size: str | None
) -> list[dict[str, tuple[float, ...]]]:
    """Preprocessing fields of the policy file and of the flags, the latter to win."""
    from hardener.policy import policy_preprocessing

    flags = {
        name: values
        for name, text in (("mean", mean), ("std", std), ("size", size))
        if (values := numbers(f"--{name}", text)) is not None
    }
    return [policy_preprocessing(policy), flags]


def options_given(
    *,
    policy: Path | None,
    mean: str | None,
    std: str | None,
    size: str | None,
    provider: ProviderName,
) -> list[str]:
    """The options that decide how a model is run, as they were given: the next command needs them.

    Each is one word, so that a value that begins with a minus sign stays a value.
    """
    given = {"policy": policy, "mean": mean, "std": std, "size": size}
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    return words + ([] if provider is ProviderName.auto else [f"--provider={provider}"])


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Reads numbers with commas between.

    Raises:
        UsageError: the text holds something else.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} takes numbers with commas between, not {text!r}") from error


def whole_numbers(option: str, text: str | None) -> list[int] | None:
    """Reads whole numbers with commas between.

    Raises:
        UsageError: the text holds something else.
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"{option} takes whole numbers with commas between, not {text!r}"
        ) from error


def image_shape(text: str | None) -> tuple[int, int, int] | None:
    """Reads the shape of one image, C,H,W.

    Raises:
        UsageError: the text holds something else.
    """
    sizes = whole_numbers("--input-size", text)
    if sizes is None:
        return None
    if len(sizes) != 3 or min(sizes) < 1:
        raise UsageError(f"--input-size is C,H,W like 3,32,32, not {text!r}")
    return (sizes[0], sizes[1], sizes[2])


def lines_of(path: Path) -> list[str]:
    """Reads the lines of a text file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read_regular(path, _LARGEST_TEXT_BYTES).decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--class-names {path} cannot be read: {error}") from error


def keyword_arguments(pairs: Sequence[str]) -> dict[str, object]:
    """Reads NAME=VALUE pairs; a value that is no JSON is taken as text.

    Raises:
        UsageError: a pair has another form.
    """
    arguments: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--arch-arg is NAME=VALUE, not {pair!r}")
        try:
            arguments[name] = json.loads(text)
        except (ValueError, RecursionError):
            arguments[name] = text
    return arguments
