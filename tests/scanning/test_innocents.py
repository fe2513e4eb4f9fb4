"""Labels with a small trigger that are no target, weighed on sizes and on a real network."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardener.arrays import FloatArray
from hardener.scanning.calibration import shipped
from hardener.scanning.detectors.inversion import inversion_finding
from hardener.scanning.evidence import Evidence
from hardener.scanning.finding import Finding
from hardener.scanning.innocents import Looks, own_looks_of, weighed
from hardener.scanning.label_search import Searches
from hardener.scanning.look import Look, start_look
from hardener.scanning.verdict import weigh
from hardener.subject import open_subject
from hardener.triggers.patch import Trigger, load_trigger

LABELS = range(20)
CALIBRATION = shipped()


def _evidence(**sizes: float) -> Evidence:
    """Patches of about 100 pixels but where a size is named, as `l8=6`."""
    found = np.linspace(80, 120, len(LABELS), dtype=np.float32)
    for label, size in sizes.items():
        found[int(label[1:])] = size
    return Evidence("patch", found, np.ones(len(LABELS), np.float32))


def _accused(evidence: Evidence, looks: dict[int, Looks] | None = None) -> list[int]:
    scores = weighed(evidence, LABELS, looks or {}, CALIBRATION).scores
    return [int(label) for label in np.flatnonzero(scores >= CALIBRATION.backdoored_from)]


@pytest.mark.parametrize(
    ("sizes", "accused"),
    [
        ({"l8": 6, "l12": 20}, [8, 12]),  # From 20 to 80 is further than from 6 to 20.
        ({"l8": 3, "l12": 20, "l13": 24}, [8]),
        ({"l8": 7, "l9": 12, "l12": 40}, [8, 9]),
        ({"l12": 20}, [12]),
    ],
)
def test_of_small_triggers_those_before_the_widest_gap_are_targets(
    sizes: dict[str, float], accused: list[int]
) -> None:
    assert _accused(_evidence(**sizes)) == accused


def test_a_label_behind_the_gap_stays_undecided_and_is_told() -> None:
    told = weighed(_evidence(l8=3, l12=20), LABELS, {}, CALIBRATION)
    assert told.scores[12] == pytest.approx(CALIBRATION.undecided)
    assert told.why[12].startswith("label 12 has a small trigger too, not set apart")


def test_a_label_that_looks_so_is_undecided_and_no_lower() -> None:
    told = weighed(_evidence(l12=6), LABELS, {12: Looks(0.9, 0.2)}, CALIBRATION)
    assert told.scores[12] == pytest.approx(CALIBRATION.undecided)
    assert "its own images show in that place sends 90%" in told.why[12]


@pytest.mark.parametrize("looks", [Looks(0.0, 0.0), Looks(0.95, 0.9), Looks(0.1, 0.4)])
def test_a_place_that_shows_any_image_explains_nothing(looks: Looks) -> None:
    assert _accused(_evidence(l12=6), {12: looks}) == [12]


def test_what_was_read_off_the_network_accuses_no_label_that_looks_so() -> None:
    evidence = [_evidence(l12=6)]
    looks = {"patch": {12: Looks(0.9, 0.2)}}
    told = inversion_finding(
        LABELS, evidence, classes=20, pixels=1024, calibration=CALIBRATION, own_looks=looks
    )
    loud = Finding(scores=np.eye(20, dtype=np.float32)[12], untried=True)
    assert weigh([told, loud], CALIBRATION).scores[12] == pytest.approx(CALIBRATION.undecided)
    without = inversion_finding(LABELS, evidence, classes=20, pixels=1024, calibration=CALIBRATION)
    assert weigh([without, loud], CALIBRATION).scores[12] == pytest.approx(1)


def test_a_label_behind_the_gap_of_one_family_is_a_target_by_another() -> None:
    faint = Evidence("additive", _evidence(l12=6).sizes, np.ones(20, np.float32))
    told = inversion_finding(
        LABELS, [_evidence(l8=3, l12=20), faint], classes=20, pixels=1024, calibration=CALIBRATION
    )
    assert told.scores is not None
    assert told.scores[12] >= CALIBRATION.backdoored_from
    assert not told.said
    assert not told.undecided


@pytest.fixture(scope="module")
def look(signs_victim: Path, signs: Path) -> Look:
    return start_look(open_subject(signs_victim, signs), None, Searches({}, 0))


def test_a_planted_trigger_stands_on_no_clean_image_and_a_piece_of_its_label_does(
    look: Look, signs_trigger: Path
) -> None:
    planted = load_trigger(signs_trigger)
    triggers = [_middle(look, label) for label in range(43)]
    triggers[planted.label] = planted
    sizes = np.full(43, 100, np.float32)
    sizes[[12, planted.label]] = 6
    evidence = Evidence("patch", sizes, np.ones(43, np.float32))
    found = own_looks_of(look, evidence, triggers, CALIBRATION)
    assert sorted(found) == sorted((12, planted.label))
    assert found[planted.label].own <= 0.1
    assert found[12].own >= 0.5
    assert found[12].own >= found[12].others + 0.3


def test_a_label_whose_only_picture_cannot_be_read_is_left_out(
    signs: Path, signs_victim: Path, tmp_path: Path
) -> None:
    with np.load(signs) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        if label != 12:
            (tmp_path / f"{label:02}").mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / f"{label:02}" / f"{number}.png")
    (tmp_path / "12").mkdir()
    (tmp_path / "12" / "broken.png").write_bytes(b"no picture")
    look = start_look(open_subject(signs_victim, tmp_path), None, Searches({}, 0))
    evidence = Evidence("patch", np.full(43, 100, np.float32), np.ones(43, np.float32))
    evidence.sizes[12] = 6
    image = np.zeros((3, 32, 32), np.float32)
    triggers = [Trigger(np.ones((1, 32, 32), np.float32), image, label) for label in range(43)]
    assert own_looks_of(look, evidence, triggers, CALIBRATION) == {}


def _middle(look: Look, label: int) -> Trigger:
    """The middle of the image, as an image of a label shows it."""
    source = look.source
    (image,) = look.subject.classifier.images_of(source, np.flatnonzero(source.labels == label)[:1])
    mask: FloatArray = np.zeros((1, 32, 32), np.float32)
    mask[:, 13:19, 13:19] = 1
    return Trigger(mask, image, label)
