"""Poses: from a picture and boxes, or a picture alone, to key points in the picture's pixels.

    skeleton   what the points are called, how they are joined and mirrored
    crops      where in a net's input a box comes to lie, and the way back
    heatmaps   from a map a point to the place of the point
    model      a net that is given boxes: `load_pose`

Key points are `(n, k, 3)` float32: x, y in pixels of the picture, and a score of 0..1. The centre
of the first pixel is at 0, 0, as in the labels of COCO that such nets learn from; boxes are
measured between edges, so there the first pixel's centre lies at one half.
"""

from .crops import Crops, place_crops
from .heatmaps import REFINEMENTS, decode_heatmaps
from .model import PoseModel, build_pose, load_pose
from .skeleton import COCO_17, Skeleton, pose_score, read_skeleton

__all__ = [
    "COCO_17",
    "REFINEMENTS",
    "Crops",
    "PoseModel",
    "Skeleton",
    "build_pose",
    "decode_heatmaps",
    "load_pose",
    "place_crops",
    "pose_score",
    "read_skeleton",
]
