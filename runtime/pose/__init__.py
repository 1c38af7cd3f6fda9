"""Poses: from a picture and boxes, or a picture alone, to key points in the picture's pixels.

    skeleton   what the points are called, how they are joined and mirrored
    crops      where in a net's input a box comes to lie, and the way back
    heatmaps   from a map a point to the place of the point
    families   the layouts of nets that are given boxes: heatmaps, SimCC, MoveNet
    model      such a net: `load_pose`
    whole      the layouts of nets that find all people at once: YOLO-pose and others
    paf        people from part affinity fields
    detector   such a net: `load_pose_detector`

Key points are `(n, k, 3)` float32: x, y in pixels of the picture, and a score of 0..1. The centre
of the first pixel is at 0, 0, as in the labels of COCO that such nets learn from; boxes are
measured between edges, so there the first pixel's centre lies at one half.
"""

from .crops import Crops, place_crops
from .detector import PoseDetector, build_pose_detector, load_pose_detector
from .heatmaps import REFINEMENTS, decode_heatmaps
from .model import PoseModel, build_pose, load_pose
from .skeleton import COCO_17, OPENPOSE_18, Skeleton, pose_score, read_skeleton

__all__ = [
    "COCO_17",
    "OPENPOSE_18",
    "REFINEMENTS",
    "Crops",
    "PoseDetector",
    "PoseModel",
    "Skeleton",
    "build_pose",
    "build_pose_detector",
    "decode_heatmaps",
    "load_pose",
    "load_pose_detector",
    "place_crops",
    "pose_score",
    "read_skeleton",
]
