"""What a tracker can be told: lengths relative to the box, durations in seconds."""

import msgspec

from ...core import ConfigError


class TrackerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of `Tracker`; the defaults suit people, at any frame rate and picture size.

    A length is in heights of the box, a speed in heights a second, a duration in seconds. The
    cost of a pair is 1 less its overlap, and what the weights below add.

    Attributes:
        low_score: Detections below are ignored.
        high_ratio: Detections from this share of the scene's usual score match first; weaker
            ones only go on with tracks that are left (ByteTrack, Zhang et al., ECCV 2022).
        birth_ratio: Mean score that a new track needs, as a share of the scene's usual score.
        birth_cap: The most that a new track's mean score is ever asked for.
        walk: A weaker object becomes a track all the same once it has gone so far, in heights
            that are usual in the scene or its own, whichever is more.
        mean_s: Time over which the mean score of a new track is taken.
        level_s: Time in which the usual score and height of the scene are learned.
        birth_overlap: A new object that overlaps a tracked one by more (IoU) is its duplicate.
        confirm_hits: Frames in which a new track must have been seen, at least.
        confirm_s: How long a new track must have been seen, at least.
        tentative_s: A new track that is unseen for longer ends.
        fresh_s: A track that is unseen for longer is lost: it is matched last.
        coast_s: A confirmed track that is unseen is told for so long, where it should be, but
            for no longer than it had been seen.
        lost_s: A confirmed track that is unseen for longer ends.
        inside: Share of a predicted box that must lie where objects have been seen; one that
            has left the picture is not told.
        buffer: Widening of boxes for the overlap, as a share of their size (C-BIoU, Yang et al.,
            WACV 2023).
        lost_buffer: The same for lost tracks.
        gate: Standard deviations within which a detection may belong to a track.
        match_cost: Cost from which a pair does not belong together.
        lost_cost: The same for lost tracks.
        distance_weight: Cost of each standard deviation between the centres.
        height_weight: Cost of a difference in height, times the logarithm of its ratio.
        age_cost: Cost of each second for which the track is unseen.
        young_cost: Cost of a track that is not confirmed, once its speed is known.
        young_share: What remains of the gain of such a track, so that confirmed ones go first.
        position_noise: Deviation of a detection's centre.
        size_noise: Deviation of a detection's width and height.
        crowd_noise: Doubt in a detection that other tracks overlap: factor on its variance for
            each whole overlap. Boxes of people who meet melt into one.
        robust: Deviations from which an outlier counts less (Huber's weight).
        acceleration: How fast speed changes: deviation after one second.
        size_drift: How fast the size changes: deviation after one second.
        speed: Deviation of the speed of a new object.
        speed_memory_s: How long an unseen object is thought to keep its speed.

    Raises:
        ConfigError: A setting is negative or not finite.
    """

    low_score: float = 0.1
    high_ratio: float = 0.45
    birth_ratio: float = 0.87
    birth_cap: float = 0.9
    walk: float = 4.0
    mean_s: float = 3.0
    level_s: float = 20.0
    birth_overlap: float = 0.45
    confirm_hits: float = 2.5
    confirm_s: float = 0.06
    tentative_s: float = 0.25
    fresh_s: float = 1.25
    coast_s: float = 0.6
    lost_s: float = 3.0
    inside: float = 0.9
    buffer: float = 0.3
    lost_buffer: float = 0.5
    gate: float = 5.2
    match_cost: float = 1.25
    lost_cost: float = 1.2
    distance_weight: float = 0.055
    height_weight: float = 1.6
    age_cost: float = 0.1
    young_cost: float = 0.6
    young_share: float = 0.4
    position_noise: float = 0.07
    size_noise: float = 0.1
    crowd_noise: float = 10.0
    robust: float = 0.75
    acceleration: float = 0.45
    size_drift: float = 0.085
    speed: float = 0.8
    speed_memory_s: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(
                    f"tracker.{name} is wrong", got=value, expected="a number from 0 up"
                )
