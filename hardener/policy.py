"""harden.toml: what a team settles once for its models.

[preprocessing]
size = [32, 32]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError

from hardener.errors import UsageError
from hardener.files import read_regular, reason
from hardener.frozen import Frozen

DEFAULT_POLICY = Path("harden.toml")
_LARGEST_POLICY_BYTES = 1 << 20


def _listed(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,)


_Numbers: TypeAlias = Annotated[
    tuple[Annotated[float, Field(strict=True)], ...],
    Field(min_length=1),
    BeforeValidator(_listed),
]


class PreprocessingSection(Frozen):
    """How images become network input; what is left out is the model's own."""

    size: _Numbers | None = None
    mean: _Numbers | None = None
    std: _Numbers | None = None

    def given(self) -> dict[str, tuple[float, ...]]:
        """The fields that are there."""
        return self.model_dump(exclude_none=True)


class Policy(Frozen):
    """A policy file; each section is a field."""

    preprocessing: PreprocessingSection = PreprocessingSection()


def read_policy(policy: Path | None) -> Policy:
    """Reads a policy file.

    Args:
        policy: the file; if None, `harden.toml` in the working directory where there is one.

    Raises:
        UsageError: the file is missing, is no TOML, or holds an unknown section or key.
    """
    path = policy or DEFAULT_POLICY
    if policy is None and not os.path.lexists(path):
        return Policy()
    try:
        document = tomllib.loads(read_regular(path, _LARGEST_POLICY_BYTES).decode("utf-8"))
        return Policy.model_validate(document)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}") from error
    except ValidationError as error:
        raise UsageError(f"{path}: {_explained(error)}") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or endless nesting
        raise UsageError(f"{path} is no TOML: {error}") from error


def _explained(error: ValidationError) -> str:
    """What is wrong, in one line: unknown names first."""
    first, *_ = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    section, key, *_ = (*map(str, first["loc"]), "")
    known = ", ".join(PreprocessingSection.model_fields)
    if section != "preprocessing":
        return f"unknown section [{section}]; known is [preprocessing]"
    if not key:
        return f"preprocessing is a table with {known}"
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r} in [preprocessing]; known are {known}"
    wrong = (
        "is not finite" if first["type"] == "finite_number" else "is a number or a list of numbers"
    )
    return f"preprocessing: {key} {'is too large' if type(first['input']) is int else wrong}"
