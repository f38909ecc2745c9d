"""The viewer's page shows in a browser what the graph publishes; its file holds it."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import DOMAIN

from instance_depth_ros.frame import Instance
from instance_depth_ros.screen import table_text

pytest.importorskip("rclpy", reason="needs ROS")
pytest.importorskip("rerun", reason="needs: pip install rerun-sdk")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader --disable-quic "
    "--no-first-run --disable-background-networking --disable-component-update --disable-sync "
    "--remote-debugging-port=0 --window-size=900,600"
).split()
PATIENCE_S = 120
MAGENTA = (230, 20, 200)
HIDDEN = Instance(70_001, 9, 1, 0.9, 4.25, 0.5, 0.75, 3, 12.5, (20, 90, 20, 20), (-0.5, 0.25, 4.0), (0.5, 1.5, 0.4))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def viewer(*arguments, **parameters):
    command = [sys.executable, "-m", "instance_depth_ros.nodes.viewer", "--ros-args", *arguments]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    node = subprocess.Popen(
        command, env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}, stderr=subprocess.PIPE, text=True
    )
    try:
        yield node
    finally:
        node.kill()
        node.wait()


@contextmanager
def scene(prefix=""):
    """Publishes a magenta wall behind a floor under prefixed topics, slowly: a browser without a GPU needs its time."""
    import rclpy
    from rclpy.context import Context
    from rclpy.node import Node
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2

    from instance_depth_ros.geometry import Intrinsics, cloud
    from instance_depth_ros.nodes import instances, messages
    from instance_depth_ros.transport import prepare_transport

    prepare_transport()
    context, done = Context(), threading.Event()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Node("scene", context=context)
    kinds = {
        "camera/color/image_raw": Image,
        "depth/image": Image,
        "depth/confidence": Image,
        "depth/points": PointCloud2,
        "depth/instances": Image,
        "depth/instances/table": PointCloud2,
        "depth/camera_info": CameraInfo,
    }
    publishers = {topic: node.create_publisher(kind, prefix + topic, 2) for topic, kind in kinds.items()}
    lens = Intrinsics.from_fov(160, 120, 60)
    rows = np.arange(120)[:, None] + np.zeros((1, 160))
    depth_m = np.clip(lens.fy / np.maximum(rows - 60, 1), 1, 5).astype(np.float32)
    color = np.where(rows[..., None] < 80, np.uint8(MAGENTA), np.uint8((40, 90, 40)))

    ids = np.zeros((120, 160), np.uint16)
    ids[90:110, 20:40] = HIDDEN.pixel

    def publish():
        while not done.wait(0.5):
            stamped = messages.header(time.time_ns(), "camera")
            sent = [
                messages.fill_image(Image(), color, stamped),
                messages.fill_image(Image(), depth_m, stamped),
                messages.fill_image(Image(), np.full((120, 160), 200, np.uint8), stamped, "8UC1"),
                messages.fill_cloud(PointCloud2(), cloud(depth_m, lens, color), stamped),
                messages.fill_image(Image(), ids, stamped),
                messages.fill_cloud(PointCloud2(), instances.table_from_instances((HIDDEN,)), stamped),
                messages.info_from_intrinsics(lens, stamped),
            ]
            for publisher, message in zip(publishers.values(), sent, strict=True):
                publisher.publish(message)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)


@contextmanager
def browser(profile):
    """A headless Chromium; gives a function (method, **params) -> result of its first page's DevTools."""
    from websockets.sync.client import connect

    chromium = subprocess.Popen([CHROMIUM, *FLAGS, f"--user-data-dir={profile}"], stderr=subprocess.DEVNULL)
    try:
        port = wait_for(lambda: (profile / "DevToolsActivePort").read_text().split()[0], "Chromium's port")
        tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30))
        address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
        with connect(address, max_size=None) as socket:

            def ask(method, **params):
                socket.send(json.dumps({"id": 1, "method": method, "params": params}))
                while (answer := json.loads(socket.recv(timeout=60))).get("id") != 1:
                    pass
                return answer["result"]

            yield ask
    finally:
        chromium.terminate()
        chromium.wait()


def wait_for(get, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if value := get():
                return value
        except (OSError, IndexError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"{what} did not come within {PATIENCE_S} s")


def magenta_columns(ask):
    """The columns of a screenshot in which the wall is to be seen."""
    data = base64.b64decode(ask("Page.captureScreenshot", format="png")["data"])
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    return np.flatnonzero((np.abs(pixels - MAGENTA).max(-1) < 40).sum(0) > 5)


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt-get install chromium)")
def test_the_page_shows_picture_and_cloud(tmp_path):
    pytest.importorskip("websockets", reason="needs: pip install websockets")
    web, grpc = free_port(), free_port()
    saved = tmp_path / "seen.rrd"
    with viewer(window="web", web_port=web, grpc_port=grpc, save=saved) as node, scene(), browser(tmp_path) as ask:
        url = next(line for line in node.stderr if "open http" in line).split("open ")[1].strip()
        assert url.startswith(f"http://127.0.0.1:{web}/")
        ask("Page.navigate", url=url)
        canvas = "document.querySelector('canvas')?.width > 0"
        wait_for(lambda: ask("Runtime.evaluate", expression=canvas)["result"]["value"], "the canvas")
        # The cloud takes the left two thirds of the page, the picture the right third.
        wait_for(lambda: (columns := magenta_columns(ask)).size and columns[0] < 600 <= columns[-1], "the wall")
        node.send_signal(signal.SIGINT)
        assert node.wait(30) == 0
    assert saved.stat().st_size > 10_000
    wait_for(lambda: not listening(web), "the end of the page")


def test_topics_may_be_remapped_and_instances_are_named(tmp_path):
    saved = tmp_path / "seen.rrd"
    topics = "camera/color/image_raw depth/image depth/confidence depth/points depth/camera_info".split()
    topics += ["depth/instances", "depth/instances/table"]
    remapped = [word for topic in topics for word in ("-r", f"{topic}:=robot/{topic}")]
    with viewer(*remapped, window="none", save=saved) as node, scene("robot/"):
        wait_for(lambda: saved.stat().st_size > 10_000, "a picture in the file")
        node.send_signal(signal.SIGINT)
        assert node.wait(30) == 0
    # What a file of Rerun says by its own tool: names in the picture, boxes in space, words in the table.
    rerun = Path(find_spec("rerun_cli").origin).parent / "rerun"
    said = subprocess.run([rerun, "rrd", "print", "-vvv", saved], capture_output=True, text=True, check=True).stdout
    assert said.count("#70001 person 4.2 m behind #3") >= 2, "in the picture and in space"
    for entity in ("/camera/instances/ids", "/camera/instances/names", "/boxes", "/table"):
        assert entity in said


def test_the_table_says_who_is_nearest_how_sure_and_who_hides_whom():
    nearer = replace(HIDDEN, id=3, class_id=3, depth_m=2.5, sigma_m=0.125, visible=1.0, hidden_by=0, age_s=0.25)
    assert table_text((HIDDEN, nearer)).splitlines()[2:] == [
        "| #3 | ball | 2.50 m ± 0.12 | 100% |  | 0.2 s |",
        "| #70001 | person | 4.25 m ± 0.50 | 75% | #3 | 12.5 s |",
    ]


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with viewer(window="web", web_port=port, grpc_port=free_port()) as node:
            _, errors = node.communicate(timeout=60)
    assert node.returncode == 2
    assert f"port {port} is taken" in errors
