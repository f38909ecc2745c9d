"""The benchmark measures the rows that were asked for, beside the official code where it is given; figures unjudged."""

import json
from argparse import Namespace
from functools import partial

import pytest
import torch

from instance_depth_ros import config
from instance_depth_ros.cli import main
from instance_depth_ros.datasets.splits import Clip
from instance_depth_ros.evaluation.bench import data, network, official, roofline, soak, timing
from instance_depth_ros.evaluation.bench import main as bench

THEIRS = "official_small_252x448"
SMALL = {"weights": "random:tiny", "engine": "eager", "network_short_side": 64, "precision": "fp32", "threads": 1}
TINY = ["--weights", "random:tiny", "--threads", "1"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few runs of small pictures, no graph."""
    monkeypatch.setattr(bench, "_observer", lambda: None)
    for module in (timing, official):
        monkeypatch.setattr(module, "WARM_UP", 1)
        monkeypatch.setattr(module, "RUNS", 2)
    monkeypatch.setattr(timing, "SLOW_RUNS", 2)
    monkeypatch.setattr(roofline, "MATMUL", {"cpu": 64})
    monkeypatch.setattr(roofline, "COPY_MB", 1)
    monkeypatch.setattr(network, "F1_FRAMES", 2)


def run(tmp_path, *arguments) -> dict:
    """The result of `instance-depth bench`."""
    out = tmp_path / "bench.json"
    assert main(["bench", "--out", str(out), *arguments]) == 0
    return json.loads(out.read_text())


def test_bench_writes_the_rows_asked_for_and_ends_with_json(tmp_path, capsys):
    result = run(tmp_path, *TINY, "--rows", "network_tiny_480p_fp32,cloud,official,graph")
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    rows = {row["name"]: row for row in result["rows"]}
    assert rows.keys() == {
        "network_tiny_480p_fp32", "cloud_720p", "official_small_252x448", "graph_480p", "graph_720p",
    }  # fmt: skip
    assert result["machine"] and result["date"] and "commit" in result
    missing = [name for name, row in rows.items() if row["ms_p50"] is None]
    assert set(missing) == {"official_small_252x448", "graph_480p", "graph_720p"}
    assert all(row["fps"] is None and row["ratio"] is None and row["why"] for row in map(rows.get, missing))
    for row in (row for name, row in rows.items() if name not in missing):
        assert 0 < row["ms_p50"] <= row["ms_p99"] and row["fps"] == pytest.approx(
            1e3 / row["ms_p50"], rel=0.01, abs=0.01
        )


def test_a_row_that_does_not_exist_is_said(tmp_path, capsys):
    assert main(["bench", "--out", str(tmp_path / "b.json"), *TINY, "--rows", "warp"]) == 1
    assert "no row begins with warp" in capsys.readouterr().err


def test_every_engine_of_the_settings_has_its_rows_and_one_that_fails_says_why(monkeypatch):
    choices = ("auto", "eager", "steam")
    monkeypatch.setitem(config.BY_NAME, "engine", config.Setting("engine", "auto", "", ("depth",), choices=choices))
    names = [name for job in network.stream_jobs({"device": "cpu"}, "small") for name in job.names]
    assert {"stream_small_252x448_fp32", "stream_small_252x448_auto", "stream_small_518x518_steam_fp32"} < set(names)
    assert len(names) == len(set(names)) == 2 * (1 + 2 + 2)

    def absent(settings, *sizes):
        raise ImportError("no steam here: pip install steam\nat line 1")

    monkeypatch.setattr(network, "ready", absent)
    settings = {"device": "cpu", "precision": "fp32", "threads": 1}
    (row,) = network.stream_row("stream_small_252x448_steam_fp32", "252x448", settings)
    assert row["ms_p50"] is None and row["why"] == "no steam here: pip install steam"

    monkeypatch.setattr(network, "ready", timing.ready)
    monkeypatch.setitem(network.STREAMS, "64x128", (72, 128, 64))
    settings |= {"weights": "random:tiny", "engine": "tensorrt", "precision": "auto"}
    (row,) = network.stream_row("stream_tiny_64x128_tensorrt_auto", "64x128", settings)
    assert row["ms_p50"] is None and "engine tensorrt was not taken: " in row["why"]


def test_an_emulated_precision_is_not_measured(monkeypatch):
    monkeypatch.setattr(network, "emulated", lambda device, precision: precision == "bf16")
    names = ("estimator_tiny_480p_bf16", "network_tiny_480p_bf16")
    rows = list(network.precision_rows(names, {"precision": "bf16", "device": "cpu"}))
    assert [row["name"] for row in rows] == list(names) and all("emulates" in row["why"] for row in rows)


def test_the_estimator_is_told_whole_and_by_stage():
    rows = {row["name"]: row for row in network.estimator_rows(SMALL, "tiny")}
    assert rows.keys() == {f"{part}_{size}" for part in ("estimator_tiny", *network.STAGES) for size in timing.SIZES}
    assert rows["network_480p"]["ms_p50"] < rows["estimator_tiny_480p"]["ms_p50"]
    boundary_f1 = rows["estimator_tiny_480p"]["boundary_f1"]
    assert boundary_f1 is None or 0 <= boundary_f1 <= 1


def test_growth_is_what_the_process_grew_by_after_it_had_warmed_up(monkeypatch):
    readings = iter((500.0, 500.26))
    monkeypatch.setattr(network, "rss_mb", lambda: next(readings))
    monkeypatch.setattr(network, "GROWTH_FRAMES", 3)
    monkeypatch.setattr(network, "GROWTH_WARM_UP", 1)
    (row,) = network.growth_row(SMALL)
    assert (row["name"], row["growth_mb"]) == ("growth_10000", 0.3) and row["ms_p50"] > 0


def test_cameras_are_paid_for_one_by_one(monkeypatch):
    monkeypatch.setattr(network, "CAMERAS", (1, 2))
    one, two = network.camera_rows(SMALL)
    assert (one["name"], one["ratio"], two["name"]) == ("cameras_1_480p", 1.0, "cameras_2_480p")
    assert two["ratio"] == pytest.approx(two["ms_p50"] / one["ms_p50"] - 1, abs=2e-3)


def test_the_work_of_layers_is_counted():
    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 1, bias=False)

        def forward(self, image, lens):
            return self.conv(image)

    flops, moved = roofline.work_of(Encoder(), torch.ones(1, 3, 8, 8))
    assert flops == 2 * 3 * 4 * 64 and moved == 4 * (3 * 4 + 3 * 64 + 4 * 64)


def test_scenes_are_drawn_and_read(monkeypatch):
    few = [Clip("room", 0, "train", 0, 8, 10.0, 64, 48)]
    monkeypatch.setattr(data, "times", partial(data.times, few))
    monkeypatch.setattr(data, "STEPS", 3)
    rows = list(data.rows())
    assert tuple(row["name"] for row in rows) == data.ROWS
    assert all(row["ms_p50"] or "libegl1" in row["why"] for row in rows)


STAND_IN = """
import torch
import torch.nn.functional as F
from instance_depth_ros.model.memory import Memory
from instance_depth_ros.model.network import DepthNetwork
from instance_depth_ros.model.preprocess import network_size, prepare
from instance_depth_ros.model.presets import PRESETS


class VideoDepthAnything(DepthNetwork):
    def __init__(self, encoder, features, out_channels):
        super().__init__(PRESETS["small"])
        self.memory = Memory()

    @torch.no_grad()
    def infer_video_depth_one(self, frame, input_size=518, device="cuda", fp32=False):
        assert device == "cpu" and fp32
        size = network_size(*frame.shape[:2], self.config, input_size)
        depth = self(prepare(frame, size, self.config), None, self.memory).depth
        return FACTOR * F.interpolate(depth[None], frame.shape[:2], mode="bilinear", align_corners=True)[0, 0].numpy()
"""


def stand_in(folder, code):
    """A checkout with the names of the official one."""
    (folder / "video_depth_anything").mkdir()
    (folder / "video_depth_anything" / "video_depth_stream.py").write_text(code)
    return folder


def beside(checkout) -> list[dict]:
    """Rows of that checkout and of ours in fp32."""
    settings = {"device": "cpu", "threads": 1}
    return list(official.compared(settings, checkout, THEIRS, {"stream_small_252x448_fp32": "fp32"}))


def test_the_official_code_is_run_beside_ours_where_outputs_agree(tmp_path, monkeypatch):
    monkeypatch.setitem(official.STREAMS, "252x448", (36, 64, 28))
    theirs, ours = beside(stand_in(tmp_path, STAND_IN.replace("FACTOR", "1.0005")))
    assert (theirs["name"], theirs["ratio"]) == (THEIRS, 1.0)
    assert ours["name"] == "stream_small_252x448_fp32" and (ours["engine"], ours["precision"]) == ("eager", "fp32")
    assert ours["ratio"] == pytest.approx(theirs["ms_p50"] / ours["ms_p50"], rel=0.01)
    assert ours["relative_error"] == pytest.approx(5e-4, rel=0.1), "as far apart as the stand-in was made"
    monkeypatch.setattr(official, "LIMIT", 1e-4)
    with pytest.raises(RuntimeError, match="the official output and ours differ by 0.0005"):
        beside(tmp_path)


def test_what_is_no_checkout_and_what_it_needs_are_named(tmp_path, capsys):
    assert main(["bench", "--against", str(tmp_path), "--rows", "official"]) == 1
    assert f"{tmp_path}/video_depth_anything/video_depth_stream.py is not there" in capsys.readouterr().err
    stand_in(tmp_path, "import a_package_that_nobody_has")
    assert main(["bench", "--against", str(tmp_path), "--rows", "official"]) == 1
    assert "the official code needs a_package_that_nobody_has: pip install" in capsys.readouterr().err


def steady(**given) -> dict:
    """A soak of ten minutes at ten frames a second in which nothing changes."""
    memory = {"depth": [(float(second), 900.0, 70.0) for second in range(600)]}
    counts = {"sent": 18000, "frames_in": 18000, "frames_out": 6000, "lost": {"overwritten": 12000}}
    return soak.judged(**{"memory": memory, "latencies_ms": [100.0] * 6000, **counts} | given)


def test_a_soak_is_broken_by_what_it_is_for():
    assert steady()["broken"] == []
    warm = [(float(second), 500.0 if second < 60 else 900.0, 70.0) for second in range(600)]
    assert steady(memory={"depth": warm})["broken"] == [], "the first minute is free"
    shared = steady(memory={"depth": [(float(second), 900.0, second / 10) for second in range(600)]})
    assert shared["broken"] == [] and shared["shared_mb_end"] > shared["shared_mb_first_minute"]
    leak = [(float(second), 900.0 + second / 50, 70.0) for second in range(600)]
    assert steady(memory={"depth": leak, "camera": warm})["growth"] == pytest.approx(9.6 / 1801.8, rel=0.02)
    (broken,) = steady(memory={"depth": leak})["broken"]
    assert "memory grew by 1.06 %" in broken
    (broken,) = steady(latencies_ms=[100.0] * 4000 + [130.0] * 2000)["broken"]
    assert "1.30 times" in broken
    (broken,) = steady(frames_out=5999)["broken"]
    assert "of 18000 frames 5999 went out and 12000 were lost" in broken
    (broken,) = steady(sent=18091)["broken"]
    assert "18091 frames were sent and 18000 counted" in broken
    with pytest.raises(RuntimeError, match="none of 18000 frames came out"):
        steady(latencies_ms=[])


def test_without_ros_the_estimator_alone_is_soaked(tmp_path):
    out = tmp_path / "soak.json"
    status = soak.main(Namespace(soak=0.02, out=str(out), settings=SMALL), None)
    result = json.loads(out.read_text())
    assert status == bool(result["broken"]) and result["what"] == "estimator"
    assert result["frames_in"] == result["frames_out"] > 0 and result["mb_end"] > 0
