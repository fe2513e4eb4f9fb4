"""What a command is, and the function that typer gets of it."""

import dataclasses
import gc
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hardener.cli.options import format_annotation
from hardener.cli.printing import hear_libraries


@dataclass(frozen=True)
class Command:
    """A command of `harden`.

    Attributes:
        name: as it is typed.
        function: gets the options and returns the exit code. Its docstring is the help text. A
            parameter that is a dataclass stands for all its fields, each an option.
        formats: whether it prints a document, which --format gives another form.
    """

    name: str
    function: Callable[..., int]
    formats: bool = True

    def callback(self) -> Callable[..., int]:
        """The function with every option as a parameter of its own, as typer reads it."""
        signature = inspect.signature(self.function)
        groups: dict[str, Any] = {
            name: parameter.annotation
            for name, parameter in signature.parameters.items()
            if dataclasses.is_dataclass(parameter.annotation)
        }

        def called(**given: object) -> int:
            gc.enable()
            hear_libraries(verbose=bool(given["verbose"]))
            for name, group in groups.items():
                names = [field.name for field in dataclasses.fields(group)]
                given[name] = group(**{one: given.pop(one) for one in names if one in given})
            return self.function(**given)

        spread = list(self._spread(signature))
        called.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
        called.__doc__ = self.function.__doc__
        return called

    def _spread(self, signature: inspect.Signature) -> Iterator[inspect.Parameter]:
        for parameter in signature.parameters.values():
            if not dataclasses.is_dataclass(parameter.annotation):
                yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                continue
            for field in dataclasses.fields(parameter.annotation):
                annotation: Any = field.type
                if field.name == "output_format":
                    if not self.formats:
                        continue
                    annotation = format_annotation(self.name)
                yield inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=field.default,
                    annotation=annotation,
                )
