"""Writes the generated parts of README.md and docs/performance.md: topics and parameters from the code, figures from
docs/figures/*.json.

python tools/readme.py          write them
python tools/readme.py --take   first copy the results that lie in out/ to docs/figures/
python tools/readme.py --check  exit 1 if they are stale
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"
# All rows but those of other engines, at 518x518, of `tiny` on all cores, of growth and of data, which take an hour.
MEASURED = (
    "official,stream_small_252x448_fp32,stream_small_252x448_auto,estimator,network,preprocess,instances,steady,track,"
    "upsample,finish,cameras,copy,matmul,encoder,host,graph,cloud,overlay,codec,pairing"
)
# The result in docs/figures/ -> where its command leaves it, and the command.
RESULTS = {
    "sim-test": ("out/eval/sim-test.json", "instance-depth eval --data sim-test --without-memory"),
    "sim-val": ("out/eval/sim-val.json", "make eval"),
    "sim-long": (
        "out/eval/sim-long.json",
        "instance-depth eval --data sim-long --drift --without-memory --instances none",
    ),
    "ablation": ("out/eval/ablation.json", "instance-depth ablation --config config/train/ablation.yaml"),
    "demo": ("out/demo/summary.json", "make demo"),
    "demo-max": ("out/demo-max/summary.json", "instance-depth demo --rate max --out out/demo-max"),
    "demo-simulated": (
        "out/demo-simulated/summary.json",
        "instance-depth demo --camera simulated --out out/demo-simulated",
    ),
    "bench": ("out/bench.json", f"instance-depth bench --against Video-Depth-Anything --rows {MEASURED}"),
    "bench-recorder": (
        "out/bench-recorder.json",
        "instance-depth bench --rows recorder,register,fill,unplug --out out/bench-recorder.json",
    ),
    "soak": ("out/soak.json", "make soak"),
}
# Rows of the benchmark that README.md tells; docs/performance.md has all.
HEADLINES = (
    "estimator_tiny_480p estimator_tiny_720p official_small_252x448 stream_small_252x448_fp32 "
    "stream_small_252x448_auto cameras_1_480p cameras_2_480p host_480p host_720p graph_480p graph_720p cloud_720p"
).split()
SCENES = ("out/data/few/statistics.json", "instance-depth dataset statistics out/data/few")
NOTES = {
    "camera/color/camera_info": "calibration; without it a field of view is assumed, and metres are as good as that",
    "camera/color/image_raw": "the camera node's output and the depth node's input",
    "camera/color/image_raw/compressed": "the same as JPEG; input with `use_compressed`",
    "camera/aligned_depth_to_color/image_raw": "registered sensor depth, millimetres; input with `use_depth`",
    "camera/instances": "16UC1 or mono8, 0 background, registered, of the stamp; input with `instances: topic`",
    "simulation/depth/image": "truth of the simulated camera, metres",
    "simulation/instances": "truth: one lasting id an instance, 0 background",
    "simulation/instances/table": "truth: id, class and mean depth of who is seen",
    "simulation/camera_pose": "truth: the camera in the world",
    "depth/image": "32FC1, metres along the optical axis, NaN invalid (REP 118)",
    "depth/image/compressedDepth": "16-bit PNG, millimetres",
    "depth/camera_info": "calibration of `depth/image`, the last message of each frame",
    "depth/confidence": "8UC1, 0..255 = 0..1, predicted P(relative error < 10 %); 0 where depth is NaN",
    "depth/source": "8UC1: 0 none, 1 sensor, 2 network, 3 network brought to the sensor's scale",
    "depth/points": "organised cloud: x y z, rgb, instance_id (lasting, 0 none); no points hang on depth steps",
    "depth/instances": "16UC1 id image, 0 background: values are the table's `pixel`; empty without instances",
    "depth/instances/compressedDepth": "the same as a 16-bit PNG",
    "depth/instances/table": "a point an instance: x y z and size_x size_y size_z of what is visible, id (lasting), "
    "pixel, class_id, score, depth_m (layer), sigma_m, visible (share), hidden_by (id, 0 none), age_s",
    "depth/instances/classes": "mono8, class of each pixel: 0 background, 1 person, 2 animal, 3 ball, 4 racket, "
    "5 vehicle, 6 other",
    "depth/instances/markers": "boxes and labels for RViz and Foxglove; begins with DELETEALL",
    "depth/instances/objects": "boxes with classes by name and lasting ids, where vision_msgs is installed",
    "depth/instances/label_info": "names of the classes, latched, where vision_msgs is installed",
    "depth/overlay": "picture with masks, ids, depth layers and who hides whom beside depth, for people",
    "depth/overlay/compressed": "the same as JPEG",
}

# Inputs that none of our nodes publishes, and what is published where vision_msgs is installed.
NOT_ALWAYS_OURS = {
    "camera/instances": "sensor_msgs/Image",
    "depth/instances/objects": "vision_msgs/Detection3DArray",
    "depth/instances/label_info": "vision_msgs/LabelInfo",
}


def topics() -> str:
    kinds = NOT_ALWAYS_OURS | published()
    if unknown := kinds.keys() ^ NOTES.keys():
        sys.exit(f"tools/readme.py: NOTES and the topics of nodes/topics.py differ in {', '.join(sorted(unknown))}")
    lines = ["| topic | type | what |", "|---|---|---|"]
    lines += [f"| `{name}` | {kinds[name]} | {note} |" for name, note in NOTES.items()]
    return "\n".join(lines)


def published() -> dict[str, str]:
    """Name and type of all that a camera which gives everything, and an estimate of it, publish."""
    # First: rclpy from wheels starts the interpreter anew when it is first imported.
    import rclpy

    from instance_depth_ros import config, frame, geometry
    from instance_depth_ros.nodes.topics import CameraTopics, DepthTopics

    lens = geometry.Intrinsics.from_fov(2, 2, 60)
    full = frame.Frame(np.zeros((2, 2, 3), np.uint8), 0, intrinsics=lens, depth_m=np.ones((2, 2), np.float32))
    rclpy.init()
    node = rclpy.create_node("readme", start_parameter_services=False, enable_rosout=False)
    its_own = {publisher.topic_name for publisher in node.publishers}
    CameraTopics(node, full, truth=True)
    DepthTopics(node, config.make("depth"), geometry.cloud)
    publishers = [publisher for publisher in node.publishers if publisher.topic_name not in its_own]
    kinds = {p.topic_name.strip("/"): p.msg_type for p in publishers}
    node.destroy_node()
    rclpy.shutdown()
    return {name: f"{kind.__module__.split('.')[0]}/{kind.__name__}" for name, kind in kinds.items()}


def parameters() -> str:
    from instance_depth_ros.config import SETTINGS

    lines = ["| parameter | default | allowed | nodes | acts | what |", "|---|---|---|---|---|---|"]
    for setting in SETTINGS:
        default = str(setting.default).lower() if isinstance(setting.default, bool) else setting.default
        default = f"`{default}`" if default != "" else ""
        acts = "live" if setting.live else "at the next start"
        cells = (f"`{setting.name}`", default, allowed(setting), ", ".join(setting.nodes), acts, setting.help)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def allowed(setting) -> str:
    bounds = "{:.10g} to {:.10g}".format(*setting.bounds) if setting.bounds else ""
    return ", ".join(filter(None, [*setting.choices, f"{bounds} {setting.unit}".strip()]))


def scenes() -> str:
    """Of a set of simulated sequences, beside what the paper says of GID."""
    path = FIGURES / "scenes.json"
    made = "instance-depth simulate --split sim-train --clips 108 --out out/data/few"
    if not path.is_file():
        return f"Not measured yet: `{made}`, then `{SCENES[1]}`"
    result = json.loads(path.read_text())
    depths = list(result["all"]["objects_by_depth"])
    lines = [f"| | videos | objects | actors | of them partly hidden | {' | '.join(depths)} |"]
    lines.append("|---" * (5 + len(depths)) + "|")
    gid = result["gid"]
    lines.append(f"| GID | {gid['videos']} | {gid['average_objects']} | | | {' | '.join([''] * len(depths))} |")
    rows = {"its six activities, simulated": result["gid_activities"], "all, simulated": result["all"]}
    rows |= {name.replace("_", " "): row for name, row in result["activities"].items()}
    for name, row in rows.items():
        total = sum(row["objects_by_depth"].values())
        shares = " | ".join(f"{100 * n / total:.0f} %" for n in row["objects_by_depth"].values())
        hidden = f"{100 * row['partly_hidden']:.0f} %"
        means = f"{row['average_objects']:.1f} | {row['average_actors']:.1f}"
        lines.append(f"| {name} | {row['videos']} | {means} | {hidden} | {shares} |")
    where = f"`{made}` and `{SCENES[1]}`; commit {result['commit']}, {result['date']}:"
    return "\n".join([where, "", *lines])


def figures() -> str:
    """One table a result; where one is not there, the command that makes it."""
    tables = {"demo": demo, "demo-max": demo, "demo-simulated": demo, "bench": headlines, "ablation": ablation}
    others = ("bench-recorder", "soak")
    return "\n\n".join(measured(name, tables.get(name, accuracy)) for name in RESULTS if name not in others)


def performance() -> str:
    """The whole benchmark, and the soak."""
    tables = {"bench": bench, "bench-recorder": bench, "soak": soak}
    return "\n\n".join(measured(name, table) for name, table in tables.items())


def measured(name: str, table) -> str:
    """The table of a result under a line that says where it comes from."""
    path, command = FIGURES / f"{name}.json", RESULTS[name][1]
    if not path.is_file():
        return f"Not measured yet: `{command}`"
    result = json.loads(path.read_text())
    where = f"`{command}` on {result['machine']}; commit {result['commit']}, {result['date']}:"
    return f"{where}\n\n{table(result)}"


def accuracy(result: dict) -> str:
    depth = {
        "network, 0.1 to 80 m": result["all"],
        "network, 0.1 to 10 m": result["near"],
        "on instances": result["instances"],
        "where one instance hides another": result["occlusion_bands"],
        "on what stands still": result["static"],
        "on what moves": result["dynamic"],
        "without memory": result["memory_none"],
        "training mean per pixel": result["train_mean"],
        "best constant per image given the truth": result["best_constant"],
    }
    lines = [f"| {result['clips']} clips, {result['frames']} frames | REL | sigma1 |", "|---|---|---|"]
    lines += [f"| {name} | {row['rel']:.3f} | {row['sigma1']:.3f} |" for name, row in depth.items() if row]
    others = {
        "AP, AP50, AP50 of instances 10 to 50 % visible": numbers(result, "ap", "ap50", "ap50_hidden"),
        "IDF1, HOTA": numbers(result, "idf1", "hota"),
        "switches of identity": numbers(result, "id_switches", form="{}"),
        "order of hiding pairs right; by the lower box; by unrefined depth": numbers(
            result, "order_accuracy", "order_accuracy_heuristic", "order_accuracy_unrefined"
        ),
        "TAE on still pixels, of the truth, without memory, %": numbers(
            result, "tae", "tae_truth", "tae_without_memory", form="{:.2f}"
        ),
        "surfaces within 3 m missed, false": numbers(result, "missed_obstacles", "false_obstacles"),
        "ECE and AUSE of the confidence": numbers(result, "ece", "ause"),
        "boundary F1 of depth edges": numbers(result, "boundary_f1"),
        "depth between two instances at their border that is of neither, share": numbers(result, "invented_at_borders"),
        "drift: sigma1 after five minutes, less that at the start; without memory": numbers(
            result, "drift", "drift_without_memory"
        ),
    }
    lines += ["", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in others.items() if value)]
    return "\n".join(lines)


def numbers(result: dict, *names: str, form: str = "{:.3f}") -> str:
    """The figures of these keys, '' where none was measured."""
    values = [result.get(name) for name in names]
    known = any(value is not None for value in values)
    return ", ".join("-" if value is None else form.format(value) for value in values) if known else ""


def ablation(result: dict) -> str:
    lines = ["| | REL, all | instances | occlusion bands |", "|---|---|---|---|"]
    for name, row in result["variants"].items():
        cells = (row[part]["rel"] for part in ("all", "instances", "occlusion_bands"))
        lines.append(f"| {name} | {' | '.join('-' if rel is None else f'{rel:.3f}' for rel in cells)} |")
    for part, fall in result["falls"].items():
        if fall:
            low, high = (f"{100 * x:.1f}" for x in fall["interval"])
            what = f"REL of {part.replace('_', ' ')}, first row to last: {-100 * fall['share']:+.1f} %"
            lines += ["", f"{what} (95 % interval of the fall over {fall['clips']} clips: {low} to {high} %)."]
    return "\n".join(lines)


def demo(result: dict) -> str:
    lost = sum(result["lost"].values())
    rows = {
        "clip": result["clip"],
        "frames in, out, lost": f"{result['frames_in']}, {result['frames_out']}, {lost}",
        "frames/s": f"{result['fps']:.1f}",
        "latency, median and p99": f"{result['latency_ms_p50']:.0f} ms, {result['latency_ms_p99']:.0f} ms",
        "first output after": f"{result['first_output_s']:.1f} s",
        "memory of all nodes": f"{result['rss_mb']} MB",
        "engine, precision": f"{result['engine']}, {result['precision']}",
    }
    if result["rel"] is not None:
        rows["REL, sigma1 against the truth"] = f"{result['rel']:.3f}, {result['sigma1']:.3f}"
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def headlines(result: dict) -> str:
    rows = [row for row in result["rows"] if row["name"] in HEADLINES]
    return f"{bench({'rows': rows})}\n\nAll rows, and what they are: [docs/performance.md](docs/performance.md)."


def bench(result: dict) -> str:
    lines = ["| row | median ms | p99 ms | per second | ratio | |", "|---|---|---|---|---|---|"]
    missing = {}
    for row in result["rows"]:
        if row["ms_p50"] is None:
            missing.setdefault(row["why"], []).append(f"`{row['name']}`")
            continue
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        more = list(row.items())[5:]
        more = ", ".join(f"{key} {number(value) if isinstance(value, float) else value}" for key, value in more)
        cells = (f"`{row['name']}`", number(row["ms_p50"]), number(row["ms_p99"]), number(row["fps"]), ratio, more)
        lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\nNot measured there ({why}): {', '.join(names)}." for why, names in missing.items()]
    return "\n".join(lines)


def number(value: float) -> str:
    """One decimal, or two figures of what is less than one."""
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def soak(result: dict) -> str:
    first, last = result["first_third"], result["last_third"]
    lost = ", ".join(f"{count} {reason}" for reason, count in result["lost"].items() if count) or "none"
    rows = {
        "what, minutes": f"{result['what']}, {result['minutes']:g}",
        "memory after the first minute, at the end": f"{result['mb_first_minute']} MB, {result['mb_end']} MB",
        "growth": f"{100 * result['growth']:.2f} %",
        "shared memory, then": f"{result['shared_mb_first_minute']} MB, {result['shared_mb_end']} MB",
        "median and p99 of the first third": f"{first['ms_p50']} ms, {first['ms_p99']} ms",
        "of the last third": f"{last['ms_p50']} ms, {last['ms_p99']} ms",
        "frames in, out": f"{result['frames_in']}, {result['frames_out']}",
        "frames lost": lost,
        "limits broken": "; ".join(result["broken"]) or "none",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def generated(path: Path) -> str:
    """A document with its generated parts as they should be."""
    text = path.read_text()
    for part in DOCUMENTS[path]:
        begin, end = f"<!-- {part.__name__}: made by tools/readme.py -->\n", f"<!-- end of {part.__name__} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        if not after:
            sys.exit(f"{path.name} lacks {begin!r} or {end!r}")
        text = f"{before}{begin}\n{part()}\n\n{end}{after}"
    return text


DOCUMENTS = {
    ROOT / "README.md": (scenes, topics, parameters, figures),
    ROOT / "docs" / "performance.md": (performance,),
}


def take() -> None:
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, (source, _) in RESULTS.items():
        if (ROOT / source).is_file():
            shutil.copy(ROOT / source, FIGURES / f"{name}.json")
    few = (ROOT / SCENES[0]).parent
    if (few / "statistics.json").is_file():
        shutil.copy(few / "statistics.json", FIGURES / "scenes.json")
        shutil.copy(few / "statistics.png", ROOT / "docs" / "statistics.png")


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--take"], ["--check"]):
        print(__doc__)
        return 2
    sys.path.insert(0, str(ROOT))
    if arguments == ["--take"]:
        take()
    new = {path: generated(path) for path in DOCUMENTS}
    if arguments == ["--check"]:
        stale = [path.name for path, text in new.items() if text != path.read_text()]
        print(f"stale: {', '.join(stale)}; run python tools/readme.py" if stale else "all is as it should be")
        return bool(stale)
    for path, text in new.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
