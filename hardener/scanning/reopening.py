"""A model opened again as its scan saw it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hardener.documents.identity import Normalisation
from hardener.documents.scan import ScanResult
from hardener.errors import DataError
from hardener.model.classifier import Classifier, open_classifier
from hardener.model.files import SOURCE_KEY
from hardener.scanning.saved import load_scan, require_images, require_target


def open_as_scanned(
    model: Path,
    scan: Path,
    preprocessing: Sequence[Mapping[str, tuple[float, ...]]] = (),
    *,
    hardened_too: bool = False,
) -> tuple[ScanResult, Classifier]:
    """Reads a scan and opens its model with the scan's preprocessing.

    Args:
        model: an ONNX file.
        scan: folder of the scan.
        preprocessing: fields that win over the scan's, later over earlier.
        hardened_too: also takes a model that was hardened from the scanned one, as its metadata
            say.

    Raises:
        DataError: there is no scan, or it is one without images, of another model or of another
            preprocessing.
        ModelError: the model cannot be used.
        InconclusiveError: the scan found an attack without a target label.
    """
    scanned = load_scan(scan)
    require_images(scan, scanned)
    require_target(scan, scanned)
    return scanned, open_scanned(scanned, model, scan, preprocessing, hardened_too=hardened_too)


def open_scanned(
    scanned: ScanResult,
    model: Path,
    scan: Path,
    preprocessing: Sequence[Mapping[str, tuple[float, ...]]] = (),
    *,
    hardened_too: bool = False,
) -> Classifier:
    """Opens the model of a scan that was read before, as `open_as_scanned` does.

    Raises:
        DataError: the scan is of another model or of another preprocessing.
        ModelError: the model cannot be used.
    """
    try:
        classifier = open_classifier(model, [scanned.preprocessing.fields, *preprocessing])
    except DataError:  # of another model, as is told next
        classifier = open_classifier(model, preprocessing)
    known = {classifier.model.sha256}
    if hardened_too:
        known.add(classifier.model.metadata.get(SOURCE_KEY, ""))
    if scanned.model.sha256 not in known:
        raise DataError(
            f"{scan} is the scan of another model ({scanned.model.path}, sha256 "
            f"{scanned.model.sha256[:12]}…): scan {classifier.model.path} first"
        )
    if scanned.preprocessing != Normalisation.of(classifier.preprocessing):
        raise DataError(
            f"{scan} was scanned with another preprocessing ({scanned.preprocessing}): give the "
            "same --size, --mean and --std"
        )
    return classifier
