"""A model opened again as its scan saw it."""

from hardener.documents.identity import Normalisation
from hardener.errors import DataError
from hardener.model.classifier import Classifier, ModelGiven, Overrides, open_classifier, open_model
from hardener.model.files import SOURCE_KEY
from hardener.model.topology import find_feature_layer
from hardener.scanning.saved import (
    SavedScan,
    ScanGiven,
    open_scan,
    require_images,
)


def open_as_scanned(
    model: ModelGiven,
    scan: ScanGiven,
    preprocessing: Overrides = (),
    *,
    hardened_too: bool = False,
) -> tuple[SavedScan, Classifier]:
    """Reads a scan and opens its model with the scan's preprocessing.

    Args:
        model: an ONNX file, or one that is open.
        scan: folder of the scan, or the scan.
        preprocessing: fields that win over the scan's, later over earlier.
        hardened_too: also takes a model that was hardened from the scanned one, as its metadata
            say.

    Raises:
        DataError: there is no scan, or it is one without images, of another model or of another
            preprocessing.
        ModelError: the model cannot be used.
    """
    saved = open_scan(scan)
    require_images(saved)
    return saved, open_scanned(saved, model, preprocessing, hardened_too=hardened_too)


def open_scanned(
    scan: SavedScan,
    model: ModelGiven,
    preprocessing: Overrides = (),
    *,
    hardened_too: bool = False,
) -> Classifier:
    """Opens the model of a scan that was read before, as `open_as_scanned` does.

    Raises:
        DataError: the scan is of another model or of another preprocessing.
        ModelError: the model cannot be used.
    """
    scanned = scan.result
    overrides = [scanned.preprocessing.fields, *preprocessing]
    opened = open_model(model, overrides)
    known = {opened.sha256}
    if hardened_too:
        known.add(opened.metadata.get(SOURCE_KEY, ""))
    if scanned.model.sha256 not in known:
        raise DataError(
            f"{scan.folder} is the scan of another model ({scanned.model.path}, sha256 "
            f"{scanned.model.sha256[:12]}…): scan {opened.path} first"
        )
    classifier = open_classifier(opened, overrides)
    if scanned.preprocessing != Normalisation.of(classifier.preprocessing):
        raise DataError(
            f"{scan.folder} was scanned with another preprocessing ({scanned.preprocessing}): give "
            "the same --size, --mean and --std"
        )
    if opened.sha256 == scanned.model.sha256:
        found = find_feature_layer(
            classifier.proto, classifier.signature, classifier.model.shapes, scanned.layer.name
        )
        if (found.channels, found.axis) != (scanned.layer.channels, scanned.layer.axis):
            raise DataError(f"{scan.folder} tells of another feature layer: scan again")
    return classifier
