"""What was seen of every activation of a graph, and the file it is kept in."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Union

import numpy as np

from ..core import DataError, did_you_mean
from ..runtime.files import write_whole
from .histograms import Histogram

VERSION = 1


@dataclass
class Activation:
    """What was seen of one tensor.

    Attributes:
        name: The tensor.
        minimum: Smallest value.
        maximum: Largest value.
        count: How many values the tensor had over all pictures. The histogram counts a sample of
            them; all else looks at each.
        channels: `(c,)` float32, largest magnitude of each channel along axis 1; None below rank
            2 and where the number of channels changes.
        histogram: Magnitudes.
    """

    name: str
    minimum: float = 0.0
    maximum: float = 0.0
    count: int = 0
    channels: Optional[np.ndarray] = None
    histogram: Histogram = field(default_factory=Histogram)

    @property
    def amax(self) -> float:
        """Largest magnitude."""
        return max(abs(self.minimum), abs(self.maximum))


class Statistics(Mapping[str, Activation]):
    """What was seen of every float activation of a graph: `Activation` by tensor name.

    Attributes:
        model: Hash of the graph.
        inputs: Hash of what was fed, or empty.
        images: How many pictures were seen.
    """

    def __init__(
        self,
        tensors: Dict[str, Activation],
        *,
        model: str = "",
        inputs: str = "",
        images: int = 0,
    ) -> None:
        self.tensors = tensors
        self.model = model
        self.inputs = inputs
        self.images = images

    def __getitem__(self, name: str) -> Activation:
        if name not in self.tensors:
            raise KeyError(f"no statistics of {name!r}; {did_you_mean(name, self.tensors)}")
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors

    def save(self, path: Union[str, Path]) -> None:
        """Keep them in a file, in one step.

        Raises:
            StorageError: The folder cannot be written or the disk is full.
        """
        known = list(self.tensors.values())
        channels: List[np.ndarray] = [
            np.zeros(0, np.float32) if a.channels is None else a.channels for a in known
        ]
        used = [np.flatnonzero(a.histogram.counts) for a in known]
        head = {
            "version": VERSION,
            "model": self.model,
            "inputs": self.inputs,
            "images": self.images,
            "names": [a.name for a in known],
            "ranked": [a.channels is not None for a in known],
        }
        arrays = {
            "head": np.frombuffer(json.dumps(head).encode(), np.uint8),
            "limits": np.array([(a.minimum, a.maximum) for a in known]).reshape(-1, 2),
            "whole": np.array(
                [(a.count, a.histogram.base, a.histogram.zeros) for a in known], np.int64
            ).reshape(-1, 3),
            "channels": np.concatenate(channels or [np.zeros(0, np.float32)]),
            "widths": np.array([len(c) for c in channels], np.int64),
            "bins": np.concatenate(used or [np.zeros(0, np.intp)]).astype(np.uint16),
            "counts": np.concatenate(
                [a.histogram.counts[u] for a, u in zip(known, used)] or [np.zeros(0, np.int64)]
            ),
            "filled": np.array([len(u) for u in used], np.int64),
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        write_whole(Path(path), buffer.getvalue())

    @classmethod
    def load(cls, path: Union[str, Path]) -> "Statistics":
        """Read them back.

        Raises:
            DataError: The file is missing, cut short or no statistics.
        """
        try:
            with np.load(str(path), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            head = json.loads(arrays["head"].tobytes().decode())
            if head["version"] != VERSION:
                raise DataError(
                    f"{path} was written by another version of edgelane",
                    remedy="delete it, and calibrate again",
                )
            return cls(
                _tensors(head, arrays),
                model=head["model"],
                inputs=head["inputs"],
                images=head["images"],
            )
        except FileNotFoundError:
            raise DataError(f"there are no statistics {path}") from None
        except DataError:
            raise
        except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError) as error:
            raise _broken(path, error) from None
        except zipfile.BadZipFile as error:
            raise _broken(path, error) from None


def _broken(path: Union[str, Path], error: Exception) -> DataError:
    return DataError(
        f"{path} holds no calibration statistics",
        got=str(error)[:200] or type(error).__name__,
        remedy="delete it, and calibrate again",
    )


def _tensors(head: Dict, arrays: Dict[str, np.ndarray]) -> Dict[str, Activation]:
    split_channels = np.split(arrays["channels"], np.cumsum(arrays["widths"]))
    ends = np.cumsum(arrays["filled"])
    bins, counts = np.split(arrays["bins"], ends), np.split(arrays["counts"], ends)
    tensors = {}
    for index, name in enumerate(head["names"]):
        count, base, zeros = (int(v) for v in arrays["whole"][index])
        low, high = (float(v) for v in arrays["limits"][index])
        histogram = Histogram(base, zeros=zeros)
        histogram.counts[bins[index]] = counts[index]
        channels = split_channels[index].copy() if head["ranked"][index] else None
        tensors[name] = Activation(name, low, high, count, channels, histogram)
    return tensors
