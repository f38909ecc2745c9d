"""From messages to bags on the disk and back: written, mended, checked; without ROS."""
