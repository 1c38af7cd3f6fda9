"""The faults of a soak, by name."""

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence

from ...core import UsageError, did_you_mean
from .posts import LOGIN, OTHER_LOGIN, Films, Post

NOTICED_S = 5.0
BACK_S = 5.0
PATIENT_S = 30.0
"""After a wrong password a camera is asked again only then: cameras lock out who tries more."""

RESTART_S = 30.0
"""A run that was killed starts its interpreter and loads its model anew."""

Wait = Callable[[float], Any]


@dataclass(frozen=True)
class Fault:
    """What is done to one camera, or to the whole run.

    Attributes:
        name: What a user calls it.
        does: One line for a reader.
        inject: Called with the camera's stand-in, the seconds it should last, and what waits;
            returns when all is as it was. Where its last deed breaks the connection once more, it
            gives the moment of that, by the monotonic clock.
        away: Whether pictures stop: the run has to notice it, and to count again afterwards.
        silent: Whether they stop without a word; it then takes the timeout to notice.
        back_s: Seconds after its end in which pictures are counted again.
        run: Whether the run is hit and not a camera; `inject` is then None, see `Soak`.
        shortest: Seconds that it lasts at least.
    """

    name: str
    does: str
    inject: Optional[Callable[[Post, float, Wait], Optional[float]]] = None
    away: bool = True
    silent: bool = False
    back_s: float = BACK_S
    run: bool = False
    shortest: float = 0.0


def _kill_server(post: Post, seconds: float, wait: Wait) -> None:
    post.kill()
    wait(seconds)
    post.start()


def _restart_server(post: Post, seconds: float, wait: Wait) -> float:
    moment = time.monotonic()
    post.kill()
    post.start()
    return moment


def _stop_server(post: Post, seconds: float, wait: Wait) -> None:
    post.server.stop()
    try:
        wait(seconds)
    finally:
        post.server.go_on()


def _slow_server(post: Post, seconds: float, wait: Wait) -> None:
    post.server.tell(pace=0.3)
    wait(seconds)
    post.server.tell(pace=1.0)


def _drop(post: Post, seconds: float, wait: Wait) -> None:
    post.proxy.drop = 0.05
    wait(seconds)
    post.proxy.drop = 0.0


def _delay(post: Post, seconds: float, wait: Wait) -> None:
    post.proxy.delay = 0.3
    wait(seconds)
    post.proxy.delay = 0.0


def _cut(post: Post, seconds: float, wait: Wait) -> float:
    moment = time.monotonic()
    post.proxy.cut()
    return moment


def _half_open(post: Post, seconds: float, wait: Wait) -> None:
    post.proxy.hold = True
    wait(seconds)
    # The peer has forgotten its connections meanwhile.
    post.proxy.cut()
    post.proxy.hold = False


def _refuse(post: Post, seconds: float, wait: Wait) -> None:
    post.proxy.deaf()
    post.proxy.cut()
    wait(seconds)
    post.proxy.listen()


def _flap(post: Post, seconds: float, wait: Wait) -> float:
    for _ in range(max(round(seconds / 2.0), 2)):
        post.proxy.cut()
        wait(2.0)
    return _cut(post, seconds, wait)


def _password(post: Post, seconds: float, wait: Wait) -> None:
    post.login(OTHER_LOGIN)
    wait(seconds)
    post.login(LOGIN)


def _changed(what: str) -> Callable[[Post, float, Wait], float]:
    def inject(post: Post, seconds: float, wait: Wait) -> float:
        other = getattr(post, what)()
        post.kill()
        post.start(other)
        wait(seconds)
        moment = time.monotonic()
        post.kill()
        post.start(post.usual())
        return moment

    return inject


FAULTS: Dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("kill-server", "the camera loses power for a while", _kill_server, shortest=4.0),
        Fault("restart-server", "the camera restarts", _restart_server),
        Fault(
            "stop-server",
            "the camera hangs and keeps its connections",
            _stop_server,
            silent=True,
            shortest=6.0,
        ),
        Fault("slow-server", "the camera sends a third of its pictures", _slow_server, away=False),
        Fault("drop", "the network loses pieces of the stream", _drop, away=False),
        Fault("delay", "each piece comes 0.3 s late", _delay, away=False),
        Fault("cut", "the connection is reset", _cut),
        Fault(
            "half-open",
            "connections stay open and nothing comes",
            _half_open,
            silent=True,
            shortest=6.0,
        ),
        Fault("refuse", "connections are refused", _refuse, shortest=4.0),
        Fault("flap", "the connection breaks every two seconds", _flap, shortest=6.0),
        Fault(
            "password", "the camera's password is changed for a while", _password, back_s=PATIENT_S
        ),
        Fault("size", "the camera comes back in another size, and later as before",
              _changed("other_size"), shortest=4.0),
        Fault("rate", "the camera comes back at half its frame rate, and later as before",
              _changed("other_rate"), shortest=4.0),
        Fault("codec", "the camera comes back in another codec, and later as before",
              _changed("other_codec"), shortest=4.0),
        Fault("clock", "the machine's clock is set an hour forward, and later back", run=True,
              away=False, shortest=3.0),
        Fault("disk", "the disk is full for a while", run=True, back_s=RESTART_S, shortest=2.0),
        Fault("kill", "the run is killed with kill -9", run=True, back_s=RESTART_S),
        Fault("term", "the run is stopped with SIGTERM, and started again", run=True,
              back_s=RESTART_S),
    )
}  # fmt: skip


def chosen(names: str) -> List[Fault]:
    """Faults by name, separated by commas; `all` is all of them.

    Raises:
        UsageError: One is unknown.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if wanted == ["all"]:
        return list(FAULTS.values())
    for name in wanted:
        if name not in FAULTS:
            raise UsageError(f"fault {name!r} is unknown", remedy=did_you_mean(name, FAULTS))
    if not wanted:
        raise UsageError("no fault is named", expected="all, or some of " + ", ".join(FAULTS))
    return [FAULTS[name] for name in dict.fromkeys(wanted)]


def lacking(faults: Sequence[Fault], films: Films) -> Dict[str, str]:
    """By name the faults that this machine cannot make, and why."""
    missing: Dict[str, str] = {}
    for fault in faults:
        if fault.name == "codec" and films.other_codec is None:
            missing[fault.name] = "PyAV is missing: pip install 'edgelane[bench]'"
    return missing
