"""Table tennis: two to five tables in a hall, forehands and backhands over each net, and people who wait."""

from __future__ import annotations

import numpy as np

from ..actors import play
from ..actors.balls import RADIUS_M, Balls, Path
from ..actors.clothes import team
from ..actors.people import People
from ..actors.play import Touch, beside
from ..actors.rackets import Rackets
from ..sets import courts
from ..world import Filming, World

_RALLIES, _HOLD_S, _SERVE_S = 2, 2.6, 1.0
_TOP_M = courts.TABLE_HEIGHT_M + RADIUS_M["table_tennis"]
# where the ball is met: metres ahead and to the left, and high
_MEETS = {"forehand": (0.4, -0.45, 1.0), "backhand": (0.42, 0.1, 1.0), "serve": (0.4, -0.4, 1.05),
          "catch": (0.4, 0.15, 1.1)}  # fmt: skip


def build(rng) -> World:
    """Tables of 2.74 x 1.525 m in one or two rows, barriers and benches round them."""
    total = play.headcount(rng, 2)
    tables = int(rng.integers(2, 6))
    middles = _rows(rng, tables)
    half = np.abs(middles).max(0) + (4.6, 4.2)
    world = courts.venue(rng, half, outdoors_share=0.1, ceiling_m=(3.8, 6.5))
    playing = int(np.clip((total - rng.integers(0, 4)) // 2, 1, tables))
    games = []
    for index, middle in enumerate(middles):
        courts.tennis_table(world.stage, rng, middle, 0.0)
        world.taken += [(middle[0] + x, middle[1], 0.8) for x in (-0.7, 0.0, 0.7)]
        if index < playing:
            games.append(_Game(rng, world, 2 * index, middle))
    side = _surround(rng, world)
    x, y = half - (1.6, 2.0)
    lines, lane = [((-x, -y), (x, -y)), ((-x, y), (x, y))], np.array([(-0.8 * x, y + 0.75), (0.8 * x, y + 0.75)])
    others = play.Bystanders(rng, world, total - 2 * playing, lines, -side * lane, np.zeros(2))
    world.script.settle(world.taken, world.half - 0.3)
    dress = (team(rng, playing) + team(rng, playing)) if rng.random() < 0.5 else [None] * (2 * playing)
    dress += [None] * (total - 2 * playing)
    people = People(rng, world.script, list(range(world.script.count)), dress=dress)
    others.act(people)
    balls, bats = Balls(rng), Rackets("table_tennis", people, list(range(2 * playing)))
    for game in games:
        balls.add("table_tennis", game.ball(people))
        game.strokes(people, bats)
    play.watch(people, range(2 * playing, people.count), balls.paths[0])
    world.troupes += [people, balls, bats]
    focus = 0.6 * middles[rng.integers(playing)]
    world.filming = Filming(distance_m=(4.4, 6.4), focus=lambda time_s: focus)
    return world


def _rows(rng, tables: int) -> np.ndarray:
    """Middles (tables, 2), the nearest to the origin first."""
    apart = rng.uniform(2.7, 3.1)
    if tables < 4:
        middles = np.array([(0.0, apart * (i - (tables - 1) / 2)) for i in range(tables)])
    else:
        middles = np.array(
            [(x, apart * (i - 0.5 * n)) for x, n in ((-3.3, 1), (3.3, tables - 3)) for i in range(n + 1)]
        )
    return middles[np.argsort(np.linalg.norm(middles, axis=1), kind="stable")]


def _surround(rng, world: World) -> int:
    """Barriers at the ends, a bench at a side: that of y > 0 (1) or y < 0 (-1)."""
    x, y = world.half - (0.7, 0.5)
    for side in (-1, 1):
        for along in np.arange(-y + 0.7, y - 0.7, 1.5):
            if rng.random() < 0.6:
                courts.barrier(world.stage, rng, (side * x, along), (side * x, along + 1.4))
                world.taken += [(side * x, along + share, 0.25) for share in (0.0, 0.35, 0.7, 1.05, 1.4)]
    side, middle = rng.choice([-1, 1]), rng.uniform(-1.5, 1.5)
    world.seats += courts.bench(world.stage, rng, np.array([middle, side * y]), -side * np.pi / 2)
    world.taken += courts.kept_for((middle, side * y), -side * np.pi / 2)
    return side


class _Game:
    """Two players at a table: rallies of equal length, each from a serve to a catch by the server."""

    def __init__(self, rng, world: World, first: int, middle: np.ndarray):
        self._first, self._middle, self._period_s = first, middle, world.script.period_s
        self.touches = self._rallies(rng)
        ball_y = play.ball_xy(world.script, self.touches)[:, 1]
        for player, side in ((first, -1), (first + 1, 1)):
            stops = play.stops(player, self.touches, _stance,
                               lambda at: play.over_net(np.sign(at[0] - middle[0]), at[1], middle))  # fmt: skip
            way = play.waypoints(rng, self._period_s, stops, middle + (2.3 * side, 0.0))
            world.script.walk(*way, 0.3, play.over_net(side, ball_y, middle))

    def _rallies(self, rng) -> list[Touch]:
        touches, share_s = [], self._period_s / _RALLIES
        for start_s in np.arange(_RALLIES) * share_s:
            strokes = 2 * int(rng.integers(12, 14))
            stroke_s = (share_s - _HOLD_S - _SERVE_S) / (strokes - 1)
            last = np.zeros(2)
            for index in range(strokes + 1):
                side = 1 if index % 2 else -1
                y = np.clip(last[index % 2] + rng.uniform(-0.5, 0.5), -0.7, 0.7)
                style = "forehand" if y > last[index % 2] - 0.1 * side else "backhand"
                style = {0: "serve", strokes: "catch"}.get(index, style)
                last[index % 2] = y
                time_s = start_s + (index > 0) * (_SERVE_S + (index - 1) * stroke_s)
                place = self._middle + (side * (courts.TABLE_M[0] / 2 + rng.uniform(0.15, 0.6)), y)
                touches.append(Touch(time_s, self._first + index % 2, place, style))
        return touches

    def _contact(self, people: People, touch: Touch) -> np.ndarray:
        return beside(people, touch.player, touch.time_s, *_MEETS[touch.style])

    def ball(self, people: People) -> Path:
        self.path = path = Path(self._period_s, 0.0, self._contact(people, self.touches[0]))
        for touch, following in zip(self.touches, [*self.touches[1:], self.touches[0]], strict=True):
            end_s, to = following.time_s or self._period_s, self._contact(people, following)
            if touch.style == "catch":
                path.carry(end_s - 0.5, lambda time_s: beside(people, self._first, time_s, *_MEETS["catch"]))
                path.fly(end_s, to)
                continue
            if touch.style == "serve":
                path.fly(touch.time_s + 0.2, self._on_table(path.place, to, 0.85))
            path.bounce(end_s, to, *self._half_way(path.place, to))
        return path

    def _on_table(self, a, b, behind_m: float) -> np.ndarray:
        """The point above the table behind_m on a's side of the net, on the way from a to b."""
        x = self._middle[0] + behind_m * np.sign(a[0] - self._middle[0])
        share = (x - a[0]) / (b[0] - a[0])
        return np.array([x, a[1] + share * (b[1] - a[1]), _TOP_M])

    def _half_way(self, a, b) -> tuple[float, float, float]:
        """Height of the bounce on b's half, and the shares of time and way before it; the table takes some speed."""
        x = self._on_table(b, a, 0.8)[0]
        along = (x - a[0]) / (b[0] - a[0])
        return _TOP_M, along / (along + (1 - along) / 0.75), along

    def strokes(self, people: People, bats: Rackets) -> None:
        for player in (self._first, self._first + 1):
            people.rest(player, "ready")
        play.watch(people, (self._first, self._first + 1), self.path)
        for touch in self.touches:
            ball, person, time_s = self._contact(people, touch), touch.player, touch.time_s
            if touch.style == "catch":
                times = np.linspace(time_s, time_s + _HOLD_S - 0.55, 10)
                people.reach(person, 0, times, [self.path.at(t) for t in times], 0.25)
                continue
            style = "forehand" if touch.style == "serve" else touch.style
            bats.hit(person, time_s, ball, style, np.pi if person % 2 else 0.0)
            turn = -0.35 if style == "forehand" else 0.25
            people.act(person, time_s + np.array([-0.3, 0.0, 0.3]), twist=[turn, -turn / 2, 0])


def _stance(style: str) -> tuple[float, float, float, float]:
    ahead, left, _ = _MEETS[style]
    return ahead, left, *((0.6, 0.1) if style in ("serve", "catch") else (0.08, 0.08))
