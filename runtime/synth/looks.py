"""What people wear and what they are made of: parts to draw, with their radii and colours."""

from typing import Dict, List, Tuple

import numpy as np

from .draws import Colour, Draws, grey, mix, shade
from .pose import AT, BACKPACK, COLUMN, NO_BAG, SHOULDER_BAG, draw_body

# Name, one end, other end. Radii are shares of the height.
PARTS: Tuple[Tuple[str, str, str], ...] = (
    ("thigh_l", "left_hip", "left_knee"),
    ("thigh_r", "right_hip", "right_knee"),
    ("shin_l", "left_knee", "left_ankle"),
    ("shin_r", "right_knee", "right_ankle"),
    ("shoe_l", "left_heel", "left_toe"),
    ("shoe_r", "right_heel", "right_toe"),
    ("arm_l", "left_shoulder", "left_elbow"),
    ("arm_r", "right_shoulder", "right_elbow"),
    ("fore_l", "left_elbow", "left_wrist"),
    ("fore_r", "right_elbow", "right_wrist"),
    ("hand_l", "left_wrist", "left_hand"),
    ("hand_r", "right_wrist", "right_hand"),
    ("neck", "chest", "chin"),
    ("skull", "chin", "crown"),
    ("face", "face_low", "face_high"),
    ("hair", "hair", "hair"),
    ("mane", "hair", "nape"),
    ("bag", "bag_high", "bag_low"),
    ("brim", "crown", "brim"),
    ("shirt", "front_high", "front_low"),
    ("print", "print", "print"),
    ("eye_l", "left_eye", "left_eye"),
    ("eye_r", "right_eye", "right_eye"),
)
PART = {name: k for k, (name, _, _) in enumerate(PARTS)}
ENDS = np.array([[AT[a], AT[b]] for _, a, b in PARTS])
FRONT = [PART[name] for name in ("shirt", "print", "eye_l", "eye_r")]
"""Parts on the front, not drawn on who is seen from behind."""

# Hulls around four discs: name, the joints, whose radii follow in `hull_radii`.
HULLS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("skirt", ("left_hip", "right_hip", "hem_left", "hem_right")),
    ("hips", ("left_waist", "right_waist", "left_hip", "right_hip")),
    ("torso", ("left_shoulder", "right_shoulder", "left_waist", "right_waist")),
)
HULL_ENDS = np.array([[AT[name] for name in joints] for _, joints in HULLS])
STRIPES = 5

SKIN: List[Colour] = [
    (175, 198, 232), (150, 182, 224), (128, 164, 212), (104, 142, 194), (78, 112, 166),
    (58, 84, 132), (42, 62, 100),
]  # fmt: skip
HAIR: List[Colour] = [
    (24, 26, 30), (30, 36, 48), (36, 52, 82), (52, 82, 122), (96, 142, 178), (150, 152, 156),
    (205, 205, 205), (38, 50, 110),
]  # fmt: skip
CLOTH: List[Colour] = [
    (40, 38, 38), (62, 58, 56), (98, 96, 94), (150, 150, 150), (205, 206, 208), (232, 232, 230),
    (96, 60, 36), (140, 96, 52), (170, 128, 80), (60, 44, 120), (48, 52, 170), (70, 90, 190),
    (60, 120, 70), (70, 96, 52), (90, 160, 190), (60, 190, 220), (140, 80, 130), (180, 150, 220),
    (200, 190, 120), (40, 70, 110), (70, 110, 150), (120, 170, 205), (84, 40, 24), (160, 60, 40),
]  # fmt: skip
TROUSERS: List[Colour] = [
    (42, 38, 36), (60, 54, 50), (96, 72, 52), (118, 90, 66), (142, 112, 86), (80, 44, 30),
    (96, 96, 98), (120, 148, 166), (60, 78, 92), (150, 170, 184), (48, 50, 66), (190, 196, 200),
]  # fmt: skip


class Looks:
    """One person's body and clothes.

    Attributes:
        body: `(len(COLUMNS),)` numbers of the body.
        radii: `(len(PARTS), 2)` shares of the height; 0 where a part is not worn.
        hull_radii: `(len(HULLS), 4)` shares of the height.
        colours: BGR of the parts.
        hull_colours: BGR of the hulls.
        stripes: BGR of stripes around the torso, or None.
    """

    def __init__(self, seed: int, number: int, height: float, bags: bool = True) -> None:
        draw = Draws(seed, 5, number)
        self.body, woman = draw_body(draw, height)
        girth = self.body[COLUMN["girth"]]
        skin = shade(draw.pick(SKIN), draw.uniform(0.92, 1.06))
        hair = shade(draw.pick(HAIR), draw.uniform(0.85, 1.1))
        top, low = self._cloth(draw, CLOTH), self._cloth(draw, TROUSERS)
        shoe = draw.pick([grey(30), grey(55), (40, 58, 84), grey(225), grey(40), (50, 50, 70)])
        bag = self._cloth(draw, CLOTH)
        kind = draw.unit()
        short_sleeves = kind < 0.38
        jacket = kind > 0.62
        coat = kind > 0.86
        skirt = woman and not coat and draw.chance(0.3)
        shorts = not skirt and not coat and draw.chance(0.12)
        loose = draw.uniform(0.95, 1.25)
        puff = 1.12 if jacket else 1.0
        child = 1.0 + 0.28 * max(0.0, (1.5 - height) / 0.3)

        radii: Dict[str, Tuple[float, float]] = {
            "thigh": (0.052 * girth * loose, 0.036 * loose),
            "shin": (0.036 * loose, 0.026 * loose),
            "shoe": (0.022, 0.019),
            "arm": (0.032 * girth * puff, 0.027 * puff),
            "fore": (0.026 * puff, 0.02 * puff),
            "hand": (0.018, 0.016),
            "neck": (0.032, 0.028),
            "skull": (0.04 * child, 0.05 * child),
            "face": (0.031 * child, 0.039 * child),
            "hair": (0.052 * child, 0.052 * child),
        }
        if shorts or skirt:
            radii["shin"] = (0.033, 0.022)
        if short_sleeves:
            radii["fore"] = (0.023, 0.017)
        self.radii = np.zeros((len(PARTS), 2))
        for name, value in radii.items():
            for suffix in ("", "_l", "_r"):
                if name + suffix in PART:
                    self.radii[PART[name + suffix]] = value
        legs = skin if (skirt and draw.chance(0.6)) else low
        colours: Dict[str, Colour] = {
            "thigh": legs if skirt else low,
            "shin": skin if shorts else legs if skirt else low,
            "shoe": shoe,
            "arm": top,
            "fore": skin if short_sleeves else top,
            "hand": skin,
            "neck": shade(skin, 0.86),
            "skull": shade(skin, 0.95),
            "face": skin,
            "hair": hair,
            "mane": shade(hair, 0.92),
            "bag": bag,
            "brim": shade(top, 0.8),
            "shirt": self._cloth(draw, CLOTH),
            "print": self._cloth(draw, CLOTH),
            "eye": shade(skin, 0.45),
        }
        self._head(draw, woman, colours, child)
        if coat:
            self.body[COLUMN["hem"]] = draw.uniform(0.6, 1.15)
        elif skirt:
            self.body[COLUMN["hem"]] = draw.uniform(0.75, 1.45)
        if not bags:
            self.body[COLUMN["bag_kind"]] = self.body[COLUMN["carry"]] = 0.0
        bag_kind = int(self.body[COLUMN["bag_kind"]])
        if bag_kind != NO_BAG:
            size = {BACKPACK: (0.075, 0.085), SHOULDER_BAG: (0.042, 0.055)}.get(
                bag_kind, (0.04, 0.062)
            )
            self.radii[PART["bag"]] = size
        if jacket and draw.chance(0.6):
            self.radii[PART["shirt"]] = (0.018, 0.02)
        elif not jacket and draw.chance(0.25):
            self.radii[PART["print"]] = (0.034, 0.034)
        self.radii[PART["eye_l"]] = self.radii[PART["eye_r"]] = 0.004
        waist = (0.048 if woman else 0.054) * girth * puff
        hip = (0.062 if woman else 0.056) * girth * loose**0.5
        flare = draw.uniform(0.05, 0.075)
        hems = self.body[COLUMN["hem"]] > 0
        self.hull_radii = np.array(
            [
                [hip * 1.04, hip * 1.04, flare, flare] if hems else [0.0] * 4,
                [waist, waist, hip, hip],
                [0.036 * puff * girth, 0.036 * puff * girth, waist * 1.06, waist * 1.06],
            ]
        )
        self.colours = []
        for name, _, _ in PARTS:
            base = name[:-2] if name[-2:] in ("_l", "_r") else name
            self.colours.append(colours[base])
        self.hull_colours = [top if coat else low, top if coat else low, top]
        self.stripes = None
        if not jacket and self.radii[PART["print"], 0] == 0 and draw.chance(0.25):
            self.stripes = self._cloth(draw, CLOTH)
        self.texture = (draw.whole(256), draw.whole(256))

    @staticmethod
    def _cloth(draw: Draws, colours: List[Colour]) -> Colour:
        base = shade(draw.pick(colours), draw.uniform(0.75, 1.2))
        if draw.chance(0.55):  # most clothes are not gaudy
            base = mix(base, grey((base[0] + base[1] + base[2]) / 3), draw.uniform(0.4, 0.95))
        return (
            min(max(base[0] + draw.uniform(-14, 14), 8.0), 250.0),
            min(max(base[1] + draw.uniform(-14, 14), 8.0), 250.0),
            min(max(base[2] + draw.uniform(-14, 14), 8.0), 250.0),
        )

    def _head(self, draw: Draws, woman: bool, colours: Dict[str, Colour], child: float) -> None:
        share = draw.unit()
        if share < 0.08 and not woman:  # bald
            self.radii[PART["hair"]] = 0.0
        elif share < 0.2:  # cap
            colours["hair"] = colours["brim"]
            self.radii[PART["brim"]] = (0.04 * child, 0.03 * child)
        elif share < 0.26:  # scarf or hood
            colours["hair"] = colours["mane"] = colours["neck"] = self._cloth(draw, CLOTH)
            self.radii[PART["mane"]] = (0.052 * child, 0.055 * child)
        elif woman and share < 0.85 or share > 0.97:
            long = draw.uniform(0.035, 0.055) * child
            self.radii[PART["mane"]] = (0.048 * child, long)
