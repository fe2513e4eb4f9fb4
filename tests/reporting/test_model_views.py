"""What a model shows of itself, against what it gives when it is asked directly."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.graphs import (
    PLAIN,
    PLAIN_SHAPES,
    TRANSFORMER,
    TRANSFORMER_SHAPES,
    classifier,
    saved,
)
from support.small import WHITE, scanned_and_labelled

from hardener.errors import DataError, UsageError
from hardener.files import sha256_of
from hardener.measuring.quality import Probe
from hardener.model.classifier import open_classifier, open_full
from hardener.model.grad_cam import GradCam
from hardener.model.runtime import Machine
from hardener.model.topology import FeatureLayer
from hardener.reporting.model_views import ModelView, exhibit
from hardener.scanning.activations import profile
from hardener.triggers.patch import Trigger, save_trigger

LAYER = FeatureLayer("feature", 6)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its scan, images, a true trigger and a second model."""
    folder = tmp_path_factory.mktemp("view")
    scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), folder)
    mask = np.zeros((1, 8, 8), np.float32)
    mask[:, :6] = 1
    save_trigger(Trigger(mask, np.ones((3, 8, 8), np.float32), WHITE), folder / "known.npz")
    saved(classifier(PLAIN, dict(PLAIN_SHAPES), seed=1), folder / "second.onnx")
    return folder


@pytest.fixture(scope="module")
def shown(work: Path) -> ModelView:
    """Everything that can be shown."""
    return exhibit(
        work / "m.onnx",
        work / "s",
        work / "d.npz",
        beside=work / "second.onnx",
        known_trigger=work / "known.npz",
        images=(7, 250),
        provider="cpu",
    )


def test_examples_are_those_asked_for_under_every_setting(shown: ModelView, work: Path) -> None:
    stored = np.load(work / "d.npz")
    assert [example.position for example in shown.examples] == [7, 250]
    for example in shown.examples:
        assert example.label == stored["labels"][example.position]
        pixels = np.moveaxis(stored["images"][example.position], -1, 0) / np.float32(255)
        np.testing.assert_allclose(example.images["clean"], pixels, atol=1e-6)
        assert (example.images["clean+ori"][:, :6] == 1).all()
        np.testing.assert_allclose(example.images["clean+ori"][:, 6:], pixels[:, 6:], atol=1e-6)
        assert (example.images["clean+syn"] == 1).all()
        assert list(example.images) == ["clean", "clean+ori", "clean+syn", "clean+ori+syn"]


def test_answers_and_heat_maps_are_each_models_own(shown: ModelView, work: Path) -> None:
    paths = [work / "m.onnx", work / "second.onnx"]
    assert [(one.path, one.sha256) for one in shown.models] == [
        (str(path), sha256_of(path)) for path in paths
    ]
    for place, path in enumerate(paths):
        opened = open_classifier(path)
        runner = open_full(opened.proto, opened.signature, Machine())
        for example in shown.examples:
            for setting, image in example.images.items():
                batch = image[np.newaxis]
                (scores,) = runner.run(opened.feeds(batch))
                assert example.answers[place][setting] == scores[0].argmax()
                for label in (example.label, WHITE):
                    camera = GradCam(opened, LAYER, batch)
                    np.testing.assert_allclose(
                        example.heat_maps[place][setting, label],
                        camera.heat_maps(batch, np.array([label]))[0],
                        rtol=1e-4,
                        atol=1e-6,
                    )


def test_norms_are_those_that_a_scan_measures(shown: ModelView, work: Path) -> None:
    opened = open_classifier(work / "m.onnx")
    source = opened.open_data(work / "d.npz")
    assert shown.counted == len(source) == 300
    measured = profile(opened, LAYER, source, {"clean": Probe()}, machine=Machine())["clean"].norms
    for norm, histogram in shown.norms["clean"].items():
        assert histogram.counts.sum() == 300 * LAYER.channels
        assert histogram.largest == pytest.approx(float(getattr(measured, norm).max.max()))
    assert set(shown.norms) == {"clean", "clean+ori", "clean+syn", "clean+ori+syn"}


def test_activation_maps_peak_at_the_norms(shown: ModelView, work: Path) -> None:
    assert shown.maps["clean"].shape == (6, 8, 8)
    assert shown.maps["clean"].max() <= shown.norms["clean"]["linf"].largest
    assert not np.array_equal(shown.maps["clean"], shown.maps["clean+syn"])


def test_representative_images_are_right_and_lost_to_the_trigger(work: Path) -> None:
    found = exhibit(work / "m.onnx", work / "s", work / "d.npz", provider="cpu")
    first, second = found.examples
    assert first.label != second.label
    for example in found.examples:
        assert example.answers[0] == {"clean": example.label, "clean+syn": WHITE}
    again = exhibit(work / "m.onnx", work / "s", work / "d.npz", provider="cpu")
    assert [one.position for one in again.examples] == [one.position for one in found.examples]


def test_tokens_that_form_no_square_leave_out_what_needs_one(tmp_path: Path) -> None:
    oblong = TRANSFORMER.replace(
        "kernel_shape=[4,4], strides=[4,4]", "kernel_shape=[4,2], strides=[4,2]"
    )
    shapes = {**TRANSFORMER_SHAPES, "patch": (6, 3, 4, 2)}
    model, scan, data = scanned_and_labelled(classifier(oblong, shapes), tmp_path)
    found = exhibit(model, scan, data, provider="cpu")
    assert found.maps == {}
    assert all(not maps for example in found.examples for maps in example.heat_maps)
    assert [note.split(":")[0] for note in found.notes] == ["Grad-CAM of m.onnx", "activation maps"]
    assert found.norms["clean"]["linf"].largest > 0


def test_unreadable_pictures_are_counted_out(work: Path, tmp_path: Path) -> None:
    stored = np.load(work / "d.npz")
    for place, (pixels, label) in enumerate(zip(stored["images"], stored["labels"], strict=True)):
        folder = tmp_path / str(label)
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{place}.png")
    (tmp_path / "0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    found = exhibit(work / "m.onnx", work / "s", tmp_path, provider="cpu")
    assert found.counted == found.data.count == 300
    assert len(found.data.unreadable) == 1
    assert found.norms["clean"]["linf"].counts.sum() == 300 * LAYER.channels


@pytest.mark.parametrize("images", [(), (300,), (-1,), tuple(range(17))])
def test_images_that_do_not_exist_are_refused(images: tuple[int, ...], work: Path) -> None:
    with pytest.raises(UsageError):
        exhibit(work / "m.onnx", work / "s", work / "d.npz", images=images, provider="cpu")


def test_the_scan_of_another_model_is_refused(work: Path) -> None:
    with pytest.raises(DataError, match="scan of another model"):
        exhibit(work / "second.onnx", work / "s", work / "d.npz", provider="cpu")


def test_a_second_model_of_other_classes_is_refused(work: Path) -> None:
    shapes = {**PLAIN_SHAPES, "w2": (7, 96), "b2": (7,)}
    other = saved(classifier(PLAIN.replace("N,5]", "N,7]"), shapes), work / "seven.onnx")
    with pytest.raises(UsageError, match="side by side"):
        exhibit(work / "m.onnx", work / "s", work / "d.npz", beside=other, provider="cpu")
