"""`instance-depth VERB`: exit 0 done, 1 what was asked for failed, 2 wrong usage."""

from __future__ import annotations

import argparse
import math
import sys
import traceback
from importlib import import_module

from . import config, graph

LEFT_OUT = ("amodal", "flow", "truth", "ground")


def main(arguments: list[str] | None = None) -> int:
    """Parse, then import only the verb's room: torch takes seconds, and most verbs need no camera SDK."""
    args = _parser().parse_args(arguments)
    try:
        return import_module(f"{__package__}.{args.room}").main(args) or 0
    except KeyboardInterrupt:
        return 130
    except argparse.ArgumentTypeError as error:  # options that do not go together
        print(f"usage: {error}; see instance-depth {(arguments or sys.argv[1:])[0]} --help", file=sys.stderr)
        return 2
    except Exception as error:  # the user asked for a result, not for a trace
        if args.verbose:
            traceback.print_exc()
        print(f"error: {error or type(error).__name__}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    what = "Streaming metric depth and instances from any camera."
    parser = argparse.ArgumentParser(prog="instance-depth", description=what)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, (room, summary, add_arguments) in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary)
        verb.set_defaults(room=room)
        _add_verbose(verb, False)
        add_arguments(verb)
    return parser


def _add_verbose(parser: argparse.ArgumentParser, default) -> None:
    parser.add_argument("--verbose", action="store_true", default=default, help="on an error, the whole trace")


def add_settings(parser: argparse.ArgumentParser, names) -> None:
    """An option for each of these settings; those given are collected in args.settings."""
    parser.set_defaults(settings={})
    for setting in (config.BY_NAME[name] for name in names):
        text = f"{setting.help} (default: {setting.default}{' ' + setting.unit if setting.unit else ''})"
        parser.add_argument(
            "--" + setting.name.replace("_", "-"),
            dest=setting.name,
            action=_Collect,
            type=_checked(setting),
            default=argparse.SUPPRESS,
            metavar="|".join(setting.choices) or type(setting.default).__name__.upper(),
            help=text.replace("%", "%%"),
        )


def _checked(setting: config.Setting):
    def check(text: str):
        try:
            return setting.check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return check


def _number(kind: type, least: float, most: float = math.inf, *, above: bool = False):
    """The type of an option: a number from least, or above it, to most."""
    what = "a whole number" if kind is int else "a number"
    allowed = f"{'above' if above else 'from'} {least}" + (f" up to {most}" if most < math.inf else "")

    def check(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most or (above and value == least):  # NaN is in no order
            raise argparse.ArgumentTypeError(f"must be {what} {allowed}, got '{text}'")
        return value

    return check


_count, _pixels = _number(int, 1), _number(int, 16, 7680)


class _Collect(argparse.Action):
    def __call__(self, parser, namespace, value, option_string=None):
        namespace.settings = {**namespace.settings, self.dest: value}


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--namespace", default="", help="moves all topics and nodes under this name")
    parser.add_argument("--cameras", default="", metavar="NAME,NAME", help=graph.CAMERAS)
    parser.add_argument("--viewer", action="store_true", help="also start the viewer")
    parser.add_argument("--record", action="store_true", help="also start the recorder")
    parser.add_argument("--params", action="append", default=[], metavar="YAML", help="ROS parameter file; repeatable")
    parser.add_argument("-r", "--remap", action="append", default=[], metavar="FROM:=TO", help=graph.REMAP)
    add_settings(parser, config.BY_NAME)


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clip", default="", help="a video of your own instead of the one of OpenCV's samples")
    parser.add_argument("--out", default="out/demo", metavar="DIR", help="where pictures and figures go")
    add_settings(parser, ("camera", "activity", "seed", "rate", "frames", "weights", "window"))


def _video(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a video, or a folder of images")
    parser.add_argument("--out", required=True, metavar="DIR", help="where depth and pictures go")
    parser.add_argument("--offline", action="store_true", help="official weights over the whole video at once")
    names = ("weights", "weights_kind", "precision", "device", "threads", "network_short_side", "frames", "fps")
    instances = ("instances", "instance_threshold", "instance_weights")
    add_settings(parser, ("camera_info", "assumed_fov_deg", "max_depth_m", *names, *instances))


def _simulate(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--activity", choices=config.ACTIVITIES, help="one clip of this scene, as in sim-train")
    what.add_argument(
        "--split", choices=config.SPLITS, help="the clips of a frozen split; those that are there are kept"
    )
    what.add_argument("--sheet", action="store_true", help="activities.jpg: a picture of each activity")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the sequences go, each a folder")
    parser.add_argument("--preview", action="store_true", help="an MP4 of each, too: colour, depth, ids and flow")
    parser.add_argument(
        "--without", type=_some_of(*LEFT_OUT), default=(), metavar="LIST", help="leave out: " + ",".join(LEFT_OUT)
    )
    parser.add_argument("--workers", type=_number(int, 0), default=0, metavar="N", help="processes; 0: one a core")
    parser.add_argument("--clips", type=_count, metavar="N", help="with --split: only the first so many")
    one = parser.add_argument_group("with --activity (and --seed with --sheet)")
    one.add_argument("--seed", type=_number(int, 0, 2**31 - 1), metavar="N", help="which of its scenes (default: 0)")
    one.add_argument("--frames", type=_count, metavar="N", help="how many (default: 60)")
    one.add_argument(
        "--fps", type=_number(float, 0, 240, above=True), metavar="HZ", help="how many a second (default: 10)"
    )
    one.add_argument("--width", type=_pixels, metavar="PX", help="(default: 640)")
    one.add_argument("--height", type=_pixels, metavar="PX", help="(default: 480)")
    sensors = {"choices": ("auto", "none"), "help": "auto: as the lens's camera sees; none: faultless (default: auto)"}
    one.add_argument("--sensor", **sensors)
    shutter = {"dest": "shutter_s", "metavar": "SECONDS", "help": "exposure time, for motion blur (default: 0, none)"}
    one.add_argument("--shutter", type=_number(float, 0, 1), **shutter)


def _some_of(*allowed: str):
    """The type of an option: some of these, with commas between them."""

    def check(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"must be some of {', '.join(allowed)}, got '{name}'")
        return names

    return check


def _dataset(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for name, (room, summary, add_arguments) in DATASET_ACTIONS.items():
        action = actions.add_parser(name, help=summary, description=summary)
        action.set_defaults(room=room)
        _add_verbose(action, argparse.SUPPRESS)  # else its False would overwrite what stands before the action
        add_arguments(action)


def _statistics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a folder of sequences")
    parser.add_argument("--out", metavar="DIR", help="where statistics.json and .png go (default: the folder)")


def _split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a folder of sequences; split.json goes there")
    for part, share, what in (("test", 0.2, "eval --data gid:DIR judges"), ("val", 0.1, "training validates by")):
        told = f"share of the scenes that {what} (default: {share})"
        parser.add_argument(f"--{part}", type=_number(float, 0, 1), default=share, metavar="SHARE", help=told)
    parser.add_argument("--seed", type=_number(int, 0), default=0, metavar="N", help="another draw (default: 0)")
    parser.add_argument("--force", action="store_true", help="overwrite a split.json")


def _quality(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a folder of sequences")
    parser.add_argument("--out", metavar="DIR", help="where quality.json and .png go (default: the folder)")
    pairs = "look at so many pairs of neighbours a sequence; stamps are read of all (default: 30)"
    parser.add_argument("--pairs", type=_count, default=30, metavar="N", help=pairs)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(way="export")
    parser.add_argument("source", metavar="BAG", help="a bag (folder or file), or a folder of bags")
    as_ = "sequence folders, or plain pictures named by their stamps (default: sequence)"
    parser.add_argument("--as", dest="as_", choices=("sequence", "images"), default="sequence", help=as_)
    depth = "whose depth: the sensor's, or the network's as recorded; never one for the other (default: sensor)"
    parser.add_argument("--depth", choices=("sensor", "estimate"), default="sensor", help=depth)
    masks = "whose masks: the simulation's, those from elsewhere that the network was given, or its own, as recorded "
    choices = {"choices": ("truth", "given", "estimate"), "default": ""}
    parser.add_argument("--masks", **choices, help=masks + "(default: the first of these that there are)")
    without = "leave out: depth,mask,truth; a frame needs all that is not left out"
    some = _some_of("depth", "mask", "truth")
    parser.add_argument("--without", type=some, default=(), metavar="LIST", help=without)
    color = "what becomes of raw colour; what was recorded compressed stays as it is (default: png, which is exact)"
    parser.add_argument("--color", choices=("png", "jpeg"), default="png", help=color)
    _conversion(parser)
    add_settings(parser, ("replay_color_topic", "replay_depth_topic"))


def _import(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(way="import")
    source = "a sequence folder, a folder of those, or a folder of pictures (rgb/, depth/, mask/, camera.json)"
    parser.add_argument("source", metavar="FOLDER", help=source)
    as_ = "bags, or, of pictures, sequence folders (default: bag)"
    parser.add_argument("--as", dest="as_", choices=("bag", "sequence"), default="bag", help=as_)
    fps = "of pictures whose names tell no stamp (default: 30)"
    parser.add_argument("--fps", type=_number(float, 0, 1000, above=True), default=30.0, metavar="HZ", help=fps)
    _conversion(parser)


def _conversion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="where they go, each under its name; those that are there are kept")
    parser.add_argument("--activity", default="", metavar="NAME", help="what is done in it, as statistics group by")
    parser.add_argument("--workers", type=_number(int, 0), default=0, metavar="N", help="processes; 0: one a core")


def _bag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", metavar="BAG", help="a rosbag2 folder, or one of its .mcap files")


def _annotate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a sequence, or a folder of sequences")
    prompts = "boxes and dots that people drew, for one sequence; or a folder with a NAME.json for each"
    parser.add_argument("--prompts", metavar="FILE", help=prompts)
    masks = "of our network, or of Segment Anything, 1 or 2, around the same objects (default: network)"
    parser.add_argument("--masks", choices=("network", "sam"), default="network", help=masks)
    parser.add_argument("--sam-weights", metavar="NAME", help="a model of huggingface.co, or a folder with one")
    parser.add_argument("--download", action="store_true", help="fetch --sam-weights where they are not here yet")
    parser.add_argument("--redo", action="store_true", help="also sequences that have masks")
    parser.add_argument("--rerun", metavar="FILE.rrd", help="a Rerun recording to look through")
    network = ("weights", "engine", "precision", "device", "threads", "network_short_side", "memory")
    add_settings(parser, (*network, "instances", "instance_threshold", "instance_weights"))


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="a YAML file, such as config/train/tiny.yaml")
    parser.add_argument("--out", default="out/train", metavar="DIR", help="where checkpoints and curves go")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")


def _ablation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="(default: config/train/ablation.yaml)")
    parser.add_argument("--out", default="out", metavar="DIR", help="runs in DIR/train/ablation, figures in DIR/eval")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")


def _eval(parser: argparse.ArgumentParser) -> None:
    held_out = "|".join(config.SPLITS[1:])
    data = "held-out simulated scenes; or a published dataset, such as gid:DIR or nyu:DIR"
    parser.add_argument("--data", required=True, type=_data, metavar=f"{held_out}|NAME:DIR", help=data)
    parser.add_argument(
        "--folder", metavar="DIR", help="where simulate wrote them; else they are drawn as they are read"
    )
    parser.add_argument("--out", default="out/eval", metavar="DIR", help="where NAME.json and a picture sheet go")
    parser.add_argument("--clips", type=_count, metavar="N", help="only the first so many")
    parser.add_argument("--without-memory", action="store_true", help="also each frame by itself, for comparison")
    parser.add_argument("--drift", action="store_true", help="of sim-long only what drift follows from: a fifth of it")
    given = "frames also know the depth that the scene's sensor gives, or where the ground is; repeatable"
    parser.add_argument("--given", action="append", choices=("sensor", "floor"), default=[], help=given)
    network = ("weights", "engine", "precision", "device", "threads", "network_short_side", "memory", "frames")
    instances = ("instances", "instance_threshold", "instance_every", "instance_weights")
    add_settings(parser, (*network, *instances, "rectify", "steady_s", "fuse", "scale_anchors"))


def _data(text: str) -> str:
    if text not in config.SPLITS[1:] and not all(text.partition(":")):
        raise argparse.ArgumentTypeError(f"must be {', '.join(config.SPLITS[1:])} or NAME:DIR, got '{text}'")
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="", metavar="FILE", help="(default: out/bench.json or out/soak.json)")
    parser.add_argument(
        "--rows", type=_words, default=(), metavar="NAMES", help="only rows whose names begin so, such as host,stream"
    )
    official = "beside the official streaming code in this checkout of Video-Depth-Anything"
    parser.add_argument("--against", default="", metavar="DIR", help=official)
    minutes = {"type": _number(float, 0, above=True), "nargs": "?", "const": 30.0, "default": 0.0, "metavar": "MINUTES"}
    parser.add_argument("--soak", **minutes, help="instead: does the graph stay as it was over so long? (default: 30)")
    add_settings(parser, ("weights", "device", "threads"))


def _engine(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="make one for a camera's size, or with auto find the fastest and keep it")
    names = ("weights", "engine", "precision", "device", "threads", "width", "height", "network_short_side")
    add_settings(build, (*names, "instances"))
    listing = actions.add_parser("list", help="what is there, and what it was made for")
    for action in (build, listing, actions.add_parser("clear", help="take all of it away")):
        _add_verbose(action, argparse.SUPPRESS)


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")


# action -> as VERBS
DATASET_ACTIONS = {
    "statistics": ("datasets.statistics", "what a folder of sequences holds, beside GID", _statistics),
    "split": ("datasets.partition", "whole videos for train, val and test, each activity in proportion", _split),
    "quality": ("datasets.quality", "holes, noise, misregistration, stamps and exposure of each sequence", _quality),
    "export": ("datasets.convert", "bags to sequence folders or pictures, bit for bit", _export),
    "import": ("datasets.convert", "sequence folders or pictures to bags, bit for bit", _import),
    "verify": ("recording.verify", "check each chunk and index of a bag; a line for each fault, and exit 1", _bag),
    "repair": ("recording.repair", "make a bag whole that was never closed, or is damaged", _bag),
    "annotate": ("datasets.annotation.main", "masks, identities and ground of recorded sequences", _annotate),
}

# verb -> the module whose main(args) does it, a line of help, its options
VERBS = {
    "run": ("run", "start the graph where no ROS installation exists: the same nodes, as processes", _run),
    "demo": ("demo.main", "a real video through the real graph, with pictures and figures of it", _demo),
    "video": ("video", "depth of a video, without ROS", _video),
    "simulate": ("datasets.generate", "write simulated scenes with their truth", _simulate),
    "dataset": ("datasets.statistics", "work on folders of sequences", _dataset),
    "train": ("training.loop", "train weights on simulated scenes or recordings; several GPUs: torchrun", _train),
    "ablation": ("evaluation.ablation", "what ranges and instances are worth: Table 4 of the paper", _ablation),
    "eval": ("evaluation.evaluate", "accuracy, streaming as on the robot", _eval),
    "engine": ("engines.manage", "engines made ahead of time for this machine, faster than eager torch", _engine),
    "cameras": ("cameras.connected", "what is connected, what pictures it gives, how to start it", lambda parser: None),
    "doctor": ("doctor.main", "what this machine has and lacks, and the command that mends it", _doctor),
    "bench": ("evaluation.bench.main", "figures of this machine", _bench),
}

if __name__ == "__main__":
    sys.exit(main())
