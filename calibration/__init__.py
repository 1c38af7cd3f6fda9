"""From pictures to numbers of fewer bits: ranges, Q/DQ graphs, calibration caches, accuracy."""
