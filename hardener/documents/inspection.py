"""What `harden inspect` understands of a model."""

from hardener.documents.document import Document
from hardener.documents.identity import Layer, ModelIdentity


class Inspection(Document):
    """What `harden inspect` understood."""

    model: ModelIdentity
    input: str
    """Name of the input that takes images."""
    channels: int
    """Of the input's images."""
    size: tuple[int, int] | None
    """Height and width that the graph fixes; null where it takes any."""
    layout: str
    """Order of the input's axes."""
    element_type: str
    batch: int | None
    """Images in one run where the graph fixes that."""
    output: str
    """Name of the output that holds the class scores."""
    outputs: tuple[str, ...]
    classes: int
    class_names: tuple[str, ...] | None
    preprocessing: dict[str, tuple[int, ...] | tuple[float, ...]]
    """What the model's metadata say of it."""
    opset: int
    nodes: int
    parameters: int
    layer: Layer | None
    """The feature layer; null where none was found."""
    layer_shape: tuple[int, ...] | None
    """Shape of the feature layer for one image."""
    head: tuple[str, ...]
    """The operators behind the feature layer."""
    plan: str | None
    """How the model was hardened, where it was."""
    notes: tuple[str, ...]
    """What was chosen or assumed."""
    refusals: dict[str, str]
    """What cannot be done with the model, and why."""
