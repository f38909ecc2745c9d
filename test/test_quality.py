"""Faults that are put into a simulated recording come out of `dataset quality` with their size."""

import json

import numpy as np
import pytest

from instance_depth_ros.cli import main
from instance_depth_ros.datasets.film import films
from instance_depth_ros.datasets.sequence import SequenceWriter, camera_json
from instance_depth_ros.datasets.splits import Clip
from instance_depth_ros.geometry import Intrinsics

FRAMES, PERIOD_NS = 6, 100_000_000
# a room as a tripod sees it that does not pan, and as a robot does that drives
STANDING, DRIVING = Clip("room", 5, "train", 2, FRAMES, 10.0, 320, 240), Clip("room", 5, "train", 0, 3, 10.0, 320, 240)
HOLES, SIGMA_M, SHIFT_PX = 0.12, 0.015, (3, -2)


def seen() -> list[tuple[list[dict], Intrinsics]]:
    """Of both, frames with faultless depth, and colours as a camera gives them; and the lens."""
    both = []
    for film in films([STANDING, DRIVING]):
        shots = [film.read(index, ("color", "truth_m", "ids")) for index in range(len(film))]
        both.append(([one | {"depth_m": one.pop("truth_m")} for one in shots], film.intrinsics))
    return both


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What is said of sequences, each with a fault of its own; and how much depth the scene itself lacks."""
    try:
        (standing, lens), (driving, other_lens) = seen()
    except RuntimeError as error:
        pytest.skip(str(error))
    assert all(np.array_equal(one["world_from_camera"], standing[0]["world_from_camera"]) for one in standing)
    folder, rng = tmp_path_factory.mktemp("quality"), np.random.default_rng(0)

    def write(name, shots, change, lens=lens):
        about = {"name": name, "frames": len(shots), "activity": "room", "source": "recorded"}
        with SequenceWriter(folder / name, about, camera_json(lens, 1e-3, "sensor")) as writer:
            for one in shots:
                writer.add(one | change(one))

    def noisy(one):
        return {"depth_m": one["depth_m"] + rng.normal(0, SIGMA_M, one["depth_m"].shape).astype(np.float32)}

    def with_holes(one):
        depth_m = one["depth_m"].copy()
        depth_m[:80, :107][rng.random((80, 107)) < 9 * HOLES / 2] = np.nan
        depth_m[160:, 214:][rng.random((80, 106)) < 9 * HOLES / 2] = np.nan
        return {"depth_m": depth_m}

    def late(one):
        gap_ns = 2 * PERIOD_NS if one["index"] >= 3 else 0  # two frames are missing before the fourth
        return {"stamp_ns": one["stamp_ns"] + gap_ns - (2 * gap_ns if one["index"] == 5 else 0)}

    write("clean", standing, lambda one: {})
    write("holes", standing, with_holes)
    write("noise", standing, noisy)
    write("shift", standing, lambda one: {"depth_m": np.roll(one["depth_m"], SHIFT_PX, (1, 0))})
    write("late", standing, late)
    write("dark", standing, lambda one: {"color": one["color"] // 12})
    write("blown", standing, lambda one: {"color": np.clip(one["color"].astype(int) * 6, 0, 255).astype(np.uint8)})
    write("driving", driving, lambda one: {}, other_lens)
    write("blind", standing, lambda one: {"depth_m": np.full_like(one["depth_m"], np.nan)})
    with SequenceWriter(folder / "bare", {"name": "bare", "frames": 1}, camera_json(lens, 1e-3, "sensor")) as writer:
        writer.add({"stamp_ns": 0, "instances": []})
    out = folder / "out"
    assert main(["dataset", "quality", str(folder), "--out", str(out)]) == 0
    assert (out / "quality.png").stat().st_size > 5000
    missing = np.mean([np.isnan(one["depth_m"]).mean() for one in standing])
    return json.loads((out / "quality.json").read_text())["sequences"], float(missing)


def test_a_clean_recording_has_no_faults(told):
    rows, missing = told
    clean = rows["clean"]
    assert clean["problems"] == [] and clean["holes"] == pytest.approx(missing, abs=1e-3)
    assert np.abs(clean["shift_px"]).max() < 0.5 and clean["shift_frames"] >= 3
    assert clean["still"] == 1 and all(value in (None, 0) for value in clean["noise_mm"].values())
    assert (clean["fps"], clean["dropped"], clean["not_forward"], clean["jitter"]) == (10, 0, 0, 0)


def test_holes_are_counted_where_they_are(told):
    rows, missing = told
    shares = np.array(rows["holes"]["holes_map"]) - np.array(rows["clean"]["holes_map"])
    assert rows["holes"]["holes"] - missing == pytest.approx(HOLES, abs=0.01)
    assert shares[0, 0] == pytest.approx(9 * HOLES / 2, abs=0.03) and shares[2, 2] == pytest.approx(
        9 * HOLES / 2, abs=0.03
    )
    shares[0, 0] = shares[2, 2] = 0
    assert np.abs(shares).max() < 0.02
    assert rows["blind"]["holes"] == 1 and "100% of the depth is missing" in rows["blind"]["problems"]


def test_noise_has_its_size_at_every_distance(told):
    rows, _ = told
    known = {band: value for band, value in rows["noise"]["noise_mm"].items() if value is not None}
    assert len(known) >= 2 and list(known.values()) == pytest.approx([1000 * SIGMA_M] * len(known), rel=0.05)


def test_a_moving_camera_tells_nothing_of_noise(told):
    driving = told[0]["driving"]
    assert driving["still"] == 0 and not any(driving["noise_mm"].values()) and driving["noise_share"] is None
    assert np.abs(driving["shift_px"] or 0).max() < 0.7


def test_depth_beside_the_colours_is_found_to_parts_of_a_pixel(told):
    row, clean = told[0]["shift"], told[0]["clean"]
    assert np.subtract(row["shift_px"], clean["shift_px"]) == pytest.approx(SHIFT_PX, abs=0.2)
    assert any("right, down" in problem for problem in row["problems"])


def test_stamps_and_exposure(told):
    rows = told[0]
    assert (rows["late"]["dropped"], rows["late"]["not_forward"]) == (2, 1)
    assert {"2 frames were dropped", "time stands or goes back 1 times"} <= set(rows["late"]["problems"])
    assert rows["dark"]["problems"] == ["it is dark"] and rows["blown"]["blown"] > 0.15
    assert rows["dark"]["shift_px"] is None or np.abs(rows["dark"]["shift_px"]).max() < 1


def test_what_is_not_there_is_unknown(told):
    bare, blind = told[0]["bare"], told[0]["blind"]
    unknown = ("holes", "holes_map", "noise_share", "shift_px", "fps", "dropped", "brightness", "still")
    assert [bare[name] for name in unknown] == [None] * len(unknown) and bare["problems"] == []
    assert blind["shift_px"] is None and not any(blind["noise_mm"].values())
