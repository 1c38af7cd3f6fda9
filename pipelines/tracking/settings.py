"""What a tracker can be told: lengths relative to the box, durations in seconds."""

import msgspec

from ...core import ConfigError


class TrackerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `Tracker`; the defaults suit people, at any frame rate and picture size.

    A length is in heights of the box, a speed in heights a second, a duration in seconds.

    Attributes:
        low_score: Detections below are ignored.
        high_ratio: Detections from this share of the scene's usual score match first; weaker
            ones only go on with tracks that are left.
        birth_ratio: Mean score that a new track needs, as a share of the scene's usual score.
        birth_cap: The most that a new track's mean score is ever asked for.
        walk: A weaker object becomes a track all the same once it has gone so far.
        level_s: How fast the usual score of the scene is learned.
        birth_overlap: A new object that overlaps a tracked one by more (IoU) is its duplicate.
        confirm_hits: Frames in which a new track must have been seen.
        confirm_s: How long a new track must have been seen.
        tentative_s: A new track that is unseen for longer ends.
        fresh_s: A track that is unseen for longer is lost: it is matched last, and more widely.
        coast_s: A track that is unseen is predicted for so long.
        lost_s: A track that is unseen for longer ends.
        buffer: Widening of boxes for the overlap, as a share of their size (Yang et al., C-BIoU,
            WACV 2023).
        lost_buffer: The same for lost tracks.
        gate: Standard deviations within which a detection may belong to a track.
        match_cost: Cost from which two do not belong together; 1 is boxes that do not overlap.
        lost_cost: The same for lost tracks.
        distance_weight: Weight of the distance of centres in the cost.
        height_weight: Weight of the difference of heights in the cost.
        position_noise: Deviation of a detection's centre.
        size_noise: Deviation of a detection's width and height.
        acceleration: How fast speed changes: deviation after one second.
        size_drift: How fast the size changes: relative deviation after one second.
        speed: Deviation of the speed of a new object.
        speed_memory_s: How long an unseen object is thought to keep its speed.
    """

    low_score: float = 0.1
    high_ratio: float = 0.501
    birth_ratio: float = 0.84
    birth_cap: float = 0.854
    walk: float = 4.0
    mean_s: float = 3.0
    level_s: float = 20.0
    birth_overlap: float = 0.556
    confirm_hits: float = 2.5
    confirm_s: float = 0.106
    tentative_s: float = 0.3
    fresh_s: float = 1.0
    coast_s: float = 0.24
    lost_s: float = 3.0
    buffer: float = 0.271
    lost_buffer: float = 0.558
    gate: float = 4.38
    match_cost: float = 1.09
    lost_cost: float = 1.17
    distance_weight: float = 0.267
    surprise_weight: float = 0.259
    age_cost: float = 0.1
    young_cost: float = 0.4
    robust: float = 0.831
    crowd_noise: float = 10.0
    inside: float = 0.9
    height_weight: float = 2.0
    position_noise: float = 0.0631
    size_noise: float = 0.0871
    acceleration: float = 0.558
    size_drift: float = 0.101
    speed: float = 0.748
    speed_memory_s: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(
                    f"tracker.{name} is wrong", got=value, expected="a number from 0 up"
                )
