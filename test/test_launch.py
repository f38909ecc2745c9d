"""depth.launch.py, where launch and launch_ros are installed."""

import pytest

from instance_depth_ros import config
from instance_depth_ros.shared import shared_file

pytest.importorskip("launch", reason="launch comes with a ROS installation")
pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS installation")
from launch.actions import DeclareLaunchArgument, OpaqueFunction  # noqa: E402
from launch.launch_description_sources import get_launch_description_from_python_launch_file  # noqa: E402
from launch.utilities import perform_substitutions  # noqa: E402

from launch import LaunchContext  # noqa: E402


@pytest.fixture
def description():
    return get_launch_description_from_python_launch_file(str(shared_file("launch/depth.launch.py")))


def nodes(description, **given):
    """The launch_ros nodes that these arguments give."""
    context = LaunchContext()
    context.launch_configurations.update(given)
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    (function,) = (entity for entity in description.entities if isinstance(entity, OpaqueFunction))
    return context, function.execute(context)


def test_arguments_come_from_the_settings_and_have_help(description):
    arguments = {a.name: a for a in description.entities if isinstance(a, DeclareLaunchArgument)}
    assert set(arguments) == {
        "camera",
        "camera_path",
        "weights",
        "engine",
        "instances",
        "namespace",
        "cameras",
        "remap",
        "record",
        "record_folder",
        "record_profile",
        "rviz",
        "viewer",
        "params",
    }
    assert all(argument.description for argument in arguments.values())
    assert tuple(arguments["camera"].choices) == config.CAMERAS


def test_a_file_brings_a_camera_node_a_topic_does_not(description):
    _, alone = nodes(description)
    assert [node.node_executable for node in alone] == ["depth_node"]
    _, both = nodes(description, camera="file", camera_path="clip.mp4", viewer="true")
    assert [node.node_executable for node in both] == ["camera_node", "depth_node", "viewer_node"]
    _, two = nodes(description, camera="webcam", cameras="front,left")
    assert [node.node_executable for node in two] == ["camera_node", "camera_node", "depth_node"]
    _, recorded = nodes(description, camera="webcam", cameras="front,left", record="true")
    assert [node.node_executable for node in recorded] == [*["camera_node"] * 2, *["recorder_node"] * 2, "depth_node"]
    _, driver = nodes(description, camera="realsense_driver")
    assert [node.node_executable for node in driver] == ["depth_node"]
    _, with_rviz = nodes(description, rviz="true")
    assert [node.node_executable for node in with_rviz] == ["depth_node", "rviz2"]


def test_a_remap_line_reaches_the_node(description):
    context, (depth,) = nodes(description, remap="camera/color/image_raw:=/some/image depth/image:=/far")
    remapped = [[perform_substitutions(context, list(name)) for name in pair] for pair in depth._Node__remappings]
    assert remapped == [["camera/color/image_raw", "/some/image"], ["depth/image", "/far"]]
