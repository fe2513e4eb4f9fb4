"""What `harden export` does."""

from hardener.documents.document import Document
from hardener.documents.identity import DataIdentity, ModelIdentity, Normalisation


class ExportResult(Document):
    """What `harden export` did."""

    checkpoint: ModelIdentity
    model: ModelIdentity
    """The ONNX file that was written."""
    data: DataIdentity | None
    """The images that logits were compared on; null for rendered ones."""
    parity_images: int
    """How many images logits were compared on."""
    preprocessing: Normalisation | None = None
    """What the model's metadata say of it; null where they say nothing."""
    largest_difference: float
    """The largest difference of any logit from PyTorch's."""
