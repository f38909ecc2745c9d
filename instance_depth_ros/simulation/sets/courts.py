"""Courts of true size with their lines, nets, hoops and tables, in a sports hall or outdoors."""

from __future__ import annotations

import cv2
import numpy as np

from ..world import World
from . import props, textures
from .stage import Stage, light_up

# length, width (metres): FIBA, BWF (doubles), FIVB
SIZES_M = {"basketball": (28.0, 15.0), "badminton": (13.4, 6.1), "volleyball": (18.0, 9.0)}
RING_M, RING_HEIGHT_M, RING_RADIUS_M = 1.575, 3.05, 0.225  # the ring's centre stands so far inside the end line
BADMINTON_NET_M = 1.55
TABLE_M, TABLE_HEIGHT_M, TABLE_NET_M = (2.74, 1.525), 0.76, 0.1525
_LINE_M, _TOP_M = 0.05, 0.004


def venue(rng, half, outdoors_share=0.4, ceiling_m=(7.0, 10.0)) -> World:
    """The empty floor, within +-half, of a sports hall, or of a ground with a fence and trees, by day or night.

    ceiling_m: (least, most) of a hall.
    """
    half, stage, outdoors = np.asarray(half, float), Stage(), rng.random() < outdoors_share
    world = World(stage, half, night=rng.random() < 0.3)
    if outdoors:
        image, period = textures.ground(rng, rng.choice(["asphalt", "grass", "earth"], p=[0.5, 0.3, 0.2]))
        stage.sky(textures.sky(rng, night=world.night))
        props.surroundings(stage, rng, half, world.night)
    else:
        image, period = (textures.planks, textures.plain, textures.tiles)[rng.choice(3, p=[0.5, 0.35, 0.15])](rng)
        world.ceiling_m = rng.uniform(*ceiling_m)
        windows = rng.random() < 0.5
        props.hall(stage, rng, half, world.ceiling_m, windows, night=world.night)
    stage.floor(250 if outdoors else half.max() + 1, stage.material(image=image, period_m=period))
    world.shadows = light_up(stage, rng, outdoors, world.ceiling_m, half, world.night)
    return world


class _Paint:
    """A picture of a floor seen from above, drawn in metres from its middle."""

    def __init__(self, rng, outer, wooden: bool):
        self.outer = np.asarray(outer, float)
        per_m = 1600 / self.outer.max()
        width, height = (np.ceil(self.outer * per_m / 8) * 8).astype(int)
        self._scale = np.array([width, height]) / self.outer
        base = textures.color(rng, value=(0.3, 0.85))
        image, period = textures.planks(rng) if wooden else textures.plain(rng, base, 512, 8.0)
        columns, rows = np.maximum(1, np.rint(self.outer / period)).astype(int)
        piece = cv2.resize(image, (-(-width // columns), -(-height // rows)), interpolation=cv2.INTER_AREA)
        self.image = np.ascontiguousarray(np.tile(piece, (rows, columns, 1))[:height, :width])
        self._chalk = textures.color(rng, saturation=(0, 0.15), value=(0.85, 1)).tolist()

    def _point(self, place):
        return tuple(np.rint((np.asarray(place) + self.outer / 2) * self._scale * 16).astype(int).tolist())

    @property
    def _thickness(self) -> int:
        return max(1, round(_LINE_M * self._scale.mean()))

    def area(self, rng, a, b) -> None:
        """A rectangle in another colour, with the grain of the floor."""
        (left, top), (right, bottom) = (np.array(self._point(p)) // 16 for p in (a, b))
        inside = self.image[top:bottom, left:right]
        shade = inside.mean(-1) / max(inside.mean(), 1) - 1
        inside[:] = textures.paint(textures.color(rng, value=(0.25, 0.85)), shade, 1.0)

    def line(self, a, b) -> None:
        cv2.line(self.image, self._point(a), self._point(b), self._chalk, self._thickness, cv2.LINE_AA, 4)

    def box(self, a, b) -> None:
        for corner in ((a[0], b[1]), (b[0], a[1])):
            self.line(a, corner)
            self.line(corner, b)

    def arc(self, center, radius, start_deg=0, end_deg=360) -> None:
        axes = tuple(np.rint(radius * self._scale * 16).astype(int).tolist())
        cv2.ellipse(self.image, self._point(center), axes, 0, start_deg, end_deg, self._chalk, self._thickness,
                    cv2.LINE_AA, 4)  # fmt: skip


def _basketball(paint: _Paint, rng, x, y) -> None:
    paint.arc((0, 0), 1.8)
    lane = rng.random() < 0.6
    for side in (-1, 1):
        end, foul, ring = side * x, side * (x - 5.8), side * (x - RING_M)
        if lane:
            paint.area(rng, (min(end, foul), -2.45), (max(end, foul), 2.45))
        paint.box((end, -2.45), (foul, 2.45))
        paint.arc((foul, 0), 1.8)
        # the three-point line runs 0.9 m from the side lines until it meets the arc
        corner = np.degrees(np.arcsin((y - 0.9) / 6.75))
        paint.arc((ring, 0), 6.75, *((180 - corner, 180 + corner) if side > 0 else (-corner, corner)))
        for edge in (0.9 - y, y - 0.9):
            paint.line((end, edge), (ring - side * 6.75 * np.cos(np.radians(corner)), edge))


def _badminton(paint: _Paint, rng, x, y) -> None:
    for side in (-1, 1):
        paint.line((-x, side * 2.59), (x, side * 2.59))
        paint.line((side * 1.98, -y), (side * 1.98, y))
        paint.line((side * (x - 0.76), -y), (side * (x - 0.76), y))
        paint.line((side * 1.98, 0), (side * x, 0))


def _volleyball(paint: _Paint, rng, x, y) -> None:
    for side in (-1, 1):
        paint.line((side * 3, -y), (side * 3, y))


_MARKS = {"basketball": _basketball, "badminton": _badminton, "volleyball": _volleyball}


def court(world: World, rng, sport: str, center=(0, 0)) -> None:
    """The marked floor of a sport, its length along x, with a free zone round it."""
    size, stage = np.array(SIZES_M[sport]), world.stage
    wooden = world.ceiling_m > 0 and rng.random() < 0.5
    paint, (x, y) = _Paint(rng, size + 2 * rng.uniform(0.5, 0.9), wooden), size / 2
    if rng.random() < 0.6:
        paint.area(rng, (-x, -y), (x, y))
    _MARKS[sport](paint, rng, x, y)
    paint.box((-x, -y), (x, y))
    if sport != "badminton":
        paint.line((0, -y), (0, y))
    look = stage.material(image=paint.image, stretch=True, shine=rng.uniform(0, 0.4))
    stage.box((*center, _TOP_M / 2), (*paint.outer / 2, _TOP_M / 2), look, ground=True)


def net(stage: Stage, rng, center, half_width: float, top_m: float, deep_m: float, mesh_m=0.2) -> None:
    """Across x = center[0]: two posts, tapes, and strings every mesh_m (a real mesh is finer than a pixel)."""
    tape, string = stage.material((240, 240, 240)), stage.material(textures.color(rng, (0, 1), (0, 0.3), (0.05, 0.3)))
    post, (x, y) = stage.material(textures.color(rng)), center
    stage.box((x, y, top_m - 0.035), (0.008, half_width, 0.035), tape)
    stage.box((x, y, top_m - deep_m), (0.006, half_width, 0.012), tape)
    for side in (-half_width, half_width):
        stage.rod((x, y + side, 0), (x, y + side, top_m), 0.045, post)
    for z in np.arange(top_m - deep_m, top_m - 0.1, mesh_m)[1:]:
        stage.box((x, y, z), (0.005, half_width, 0.005), string)
    for along in np.arange(-half_width, half_width, mesh_m)[1:]:
        stage.box((x, y + along, top_m - deep_m / 2), (0.005, 0.005, deep_m / 2), string)


def hoop(stage: Stage, rng, end_line, facing: float) -> np.ndarray:
    """A basketball stand behind end_line (2,): board 1.8 x 1.05 m, ring at 3.05 m. Returns the ring's centre (3,)."""
    ahead = np.array([np.cos(facing), np.sin(facing)])
    look, red, white = (stage.material(c) for c in (textures.color(rng), (225, 80, 30), (240, 240, 240)))
    post, board, ring = (end_line + d * ahead for d in (-1.0, 1.2, RING_M))
    stage.rod((*post, 0), (*post, 3.0), 0.1, look)
    stage.rod((*post, 3.0), (*(board - 0.05 * ahead), 3.35), 0.07, look)
    stage.panel((*board, 3.425), 0.9, 0.525, facing, white, 0.04)
    for side, up, half_width, half_height in ((0, 0.225, 0.295, 0.025), (0, -0.225, 0.295, 0.025),
                                              (-0.27, 0, 0.025, 0.25), (0.27, 0, 0.025, 0.25)):  # fmt: skip
        place = board + 0.022 * ahead + side * np.array([-ahead[1], ahead[0]])
        stage.panel((*place, 3.15 + up), half_width, half_height, facing, red, 0.01)
    stage.rod((*board, RING_HEIGHT_M), (*(ring - RING_RADIUS_M * ahead), RING_HEIGHT_M), 0.03, red)
    angles = np.linspace(0, 2 * np.pi, 13)
    circle = np.stack([np.cos(angles), np.sin(angles)], -1)
    for index, (a, b) in enumerate(zip(circle, circle[1:], strict=False)):
        rim = (*(ring + RING_RADIUS_M * a), RING_HEIGHT_M)
        stage.rod(rim, (*(ring + RING_RADIUS_M * b), RING_HEIGHT_M), 0.014, red)
        for turned in (circle[(index + 1) % 12], circle[index - 1]):
            stage.rod(rim, (*(ring + 0.15 * turned), RING_HEIGHT_M - 0.42), 0.006, white)
    return np.array([*ring, RING_HEIGHT_M])


def tennis_table(stage: Stage, rng, place, yaw: float) -> None:
    """2.74 x 1.525 m along yaw, 0.76 m high, with its lines and a net that reaches 15.25 cm past the sides."""
    (length, width), place = TABLE_M, np.asarray(place, float)
    ahead, side = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    base = textures.color(rng, (0.33, 0.66), (0.5, 0.95), (0.2, 0.55))
    picture = textures.paint(base, textures.noise(rng, 256), 0.05)
    picture = np.ascontiguousarray(cv2.resize(picture, (512, 288)))
    cv2.rectangle(picture, (1, 1), (510, 286), (240, 240, 240), 4)
    cv2.line(picture, (0, 144), (511, 144), (240, 240, 240), 1)
    top = stage.material(image=picture, stretch=True, shine=0.2)
    stage.box((*place, TABLE_HEIGHT_M - 0.0125), (length / 2, width / 2, 0.0125), top, yaw)
    steel, dark = stage.material(textures.color(rng, value=(0.1, 0.4))), stage.material((35, 35, 40))
    stage.box((*place, TABLE_HEIGHT_M - 0.05), (length / 2 - 0.1, width / 2 - 0.08, 0.025), dark, yaw)
    for x in (-1.0, 1.0):
        for y in (-0.6, 0.6):
            foot = place + x * ahead + y * side
            stage.rod((*foot, 0.03), (*foot, TABLE_HEIGHT_M - 0.05), 0.03, steel)
        stage.rod((*(place + x * ahead - 0.6 * side), 0.06), (*(place + x * ahead + 0.6 * side), 0.06), 0.03, steel)
    high, reach = TABLE_NET_M / 2, width / 2 + TABLE_NET_M
    mesh = stage.material(textures.color(rng, (0.4, 0.7), (0, 0.6), (0.1, 0.35)))
    stage.box((*place, TABLE_HEIGHT_M + high), (0.004, reach, high), mesh, yaw)
    stage.box((*place, TABLE_HEIGHT_M + 2 * high - 0.006), (0.006, reach, 0.006), stage.material((240, 240, 240)), yaw)


def barrier(stage: Stage, rng, a, b, height_m=0.73) -> None:
    """A low board of cloth between a and b (2,), as it stands round table tennis courts."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    along = b - a
    look = stage.material(textures.color(rng, saturation=(0.3, 0.9), value=(0.2, 0.6)), textures.cloth(rng), 0.8)
    stage.box((*(a + b) / 2, height_m / 2), (np.linalg.norm(along) / 2, 0.02, height_m / 2), look,
              np.arctan2(along[1], along[0]))  # fmt: skip


def bench(stage: Stage, rng, place, facing: float, seats: int = 3) -> list[tuple[float, float, float]]:
    """A bench whose seats, 0.62 m apart and 0.45 m high, look along facing. Returns them as (x, y, facing)."""
    ahead, along = np.array([np.cos(facing), np.sin(facing)]), np.array([-np.sin(facing), np.cos(facing)])
    half, look = 0.31 * seats + 0.1, stage.material(textures.color(rng, (0.04, 0.12), (0.0, 0.6), (0.3, 0.9)))
    stage.box((*place, 0.425), (0.18, half, 0.025), look, facing)
    for side in (-0.8 * half, 0.8 * half):
        stage.box((*(place + side * along), 0.2), (0.15, 0.03, 0.2), look, facing)
    spots = (np.arange(seats) - (seats - 1) / 2) * 0.62
    return [(*(np.asarray(place) + s * along + 0.02 * ahead), facing) for s in spots]


def kept_for(place, facing: float) -> list[tuple[float, float, float]]:
    """Discs (x, y, radius) for World.taken: such a bench, and the knees and feet before it."""
    ahead, along = np.array([np.cos(facing), np.sin(facing)]), np.array([-np.sin(facing), np.cos(facing)])
    spots = [along * s + ahead * a for a in (0.0, 0.45) for s in (-0.62, 0.0, 0.62)]
    return [(*(np.asarray(place) + spot), 0.4) for spot in spots]
