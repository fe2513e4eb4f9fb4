"""The options that commands share, each declared once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hardener.cli.parsers import Numbers, numbers
from hardener.reporting.formats.table import formats_of

TEXT = "text"
"""The format for people, which is no document."""

ProviderName = Literal["auto", "cpu", "cuda", "tensorrt"]

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX classifier.")]
DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Labelled images: a folder or zip of class folders, a CSV of path,label, or an .npz "
        "with images (N, H, W, C) uint8 and labels.",
    ),
]
MeanOption = Annotated[
    Numbers | None,
    typer.Option(
        metavar="M[,M,M]",
        parser=numbers("--mean"),
        help="Mean of each channel, on pixels in 0 to 1.",
    ),
]
StdOption = Annotated[
    Numbers | None,
    typer.Option(
        metavar="S[,S,S]",
        parser=numbers("--std"),
        help="Standard deviation of each channel, on pixels in 0 to 1.",
    ),
]
ProviderOption = Annotated[
    ProviderName, typer.Option(help="Execution provider; auto takes CUDA where it works.")
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report", help="Also write one HTML page that shows the result, as harden report does."
    ),
]


@dataclass(frozen=True)
class Running:
    """The options that decide how a model is run."""

    mean: MeanOption = None
    std: StdOption = None
    size: Annotated[
        Numbers | None,
        typer.Option(
            metavar="H[,W]",
            parser=numbers("--size"),
            help="Height and width that images are resized to.",
        ),
    ] = None
    policy: Annotated[
        Path | None,
        typer.Option(help="TOML file with [preprocessing]; by default harden.toml if it is here."),
    ] = None
    provider: ProviderOption = "auto"

    def preprocessing(self) -> list[dict[str, tuple[float, ...]]]:
        """Preprocessing fields of the policy file and of the flags, the latter to win."""
        from hardener.policy import read_policy

        flags = {"mean": self.mean, "std": self.std, "size": self.size}
        given = {name: flag.values for name, flag in flags.items() if flag is not None}
        return [read_policy(self.policy).preprocessing.given(), given]

    def given(self) -> Sequence[str]:
        """The options as they were given: the next command needs them.

        Each is one word, so that a value that begins with a minus sign stays a value.
        """
        flags = {"policy": self.policy, "mean": self.mean, "std": self.std, "size": self.size}
        words = [f"--{name}={value}" for name, value in flags.items() if value is not None]
        return words + ([] if self.provider == "auto" else [f"--provider={self.provider}"])


@dataclass(frozen=True)
class Common:
    """The options that every command takes."""

    output_format: str = TEXT
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of every random choice.")
    ] = 0
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no notes.")] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what libraries say; traceback of a bug.")
    ] = False


def format_annotation(command: str) -> Any:  # noqa: ANN401  a type made when the program runs
    """What typer reads of a command's --format: the formats of its document, and text."""
    formats = formats_of(command)
    said = ", ".join(one.help for one in formats if one.help)
    return Annotated[
        Literal[(TEXT, *(one.name for one in formats))],
        typer.Option(
            "--format", help=f"What to print on standard output{f'; {said}' if said else ''}."
        ),
    ]
