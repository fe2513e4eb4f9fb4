"""harden.toml: what a team settles once for its models.

[preprocessing]
size = [32, 32]
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""

import tomllib
from pathlib import Path

from hardener.data.preprocessing import preprocessing_fields
from hardener.errors import DataError, UsageError
from hardener.files import read_regular, reason

DEFAULT_POLICY = Path("harden.toml")
_LARGEST_POLICY_BYTES = 1 << 20


def policy_preprocessing(policy: Path | None) -> dict[str, tuple[float, ...]]:
    """Reads the preprocessing fields of a policy file.

    Args:
        policy: the file; if None, `harden.toml` in the working directory where there is one.

    Raises:
        UsageError: the file is missing, is no TOML, or holds an unknown section or key.
    """
    path = policy or DEFAULT_POLICY
    if policy is None and not path.is_file():
        return {}
    try:
        document = tomllib.loads(read_regular(path, _LARGEST_POLICY_BYTES).decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or endless nesting
        raise UsageError(f"{path} is no TOML: {error}") from error
    unknown = sorted(set(document) - {"preprocessing"})
    if unknown:
        raise UsageError(f"{path}: unknown section [{unknown[0]}]; known is [preprocessing]")
    section = document.get("preprocessing", {})
    known = ("size", "mean", "std")
    strange = sorted(set(section) - set(known)) if isinstance(section, dict) else []
    if strange:
        raise UsageError(
            f"{path}: unknown key {strange[0]!r} in [preprocessing]; known are {', '.join(known)}"
        )
    try:
        return preprocessing_fields(section)
    except DataError as error:
        raise UsageError(f"{path}: {error}") from error
