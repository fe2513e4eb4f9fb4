"""What all documents have in common: who wrote them, when, and how they go to a file and back."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, ValidationError

from hardener.errors import DataError
from hardener.files import read_regular, reason, write_text
from hardener.frozen import Frozen

SCHEMA_VERSION = 1
_LARGEST_DOCUMENT_BYTES = 256 << 20


class _Versioned(BaseModel):
    """What documents of every version hold."""

    schema_version: int = SCHEMA_VERSION


class Tool(Frozen):
    """The program that wrote a document."""

    name: str
    version: str


def tool_version() -> str:
    """The installed version of hardener."""
    try:
        return version("hardener")
    except PackageNotFoundError:
        return "0+checkout"


class Document(Frozen):
    """What every JSON file starts with."""

    schema_version: int = SCHEMA_VERSION
    """Version of the document's form."""
    tool: Tool = Field(default_factory=lambda: Tool(name="hardener", version=tool_version()))
    """The program that wrote it."""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """When it was written: UTC, as ISO 8601."""
    seed: int = Field(ge=0, lt=2**63)
    """Seed of every random choice."""
    provider: str
    """The execution provider that ran, not the one that was asked for."""

    def write(self, path: Path) -> None:
        """Writes the document as indented JSON, whole or not at all."""
        write_text(path, self.to_json())

    def to_json(self) -> str:
        """The document as indented JSON, as its file holds it."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a document back.

        Raises:
            DataError: it is missing, of another schema version, or not such a document.
        """
        try:
            content = read_regular(path, _LARGEST_DOCUMENT_BYTES)
            version_read = _Versioned.model_validate_json(content).schema_version
            if version_read != SCHEMA_VERSION:
                raise DataError(
                    f"{path} has schema version {version_read}, this version of harden reads "
                    f"{SCHEMA_VERSION}: run the stage again"
                )
            return cls.model_validate_json(content)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {reason(error)}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the document"
            raise DataError(f"{path} is no {cls.__name__}: {where}: {first['msg']}") from error


class Run(Document):
    """What the stages that run a model on images add: how they ran it."""

    threads: int | None = None
    """Threads of one operator on the CPU."""
    batch_size: int | None = None
    """Images in one run; null where no images were looked at."""
