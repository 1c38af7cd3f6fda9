"""What a device may answer: a desk believes the shape of nothing that comes from elsewhere."""

from typing import Any, Dict, List, Optional, Type, Union

import msgspec

from ..core import EdgelaneError


class Trusted(msgspec.Struct):
    """Whom a device trusts."""

    keys: Dict[str, str]
    revoked: List[str]
    there: bool


class Told(msgspec.Struct):
    """What a device tells of itself, as `bare.facts.facts` does."""

    user: str
    uid: int
    machine: str
    glibc: List[int]
    python: List[int]
    clock: float
    seen: float
    writable: bool
    free: int
    files: Dict[str, str]
    memory: str
    packages: str
    tensorrt: List[str]
    release: Optional[str]
    version: Optional[int]
    probation: Optional[str]
    order: List[str]
    good: List[str]
    complete: List[str]
    systemd: bool
    trust: Trusted
    busy: Optional[str]


class Planned(msgspec.Struct):
    """What it lacks of a bundle."""

    at: int
    local: List[int]
    size: int


class Interpreter(msgspec.Struct):
    """A Python that it has, or a release's own script."""

    command: List[str]
    edgelane: Optional[str] = None
    python: List[int] = []
    machine: str = ""
    lacks: str = ""
    script: bool = False


class Interpreters(msgspec.Struct):
    """All of them."""

    pythons: List[Interpreter]


class Chosen(msgspec.Struct):
    """Wheels that fit."""

    wheels: List[str]


class Ran(msgspec.Struct):
    """How an installation ended."""

    code: int
    out: str


class Command(msgspec.Struct):
    """What runs edgelane there."""

    command: List[str]


class Path(msgspec.Struct):
    """Where something lies there."""

    path: str


class Changed(msgspec.Struct):
    """Names of what is otherwise there."""

    changed: List[str]


class Whole(msgspec.Struct):
    """Whether a release is whole."""

    whole: bool


class Restarted(msgspec.Struct):
    """Whether a service was."""

    restarted: bool


class Installation(msgspec.Struct):
    """What `edgelane install --json` tells; further keys are passed on as they are."""

    unchanged: bool = False
    before: Optional[str] = None
    probation_s: Optional[float] = None
    warnings: List[str] = []
    tested: Optional[Dict[str, Union[int, float, None]]] = None
    repaired: List[str] = []


ANSWERS: Dict[str, Type] = {
    "facts": Told,
    "check": Whole,
    "compare": Changed,
    "plan": Planned,
    "receive": Path,
    "python": Interpreters,
    "choose": Chosen,
    "bootstrap": Command,
    "install": Ran,
    "restart": Restarted,
}
"""By what was asked; nothing is looked at in the others."""


def understood(answer: Dict[str, Any], kind: Type, host: str) -> Dict[str, Any]:
    """An answer with the fields that it must have.

    Raises:
        EdgelaneError: It has not.
    """
    try:
        return msgspec.to_builtins(msgspec.convert(answer, kind))
    except msgspec.ValidationError as error:
        raise EdgelaneError(f"{host} answers what makes no sense", got=plain(str(error))) from None


def plain(text: str) -> str:
    """A text without what would move a terminal's cursor or change its colours."""
    return "".join(c if c.isprintable() else " " for c in text)
