"""Figures agree with the values that they show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.documents import some_prune
from support.scans import scan_of

import hardener
from hardener.documents.identity import DataIdentity, ModelIdentity
from hardener.documents.scan import ScanResult
from hardener.errors import DataError, UsageError
from hardener.measuring.histograms import Histogram
from hardener.reporting.figures import (
    activation_maps,
    attention,
    label_anomalies,
    label_sizes,
    norm_histograms,
    pictures,
    sweep,
)
from hardener.reporting.figures.activations import reduced, tiled
from hardener.reporting.figures.attention import overlaid
from hardener.reporting.model_views import Example, ModelView
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp

SETTINGS = ("clean", "clean+ori", "clean+syn", "clean+ori+syn")


def _exhibits(channels: int, size: int, planes: int, examples: int = 2) -> ModelView:
    rng = np.random.default_rng(0)
    side = max(1, size // 8)

    def shown(place: int) -> Example:
        maps = {
            (setting, label): rng.uniform(0, 3, (size, size)).astype(np.float32)
            for setting in SETTINGS
            for label in (place, 8)
        }
        return Example(
            position=10 * place,
            label=place,
            images={
                setting: rng.uniform(size=(planes, size, size)).astype(np.float32)
                for setting in SETTINGS
            },
            answers=({name: place if name == "clean" else 8 for name in SETTINGS},) * 2,
            heat_maps=(maps, {}),
        )

    values = rng.exponential(size=(len(SETTINGS), 3, 50, channels)).astype(np.float32)
    return ModelView(
        models=tuple(ModelIdentity(path=f"{name}.onnx", sha256=name * 64) for name in "01"),
        target=8,
        class_names={8: "<b>eight</b>"},
        layer="feature $x_1$",
        data=DataIdentity(path="d.zip", sha256="0" * 64, count=50),
        examples=tuple(map(shown, range(examples))),
        maps={
            setting: rng.uniform(0, 2, (channels, side, side)).astype(np.float32)
            for setting in SETTINGS
        },
        norms={
            setting: {
                norm: Histogram.of(values[row, column])
                for column, norm in enumerate(("l1", "l2", "linf"))
            }
            for row, setting in enumerate(SETTINGS)
        },
        counted=50,
        notes=(),
    )


@pytest.mark.parametrize(("channels", "size", "planes"), [(128, 32, 3), (2048, 224, 3), (6, 28, 1)])
def test_every_size_is_drawn(channels: int, size: int, planes: int, tmp_path: Path) -> None:
    shown = _exhibits(channels, size, planes)
    figures = (
        attention(shown, ("before", "after")),
        activation_maps(shown, (0, channels - 1), "pruned"),
        norm_histograms(shown),
    )
    # Noise, which packs worst; a page of 5 MB holds other things too.
    assert sum(len(drawn.svg()) for drawn in figures) < 4_000_000
    for drawn in figures:
        for ending in ("svg", "pdf", "png"):
            path = tmp_path / f"{drawn.name}.{ending}"
            drawn.save(path)
            assert path.stat().st_size > 1_000
        with Image.open(tmp_path / f"{drawn.name}.png") as picture:
            assert picture.getpixel((0, 0)) == (255, 255, 255, 255)


def test_histograms_hold_the_counts_and_mark_the_largest() -> None:
    shown = _exhibits(16, 32, 3)
    axes = norm_histograms(shown).figure.axes
    for axis, norm in zip(axes, ("l1", "l2", "linf"), strict=True):
        steps = list(axis.patches)
        marks = list(axis.lines)
        for step, mark, setting in zip(steps, marks, SETTINGS, strict=True):
            histogram = shown.norms[setting][norm]
            drawn = step.get_data()  # type: ignore[attr-defined]
            assert drawn.values.tolist() == histogram.counts.tolist()
            assert mark.get_xdata()[0] == histogram.largest  # type: ignore[index]
        assert axis.get_xlim()[1] >= max(shown.norms[name][norm].largest for name in SETTINGS)


def test_activations_share_a_scale_and_flagged_channels_are_framed() -> None:
    shown = _exhibits(10, 32, 3)
    drawn = activation_maps(shown, (1, 5), "pruned")
    left, right = drawn.figure.axes[:2]
    for axis, setting in ((left, "clean"), (right, "clean+ori")):
        (image,) = axis.images
        expected = tiled(shown.maps[setting], 4)
        np.testing.assert_array_equal(image.get_array(), np.ma.masked_invalid(expected))
        assert [patch.get_xy() for patch in axis.patches] == [(4.5, -0.5), (4.5, 4.5)]  # type: ignore[attr-defined]
    assert left.images[0].get_clim() == right.images[0].get_clim()
    assert "channels 1, 5 (pruned)" in drawn.described


def test_tiles_lie_row_by_row() -> None:
    maps = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 2, 3), np.float32)
    laid = tiled(maps, 2)
    assert laid.shape == (8, 7)
    assert (laid[0:2, 0:3] == 0).all()
    assert (laid[0:2, 4:7] == 1).all()
    assert (laid[3:5, 0:3] == 2).all()
    assert (laid[6:8, 0:3] == 4).all()
    assert np.isnan(laid[2]).all()
    assert np.isnan(laid[6:8, 4:7]).all()


def test_large_maps_keep_their_peaks() -> None:
    maps = np.zeros((2, 5, 7), np.float32)
    maps[1, 4, 6] = 3
    maps[0] = -1
    small = reduced(maps, 4)
    assert small.shape == (2, 3, 4)
    assert small[1, 2, 3] == 3
    assert small[1].sum() == 3
    assert (small[0] == -1).all()
    np.testing.assert_array_equal(reduced(maps, 7), maps)


def test_a_heat_map_covers_where_it_is_hot_and_nothing_where_it_is_zero() -> None:
    image = np.full((3, 2, 2), 0.5, np.float32)
    heat = np.array([[0, 1], [0, 0.2]], np.float32)
    mixed = overlaid(image, heat)
    assert mixed.shape == (2, 2, 3)
    np.testing.assert_allclose(mixed[:, 0], 0.5, atol=1e-6)
    assert mixed[0, 1, 0] > 0.8
    assert mixed[0, 1, 2] > mixed[0, 1, 0] - 0.5


def test_models_without_heat_maps_are_left_out() -> None:
    shown = _exhibits(4, 16, 3, examples=1)
    drawn = attention(shown, ("before", "after"))
    assert len(drawn.figure.axes) == 2 * len(SETTINGS)
    assert drawn.described.endswith("Triggered images that go to the target label, before: 3 of 3.")


def test_text_from_outside_is_no_formula(tmp_path: Path) -> None:
    shown = [("$\\frac{1}{", np.zeros((1, 4, 4), np.float32))]
    drawn = pictures(shown, "Pictures")
    assert "frac" in drawn.svg()
    drawn.save(tmp_path / "p.pdf")


def test_the_sweep_is_drawn_by_threshold_with_the_model_as_it_came_before_it() -> None:
    pruned = some_prune()
    drawn = sweep(pruned)
    rows = pruned.sweep
    curves = {line.get_label(): line for line in drawn.figure.axes[0].lines}
    accuracy = curves["accuracy"]
    assert list(accuracy.get_ydata()) == [row.accuracy for row in rows]  # type: ignore[arg-type]
    assert list(accuracy.get_xdata())[1:] == [row.threshold for row in rows[1:]]  # type: ignore[arg-type]
    chosen = next(row for row in rows if row.threshold == pruned.threshold)
    assert f"Chosen: {chosen.threshold:.4g} with {chosen.channels_pruned}." in drawn.described
    guarded = sweep(pruned.model_copy(update={"rewrite": "guard", "channels": ()}))
    assert f"with {chosen.channels_pruned}." in guarded.described
    assert guarded.figure.axes[1].get_xlabel() == "channels over their limit"
    left, right = drawn.figure.axes[0].get_xlim()
    assert left == drawn.along[0]
    assert right == rows[-1].threshold
    told = dict(
        zip(
            drawn.figure.axes[1].get_xticks(),
            (int(text.get_text()) for text in drawn.figure.axes[1].get_xticklabels()),
            strict=True,
        )
    )
    by_place = dict(zip(drawn.along, (row.channels_pruned for row in rows), strict=True))
    assert told
    assert all(by_place[place] == count for place, count in told.items())


def test_what_cannot_be_drawn_or_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        pictures([], "Nothing")
    drawn = hardener.figures.norm_histograms(_exhibits(4, 16, 3))
    with pytest.raises(UsageError, match="ends in"):
        drawn.save(tmp_path / "figure.gif")
    assert list(tmp_path.iterdir()) == []


def test_the_same_figure_is_saved_as_the_same_bytes(tmp_path: Path) -> None:
    for ending in ("svg", "pdf", "png"):
        for turn in "ab":
            norm_histograms(_exhibits(4, 16, 3)).save(tmp_path / f"{turn}.{ending}")
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize("classes", [10, 43, 1000])
def test_labels_are_drawn_at_their_values(classes: int) -> None:
    scanned = _scan_of_classes(classes)
    rows = scanned.searched
    sizes = label_sizes(scanned)
    for axis, values in zip(
        sizes.figure.axes,
        (
            [row.relative_size for row in rows],
            [row.additive.relative_size for row in rows],
            [row.warp.relative_size for row in rows],
        ),
        strict=True,
    ):
        drawn = np.concatenate([np.asarray(one.get_offsets()) for one in axis.collections])
        top = axis.get_ylim()[1] / 1.02
        expected = sorted(
            (row.label, min(value, top)) for row, value in zip(rows, values, strict=True)
        )
        if axis is sizes.figure.axes[1]:
            expected = expected[1:]  # the search that found nothing
        np.testing.assert_allclose(sorted(map(tuple, drawn.tolist())), expected)
    (axis,) = label_anomalies(scanned).figure.axes
    patches, faint, warps = (np.asarray(one.get_offsets()).tolist() for one in axis.collections)
    assert patches == [[row.label, row.anomaly_index] for row in rows]
    assert faint == [[row.label, row.additive.anomaly_index] for row in rows[1:]]
    assert warps == [[row.label, row.warp.anomaly_index] for row in rows]


def _scan_of_classes(classes: int) -> ScanResult:
    """A scan of so many classes; of more than 64 only twelve were searched in full."""
    rng = np.random.default_rng(classes)
    searched = range(classes) if classes <= 64 else range(0, classes, classes // 12)
    scanned = scan_of(_small_triggers(searched), 0)
    rows = [
        row.model_copy(
            update={
                "relative_size": float(rng.uniform(0, 4)),
                "anomaly_index": float(rng.normal()),
                "trigger_success_rate": float(rng.uniform()),
            }
        )
        for row in scanned.searched
    ]
    unsolved = rows[0].additive.model_copy(update={"nothing_found": True, "anomaly_index": 9.0})
    rows[0] = rows[0].model_copy(update={"additive": unsolved})
    return scanned.model_copy(update={"labels": tuple(rows)})


def _small_triggers(labels: Sequence[int]) -> list[SyntheticTrigger]:
    flat, still = np.ones((3, 4, 4), np.float32), np.zeros((2, 2, 2), np.float32)
    return [
        *(Trigger(flat[:1], flat, label) for label in labels),
        *(AdditiveTrigger(flat, label) for label in labels),
        *(Warp(still, label) for label in labels),
    ]
