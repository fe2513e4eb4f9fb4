"""Rendered traffic signs: a data set with GTSRB's 43 classes that needs no download."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from hardener.arrays import FloatArray
from hardener.data.sign_faces import draw_face
from hardener.errors import UsageError
from hardener.files import FileName, atomic_path

CLASS_NAMES: tuple[str, ...] = (
    "speed limit 20",
    "speed limit 30",
    "speed limit 50",
    "speed limit 60",
    "speed limit 70",
    "speed limit 80",
    "end of speed limit 80",
    "speed limit 100",
    "speed limit 120",
    "no passing",
    "no passing for lorries",
    "right-of-way at next intersection",
    "priority road",
    "yield",
    "stop",
    "no vehicles",
    "lorries prohibited",
    "no entry",
    "general caution",
    "dangerous curve left",
    "dangerous curve right",
    "double curve",
    "bumpy road",
    "slippery road",
    "road narrows on the right",
    "road work",
    "traffic signals",
    "pedestrians",
    "children crossing",
    "bicycles crossing",
    "beware of ice or snow",
    "wild animals crossing",
    "end of all speed and passing limits",
    "turn right ahead",
    "turn left ahead",
    "ahead only",
    "go straight or right",
    "go straight or left",
    "keep right",
    "keep left",
    "roundabout mandatory",
    "end of no passing",
    "end of no passing by lorries",
)

_SMALLEST_SIZE = 16
_FACE_SCALE = 3
_CANVAS_SCALE = 2
# Sky, cloud, leaves, earth, brick, asphalt.
_TINTS = ((120, 165, 215), (215, 220, 225), (70, 105, 55), (125, 100, 70), (150, 90, 75), (95,) * 3)


def render_sign(label: int, rng: np.random.Generator, size: int = 32) -> NDArray[np.uint8]:
    """Renders one sign in a random pose, light and place.

    Args:
        label: 0 to 42, an index into `CLASS_NAMES`.
        rng: where all the variation comes from; equal states give equal pictures.
        size: width and height of the picture, 16 or more.

    Returns:
        (size, size, 3) uint8, RGB.

    Raises:
        UsageError: there is no such label, or the size is too small to tell signs apart.
    """
    if not 0 <= label < len(CLASS_NAMES):
        raise UsageError(f"there is no sign {label}: labels go from 0 to {len(CLASS_NAMES) - 1}")
    if size < _SMALLEST_SIZE:
        raise UsageError(
            f"signs of {size} pixels cannot be told apart: ask for {_SMALLEST_SIZE} or more"
        )
    face = draw_face(label, _FACE_SCALE * size)
    canvas = _CANVAS_SCALE * size
    posed = face.transform(
        (canvas, canvas),
        Image.Transform.PERSPECTIVE,
        _face_from_canvas(face.width, canvas, rng),
        Image.Resampling.BILINEAR,
    )
    scene = _background(canvas, rng)
    scene.paste(posed, mask=posed)
    # Blur is measured in 32nds of the picture, so that a larger picture is as hard to read.
    blur = ImageFilter.GaussianBlur(rng.uniform(0, 1.5) * size / 32)
    taken = np.asarray(scene.reduce(_CANVAS_SCALE).filter(blur), dtype=np.float32)
    return _exposed(taken, rng)


def render_signs(
    count_per_class: int, seed: int, size: int = 32
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Renders a data set, class after class.

    A picture depends on the seed, its label and its index within the class alone: asking for
    more pictures adds to the ones a smaller request gives.

    Args:
        count_per_class: pictures of each class, 1 or more.
        seed: 0 or more; another seed gives other pictures.
        size: width and height of the pictures, 16 or more.

    Returns:
        Images (N, size, size, 3) uint8, RGB, and labels (N,) int64, N = 43 * count_per_class.

    Raises:
        UsageError: the count, the seed or the size is too small.
    """
    if count_per_class < 1:
        raise UsageError(f"a data set has 1 or more pictures per class, not {count_per_class}")
    if seed < 0:
        raise UsageError(f"a seed is 0 or more, not {seed}")
    images = np.stack(
        [
            render_sign(label, np.random.default_rng((seed, label, index)), size)
            for label in range(len(CLASS_NAMES))
            for index in range(count_per_class)
        ]
    )
    return images, np.repeat(np.arange(len(CLASS_NAMES), dtype=np.int64), count_per_class)


def write_signs(path: FileName, count_per_class: int, seed: int, size: int = 32) -> None:
    """Writes the data set of `render_signs` as `.npz` with `images` and `labels`.

    The same arguments write the same bytes.

    Args:
        path: the file to create or replace.
        count_per_class: pictures of each class, 1 or more.
        seed: 0 or more.
        size: width and height of the pictures, 16 or more.

    Raises:
        UsageError: the count, the seed or the size is too small, or the file cannot be written.
    """
    images, labels = render_signs(count_per_class, seed, size)
    with atomic_path(Path(path)) as partial, partial.open("wb") as stream:
        # NumPy dates every member 1980-01-01, which keeps the bytes independent of the clock.
        np.savez_compressed(stream, images=images, labels=labels)


def _face_from_canvas(face: int, canvas: int, rng: np.random.Generator) -> list[float]:
    """The perspective that takes canvas pixels to face pixels, as Pillow's eight numbers."""
    turn = math.radians(rng.normal(0, 8))
    # The sign's half-width as a share of the picture's; signs may be cut off a little.
    width, height = rng.uniform(0.5, 0.98) * np.exp(rng.normal(0, (0.05, 0.05)))
    shift_x, shift_y = rng.normal(0, 0.08, 2)
    tilt_x, tilt_y = rng.uniform(-0.2, 0.2, 2)
    unit_from_canvas = np.array([[2 / canvas, 0, -1], [0, 2 / canvas, -1], [0, 0, 1]])
    centred = np.array([[1, 0, -shift_x], [0, 1, -shift_y], [0, 0, 1]])
    turned = np.array(
        [[math.cos(turn), math.sin(turn), 0], [-math.sin(turn), math.cos(turn), 0], [0, 0, 1]]
    )
    tilted = np.array([[1 / width, 0, 0], [0, 1 / height, 0], [tilt_x, tilt_y, 1]])
    face_from_unit = np.array([[face / 2, 0, face / 2], [0, face / 2, face / 2], [0, 0, 1]])
    matrix = face_from_unit @ tilted @ turned @ centred @ unit_from_canvas
    numbers: list[float] = (matrix / matrix[2, 2]).ravel()[:8].tolist()
    return numbers


def _background(canvas: int, rng: np.random.Generator) -> Image.Image:
    """Sky, leaves, walls or asphalt out of focus, at times with the pole or an edge in view."""
    near, far = np.array(_TINTS)[rng.integers(len(_TINTS), size=2)] * rng.uniform(0.4, 1.1)
    coarse = far + rng.normal(0, rng.uniform(5, 45), (6, 6, 1)) + rng.normal(0, 8, (6, 6, 3))
    pixels = coarse.clip(0, 255).astype(np.uint8)
    scene = Image.fromarray(pixels).resize((canvas, canvas), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        left = round(canvas * rng.uniform(0.42, 0.54))
        shade = int(rng.integers(60, 190))
        scene.paste((shade, shade, shade), (left, canvas // 2, left + canvas // 16, canvas))
    if rng.random() < 0.4:
        edge = round(canvas * rng.uniform(0.1, 0.9))
        box = (0, 0, edge, canvas) if rng.random() < 0.5 else (0, edge, canvas, canvas)
        scene.paste(tuple(near.astype(int).tolist()), box)
    return scene


def _exposed(image: FloatArray, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lights the scene, takes the picture with little contrast or much, and adds sensor noise."""
    size = len(image)
    across, down = rng.uniform(-0.25, 0.25, 2)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1 + across * ramp[None, :, None] + down * ramp[:, None, None]
    cast = rng.uniform(0.4, 1.3) * rng.uniform(0.85, 1.15, 3)
    lit = image * (light * cast).astype(np.float32)
    contrast = rng.uniform(0.35, 1.15)
    mean = lit.mean()
    noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(1, 16)
    exposed: FloatArray = mean + contrast * (lit - mean) + noise
    return exposed.clip(0, 255).astype(np.uint8)
