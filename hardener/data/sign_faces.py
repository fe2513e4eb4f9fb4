"""The 43 traffic signs of GTSRB as they look head-on, drawn from polygons and strokes.

Faces are drawn on a 100 by 100 board, x to the right and y down. Digits and letters are strokes
too, so that no font file and no FreeType is needed.

Source for the classes and their order: Stallkamp et al. 2012 (German Traffic Sign Recognition
Benchmark).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from PIL import Image, ImageDraw

Point: TypeAlias = tuple[float, float]
Colour: TypeAlias = tuple[int, int, int]

RED: Colour = (198, 26, 36)
WHITE: Colour = (244, 244, 240)
BLACK: Colour = (24, 24, 26)
BLUE: Colour = (16, 82, 170)
YELLOW: Colour = (250, 190, 10)
GREEN: Colour = (20, 150, 80)
GREY: Colour = (140, 140, 140)

_SUPERSAMPLING = 3
_BOARD = 100


@dataclass(frozen=True)
class Area:
    """A filled polygon."""

    points: Sequence[Point]
    colour: Colour = BLACK


@dataclass(frozen=True)
class Stroke:
    """A line through points, with round joints and ends."""

    points: Sequence[Point]
    width: float
    colour: Colour = BLACK


Mark: TypeAlias = Area | Stroke


@lru_cache(maxsize=128)
def draw_face(label: int, pixels: int) -> Image.Image:
    """Draws one class's sign without any distortion.

    The picture is shared between callers: do not change it.

    Args:
        label: 0 to 42, GTSRB's order.
        pixels: width and height of the picture.

    Returns:
        An RGBA picture, transparent outside the sign.
    """
    canvas = Image.new("RGBA", (pixels * _SUPERSAMPLING, pixels * _SUPERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    scale = canvas.width / _BOARD
    for mark in _FACES[label]:
        points = [(x * scale, y * scale) for x, y in mark.points]
        if isinstance(mark, Area):
            draw.polygon(points, fill=mark.colour)
            continue
        draw.line(points, fill=mark.colour, width=round(mark.width * scale))
        # Pillow's own joints leave notches in tight bends; a disc on every point does not.
        for x, y in points:
            radius = mark.width * scale / 2
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=mark.colour)
    return canvas.reduce(_SUPERSAMPLING)


def _arc(
    x: float, y: float, radii: tuple[float, float], start: float = 0, end: float = 360
) -> list[Point]:
    """Points on an ellipse; angles in degrees, 0 to the right and 90 down."""
    steps = max(8, round(abs(end - start) / 6))
    angles = (math.radians(start + (end - start) * step / steps) for step in range(steps + 1))
    return [(x + radii[0] * math.cos(angle), y + radii[1] * math.sin(angle)) for angle in angles]


def _disc(x: float, y: float, radius: float, colour: Colour = BLACK) -> Area:
    return Area(_arc(x, y, (radius, radius)), colour)


def _box(left: float, top: float, right: float, bottom: float, colour: Colour = BLACK) -> Area:
    return Area([(left, top), (right, top), (right, bottom), (left, bottom)], colour)


def _regular(corners: int, radius: float, first_angle: float, colour: Colour) -> Area:
    step = 360 / corners
    angles = [math.radians(first_angle + step * corner) for corner in range(corners)]
    points = [(50 + radius * math.cos(angle), 50 + radius * math.sin(angle)) for angle in angles]
    return Area(points, colour)


def _arrow(points: Sequence[Point], width: float, colour: Colour, head: float) -> list[Mark]:
    """A stroke whose last point carries an arrow head `head` long and as wide on each side."""
    (from_x, from_y), (x, y) = points[-2:]
    length = math.hypot(x - from_x, y - from_y)
    along_x, along_y = (x - from_x) / length * head, (y - from_y) / length * head
    tip = (x + along_x, y + along_y)
    left, right = (x - along_y, y + along_x), (x + along_y, y - along_x)
    return [Stroke(points, width, colour), Area([tip, left, right], colour)]


def _mirrored(marks: Iterable[Mark]) -> list[Mark]:
    return [replace(mark, points=[(_BOARD - x, y) for x, y in mark.points]) for mark in marks]


def _placed(
    marks: Iterable[Mark], x: float, y: float, scale: float, ink: Colour = BLACK
) -> list[Mark]:
    """Scales marks about the origin, moves them to (x, y) and draws what is black in `ink`."""
    placed: list[Mark] = []
    for mark in marks:
        points = [(x + px * scale, y + py * scale) for px, py in mark.points]
        moved = replace(mark, points=points, colour=ink if mark.colour == BLACK else mark.colour)
        placed.append(
            replace(moved, width=moved.width * scale) if isinstance(moved, Stroke) else moved
        )
    return placed


# One stroke per glyph, in a cell 10 wide and 16 high.
_GLYPHS: dict[str, list[Point]] = {
    "0": _arc(5, 8, (5, 8)),
    "1": [(2, 3.5), (6, 0), (6, 16)],
    "2": [*_arc(5, 4.5, (4.5, 4.5), 190, 385), (0.5, 16), (9.7, 16)],
    "3": [*_arc(5, 4, (4.4, 4), 212, 450), (3.6, 8), *_arc(5, 12, (4.8, 4), 270, 502)],
    "5": [(9, 0), (1.6, 0), (1, 7.4), *_arc(4.8, 11, (4.8, 5), 230, 500)],
    "6": [(8, 0), (4, 3.5), (1, 8.5), *_arc(5, 11.3, (4.8, 4.7), 190, 550)],
    "7": [(0.3, 0), (9.7, 0), (6, 7), (4, 16)],
    "8": [*_arc(5, 4, (4, 4), 90, 450), *_arc(5, 12, (4.8, 4), 270, 630)],
    "S": [*_arc(5, 4, (4.5, 4), 325, 90), *_arc(5, 12, (4.5, 4), 270, 505)],
    "T": [(0, 0), (10, 0), (5, 0), (5, 16)],
    "O": _arc(5, 8, (5, 8)),
    "P": [(0.5, 16), (0.5, 0), *_arc(5.5, 4.3, (4.5, 4.3), 270, 450), (0.5, 8.6)],
}


def _text(text: str, width: float, height: float, stroke: float, colour: Colour) -> list[Mark]:
    """Text in the middle of the board, `width` by `height` from outer edge to outer edge."""
    gap = stroke * 0.55
    cell = (width - gap * (len(text) - 1)) / len(text)
    across, down = (cell - stroke) / 10, (height - stroke) / 16
    marks: list[Mark] = []
    for index, glyph in enumerate(text):
        left = 50 - width / 2 + index * (cell + gap) + stroke / 2
        top = 50 - height / 2 + stroke / 2
        points = [(left + x * across, top + y * down) for x, y in _GLYPHS[glyph]]
        marks.append(Stroke(points, stroke, colour))
    return marks


def _prohibition(*marks: Mark) -> list[Mark]:
    return [_disc(50, 50, 49, WHITE), _disc(50, 50, 47.5, RED), _disc(50, 50, 37, WHITE), *marks]


def _end(*marks: Mark) -> list[Mark]:
    bars = [
        Stroke([(19 + offset, 81 + offset), (81 + offset, 19 + offset)], 2)
        for offset in (-6, -3, 0, 3, 6)
    ]
    return [_disc(50, 50, 49, GREY), _disc(50, 50, 47, WHITE), *marks, *bars]


def _warning(*marks: Mark) -> list[Mark]:
    outline = [(50.0, 9.0), (94.0, 85.0), (6.0, 85.0)]
    inner = [(50, 21), (83, 79), (17, 79)]
    closed = [*outline, outline[0]]
    larger = _placed(marks, -5, -7, 1.1)
    return [Stroke(closed, 8, RED), Area(outline, RED), Area(inner, WHITE), *larger]


def _mandatory(*marks: Mark) -> list[Mark]:
    return [_disc(50, 50, 49, WHITE), _disc(50, 50, 47, BLUE), *marks]


def _speed(text: str, colour: Colour = BLACK) -> list[Mark]:
    if len(text) == 2:
        return _text(text, 48, 42, 7.5, colour)
    return _text(text, 60, 38, 6.5, colour)


_CAR: list[Mark] = [
    Area([(-8, -2), (-6, -11), (6, -11), (8, -2)]),
    Area([(-5.2, -2.5), (-4.2, -8.5), (4.2, -8.5), (5.2, -2.5)], WHITE),
    _box(-11, -2, 11, 8),
    _box(-10.5, 8, -5.5, 13),
    _box(5.5, 8, 10.5, 13),
]
_LORRY_REAR: list[Mark] = [
    _box(-12, -20, 12, 8),
    _box(-10.5, 8, -4.5, 14),
    _box(4.5, 8, 10.5, 14),
]
_LORRY_SIDE: list[Mark] = [
    _box(-28, -17, 8, 8),
    Area([(10, 8), (10, -9), (21, -9), (27, 0), (27, 8)]),
    Area([(14, -1), (14, -6), (20, -6), (23, -1)], WHITE),
    _disc(-17, 10, 6),
    _disc(17, 10, 6),
]
_WALKER: list[Mark] = [
    _disc(1, -15, 3.6),
    Stroke([(0, -9), (0, 2)], 6.5),
    Stroke([(1, -9), (7, -4), (9, 0)], 2.8),
    Stroke([(-1, -9), (-6, -4), (-7, 1)], 2.8),
    Stroke([(0.5, 2), (5, 9), (9, 17)], 3.6),
    Stroke([(-0.5, 2), (-4, 9), (-9, 16)], 3.6),
]
_DIGGER: list[Mark] = [
    _disc(46, 40, 4),
    Stroke([(45, 47), (38, 59)], 6.5),
    Stroke([(46, 47), (53, 54), (58, 58)], 3),
    Stroke([(47, 52), (64, 66)], 2.2),
    Stroke([(38, 60), (44, 66), (43, 75)], 4),
    Stroke([(37, 60), (34, 68), (28, 75)], 4),
    Area([(52, 77), (59, 65), (65, 62), (71, 66), (77, 77)]),
]
_BICYCLE: list[Mark] = [
    *(Stroke(_arc(x, 66, (8, 8)), 2.6) for x in (37, 63)),
    Stroke([(37, 66), (44, 53), (58, 53), (50, 66), (37, 66)], 2.4),
    Stroke([(50, 66), (43, 49)], 2.4),
    Stroke([(63, 66), (57, 47), (62, 46)], 2.4),
    Stroke([(40, 49), (46, 49)], 3),
]
_DEER: list[Mark] = [
    Area([(30, 59), (38, 55), (54, 54), (60, 45), (65, 48), (59, 62), (42, 65), (32, 66)]),
    Area([(59, 47), (62, 41), (71, 46), (64, 49)]),
    Stroke([(57, 60), (67, 63), (70, 69)], 3),
    Stroke([(54, 61), (62, 68), (62, 74)], 3),
    Stroke([(34, 63), (28, 69), (23, 73)], 3),
    Stroke([(37, 64), (35, 71), (29, 76)], 3),
    Stroke([(62, 42), (57, 35), (53, 34)], 1.8),
    Stroke([(58, 37), (58, 32)], 1.8),
    Stroke([(63, 42), (62, 35), (65, 32)], 1.8),
]


def _snowflake() -> list[Mark]:
    marks: list[Mark] = []
    for angle in range(0, 360, 60):
        along = (math.cos(math.radians(angle + 30)), math.sin(math.radians(angle + 30)))
        marks.append(Stroke([(50, 58), (50 + 17 * along[0], 58 + 17 * along[1])], 3))
        for side in (-30, 90):
            turn = math.radians(angle + side)
            x, y = 50 + 9.5 * along[0], 58 + 9.5 * along[1]
            marks.append(Stroke([(x, y), (x + 6 * math.cos(turn), y + 6 * math.sin(turn))], 2.4))
    return marks


def _skid(x: float) -> Stroke:
    curve = [(x + 3.5 * math.sin(step / 10 * math.tau), 64 + step) for step in range(13)]
    return Stroke(curve, 2.6)


def _roundabout() -> list[Mark]:
    marks: list[Mark] = []
    for start in (100, 220, 340):
        marks += _arrow(_arc(50, 50, (25, 25), start + 75, start), 8, WHITE, 12)
    return marks


_CURVE_LEFT = _arrow([(56, 74), (56, 63), (54, 58), (45, 51)], 6.5, BLACK, 9)
_DOUBLE_CURVE = _arrow([(56, 74), (56, 68), (44, 59), (44, 54), (50, 46)], 5.5, BLACK, 9)
_TURN_RIGHT = _arrow([(36, 80), (36, 52), (40, 46), (64, 46)], 11, WHITE, 18)
_AHEAD = _arrow([(50, 82), (50, 36)], 12, WHITE, 20)
_AHEAD_OR_RIGHT = [
    *_arrow([(38, 80), (38, 34)], 9, WHITE, 16),
    *_arrow([(38, 60), (66, 60)], 9, WHITE, 15),
]
_KEEP_RIGHT = _arrow([(28, 28), (58, 58)], 12, WHITE, 19)
_LIGHTS = [_disc(50, y, 5.2, colour) for y, colour in ((42, RED), (56, YELLOW), (70, GREEN))]

_FACES: tuple[Sequence[Mark], ...] = (
    *(_prohibition(*_speed(text)) for text in ("20", "30", "50", "60", "70", "80")),
    _end(*_text("80", 62, 54, 9, GREY)),
    *(_prohibition(*_speed(text)) for text in ("100", "120")),
    _prohibition(*_placed(_CAR, 35, 50, 1.25, RED), *_placed(_CAR, 65, 50, 1.25)),
    _prohibition(*_placed(_LORRY_REAR, 35, 52, 1.2, RED), *_placed(_CAR, 65, 53, 1.2)),
    _warning(*_arrow([(50, 75), (50, 43)], 7, BLACK, 9), Stroke([(37, 62), (63, 62)], 4)),
    [_regular(4, 49, 0, BLACK), _regular(4, 47.5, 0, WHITE), _regular(4, 33, 0, YELLOW)],
    [
        Stroke([(6, 15), (94, 15), (50, 91), (6, 15)], 8, RED),
        Area([(6, 15), (94, 15), (50, 91)], RED),
        Area([(18, 22), (82, 22), (50, 77)], WHITE),
    ],
    [
        _regular(8, 50, 22.5, WHITE),
        _regular(8, 47.5, 22.5, RED),
        *_text("STOP", 76, 32, 5.5, WHITE),
    ],
    _prohibition(),
    _prohibition(*_placed(_LORRY_SIDE, 50, 52, 1)),
    [_disc(50, 50, 49, WHITE), _disc(50, 50, 47.5, RED), _box(14, 41, 86, 59, WHITE)],
    _warning(Area([(45.5, 36), (54.5, 36), (52.5, 63), (47.5, 63)]), _disc(50, 70, 4.2)),
    _warning(*_CURVE_LEFT),
    _warning(*_mirrored(_CURVE_LEFT)),
    _warning(*_DOUBLE_CURVE),
    _warning(
        Area([*_arc(40, 70, (9, 12), 180, 360), *_arc(60, 70, (9, 12), 180, 360)]),
        _box(27, 69, 73, 74),
    ),
    _warning(*_placed(_CAR, 50, 49, 0.95), _skid(42), _skid(58)),
    _warning(Stroke([(42, 74), (42, 44)], 5), Stroke([(60, 74), (60, 64), (53, 56), (53, 44)], 5)),
    _warning(*_DIGGER),
    _warning(_box(43.5, 34.5, 56.5, 77), *_LIGHTS),
    _warning(*_placed(_WALKER, 50, 54, 0.95), *(_box(x, 72, x + 6, 77) for x in range(26, 74, 10))),
    _warning(*_placed(_WALKER, 42, 60, 0.9), *_placed(_WALKER, 60, 64, 0.7)),
    _warning(*_BICYCLE),
    _warning(*_snowflake()),
    _warning(*_placed(_DEER, 5, 6, 0.88)),
    _end(),
    _mandatory(*_TURN_RIGHT),
    _mandatory(*_mirrored(_TURN_RIGHT)),
    _mandatory(*_AHEAD),
    _mandatory(*_AHEAD_OR_RIGHT),
    _mandatory(*_mirrored(_AHEAD_OR_RIGHT)),
    _mandatory(*_KEEP_RIGHT),
    _mandatory(*_mirrored(_KEEP_RIGHT)),
    _mandatory(*_roundabout()),
    _end(*_placed(_CAR, 31, 50, 1.5, GREY), *_placed(_CAR, 69, 50, 1.5, GREY)),
    _end(*_placed(_LORRY_REAR, 32, 54, 1.4, GREY), *_placed(_CAR, 68, 55, 1.4, GREY)),
)
