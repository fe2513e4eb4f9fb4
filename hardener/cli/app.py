"""What typer runs: the commands under `harden`."""

from collections.abc import Iterable
from typing import Annotated

import typer

from hardener.cli.command import Command
from hardener.errors import UsageError


def app_of(commands: Iterable[Command]) -> typer.Typer:
    """The app with these commands, in their order."""
    app = typer.Typer(
        name="harden",
        help="Finds and removes backdoors in ONNX image classifiers before they ship.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_without_command)
    for command in commands:
        app.command(command.name)(command.callback())
    return app


def _without_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Finds and removes backdoors in ONNX image classifiers before they ship."""
    if version:
        from importlib.metadata import version as installed

        print(f"hardener {installed('hardener')}")
    elif context.invoked_subcommand is None:
        raise UsageError("a command is missing; harden --help lists them")
