"""Several cameras in one process of depth nodes: a topic, parameters and a life each, one engine for all."""

import subprocess
import time
from collections import defaultdict

import pytest

pytest.importorskip("rclpy", reason="needs ROS")
import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.qos import QoSProfile  # noqa: E402
from ros_graph import PATIENCE_S, SMALL, camera_info, image, own_domain, picture, stamp_of  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402

from instance_depth_ros import graph  # noqa: E402

own_domain()
CAMERAS = ("front", "left")
PARAMS = """
/front/depth: {ros__parameters: {max_depth_m: 11.0}}
/left/depth: {ros__parameters: {max_depth_m: 12.0}}
"""


class Cameras:
    """Within `with`: the process of depth nodes that cameras='front,left' gives, drivers, and what is published."""

    def __init__(self, params):
        (spec,) = graph.nodes(SMALL | {"autostart": True}, "robot", files=(str(params),), cameras=",".join(CAMERAS))
        self._command, self._context = spec.command(), Context()
        self.stamps, self.said, self._stamp_ns = defaultdict(list), {}, 0

    def __enter__(self):
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("drivers", namespace="robot", context=self._context)
        self.executor = SingleThreadedExecutor(context=self._context)
        self.executor.add_node(self.node)
        many, self._out = QoSProfile(depth=50), {}
        for name in CAMERAS:
            self._out[name] = (
                self.node.create_publisher(Image, f"{name}/camera/color/image_raw", many),
                self.node.create_publisher(CameraInfo, f"{name}/camera/color/camera_info", many),
            )
            stamps = self.stamps[name]
            self.node.create_subscription(
                Image, f"{name}/depth/image", lambda m, stamps=stamps: stamps.append(stamp_of(m)), many
            )
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._note, many)
        self.process = subprocess.Popen(self._command)
        self.meet(*CAMERAS)
        return self

    def __exit__(self, *exc_info):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _note(self, message):
        for status in message.status:
            self.said[status.name] = {pair.key: pair.value for pair in status.values}

    def until(self, predicate):
        deadline = time.monotonic() + PATIENCE_S
        while not predicate():
            assert time.monotonic() < deadline and self.process.poll() is None, self.said
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, kind, name, request):
        client = self.node.create_client(kind, name)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        return future.result()

    def change(self, name, label):
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, f"{name}/depth/change_state", request).success

    def meet(self, *names):
        """Show frames until depth of each camera has come: all have found each other, and nothing is lost any more."""
        for name in names:
            self.stamps[name].clear()
        while not all(self.stamps[name] for name in names):
            self.send(*names)
            for _ in range(4):
                self.executor.spin_once(timeout_sec=0.05)
        last_ns = self._stamp_ns
        self.until(lambda: all(self.stamps[name][-1] == last_ns for name in names))

    def show(self, *names) -> int:
        """A frame of these cameras; its stamp, once each depth has come."""
        self.send(*names)
        self.until(lambda: all(self._stamp_ns in self.stamps[name] for name in names))
        return self._stamp_ns

    def send(self, *names):
        self._stamp_ns += 100_000_000
        for number, name in enumerate(names):
            color, info = self._out[name]
            info.publish(camera_info(self._stamp_ns))
            color.publish(image(picture(number), self._stamp_ns))


@pytest.fixture(scope="module")
def cameras(tmp_path_factory):
    params = tmp_path_factory.mktemp("params") / "cameras.yaml"
    params.write_text(PARAMS.replace("/front", "/robot/front").replace("/left", "/robot/left"))
    with Cameras(params) as cameras:
        yield cameras


def test_each_camera_has_its_depth_its_diagnostics_and_its_parameters(cameras):
    shown = [cameras.show(*CAMERAS) for _ in range(4)]
    assert [cameras.stamps[name][-4:] for name in CAMERAS] == [shown, shown]
    names = [f"/robot/{name}/depth" for name in CAMERAS]
    cameras.until(lambda: all(int(cameras.said.get(name, {}).get("frames_out", 0)) >= 5 for name in names))
    assert {cameras.said[name]["state"] for name in names} == {"active"}
    for name, max_depth_m in zip(CAMERAS, (11.0, 12.0), strict=True):
        request = GetParameters.Request(names=["max_depth_m"])
        response = cameras.call(GetParameters, f"{name}/depth/get_parameters", request)
        assert response.values[0].double_value == max_depth_m


def test_one_is_cleaned_up_and_comes_back_while_the_other_goes_on(cameras):
    cameras.show(*CAMERAS)
    assert cameras.change("left", "deactivate") and cameras.change("left", "cleanup")
    for _ in range(3):
        cameras.show("front")
    assert cameras.change("left", "configure") and cameras.change("left", "activate")
    cameras.meet(*CAMERAS)
    shown = cameras.show(*CAMERAS)
    assert all(cameras.stamps[name][-1] == shown for name in CAMERAS)


def test_a_process_of_cameras_without_a_name_says_what_a_name_is():
    done = subprocess.run(graph.NodeSpec("depth", cameras=("fr-ont",)).command(), capture_output=True, text=True)
    assert done.returncode == 2 and "got 'fr-ont'" in done.stderr
