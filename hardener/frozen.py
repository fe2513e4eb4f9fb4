"""What every checked value that comes from or goes to JSON or TOML has in common."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Never changes, knows all its fields and takes finite numbers only.

    The docstring below a field describes it in the JSON Schema too.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )
