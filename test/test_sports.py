"""The ball games: balls fly as balls do and are met by hands and rackets, on courts of true size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from instance_depth_ros.simulation import activities
from instance_depth_ros.simulation.actors import play
from instance_depth_ros.simulation.actors.balls import GRAVITY, RADIUS_M, SHUTTLE_DRAG, Path, flight
from instance_depth_ros.simulation.sets import courts
from instance_depth_ros.simulation.world import BALL, PERSON, RACKET

GAMES = ("basketball", "volleyball", "badminton", "table_tennis")
CASES = [(game, seed) for game in GAMES for seed in (1, 4)]
FASTEST_M_S = {"basketball": 12.0, "volleyball": 16.0, "badminton": 28.0, "table_tennis": 9.0}


@lru_cache
def world(game: str, seed: int):
    return activities.build(game, np.random.default_rng(seed))


def troupe(game: str, seed: int, class_id: int):
    return next((t for t in world(game, seed).troupes if t.class_id == class_id), None)


def balls(game, seed):
    found = troupe(game, seed, BALL)
    return list(zip(found.kinds, found.paths, strict=True))


@lru_cache
def way(game: str, seed: int, index: int):
    """(2400, 3): a ball, fifty times a second."""
    path = balls(game, seed)[index][1]
    return np.array([path.at(time_s) for time_s in np.arange(0, 48, 0.02)])


def on_something(game, kind, place):
    """Whether a ball touches the floor, a table or the ring, rather than a hand."""
    if game == "basketball":
        ring = np.hypot(abs(place[0]) - (14 - courts.RING_M), place[1]) < 0.3 and 3.0 < place[2] < 3.2
        return ring or place[2] < RADIUS_M[kind] + 1e-6
    return game == "table_tennis" and place[2] < courts.TABLE_HEIGHT_M + RADIUS_M[kind] + 1e-6


def players(game, seed):
    """Those who play, as indices of people: the others keep off the court."""
    rackets, people = troupe(game, seed, RACKET), troupe(game, seed, PERSON)
    if rackets:
        return rackets.holders
    width = courts.SIZES_M[game][1] / 2
    places = np.array([people.script.at(t)[0] for t in people.script.times_s[::20]])[:, people.actors]
    return np.flatnonzero((np.abs(places[..., 1]) < width).all(0)).tolist()


@pytest.mark.parametrize("game, seed", CASES)
def test_whenever_the_ball_turns_a_hand_or_a_racket_is_there(game, seed):
    people, rackets = troupe(game, seed, PERSON), troupe(game, seed, RACKET)
    met = 0
    for kind, path in balls(game, seed):
        for time_s in path.events_s:
            place = path.at(time_s)
            if on_something(game, kind, place):
                continue
            hands = [people.hand(person, hand, time_s) for person in range(people.count) for hand in range(2)]
            hands += [rackets.head(person, time_s) for person in rackets.holders] if rackets else []
            # fingers reach a little beyond the middle of a hand
            assert np.linalg.norm(hands - place, axis=1).min() < RADIUS_M[kind] + 0.12, f"{kind} at {time_s:.2f} s"
            met += 1
    assert met > 30


@pytest.mark.parametrize("game, seed", CASES)
def test_balls_never_jump_nor_sink(game, seed):
    for index, (kind, _) in enumerate(balls(game, seed)):
        places = way(game, seed, index)
        speed = np.linalg.norm(np.roll(places, -1, 0) - places, axis=1) / 0.02
        assert speed.max() < FASTEST_M_S[game]
        assert places[:, 2].min() > RADIUS_M[kind] - 1e-6


@pytest.mark.parametrize("game, seed", [case for case in CASES if case[0] != "basketball"])
def test_the_ball_passes_over_the_net_and_players_keep_their_side(game, seed):
    tops = {"volleyball": 2.24, "badminton": courts.BADMINTON_NET_M,
            "table_tennis": courts.TABLE_HEIGHT_M + courts.TABLE_NET_M}  # fmt: skip
    script, half = world(game, seed).script, {"table_tennis": 1.37}.get(game, 0.2)
    places = np.array([script.at(t)[0] for t in script.times_s[::4]])
    mine = players(game, seed)
    for index, (kind, _) in enumerate(balls(game, seed)):
        flown = way(game, seed, index)
        net_x = (flown[:, 0].min() + flown[:, 0].max()) / 2
        # the tables' rallies are about as far to one side as to the other
        net_x = 0.0 if game != "table_tennis" else min((-3.3, 0.0, 3.3), key=lambda x: abs(x - net_x))
        over = np.flatnonzero(np.diff(np.sign(flown[:, 0] - net_x)))
        assert len(over) > 8
        assert flown[over, 2].min() > tops[game] + 0.5 * RADIUS_M[kind]
        for player in mine if game != "table_tennis" else mine[2 * index : 2 * index + 2]:
            x = places[:, player, 0] - net_x
            assert np.abs(x).min() > half and len(np.unique(np.sign(x))) == 1


@pytest.mark.parametrize("seed", [1, 4])
def test_table_tennis_balls_bounce_on_the_table_once_a_stroke(seed):
    found = troupe("table_tennis", seed, BALL)
    for index, path in enumerate(found.paths):
        bounces = [path.at(t) for t in path.events_s if path.at(t)[2] < 0.79]
        middle = np.mean([(np.min(bounces, 0)[:2]), np.max(bounces, 0)[:2]], 0)
        assert len(bounces) > 40
        assert np.abs(np.array(bounces)[:, 2] - 0.78).max() < 1e-6
        assert (np.abs(np.array(bounces)[:, :2] - middle) < (1.37, 0.7625)).all()
        assert index == 0 or len(path.events_s) > 90


@pytest.mark.parametrize("game", ["badminton", "table_tennis"])
def test_rackets_face_where_the_ball_goes(game):
    rackets = troupe(game, 1, RACKET)
    each, facing = rackets.geoms_each[0], []
    for _, path in balls(game, 1):
        for time_s in path.events_s:
            place = path.at(time_s)
            heads = np.array([rackets.head(person, time_s) for person in rackets.holders])
            nearest = np.linalg.norm(heads - place, axis=1).argmin()
            leaves = path.at(time_s + 0.03) - path.at(time_s + 0.005)
            if np.linalg.norm(heads[nearest] - place) < 0.1 and np.linalg.norm(leaves) > 0.1:
                normal = rackets.pose(time_s)[1][nearest * each][:, 1]
                facing.append(normal @ leaves / np.linalg.norm(leaves))
    assert len(facing) > 20
    assert np.median(facing) > 0.7 and np.mean(np.array(facing) > 0.2) > 0.9


@pytest.mark.parametrize("seed", [1, 4])
def test_shots_come_down_on_the_ring(seed):
    kind, path = balls("basketball", seed)[0]
    places = [(time_s, path.at(time_s)) for time_s in path.events_s]
    shots = [time_s for time_s, at in places if at[2] > 3 and on_something("basketball", kind, at)]
    assert len(shots) == 4
    assert all(path.at(time_s - 0.02)[2] > path.at(time_s)[2] for time_s in shots)


def test_two_to_fifteen_people_come_eight_to_nine_on_average():
    counts = [play.headcount(np.random.default_rng(seed), 2) for seed in range(500)]
    assert min(counts) >= 2 and max(counts) <= 15
    assert 8 < np.mean(counts) < 9
    assert all(2 <= troupe(game, seed, PERSON).count <= 15 for game, seed in CASES)


@pytest.mark.parametrize("game", GAMES)
def test_the_same_seed_gives_the_same_game(game):
    again = activities.build(game, np.random.default_rng(1))
    for one, other in zip(world(game, 1).troupes, again.troupes, strict=True):
        for first, second in zip(one.pose(12.3), other.pose(12.3), strict=True):
            np.testing.assert_array_equal(first, second)


def test_courts_have_their_true_sizes():
    world_ = activities.build("volleyball", np.random.default_rng(3))
    model = world_.stage.compile(64, 48, 10, 200)
    tops = model.geom_pos[:, 2] + model.geom_size[:, 2]
    across = np.isclose(model.geom_size[:, 1], 5.0)
    assert any(np.isclose(tops[across].max(), top) for top in (2.24, 2.43))
    floor = model.geom_size[np.array(world_.stage.ground)]
    assert any((size[0] >= 9.0) and (size[1] >= 4.5) and size[0] < 10.5 for size in floor)
    ring = courts.hoop(world_.stage, np.random.default_rng(0), np.array([14.0, 0.0]), np.pi)
    np.testing.assert_allclose(ring, [14 - 1.575, 0, 3.05], atol=1e-9)


def test_a_shuttle_falls_steeper_than_it_rises():
    times = np.linspace(0, 1.6, 161)
    ball = flight((0, 0, 2), (6, 0, 2), 1.6, times)
    shuttle = flight((0, 0, 2), (6, 0, 2), 1.6, times, SHUTTLE_DRAG)
    np.testing.assert_allclose(np.diff(ball[:, 2], 2) / 0.01**2, -GRAVITY, rtol=1e-6)
    for flown in (ball, shuttle):
        np.testing.assert_allclose(flown[[0, -1]], [(0, 0, 2), (6, 0, 2)], atol=1e-9)
    assert ball[ball[:, 2].argmax(), 0] == pytest.approx(3.0, abs=0.05)
    assert shuttle[shuttle[:, 2].argmax(), 0] > 3.5


def test_a_way_that_does_not_close_is_refused():
    with pytest.raises(ValueError, match="ends 1.0 m from where it began"):
        Path(2.0, 0.0, (0, 0, 1)).fly(1.0, (0, 0, 1)).fly(2.0, (1, 0, 1)).close()
