"""One kind of classifier: how its ONNX file is made, and what is known of it beforehand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Writer = Callable[[Path], int | None]


@dataclass(frozen=True)
class Case:
    """A classifier to try.

    Attributes:
        group: what it stands for: a library, a number type, a form of graph.
        name: its own name within the group.
        write: writes it as an ONNX file and tells how many channels the feature layer has, where
            the architecture says so by itself.
        refusal: part of the message where it shall be refused.
    """

    group: str
    name: str
    write: Writer
    refusal: str | None = None

    @property
    def title(self) -> str:
        """Group and name."""
        return f"{self.group}: {self.name}"
