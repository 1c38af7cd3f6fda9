"""Who walks where in a store: people with plans, who keep out of each other's way.

Everything is computed in steps of 1/30 s with sums, products and square roots alone, so that the
same seed gives the same paths to the last bit on every machine.
"""

import math
from array import array
from typing import Dict, Iterator, List, Optional, Tuple

from .draws import Draws
from .layout import Plan
from .navigate import Floor, Point, distance

STEP = 1.0 / 30.0
PLANS, ARRIVALS = 3, 4  # streams of chance
FIELDS = 7
"""Numbers that are kept of a person each step: x, y, facing x, facing y, gait, stride, reach."""

WALK, GLANCE, BROWSE, WAIT, SERVE = range(5)
STAFF, CUSTOMER, DOUBTER, PASSER = "staff", "customer", "doubter", "passer"

Life = Iterator[None]


class Person:
    """Someone, their way so far and what they are about.

    Attributes:
        id: From 1.
        role: `staff`, `customer`, `doubter` (turns back at the door) or `passer` (stays outside).
        born: Number of the first step.
        track: `FIELDS` numbers a step since then.
        height: In metres.
    """

    def __init__(self, number: int, role: str, born: int, place: Point, face: Point) -> None:
        self.id, self.role, self.born = number, role, born
        self.track = array("d")
        self.x, self.y = place
        self.hx, self.hy = face
        self.vx = self.vy = 0.0
        self.height = 1.7
        self.pace = 1.2
        self.gait = self.stride = self.reach = 0.0
        self.path: List[Point] = []
        self.look: Optional[Point] = None
        self.mode = WALK
        self.stuck = self.ghost = 0.0
        self.side = 0.0
        self.life: Life = iter(())

    def note(self) -> None:
        """Keep this step."""
        self.track.extend((self.x, self.y, self.hx, self.hy, self.gait, self.stride, self.reach))

    @property
    def steps(self) -> int:
        """How many steps are kept."""
        return len(self.track) // FIELDS


class Crowd:
    """All people of a store, moved on as far as asked.

    Args:
        plan: The store.
        seed: Of the scene.
        people: About how many are there at a time.
    """

    def __init__(self, plan: Plan, seed: int, people: int) -> None:
        self.plan, self.seed, self.people = plan, seed, people
        self.everyone: List[Person] = []
        self.present: List[Person] = []
        self.now = 0
        zones = list(plan.zones.values())
        self._floor = Floor(plan.obstacles, zones)
        self._draw = Draws(seed, ARRIVALS)
        self._taken: Dict[int, int] = {}
        self._queue: List[int] = []
        self._next = 0
        left, right = plan.door
        middle, lane = 0.5 * (left + right), 0.22 * (right - left)
        # Keep right: those who come in walk towards the camera, to the left in the picture.
        self._in = [(middle - lane, plan.depth + 1.3), (middle - lane, plan.depth - 1.8)]
        self._out = [(middle + lane, plan.depth - 1.8), (middle + lane, plan.depth + 1.8)]
        self._mat = (middle - lane, plan.depth + 0.4)
        if people > 0:
            self._enter(STAFF, plan.staff.place, plan.staff.look)
        for _ in range(min(int(round(0.55 * max(people - 1, 0))), len(plan.spots))):
            free = [k for k in range(len(plan.spots)) if k not in self._taken]
            spot = self._draw.pick(free)
            self._enter(CUSTOMER, plan.spots[spot].place, plan.spots[spot].look, spot)
        for person in self.present:
            person.note()

    def advance(self, step: int) -> None:
        """Go on until the step `step` is known."""
        while self.now < step:
            self.now += 1
            self._arrive()
            for person in self.present:
                next(person.life, None)
            for person in self.present:
                self._steer(person)
            for person in self.present:
                self._walk(person)
                person.note()
            gone = [p for p in self.present if p.mode < 0]
            if gone:
                self.present = [p for p in self.present if p.mode >= 0]

    # Plans. Each `yield` lets one step pass.

    def _arrive(self) -> None:
        if self.now < self._next or len(self.present) >= self.people:
            return
        few = len(self.present) < 0.6 * self.people
        pause = self._draw.uniform(0.4, 1.6 if few else 3.2)
        self._next = self.now + int(pause / STEP)
        share = self._draw.unit()
        role = CUSTOMER if share < 0.66 else DOUBTER if share < 0.78 else PASSER
        from_left = self._draw.chance(0.5)
        x = -1.8 if from_left else self.plan.width + 1.8
        y = self.plan.depth + self._draw.uniform(1.0, 2.4)
        if any(distance((x, y), (p.x, p.y)) < 1.2 for p in self.present):
            return
        self._enter(role, (x, y), (1.0 if from_left else -1.0, 0.0))

    def _enter(self, role: str, place: Point, face: Point, spot: int = -1) -> None:
        number = len(self.everyone) + 1
        person = Person(number, role, self.now, place, face)
        draw = Draws(self.seed, PLANS, number)
        child = role != STAFF and draw.chance(0.06)
        person.height = (
            draw.uniform(1.2, 1.45) if child else min(max(draw.bell(1.7, 0.09), 1.5), 1.96)
        )
        person.pace = min(max(draw.bell(1.15, 0.18), 0.75), 1.6)
        person.gait = draw.unit()
        lives = {
            STAFF: self._serve,
            CUSTOMER: self._shop,
            DOUBTER: self._doubt,
            PASSER: self._pass,
        }
        if spot >= 0:
            self._taken[spot] = number
            person.life = self._shop(person, draw, spot)
        else:
            person.life = lives[role](person, draw)
        self.everyone.append(person)
        self.present.append(person)

    def _serve(self, person: Person, draw: Draws) -> Life:
        person.path = []
        while True:
            person.look, person.mode = self.plan.staff.look, SERVE
            yield from self._stay(draw.uniform(1.5, 4.0))
            person.mode = WAIT
            tilt = draw.uniform(-0.7, 0.7)
            person.look = _unit(self.plan.staff.look[0], tilt)
            yield from self._stay(draw.uniform(1.0, 4.0))

    def _shop(self, person: Person, draw: Draws, spot: int = -1) -> Life:
        stops = 1 + draw.whole(3)
        if spot >= 0:
            yield from self._browse(person, draw, spot)
            self._taken.pop(spot, None)
        else:
            yield from self._come_in(person, draw)
        for _ in range(stops):
            free = [k for k in range(len(self.plan.spots)) if k not in self._taken]
            if not free:
                break
            spot = draw.pick(free)
            self._taken[spot] = person.id
            yield from self._go(person, self.plan.spots[spot].place)
            yield from self._browse(person, draw, spot)
            self._taken.pop(spot, None)
        if draw.chance(0.55) and len(self._queue) < len(self.plan.queue):
            yield from self._pay(person, draw)
        yield from self._leave(person, draw)

    def _come_in(self, person: Person, draw: Draws) -> Life:
        for k, place in enumerate(self._lane(self._in, draw)):
            yield from self._go(person, place, direct=k == 1)

    def _lane(self, way: List[Point], draw: Draws) -> List[Point]:
        """A way through the door, as far beside the usual one as its width lets people walk."""
        if not self.plan.lanes:
            return way
        aside = draw.uniform(-self.plan.lanes, self.plan.lanes)
        return [(x + aside, y) for x, y in way]

    def _leave(self, person: Person, draw: Draws) -> Life:
        for k, place in enumerate(self._lane(self._out, draw)):
            yield from self._go(person, place, direct=k == 1)
        yield from self._go_off(person, draw)

    def _go_off(self, person: Person, draw: Draws) -> Life:
        x = -1.8 if draw.chance(0.5) else self.plan.width + 1.8
        y = self.plan.depth + draw.uniform(1.0, 2.4)
        yield from self._go(person, (x, y))
        person.mode = -1

    def _doubt(self, person: Person, draw: Draws) -> Life:
        street, mat = self._lane([self._in[0], self._mat], draw)
        yield from self._go(person, street)
        yield from self._go(person, mat, direct=True)
        person.look, person.mode = (draw.uniform(-0.3, 0.3), -1.0), WAIT
        yield from self._stay(draw.uniform(0.6, 2.5))
        person.mode = WALK
        yield from self._go(person, self._out[1], direct=True)
        yield from self._go_off(person, draw)

    def _pass(self, person: Person, draw: Draws) -> Life:
        x = -1.8 if person.hx < 0 else self.plan.width + 1.8
        if draw.chance(0.3):  # stops to look through a window
            left, right, _, _ = draw.pick(self.plan.windows)
            share = draw.uniform(0.25, 0.75)
            yield from self._go(person, (left + share * (right - left), self.plan.depth + 0.8))
            person.look, person.mode = (0.0, -1.0), WAIT
            yield from self._stay(draw.uniform(1.0, 4.0))
            person.mode = WALK
        yield from self._go(person, (x, person.y + draw.uniform(0.0, 0.3)))
        person.mode = -1

    def _browse(self, person: Person, draw: Draws, spot: int) -> Life:
        look = self.plan.spots[spot].look
        for _ in range(1 + draw.whole(3)):
            turn = draw.uniform(-0.5, 0.5)
            person.look = _unit(look[0] - turn * look[1], look[1] + turn * look[0])
            person.mode = GLANCE
            yield from self._stay(draw.uniform(0.8, 3.0))
            person.mode = BROWSE
            yield from self._stay(draw.uniform(0.8, 2.5))
        person.mode = WALK

    def _pay(self, person: Person, draw: Draws) -> Life:
        self._queue.append(person.id)
        at = -1
        while True:
            place = self._queue.index(person.id)
            if place != at:
                at = place
                if at == 0 or person.mode == WAIT:
                    yield from self._go(person, self.plan.queue[at].place, direct=person.mode == 2)
                else:
                    yield from self._go(person, self.plan.queue[at].place)
                person.look, person.mode = self.plan.queue[at].look, WAIT
            if at == 0:
                person.mode = BROWSE
                yield from self._stay(draw.uniform(2.5, 6.0))
                break
            yield None
        self._queue.remove(person.id)
        person.mode = WALK
        yield from self._go(person, self.plan.served, direct=True)

    def _go(self, person: Person, place: Point, direct: bool = False) -> Life:
        person.mode, person.look = WALK, None
        person.path = [place] if direct else self._floor.way((person.x, person.y), place)
        waited = 0.0
        while person.path:
            yield None
            waited += STEP
            if waited > 12.0:  # pushed far off: think again
                waited = 0.0
                person.path = self._floor.way((person.x, person.y), place)

    def _stay(self, seconds: float) -> Life:
        for _ in range(int(seconds / STEP)):
            yield None

    # Movement.

    def _steer(self, person: Person) -> None:
        """The velocity of the next step: to the goal, past others on their left."""
        wish_x = wish_y = 0.0
        pace = person.pace
        if person.path:
            goal = person.path[0]
            dx, dy = goal[0] - person.x, goal[1] - person.y
            far = math.sqrt(dx * dx + dy * dy)
            if len(person.path) > 1 and far < 0.35 or far < 0.06:
                person.path.pop(0)
            if far > 1e-9:
                slow = min(1.0, 0.15 + far / 0.6) if len(person.path) <= 1 else 1.0
                wish_x, wish_y = dx / far * pace * slow, dy / far * pace * slow
                if far > 0.6 or len(person.path) > 1:
                    wish_x, wish_y = self._dodge(person, wish_x, wish_y)
                elif far > 0.25:
                    wish_x, wish_y = self._dodge(person, wish_x, wish_y, 0.4)
        gain = min(1.0, STEP * 6.0)
        person.vx += (wish_x - person.vx) * gain
        person.vy += (wish_y - person.vy) * gain

    def _dodge(self, person: Person, wish_x: float, wish_y: float, much: float = 1.0):
        if person.ghost > 0:
            much *= 0.25
        size = math.sqrt(wish_x * wish_x + wish_y * wish_y)
        if size < 1e-6:
            return wish_x, wish_y
        ux, uy = wish_x / size, wish_y / size
        brake, push_x, push_y = 1.0, 0.0, 0.0
        for other in self.present:
            if other is person:
                continue
            dx, dy = other.x - person.x, other.y - person.y
            square = dx * dx + dy * dy
            if square > 2.25 or square < 1e-9:
                continue
            far = math.sqrt(square)
            dx, dy = dx / far, dy / far
            ahead = dx * ux + dy * uy
            if far < 0.6:
                away = (0.6 - far) / 0.6 * 1.8
                push_x, push_y = push_x - dx * away, push_y - dy * away
            if ahead < 0.25:
                continue
            closing = (person.vx - other.vx) * dx + (person.vy - other.vy) * dy
            across = dx * uy - dy * ux  # above 0: the other is to the right
            if abs(across) * far < 0.55 and closing > -0.1:
                # Who is clearly on the right is passed on the left; otherwise keep right.
                turn = -1.0 if across * far > 0.25 else 1.0
                strength = turn * 0.9 * (1.5 - far) / 1.5 * ahead
                push_x, push_y = push_x + uy * strength, push_y - ux * strength
                same = other.vx * ux + other.vy * uy
                if far < 0.42 + self.plan.apart and same > -0.2:
                    brake = min(brake, max(0.0, (far - 0.42) / self.plan.apart))
        brake = 1.0 - (1.0 - brake) * much
        wish_x, wish_y = wish_x * brake + push_x * much, wish_y * brake + push_y * much
        # Nobody walks backwards out of the way: one waits, or goes round.
        forward = wish_x * ux + wish_y * uy
        if forward < 0.05 * size:
            wish_x += (0.05 * size - forward) * ux
            wish_y += (0.05 * size - forward) * uy
        fast = math.sqrt(wish_x * wish_x + wish_y * wish_y)
        if fast > 1.2 * person.pace:
            wish_x, wish_y = wish_x * 1.2 * person.pace / fast, wish_y * 1.2 * person.pace / fast
        return wish_x, wish_y

    def _walk(self, person: Person) -> None:
        x, y = person.x + person.vx * STEP, person.y + person.vy * STEP
        x, y = self._floor.push_out(x, y)
        dx, dy = x - person.x, y - person.y
        person.x, person.y = x, y
        moved = math.sqrt(dx * dx + dy * dy)
        speed = moved / STEP
        person.ghost = max(0.0, person.ghost - STEP)
        if person.path and speed < 0.12:
            person.stuck += STEP
            if person.stuck > 1.2:
                person.stuck, person.ghost = 0.0, 2.5
        else:
            person.stuck = 0.0
        # One faces the way one goes, or what one looks at.
        turn_x, turn_y = person.hx, person.hy
        if person.path and speed > 0.2:
            turn_x, turn_y = dx / moved, dy / moved
        elif not person.path and person.look is not None:
            turn_x, turn_y = person.look
        person.hx, person.hy = _turned(person.hx, person.hy, turn_x, turn_y, 5.0 * STEP)
        # Two steps are longer for the tall and the fast; feet stay where they stand because the
        # gait goes on with the distance.
        cycle = person.height * (0.42 + 0.3 * speed)
        person.gait += moved / cycle
        person.gait -= math.floor(person.gait)
        fade = min(1.0, speed / 0.35)
        person.stride += (cycle * fade - person.stride) * min(1.0, STEP * 12.0)
        reach = 1.0 if person.mode in (BROWSE, SERVE) and not person.path else 0.0
        person.reach += (reach - person.reach) * min(1.0, STEP * 4.0)


def _unit(x: float, y: float) -> Point:
    size = math.sqrt(x * x + y * y)
    return (x / size, y / size) if size > 1e-9 else (1.0, 0.0)


def _turned(hx: float, hy: float, tx: float, ty: float, share: float) -> Tuple[float, float]:
    """Turn from one way towards another; straight back is turned round the right."""
    if hx * tx + hy * ty < -0.95:
        tx, ty = hy, -hx
    return _unit(hx + (tx - hx) * share, hy + (ty - hy) * share)
