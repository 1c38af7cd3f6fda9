"""A whole edge fitted at once: one form across it, levels that change smoothly along it.

Profiles that are fitted one by one give away half of what they know of their place, because each
finds its own levels and its own blur. Along one edge these are shared, so each profile is left with
its place alone: the bound of Cramér and Rao for known levels.
"""

import math
from typing import Callable, List, NamedTuple, Optional, Tuple

import numpy as np

from .edges import sample_rows

STEP = 0.5  # pixels from sample to sample
WIDEST = 6.0  # pixels to both sides of the edge that are looked at anyway
FURTHEST = 12.0  # and where nothing else comes: the levels there tell the edge's place better
SHARPEST, SOFTEST = 0.35, 4.0  # standard deviations of blur, pixels
TURNS = 6  # Gauss-Newton steps at most
STILL = 3e-3  # pixels of change that end them: the next one is far smaller
EXTEND = 2  # the step after which it is known how far profiles may be looked at
TILT = 0.003  # share a pixel by which light may change over a picture
TRIED = 0.25  # pixels between places that a taught form is tried in
MISFIT = 0.012  # share of the rise by which a blurred step fits no real lens
LEAP = 0.7  # pixels that one step moves at most

# Values `(n, k)` of the form, 0 on the ground's far side to 1, and its slope, at places `(n, k)`.
Form = Callable[[np.ndarray], Tuple[np.ndarray, np.ndarray]]


class Matched(NamedTuple):
    """Where a form was found on each profile.

    Attributes:
        shift: `(n,)` pixels along the profile; NaN where it does not show.
        noise: `(n,)` standard deviation of the shift by what the form leaves, pixels.
        sense: 1 where it grows lighter along the normal, else -1.
        blur: Pixels, of a blurred step; NaN for a taught form.
        widened: `(p,)` by how much more the smooth functions of the shift may be off because levels
            and blur had to be found too.
        fits: Share of what changes across the edge that the form explains.
        clean: Whether it leaves no more than noise on any stretch of the edge.
    """

    shift: np.ndarray
    noise: np.ndarray
    sense: int
    blur: float
    widened: np.ndarray
    fits: float
    clean: bool


def step_form(blur: float) -> Form:
    """A step that the lens has blurred by a standard deviation of `blur` pixels."""
    from scipy.special import ndtr

    def form(places: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        z = places / blur
        return ndtr(z), np.exp(-0.5 * z * z) / (blur * math.sqrt(2 * math.pi))

    return form


def smooth_basis(along: np.ndarray, closed: bool, order: int) -> np.ndarray:
    """Slow functions `(n, m)` of where on an edge one is.

    Args:
        along: `(n,)` radians around a closed edge, else from -1 to 1.
        closed: Whether it comes back to where it began.
        order: Waves around it, or degree of the polynomial.
    """
    if not closed:
        return np.stack([np.polynomial.legendre.Legendre.basis(k)(along)
                         for k in range(order + 1)], axis=1)  # fmt: skip
    waves = [np.ones_like(along)]
    for k in range(1, order + 1):
        waves += [np.cos(k * along), np.sin(k * along)]
    return np.stack(waves, axis=1)


class _Edge(NamedTuple):
    """Profiles across an edge, and what may change along it."""

    rows: np.ndarray  # (n, k) grey levels
    places: np.ndarray  # (k,) pixels along the profiles
    window: np.ndarray  # (k,) bool, those that are looked at
    normal: np.ndarray  # (n, 2)
    levels: np.ndarray  # (n, m)
    shape: np.ndarray  # (n, p)


class _Common(NamedTuple):
    """What all profiles across an edge share."""

    low: np.ndarray  # (n,) level before the edge
    rise: np.ndarray  # (n,)
    tilt: np.ndarray  # (2,) shares a pixel by which light grows along x and y
    middle: np.ndarray  # (n,) smooth shift
    grown: float  # by how much the blur changed
    widened: np.ndarray  # (p,)
    step: float  # pixels by which the last turn moved it


def match_step(
    image: np.ndarray,
    at: np.ndarray,
    normal: np.ndarray,
    start: np.ndarray,
    levels: np.ndarray,
    shape: np.ndarray,
    blur: Optional[float] = None,
    turns: int = TURNS,
) -> Matched:
    """One blurred step on all profiles across an edge.

    Args:
        image: `(h, w)` float32.
        at: `(n, 2)` pixels of the edge, to within about a pixel.
        normal: `(n, 2)` unit vectors across it.
        start: `(n,)` pixels from there to where each profile is steepest; NaN where unknown.
        levels: `(n, m)` functions by which levels may change along the edge.
        shape: `(n, p)` functions by which the edge may leave `at`.
        blur: Pixels where it is known already.
        turns: Steps of Gauss and Newton at most.
    """
    places = np.arange(-FURTHEST, FURTHEST + 0.01, STEP)
    rows = sample_rows(image, at, normal, places)
    known = np.isfinite(start)
    weight = known.astype(float)
    middle = _smooth(np.where(known, start, 0.0), shape, weight)
    weight *= np.abs(np.where(known, start, 0.0) - middle) < 3
    own_blur = blur is None
    width = 1.4 if blur is None else blur
    half = WIDEST
    edge = _Edge(rows, places, np.abs(places) <= half, normal, levels, shape)
    wider = False
    for turn in range(turns):
        common = _together(
            edge, middle, weight, step_form(width), width if own_blur else 0.0, wider
        )
        middle, width = common.middle, width + common.grown
        form = step_form(width)
        weight = _row_weights(edge, common, form)
        if not wider:
            half = float(np.clip(2.5 * width + 1.5, 3.5, WIDEST))
            edge = edge._replace(window=np.abs(places) <= half + 0.01)
        if turn == EXTEND:
            edge = edge._replace(window=_extended(edge, common, weight, form, half))
            wider = bool(edge.window.sum() * STEP > 2 * half + 4)
        elif turn > EXTEND and common.step < STILL:
            break
    return _each(edge, common, weight, step_form(width), width)


def match_form(
    image: np.ndarray,
    at: np.ndarray,
    normal: np.ndarray,
    levels: np.ndarray,
    shape: np.ndarray,
    form: Form,
    reach: float,
    half: float,
) -> Matched:
    """A taught form on all profiles across an edge; other arguments as for `match_step`.

    Args:
        form: Values and slopes of the form at pixels `(n, k)` from the edge.
        reach: Pixels to both sides that it is looked for.
        half: Pixels to both sides of the edge that the form is compared on.
    """
    most = np.ceil((half + reach) / STEP) * STEP
    places = np.arange(-most, most + 0.01, STEP)
    rows = sample_rows(image, at, normal, places)
    edge = _Edge(rows, places, np.abs(places) <= half + 0.01, normal, levels, shape)
    tried = np.arange(-reach, reach + 0.01, TRIED)
    weight = np.ones(len(rows))
    first = float(tried[int(np.argmin([_misfit(edge, form, t, half) for t in tried]))])
    middle = np.full(len(rows), first)
    for turn in range(TURNS):
        near = np.abs(places - float(np.median(middle))) <= half + 0.01
        edge = edge._replace(window=near)
        common = _together(edge, middle, weight, form, 0.0, False)
        middle = common.middle
        weight = _row_weights(edge, common, form, taught=True)
        if turn > 1 and common.step < STILL:
            break
    return _each(edge, common, weight, form, math.nan)


def _misfit(edge: _Edge, form: Form, shift: float, half: float) -> float:
    """What a form leaves of all profiles where it is shifted; without end where upside down."""
    near = np.abs(edge.places - shift) <= half + 0.01
    share, _ = form(np.tile(edge.places[near] - shift, (len(edge.rows), 1)))
    rows = edge.rows[:, near]
    low, rise = _levels(rows, share, edge.levels, np.ones((len(rows), 1)))
    if float(np.median(rise)) <= 0:
        return math.inf
    return float(((rows - low[:, None] - rise[:, None] * share) ** 2).mean())


def _rest(edge: _Edge, middle: np.ndarray, common: _Common, form: Form) -> np.ndarray:
    """What the form leaves of the profiles where it is shifted by `middle`, `(n, k)`."""
    away = edge.places - middle[:, None]
    level = common.low[:, None] + common.rise[:, None] * form(away)[0]
    return edge.rows - level * (1 + (edge.normal @ common.tilt)[:, None] * away)


def _row_weights(edge: _Edge, common: _Common, form: Form, taught: bool = False) -> np.ndarray:
    """`(n,)` from 1 for a profile like the others down to 0."""
    window = edge.window
    rest = _rest(edge, common.middle, common, form)[:, window]
    share, slope = form(edge.places[window] - common.middle[:, None])
    # An edge that runs elsewhere on one profile is no reason to leave it out: its shift is taken
    # away first.
    across = common.rise[:, None] * slope
    strength = np.maximum((across**2).sum(axis=1), 1e-9)
    rest = rest - across * ((across * rest).sum(axis=1) / strength)[:, None]
    size = np.sqrt((rest**2).mean(axis=1))
    usual = float(np.median(size))
    odd = np.clip(1 - (np.maximum(size - usual, 0) / (4 * usual + 1e-9)) ** 2, 0, None) ** 2
    # What a profile alone would say of its rise: far from its neighbours' it shows another thing.
    share = share - share.mean(axis=1, keepdims=True)
    own = (rest * share).sum(axis=1) / np.maximum((share**2).sum(axis=1), 1e-9)
    gain = 1 + own / np.where(np.abs(common.rise) < 1e-6, 1e-6, common.rise)
    alone = np.abs(common.rise * gain)
    # A step is taken for one where it rises out of what it leaves; a taught form is in units of its
    # own spread, and judged as a whole.
    least = 0.5 * usual if taught else 3 * usual + 4
    return np.where((gain > 0.3) & (gain < 3) & (alone > least), odd, 0.0)


def _together(
    edge: _Edge, middle: np.ndarray, weight: np.ndarray, form: Form, width: float, wider: bool
) -> _Common:
    """One step of Gauss and Newton for levels, shift and blur of all profiles at once.

    Args:
        edge: The profiles.
        middle: `(n,)` smooth shift so far.
        weight: `(n,)`.
        form: Of the edge.
        width: Blur of the form in pixels; 0 where that is known.
        wider: Whether so much is looked at that light which changes is told from noise.
    """
    away = edge.places[edge.window] - middle[:, None]
    share, slope = form(away)
    rows, levels, shape = edge.rows[:, edge.window], edge.levels, edge.shape
    root = np.sqrt(weight)[:, None]
    low, rise = _levels(rows, share, levels, root)
    rest = rows - low[:, None] - rise[:, None] * share
    ones, count = np.ones_like(rows), levels.shape[1]
    # Columns are products of a factor along and one across the edge: no big matrix is needed.
    forms = [ones, share, slope]
    along = [levels, levels, -rise[:, None] * shape]
    if width:
        forms.append(slope * away / -width)
        along.append(rise[:, None])
    if wider:  # light that changes over the picture tilts both sides alike
        forms.append(away * (low[:, None] + rise[:, None] * share))
        along.append(edge.normal)
    matrix, right = _normal(forms, [a * root for a in along], rest * root)
    if wider:  # noise must not be taken for it
        size = float(np.median((rest**2).mean(axis=1))) / STEP
        matrix[[-1, -2], [-1, -2]] += size / TILT**2
    found = np.linalg.solve(matrix, right)
    first = 2 * count
    block = slice(first, first + shape.shape[1])
    change = shape @ found[block]
    change = np.clip(change, -LEAP, LEAP)
    grown = 0.0
    if width:
        grown = float(np.clip(found[block.stop], -0.3 * width, 0.5 * width))
        grown = float(np.clip(width + grown, SHARPEST, SOFTEST)) - width
    tilt = found[-2:] if wider else np.zeros(2)
    alone = np.linalg.inv(matrix[block, block]).diagonal()
    widened = np.sqrt(np.linalg.inv(matrix).diagonal()[block] / np.maximum(alone, 1e-30))
    return _Common(
        low + levels @ found[:count], rise + levels @ found[count:first], tilt, middle + change,
        grown, widened, float(np.abs(change).max(initial=0.0)),
    )  # fmt: skip


def _normal(
    forms: List[np.ndarray], along: List[np.ndarray], rest: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Normal equations of columns `along[i][:, a] * forms[i]`."""
    stack = np.stack(forms, axis=1)
    products = stack @ stack.transpose(0, 2, 1)
    of = np.repeat(np.arange(len(forms)), [a.shape[1] for a in along])
    column = np.concatenate(along, axis=1)
    spread = products[:, of[:, None], of] * column[:, :, None]
    normal = np.einsum("ncd,nd->cd", spread, column)
    right = ((stack @ rest[:, :, None])[:, of, 0] * column).sum(axis=0)
    normal += np.diag(1e-9 * np.diag(normal) + 1e-9)
    return normal, right


def _levels(
    rows: np.ndarray, share: np.ndarray, levels: np.ndarray, root: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Smooth levels `(n,)` before and rise across the edge where its place is known."""
    along = levels * root
    normal, right = _normal([np.ones_like(rows), share], [along, along], rows * root)
    found = np.linalg.solve(normal, right)
    count = levels.shape[1]
    return levels @ found[:count], levels @ found[count:]


def _smooth(values: np.ndarray, basis: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The smooth curve through values."""
    weighted = basis * weight[:, None]
    normal = weighted.T @ basis + 1e-6 * np.eye(basis.shape[1])
    return basis @ np.linalg.solve(normal, weighted.T @ values)


def _each(edge: _Edge, common: _Common, weight: np.ndarray, form: Form, blur: float) -> Matched:
    """The place of each profile alone, given what all share."""
    shift, noise = common.middle, np.zeros(len(edge.rows))
    for _ in range(3):
        rest = _rest(edge, shift, common, form)[:, edge.window]
        share, slope = form(edge.places[edge.window] - shift[:, None])
        change, noise = _own(rest, share, -common.rise[:, None] * slope, weight)
        shift = shift + np.clip(change, -LEAP, LEAP)
    gone = (weight < 0.05) | (np.abs(shift - common.middle) > 3.5)
    sense = 1 if float(np.median(common.rise)) > 0 else -1
    rows = edge.rows[:, edge.window][~gone]
    rest = _rest(edge, shift, common, form)[:, edge.window][~gone]
    whole = float(((rows - rows.mean(axis=1, keepdims=True)) ** 2).sum()) if len(rows) else 0.0
    fits = 1 - float((rest**2).sum()) / max(whole, 1e-9)
    clean = _clean(rest, float(np.median(np.abs(common.rise))))
    return Matched(np.where(gone, np.nan, shift), noise, sense, blur, common.widened, fits, clean)


def _clean(rest: np.ndarray, high: float) -> bool:
    """Whether what is left `(n, k)` of profiles in order is noise alone: no rim beside a step."""
    for stretch in np.array_split(rest, max(min(len(rest) // 12, 8), 1)):
        if len(stretch) < 2:
            continue
        noise = float(np.median(stretch.std(axis=0, ddof=1))) / math.sqrt(0.5 * len(stretch))
        if float(np.sqrt((stretch.mean(axis=0) ** 2).mean())) > 1.7 * noise + MISFIT * high:
            return False
    return True


def _own(
    rest: np.ndarray, share: np.ndarray, by_shift: np.ndarray, weight: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """By how much each profile is shifted, and the standard deviation of that.

    A profile may leave the common levels as much as profiles here do, beyond what noise makes them
    seem to: texture of the ground must not be taken for a shifted edge.
    """
    jacobian = np.stack((np.ones_like(share), share, by_shift), axis=2)
    normal = np.einsum("nki,nkj->nij", jacobian, jacobian)
    right = np.einsum("nki,nk->ni", jacobian, rest)
    eye = np.eye(3) * (1e-6 * np.trace(normal, axis1=1, axis2=2) + 1e-6)[:, None, None]
    free = np.linalg.inv(normal + eye)
    alone = np.einsum("nij,nj->ni", free, right)
    left = rest - np.einsum("nki,ni->nk", jacobian, alone)
    used = weight > 0.05
    used = used if used.any() else np.ones(len(rest), bool)
    # Samples half a pixel apart share pixels: they weigh half.
    size = float(np.median((left[used] ** 2).mean(axis=1))) * share.shape[1]
    size = size / max(share.shape[1] - 6, 1) / STEP
    prior = np.zeros(3)
    for k in (0, 1):
        own = alone[used, k]
        seen = (1.4826 * float(np.median(np.abs(own - np.median(own))))) ** 2
        varies = max(seen - size * float(np.median(free[used, k, k])), 0.0)
        prior[k] = size / max(varies, 1e-4)
    held = np.linalg.inv(normal + np.diag(prior) + eye)
    change = np.einsum("nij,nj->ni", held, right)
    return change[:, 2], np.sqrt(np.maximum(held[:, 2, 2], 1e-12) * size)


def _extended(
    edge: _Edge, common: _Common, weight: np.ndarray, form: Form, half: float
) -> np.ndarray:
    """Which places `(k,)` can be used: outward on both sides until something else comes."""
    places, rise = edge.places, common.rise
    rest = _rest(edge, common.middle, common, form)
    used = weight > 0.05
    window = np.abs(places) <= half + 0.01
    if used.sum() < 8:
        return window
    own, high = rest[used], float(np.median(np.abs(rise[used])))
    noise = float(np.sqrt((own[:, window] ** 2).mean()))
    least = 3 * noise / math.sqrt(0.5 * len(own)) + 0.012 * high
    spread = np.sqrt((own**2).mean(axis=0))
    alike = (np.abs(own.mean(axis=0)) < least) & (spread < 1.3 * noise + 0.01 * high)
    for side in (-1, 1):
        outward = np.flatnonzero(side * places > half)[::side]
        for k in outward:
            if not alike[k]:
                break
            window[k] = True
    # What comes next begins a little before it is seen.
    for side in (-1, 1):
        mine = np.flatnonzero(window & (side * places > half))
        if len(mine) and abs(places[mine]).max() < FURTHEST:
            window[mine[np.abs(places[mine]) > np.abs(places[mine]).max() - 1.5]] = False
    return window
