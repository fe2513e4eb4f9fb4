"""`harden schema`: the JSON Schemas of the documents."""

from typing import Annotated

import typer

from hardener.cli.command import Command
from hardener.cli.options import Common
from hardener.cli.printing import note, print_whole
from hardener.exit_codes import DONE


def _schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of the command that writes it.")
    ] = None,
    *,
    common: Common,
) -> int:
    """Print the JSON Schema of the documents that a command writes; without NAME list them."""
    from hardener.documents.schemas.shipped import schema_names, schema_text

    if name is not None:
        print_whole(schema_text(name))
        return DONE
    print_whole("".join(f"{one}\n" for one in schema_names()))
    # Not on standard output, where programs read the names.
    note(common, "next: harden schema NAME prints one of them")
    return DONE


SCHEMA = Command("schema", _schema, formats=False)
