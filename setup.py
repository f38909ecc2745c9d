"""Packaging for pip and colcon; metadata stands here because colcon and Humble's setuptools read no [project] table."""

import os

from setuptools import find_packages, setup

NAME = "instance_depth_ros"
SHARE = f"share/{NAME}"


def shared(folder):
    """The files of a folder and below, each to the same place under share/."""
    for place, _, files in os.walk(folder):
        yield f"{SHARE}/{place}", [f"{place}/{name}" for name in files if not name.endswith(".pyc")]


setup(
    name=NAME,
    version="0.1.0",
    description="Streaming metric depth and instances from any camera, on ROS 2",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    maintainer="instance_depth_ros maintainers",
    maintainer_email="maintainers@instance-depth-ros.invalid",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["weights/*.safetensors", "weights/*.md", "**/*.npz", "**/*.yaml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        *shared("launch"),
        *shared("config"),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=["numpy", "opencv-python-headless", "pyyaml", "safetensors", "scipy", "torch"],
    extras_require={
        "simulation": ["mujoco"],
        "viewer": ["rerun-sdk"],
        "video": ["av"],
        # of bags; mcap reads what rosbags cannot, files that were cut
        "replay": ["rosbags", "mcap"],
        "realsense": ["pyrealsense2"],
        "onnx": ["onnx", "onnxscript", "onnxruntime"],
        "hf": ["transformers>=5.9", "torchvision"],
        "datasets": ["h5py"],
        # and `pip install --no-deps trackeval`, which asks for a second OpenCV and uses none
        "evaluation": ["pycocotools", "tabulate"],
        "training": ["tensorboard"],
        "test": [
            *("pytest", "pytest-xdist", "ruff", "websockets", "transformers>=5.9", "h5py"),
            *("pycocotools", "tabulate", "tensorboard", "rosbags", "mcap"),
            'pyrealsense2; platform_machine == "x86_64"',
        ],
    },
    entry_points={
        "console_scripts": [
            "camera_node = instance_depth_ros.nodes.camera:main",
            "depth_node = instance_depth_ros.nodes.depth:main",
            "recorder_node = instance_depth_ros.nodes.recorder:main",
            "viewer_node = instance_depth_ros.nodes.viewer:main",
            "instance-depth = instance_depth_ros.cli:main",
        ],
    },
)
