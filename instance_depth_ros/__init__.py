"""Metric depth in a crowd: video depth with key-frame memory and instance rectification, for ROS 2."""

__version__ = "0.1.0"
