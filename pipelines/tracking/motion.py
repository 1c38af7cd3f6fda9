"""How boxes move: Kalman filters for all tracks at once, with time in seconds.

The centre follows a velocity that fades (an Ornstein-Uhlenbeck process), the size drifts. Both
noises are relative to the height of the box, so x and y share one covariance, and so do width
and height: four numbers a track instead of a matrix (Bar-Shalom et al., 2001, ch. 6).
"""

import math

import numpy as np

from .settings import TrackerSettings

# Rows of the state: centre x, y, width, height in pixels; velocity in pixels a second;
# covariance of position and velocity, and of size, in heights.
CX, CY, W, H, VX, VY, PP, PV, VV, SS = range(10)
ROWS = 10
# Deviations from which a new track surprises, and by how much its speed may then be wider.
SURPRISE, SPRINT = 2.0, 5.0


def born(boxes: np.ndarray, settings: TrackerSettings) -> np.ndarray:
    """State `(10, n)` of new tracks from boxes `(4, n)` of centre, width and height."""
    state = np.zeros((ROWS, boxes.shape[1]))
    state[:4] = boxes
    state[PP] = settings.position_noise**2
    state[VV] = settings.speed**2
    state[SS] = settings.size_noise**2
    return state


def predict(state: np.ndarray, dt: float, settings: TrackerSettings) -> None:
    """Move the state `(10, n)` on by `dt` seconds, in place."""
    if dt <= 0:
        return
    memory = max(settings.speed_memory_s, 1e-3)
    fade = math.exp(-dt / memory)
    reach = memory * (1 - fade)
    noise = settings.acceleration**2
    state[CX : CY + 1] += reach * state[VX : VY + 1]
    state[VX : VY + 1] *= fade
    pv, vv = state[PV].copy(), state[VV]
    state[PP] += 2 * reach * pv + reach * reach * vv + noise * dt**3 / 3
    state[PV] = fade * (pv + reach * vv) + noise * dt * dt / 2
    state[VV] = fade * fade * vv + noise * dt
    state[SS] += settings.size_drift**2 * dt


def correct(
    state: np.ndarray,
    rows: np.ndarray,
    boxes: np.ndarray,
    doubt: np.ndarray,
    known: np.ndarray,
    settings: TrackerSettings,
) -> None:
    """Correct the tracks `rows` of the state `(10, n)` by their boxes `(4, k)`, in place.

    Args:
        state: See the module.
        rows: `(k,)` indices of tracks.
        boxes: `(4, k)` centre x, y, width, height in pixels.
        doubt: `(k,)` from 1 up, the factor on the noise of each box.
        known: `(k,)` bool, whether the track's speed is known: one that was seen once or twice
            may well surprise, and must be followed.
        settings: Where the noise is told.
    """
    part = state[:, rows]
    off = boxes - part[:4]
    height = part[H]

    noise = settings.position_noise**2 * doubt
    far = np.hypot(off[CX], off[CY]) / height
    surprise = far / np.sqrt(part[PP] + noise)
    new = (~known & (surprise > SURPRISE)).nonzero()[0]
    if len(new):
        # From a track of known speed a surprise is a doubtful box; a new one may be a runner, so
        # there the part of the covariance that comes from speed gives way, up to a sprint.
        rest = settings.position_noise**2
        # At least the part that speed explains, or position and speed would be more than one.
        explained = part[PV, new] ** 2 / part[VV, new]
        moved = np.maximum(np.maximum(part[PP, new] - rest, explained), 1e-12)
        wider = np.clip(far[new] ** 2 / moved, 1.0, SPRINT**2)
        part[PP, new] = rest + wider * moved
        part[PV : VV + 1, new] *= wider
    noise = noise * _outlier(surprise, known, settings)
    pp, pv = part[PP], part[PV]
    gain, turn = pp / (pp + noise), pv / (pp + noise)
    size_noise = settings.size_noise**2 * doubt
    surprise = np.abs(off[W:]).max(axis=0) / (height * np.sqrt(part[SS] + size_noise))
    size_noise = size_noise * _outlier(surprise, known, settings)
    size_gain = part[SS] / (part[SS] + size_noise)

    part[CX : CY + 1] += gain * off[:2]
    part[W : H + 1] += size_gain * off[2:]
    part[VX : VY + 1] += turn * off[:2]
    part[VV] -= turn * pv
    part[PP] = (1 - gain) * pp
    part[PV] = (1 - gain) * pv
    part[SS] *= 1 - size_gain
    state[:, rows] = part


def _outlier(surprise: np.ndarray, known: np.ndarray, settings: TrackerSettings) -> np.ndarray:
    """Factor on the noise of a box that surprises by so many deviations (Huber's weight)."""
    factor = np.maximum(1.0, surprise / max(settings.robust, 1e-6))
    factor[~known] = 1.0
    return factor
