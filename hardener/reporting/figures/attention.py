"""Grad-CAM of models under the input settings (paper, figure 2)."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from PIL import Image

from hardener.arrays import FloatArray
from hardener.data.settings import CLEAN
from hardener.errors import DataError
from hardener.reporting.drawing import Drawn, new_figure
from hardener.reporting.model_views import Example, ModelView

_PANEL = 0.86
_MARGIN = 0.75
_LARGEST_PANEL = 128
"""Pixels: more would not be seen and make pages large."""
_OPAQUE_FROM, _MOST_OPAQUE = 3.0, 0.75


def attention(view: ModelView, names: Sequence[str]) -> Drawn:
    """Heat maps over every example: one row a model, two columns an input setting.

    The columns of a setting ask about the true label and about the target label. Within a row all
    panels share one scale, so that a weak answer looks weak.

    Args:
        view: what models show.
        names: of the models, as rows are to be named.

    Raises:
        DataError: no model has heat maps, or one has no name.
    """
    if len(names) < len(view.models):
        raise DataError(f"{len(names)} names are given for {len(view.models)} models")
    rows = [
        (example, place)
        for example in view.examples
        for place, maps in enumerate(example.heat_maps)
        if maps
    ]
    if not rows:
        raise DataError("no model gives a Grad-CAM to draw")
    settings = list(rows[0][0].images)
    columns = 2 * len(settings)
    width, height = _MARGIN + _PANEL * columns, 0.5 + (_PANEL + 0.2) * len(rows)
    with new_figure(width, height) as figure:
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, (example, place) in zip(grid, rows, strict=True):
            most = max(float(values.max()) for values in example.heat_maps[place].values())
            for position, axis in enumerate(line):
                setting, asked = settings[position // 2], position % 2
                label = view.target if asked else example.label
                heat = example.heat_maps[place][setting, label]
                _overlay(axis, example.images[setting], heat / (most or 1.0))
                axis.set_xlabel(f"says {example.answers[place][setting]}", fontsize=7, labelpad=2)
                if axis in grid[0]:
                    axis.set_title(f"{setting}\n{'target' if asked else 'true'}", fontsize=7)
            line[0].set_ylabel(
                f"{names[place]}\nlabel {example.label}", fontsize=7, parse_math=False
            )
    described = (
        f"Where {view.layer} speaks for the true label and for the target label "
        f"{view.target}, on {_images(view.examples)}; brighter is more, each row on its "
        f"own scale. {_answers(rows, names, view.target)}"
    )
    return Drawn("attention", "Where the model looks (Grad-CAM)", described, figure)


def _overlay(axis: Axes, image: FloatArray, heat: FloatArray) -> None:
    """Draws the image in grey under the heat map."""
    panel = Image.fromarray(np.rint(255 * overlaid(image, heat)).astype(np.uint8))
    panel.thumbnail((_LARGEST_PANEL, _LARGEST_PANEL))
    axis.imshow(np.asarray(panel), interpolation="none")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def overlaid(image: FloatArray, heat: FloatArray) -> FloatArray:
    """An image (C, H, W) in grey under a heat map (H, W) that is transparent where it is 0.

    Both in [0, 1]; the result is (H, W, 3).
    """
    grey = image.mean(axis=0)[..., np.newaxis]
    opaque = np.minimum(_OPAQUE_FROM * heat, _MOST_OPAQUE)[..., np.newaxis]
    mixed: FloatArray = (1 - opaque) * grey + opaque * colormaps["inferno"](heat)[..., :3]
    return mixed.astype(np.float32)


def _images(examples: Sequence[Example]) -> str:
    places = " and ".join(str(example.position) for example in examples)
    return f"image{'s' * (len(examples) > 1)} {places}"


def _answers(rows: Sequence[tuple[Example, int]], names: Sequence[str], target: int) -> str:
    """How often each model gives the target label where a trigger is stamped."""
    given: dict[int, list[int]] = {}
    for example, place in rows:
        answers = example.answers[place].items()
        given.setdefault(place, []).extend(label for name, label in answers if name != CLEAN)
    said = (
        f"{names[place]}: {labels.count(target)} of {len(labels)}"
        for place, labels in given.items()
    )
    return f"Triggered images that go to the target label, {', '.join(said)}."
