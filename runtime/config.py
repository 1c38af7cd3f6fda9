"""The config of a run: YAML 1.2 in, checked values out, errors with the path of the field."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

import msgspec

from ..core import ConfigError, did_you_mean
from .service import KEYS as SERVICE_KEYS
from .service import Service, service_of

TOP_KEYS = (
    "pipeline",
    "model",
    "classes",
    "decoder",
    "confidence",
    "nms_iou",
    "input",
    "second",
    "detect_every",
    "latency_ms",
    "subscribe",
    "cameras",
    *SERVICE_KEYS,
)
CAMERA_KEYS = ("source", "reference_size", "fps", "priority", "triggers")
OWN_KEYS = (
    "pipeline", "model", "classes", "decoder", "confidence", "nms_iou", "input", "second",
)  # fmt: skip
"""Of those at the top, what a camera may say otherwise for itself."""
DEFAULT_CAMERA = "camera"


@dataclass(frozen=True)
class CameraConfig:
    """One camera of a config.

    Attributes:
        name: The key under `cameras`, or `camera` where the keys stand at the top.
        source: URI or path; None where detections are replayed.
        reference_size: `(width, height)` in which shapes are drawn; None: the stream's own.
        settings: The keys that belong to the pipeline, unchecked. See `decode`.
        path: Where it stands in the file, for errors: `cameras.entrance` or empty.
        fps: Frames a second that are looked at, at an even pace, or None for all.
        priority: Its weight against the other cameras when the device cannot look at all frames.
        triggers: By kind of event, what it does to other cameras: `{action: [camera, …]}`; see
            `pipelines.triggers`.
        own: Which fields of the config are others for this camera: those of `OWN_KEYS` that stand
            under it, checked.
    """

    name: str
    source: Optional[str]
    reference_size: Optional[Tuple[float, float]]
    settings: Dict[str, Any] = field(default_factory=dict)
    path: str = ""
    fps: Optional[float] = None
    priority: float = 1.0
    triggers: Dict[str, Dict[str, Union[str, List[str]]]] = field(default_factory=dict)
    own: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """A checked config.

    Attributes:
        pipeline: Name of a pipeline, or `module:Class`.
        model: Path of the model, or None.
        classes: Names of the classes to keep, or None for all.
        decoder: Name of a decoder, `module:function`, or None to recognise it.
        confidence: Score below which detections are dropped, or None for the card's.
        nms_iou: Overlap above which the weaker box is dropped, or None for the card's.
        input: Fields of the model's input to override, or None.
        cameras: By name, in the order of the file.
        folder: Folder of the file; relative paths are looked up there first.
        name: Of the file, without its ending; names the run's folder.
        second: Path of the model that looks at the regions which the pipeline asks for, or None.
        detect_every: Of how many frames the model looks at one.
        latency_ms: Milliseconds that a live frame may wait for its turn before a newer one of its
            camera takes its place, or None for what is usual; see `runtime.scheduling`.
        subscribe: By kind of event, or `*`, the `module:function` that is called with each.
        service: How the run is watched and whom it tells.
    """

    pipeline: str
    model: Optional[str]
    classes: Optional[Tuple[str, ...]]
    decoder: Optional[str]
    confidence: Optional[float]
    nms_iou: Optional[float]
    input: Optional[Dict[str, Any]]
    cameras: Dict[str, CameraConfig]
    folder: Path = Path()
    name: str = "run"
    second: Optional[str] = None
    detect_every: int = 1
    latency_ms: Optional[float] = None
    subscribe: Dict[str, Union[str, List[str]]] = field(default_factory=dict)
    service: Service = field(default_factory=Service)

    def of(self, names: Sequence[str]) -> "Config":
        """The config as it is for cameras that say the same for themselves."""
        cameras = {name: self.cameras[name] for name in names}
        return replace(self, cameras=cameras, **self.cameras[names[0]].own)


def load_config(config: Union[str, "os.PathLike[str]", Mapping[str, Any], Config]) -> Config:
    """Read and check a config.

    Args:
        config: Path of a YAML file, or what such a file would hold.

    Raises:
        ConfigError: The file is missing or no YAML, or a field is wrong or unknown.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        return _check(dict(config), Path(), "run")
    path = Path(config)
    return _check(read_yaml(path), path.resolve().parent, path.stem)


def read_yaml(path: Path) -> Dict[str, Any]:
    """What a YAML file holds, unchecked.

    Raises:
        ConfigError: It is missing, or holds no keys and values.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"config {path} does not exist", remedy="check the path, or write one as in the README"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"config {path} cannot be read",
            got=str(error),
            expected="a YAML file in UTF-8",
        ) from None
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"config {path}{where} is no YAML", got=problem) from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"config {path} must hold keys and values",
            got="nothing" if data is None else type(data).__name__,
            expected="at least `pipeline: counting`",
        )
    return data


def _check(data: Dict[str, Any], folder: Path, name: str) -> Config:
    for key in data:
        if not isinstance(key, str):
            raise ConfigError(f"config: key {key!r} must be text", remedy="put it in quotes")
    cameras_data = data.get("cameras")
    shared = {k: v for k, v in data.items() if k not in TOP_KEYS}
    if cameras_data is None:
        cameras = {DEFAULT_CAMERA: _camera(DEFAULT_CAMERA, shared, {}, "")}
    else:
        if not isinstance(cameras_data, dict) or not cameras_data:
            raise ConfigError(
                "cameras", got=_kind(cameras_data), expected="a name and settings for each camera"
            )
        for key in CAMERA_KEYS[:1]:
            if key in shared:
                raise ConfigError(
                    f"{key} stands at the top level beside cameras",
                    remedy="move it under the camera that it belongs to",
                )
        cameras = {}
        for camera, settings in cameras_data.items():
            if not isinstance(camera, str) or not camera.strip():
                raise ConfigError(
                    f"cameras: name {camera!r} must be text", remedy="put it in quotes"
                )
            path = f"cameras.{camera}"
            settings = {} if settings is None else settings
            if not isinstance(settings, dict):
                raise ConfigError(path, got=_kind(settings), expected="keys and values")
            cameras[camera] = _camera(camera, settings, shared, path)
    usual: Dict[str, Any] = {"pipeline": "counting", **dict.fromkeys(OWN_KEYS[1:])}
    return Config(
        **{key: _own(key, data.get(key, value), key) for key, value in usual.items()},
        cameras=cameras,
        folder=folder,
        name=name,
        detect_every=_count(data.get("detect_every", 1), "detect_every"),
        latency_ms=_within(data.get("latency_ms"), "latency_ms", 1, 60_000, "milliseconds"),
        subscribe=decode(
            Dict[str, Union[str, List[str]]], data.get("subscribe") or {}, "subscribe"
        ),
        service=service_of(data, decode),
    )


def _own(key: str, value: Any, path: str) -> Any:
    """One of `OWN_KEYS`, checked."""
    if key in ("confidence", "nms_iou"):
        return _share(value, path)
    if key == "classes":
        classes = decode(Optional[List[str]], value, path)
        if classes is not None and not classes:
            raise ConfigError(path, got="an empty list", expected="at least one class, or no key")
        return None if classes is None else tuple(classes)
    if key == "input":
        return decode(Optional[Dict[str, Any]], value, path)
    return decode(str if key == "pipeline" else Optional[str], value, path)


def _camera(name: str, own: Dict, shared: Dict, path: str) -> CameraConfig:
    values = {**shared, **own}
    prefix = f"{path}." if path else ""
    size = decode(Optional[List[float]], values.get("reference_size"), f"{prefix}reference_size")
    if size is not None and (len(size) != 2 or not all(0 < v < 1e6 for v in size)):
        raise ConfigError(
            f"{prefix}reference_size", got=size, expected="[width, height] in pixels above 0"
        )
    priority = _within(values.get("priority"), f"{prefix}priority", 0.01, 100, "")
    return CameraConfig(
        name=name,
        source=decode(Optional[str], values.get("source"), f"{prefix}source"),
        reference_size=None if size is None else (size[0], size[1]),
        settings={k: v for k, v in values.items() if k not in (*CAMERA_KEYS, *OWN_KEYS)},
        path=path,
        triggers=decode(
            Dict[str, Dict[str, Union[str, List[str]]]],
            values.get("triggers") or {},
            f"{prefix}triggers",
        ),
        own={k: _own(k, own[k], f"{prefix}{k}") for k in OWN_KEYS if k in own},
        fps=_within(values.get("fps"), f"{prefix}fps", 0.001, 1000, "frames a second"),
        priority=1.0 if priority is None else priority,
    )


def _share(value: Any, path: str) -> Optional[float]:
    number = decode(Optional[float], value, path)
    if number is not None and not 0.0 <= number <= 1.0:
        raise ConfigError(path, got=number, expected="a number from 0 to 1")
    return number


def _within(value: Any, path: str, least: float, most: float, unit: str) -> Optional[float]:
    number = decode(Optional[float], value, path)
    if number is not None and not least <= number <= most:
        raise ConfigError(path, got=number, expected=f"{least:g} to {most:g} {unit}".strip())
    return number


def _count(value: Any, path: str) -> int:
    number = decode(int, value, path)
    if number < 1:
        raise ConfigError(path, got=number, expected="1 or more")
    return number


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return repr(value) if isinstance(value, (str, int, float, bool)) else type(value).__name__


def decode(kind: Any, value: Any, path: str = "", known: Sequence[str] = ()) -> Any:
    """Check a value against a type, and say where in the config it is wrong.

    Args:
        kind: A type that msgspec can convert to; structs and dicts of them are walked, so that an
            error names the key, e.g. `lines.door.from`.
        value: What the YAML holds.
        path: Where the value stands.
        known: Further names that an unknown key may have meant.

    Raises:
        ConfigError: A value has the wrong type, a field is missing or unknown.
    """
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _decode_struct(kind, value, path, known)
    arguments: Any = getattr(kind, "__args__", ())
    inner = [a for a in arguments if a is not type(None)]
    if len(inner) == 1 < len(arguments) and _is_struct(inner[0]):
        return None if value is None else _decode_struct(inner[0], value, path, known)
    if getattr(kind, "__origin__", None) is dict and _is_struct(arguments[1]):
        if not isinstance(value, dict):
            raise ConfigError(path, got=_kind(value), expected="a name and settings for each")
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{path}: name {key!r} must be text", remedy="put it in quotes")
        return {k: _decode_struct(arguments[1], v, f"{path}.{k}", ()) for k, v in value.items()}
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise ConfigError(
            f"{path}{where.rstrip('`')}", got=_kind(value), expected=_plain(what)
        ) from None


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _decode_struct(kind: Type, value: Any, path: str, known: Sequence[str]) -> Any:
    if not isinstance(value, dict):
        raise ConfigError(path, got=_kind(value), expected="keys and values")
    fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}
    prefix = f"{path}." if path else ""
    for key in value:
        if key not in fields:
            raise ConfigError(
                f"{prefix}{key} is unknown", remedy=did_you_mean(str(key), [*fields, *known])
            )
    for name, info in fields.items():
        if info.required and name not in value:
            raise ConfigError(f"{path or 'config'} lacks {name}", expected=", ".join(fields))
    values = {
        info.name: decode(info.type, value[name], f"{prefix}{name}")
        for name, info in fields.items()
        if name in value
    }
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path or 'config'}: {error}") from None


def _plain(message: str) -> str:
    """`Expected `float`, got `str`` as the expected part alone, in a reader's words."""
    if not message.startswith("Expected "):
        return message
    wanted = message[len("Expected ") :].split(", got")[0].replace("`", "")
    names = {"float": "a number", "int": "a whole number", "str": "text", "array": "a list"}
    names.update({"bool": "true or false", "object": "keys and values"})
    wanted = wanted.replace(" | null", "")
    return names.get(wanted, wanted)


def resolve_path(path: str, folder: Path) -> str:
    """A path as the config's reader means it: beside the config, else from where we stand."""
    if Path(path).is_absolute():
        return path
    beside = folder / path
    if beside.exists() or not Path(path).exists():
        return str(beside)
    return path


def source_uri(camera: CameraConfig, folder: Path) -> str:
    """The source of a camera; a file's path is looked up beside the config.

    Raises:
        ConfigError: The config names none.
    """
    uri = camera.source
    if uri is None:
        where = f"{camera.path}: " if camera.path else ""
        raise ConfigError(
            f"{where}the config names no source", remedy="add `source: …`, or give --source"
        )
    path, mark, query = uri.partition("?")
    if "://" in uri or (":" in path and not (folder / path).exists()):
        return uri  # a scheme, or a user's own module:Class
    return resolve_path(path, folder) + mark + query
