"""How bodies stand, walk and reach: joints in the world from a few numbers a person.

Lengths are shares of the body's height (Drillis and Contini, "Body segment parameters", 1966). In
a body's own frame x points to its right, y ahead and z up.
"""

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from .draws import Draws

JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_hand", "right_hand", "left_toe", "right_toe", "left_heel", "right_heel",
    "left_waist", "right_waist", "pelvis", "chest", "neck", "chin", "crown", "face_low",
    "face_high", "hair", "nape", "bag_high", "bag_low", "front_high", "front_low",
    "hem_left", "hem_right", "brim", "print",
)  # fmt: skip
"""All joints; the first 17 are those of COCO."""

AT = {name: k for k, name in enumerate(JOINTS)}
COLUMNS = (
    "height", "shoulder", "hip", "girth", "pace_swing", "handed", "phone", "carry",
    "hem", "bag_kind", "stoop", "width",
)  # fmt: skip
COLUMN = {name: k for k, name in enumerate(COLUMNS)}

NO_BAG, BACKPACK, SHOULDER_BAG, BASKET, LOAD = range(5)


def draw_body(draw: Draws, height: float) -> Tuple[np.ndarray, bool]:
    """A body's numbers in the order of `COLUMNS`, and whether it is a woman's."""
    woman = draw.chance(0.5)
    girth = min(max(draw.bell(1.0, 0.12), 0.78), 1.45)
    shoulder = draw.uniform(0.1, 0.112) if woman else draw.uniform(0.112, 0.126)
    hip = draw.uniform(0.058, 0.068) if woman else draw.uniform(0.05, 0.06)
    bag = NO_BAG
    share = draw.unit()
    if share < 0.16:
        bag = BACKPACK
    elif share < 0.38:
        bag = SHOULDER_BAG
    elif share < 0.6:
        bag = BASKET
    row = np.array(
        [
            height,
            shoulder * (0.85 + 0.15 * girth),
            hip * girth,
            girth,
            draw.uniform(0.7, 1.3),
            1.0 if draw.chance(0.85) else -1.0,
            1.0 if draw.chance(0.3) else 0.0,
            1.0 if bag == BASKET else 0.0,
            0.0,
            float(bag),
            draw.uniform(0.0, 0.12),
            draw.uniform(0.9, 1.15),
        ]
    )
    return row, woman


@dataclass
class Pose:
    """How `n` bodies hold themselves; shares of the height in the body's own frame.

    Attributes:
        place: `(n, 3)` metres in the world, of the point on the floor that the body is over.
        facing: `(n, 2)` unit vectors.
        pelvis: `(n, 3)`.
        feet: `(n, 2, 3)` ankles, left and right.
        toes: `(n, 2)` radians by which the toes point up.
        upper: `(n, 2, 3)` directions of the upper arms, in the torso's frame.
        fore: `(n, 2, 3)` directions of the forearms.
        pitch: `(n,)` radians that the torso leans forward.
        twist: `(n,)` radians that the shoulders turn to the left.
        nod: `(n,)` radians that the head looks down.
        turn: `(n,)` radians that the head turns to the left.
        tilt: `(n,)` radians that the whole body has fallen backwards.
        knees: `(n, 2, 3)` where the knees point.
    """

    place: np.ndarray
    facing: np.ndarray
    pelvis: np.ndarray
    feet: np.ndarray
    toes: np.ndarray
    upper: np.ndarray
    fore: np.ndarray
    pitch: np.ndarray
    twist: np.ndarray
    nod: np.ndarray
    turn: np.ndarray
    tilt: np.ndarray
    knees: np.ndarray


def arm(ahead, aside) -> np.ndarray:
    """Directions of arms `(n, 2, 3)` from angles ahead of and away from hanging down."""
    ahead, aside = np.asarray(ahead) + np.zeros(2), np.asarray(aside) + np.zeros(2)
    out = np.sin(aside) * np.array([-1.0, 1.0])
    return np.stack((out, np.sin(ahead) * np.cos(aside), -np.cos(ahead) * np.cos(aside)), axis=-1)


def walking(tracks: np.ndarray, bodies: np.ndarray) -> Pose:
    """The pose of people who walk or stand.

    Args:
        tracks: `(n, 7)` as `people.FIELDS`: x, y, facing, gait 0..1, stride in metres, reach.
        bodies: `(n, len(COLUMNS))`.
    """
    n = len(tracks)
    height = bodies[:, COLUMN["height"]]
    gait = tracks[:, 4:5] + np.array([0.0, 0.5])
    gait = gait - np.floor(gait)
    stride = (tracks[:, 5] / height)[:, None]
    reach = tracks[:, 6]
    moving = np.clip(stride / 0.5, 0.0, 1.0)
    still = 1.0 - moving[:, 0]
    # While it stands (0.6 of the cycle) a foot moves back under the body as the body moves on.
    swing = np.clip((gait - 0.6) / 0.4, 0.0, 1.0)
    smooth = swing * swing * (3 - 2 * swing)
    offset = np.where(gait < 0.6, 0.3 - gait, -0.3 + 0.6 * smooth) * stride
    lift = np.sin(np.pi * swing) * 0.05 * moving
    lift += np.clip((gait - 0.4) / 0.2, 0, 1) * (1 - swing) * 0.035 * moving
    feet = np.zeros((n, 2, 3))
    hip = bodies[:, COLUMN["hip"]]
    spread = np.array([-1.0, 1.0]) * (hip * (0.75 + 0.35 * still))[:, None]
    feet[:, :, 0] = spread
    feet[:, :, 1] = offset - 0.01
    feet[:, :, 2] = 0.04 + lift
    toes = np.where(gait < 0.1, 0.35 * (1 - gait / 0.1), 0.0)
    toes = (toes - 0.8 * np.clip((gait - 0.4) / 0.2, 0, 1) * (1 - swing)) * moving
    pelvis = np.zeros((n, 3))
    bounce = np.cos(4 * np.pi * tracks[:, 4])
    pelvis[:, 2] = 0.527 - 0.012 * (1 + bounce) * moving[:, 0]
    # Arms swing against the legs; who reaches or looks at a phone lifts them.
    wide = 0.05 + 0.12 * np.clip(bodies[:, COLUMN["girth"]] - 0.9, 0, 0.6)
    amount = 0.5 * bodies[:, COLUMN["pace_swing"]] * np.clip(tracks[:, 5] / 1.3, 0, 1.3)
    carry = bodies[:, COLUMN["carry"]]
    hand = np.stack((bodies[:, COLUMN["handed"]] < 0, bodies[:, COLUMN["handed"]] > 0), axis=1)
    loose = 1.0 - 0.75 * carry[:, None] * ~hand
    ahead = -amount[:, None] * np.cos(2 * np.pi * gait) * loose
    bend = (0.25 + 0.5 * np.clip(ahead, 0, 1)) * loose
    phone = (bodies[:, COLUMN["phone"]] * still * (1 - reach))[:, None] * hand
    grasp = reach[:, None] * np.where(hand, 1.0, 0.25)
    ahead = ahead * (1 - grasp) + 1.15 * grasp + 0.35 * phone
    bend = bend * (1 - grasp) + 0.35 * grasp + 1.6 * phone
    aside = np.broadcast_to(wide[:, None], (n, 2)) + 0.12 * (1 - grasp) * (1 - phone)
    nod = 0.1 + 0.35 * phone.max(axis=1) + 0.25 * reach
    zero = np.zeros(n)
    knees = np.zeros((n, 2, 3))
    knees[:, :, 1] = 1.0
    knees[:, :, 0] = np.array([-0.12, 0.12])
    return Pose(
        place=np.stack((tracks[:, 0], tracks[:, 1], zero), axis=1),
        facing=tracks[:, 2:4],
        pelvis=pelvis,
        feet=feet,
        toes=toes,
        upper=arm(ahead, aside),
        fore=arm(ahead + bend, aside * (1 - 2.2 * phone) - 0.12 * grasp),
        pitch=0.03 + bodies[:, COLUMN["stoop"]] + 0.05 * moving[:, 0] + 0.14 * reach,
        twist=0.12 * moving[:, 0] * np.cos(2 * np.pi * tracks[:, 4]),
        nod=nod,
        turn=zero,
        tilt=zero,
        knees=knees,
    )


def skeleton(pose: Pose, bodies: np.ndarray) -> np.ndarray:
    """Joints in the world in metres, `(n, len(JOINTS), 3)`."""
    n = len(bodies)
    joints = np.zeros((n, len(JOINTS), 3))
    column = {name: bodies[:, k] for name, k in COLUMN.items()}

    def put(name: str, value: np.ndarray) -> None:
        joints[:, AT[name]] = value

    # The torso's own axes: right, ahead, up.
    cp, sp = np.cos(pose.pitch), np.sin(pose.pitch)
    ct, st = np.cos(pose.twist), np.sin(pose.twist)
    zero = np.zeros(n)
    right = np.stack((ct, st * cp, -st * sp), axis=1)
    ahead = np.stack((-st, ct * cp, -ct * sp), axis=1)
    up = np.stack((zero, sp, cp), axis=1)

    def torso(x, y, z) -> np.ndarray:
        x, y, z = (np.broadcast_to(np.asarray(v, float), (n,))[:, None] for v in (x, y, z))
        return pose.pelvis + x * right + y * ahead + z * up

    chest = 0.285
    girth, kind, handed = column["girth"], column["bag_kind"], column["handed"]
    put("pelvis", pose.pelvis)
    put("chest", torso(0, 0, chest))
    put("neck", torso(0, 0.0, chest + 0.035))
    put("front_high", torso(0, 0.055 * girth, chest))
    put("front_low", torso(0, 0.07 * girth, 0.02))
    put("print", torso(0, 0.07 * girth, 0.2))
    for k, side in enumerate(("left", "right")):
        sign = -1.0 if k == 0 else 1.0
        put(side + "_shoulder", torso(sign * column["shoulder"], 0, chest))
        put(side + "_waist", torso(sign * (column["hip"] * 0.9 + 0.004), 0, 0.085))
        direction = pose.upper[:, k]
        fore = pose.fore[:, k]
        axes = np.stack((right, ahead, up), axis=1)
        elbow = joints[:, AT[side + "_shoulder"]] + 0.172 * _turn(direction, axes)
        wrist = elbow + 0.15 * _turn(fore, axes)
        put(side + "_elbow", elbow)
        put(side + "_wrist", wrist)
        put(side + "_hand", wrist + 0.05 * _turn(fore, axes))
        # Legs: the knee by the cosine rule, where it points.
        hip = pose.pelvis + np.stack((sign * column["hip"], zero, zero), axis=1)
        way = pose.feet[:, k] - hip
        length = np.sqrt((way * way).sum(axis=1))
        thigh, shin = 0.245, 0.243
        reach = np.clip(length, 0.06, thigh + shin - 1e-4)
        way = way / np.maximum(length, 1e-9)[:, None]
        along = (thigh**2 - shin**2 + reach**2) / (2 * reach)
        bend = np.sqrt(np.maximum(thigh**2 - along**2, 0.0))
        pole = pose.knees[:, k] - (pose.knees[:, k] * way).sum(axis=1)[:, None] * way
        pole = pole / np.maximum(np.sqrt((pole * pole).sum(axis=1)), 1e-6)[:, None]
        knee = hip + along[:, None] * way + bend[:, None] * pole
        ankle = hip + reach[:, None] * way
        put(side + "_hip", hip)
        put(side + "_knee", knee)
        put(side + "_ankle", ankle)
        toe_up = pose.toes[:, k]
        foot = np.stack((sign * 0.18 * np.cos(toe_up), np.cos(toe_up), np.sin(toe_up)), axis=1)
        drop = np.stack((zero, zero, zero - 0.02), axis=1)
        put(side + "_toe", ankle + 0.105 * foot + drop)
        put(side + "_heel", ankle - 0.03 * foot + drop)
        hem = column["hem"][:, None]
        put("hem_" + side, hip + hem * (0.75 * (knee - hip) + np.array([sign * 0.012, 0, 0])))
    # The head.
    cn, sn = np.cos(pose.nod), np.sin(pose.nod)
    cy, sy = np.cos(pose.turn + pose.twist * 0.3), np.sin(pose.turn + pose.twist * 0.3)
    half = pose.pitch * 0.5
    ch, sh = np.cos(half), np.sin(half)
    look = np.stack((-sy * cn, cy * cn, -sn), axis=1)
    look = np.stack((look[:, 0], look[:, 1] * ch + look[:, 2] * sh, look[:, 2] * ch
                     - look[:, 1] * sh), axis=1)  # fmt: skip
    side = np.stack((cy, sy, zero), axis=1)
    top = np.cross(side, look)
    base = torso(0, 0.004, chest + 0.05)

    def head(x, y, z) -> np.ndarray:
        return base + x * side + y * look + z * top

    put("chin", head(0, 0.012, 0.022))
    put("crown", head(0, -0.004, 0.078))
    put("face_low", head(0, 0.022, 0.024))
    put("face_high", head(0, 0.017, 0.068))
    put("hair", head(0, -0.012, 0.076))
    put("nape", head(0, -0.03, 0.02 - 0.0))
    put("brim", head(0, 0.06, 0.095))
    put("nose", head(0, 0.07, 0.045))
    put("left_eye", head(-0.019, 0.06, 0.062))
    put("right_eye", head(0.019, 0.06, 0.062))
    put("left_ear", head(-0.045, 0.0, 0.055))
    put("right_ear", head(0.045, 0.0, 0.055))
    # Bags: on the back, at the hip, or in the hand.
    back = kind == BACKPACK
    aside = kind == SHOULDER_BAG
    free = np.where(handed[:, None] > 0, joints[:, AT["left_hand"]], joints[:, AT["right_hand"]])
    down = np.array([0.0, 0.0, 1.0])
    high = np.where(back[:, None], torso(0, -0.1, 0.23), torso(-handed * 0.12, 0.01, 0.06))
    low = np.where(back[:, None], torso(0, -0.105, 0.09), torso(-handed * 0.13, 0.01, -0.02))
    carried = (~back & ~aside)[:, None]
    high, low = (
        np.where(carried, free - 0.09 * down, high),
        np.where(carried, free - 0.14 * down, low),
    )
    load = (kind == LOAD)[:, None]  # held with both hands
    both = 0.5 * (joints[:, AT["left_hand"]] + joints[:, AT["right_hand"]])
    put("bag_high", np.where(load, both + np.array([-0.05, 0.03, 0.01]), high))
    put("bag_low", np.where(load, both + np.array([0.05, 0.03, 0.01]), low))
    # The whole body falls backwards about the heels, then turns and stands where it is.
    cf, sf = np.cos(pose.tilt)[:, None], np.sin(pose.tilt)[:, None]
    y, z = joints[:, :, 1], joints[:, :, 2]
    joints[:, :, 1], joints[:, :, 2] = y * cf - z * sf, y * sf + z * cf
    joints *= column["height"][:, None, None]
    fx, fy = pose.facing[:, :1], pose.facing[:, 1:2]
    x, y = joints[:, :, 0].copy(), joints[:, :, 1].copy()
    joints[:, :, 0] = pose.place[:, :1] + x * fy + y * fx
    joints[:, :, 1] = pose.place[:, 1:2] - x * fx + y * fy
    joints[:, :, 2] += pose.place[:, 2:]
    return joints


def _turn(direction: np.ndarray, axes: np.ndarray) -> np.ndarray:
    size = np.sqrt((direction * direction).sum(axis=1))
    unit = direction / np.maximum(size, 1e-9)[:, None]
    return (unit[:, :, None] * axes).sum(axis=1)
