"""All slots' metric files as prometheus-client's metrics, added up, with the newest exemplar of each bucket.

In place of prometheus-client's own collector, which fails as a whole for one file that is empty, torn or
gone, and parses every name at every scrape. A scrape costs one read of each file; a name is parsed once.
"""

from __future__ import annotations

import json
import math
import os
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from hola.telemetry.logs import get_logger
from hola.telemetry.metric_files import HEADER_BYTES, VALUE_BYTES, BrokenFile, entries
from hola.telemetry.metric_values import EXEMPLAR, EXEMPLAR_LABEL

_Labels = tuple[tuple[str, str], ...]

KINDS = ("counter", "summary", "histogram")
_REAL = struct.Struct("d")
_BOUND = itemgetter(0)
_log = get_logger("hola.metrics")
TOLD_AT = 2  # scrapes in a row that found a file broken
RETRY_SECONDS = 0.001  # a file is empty for an instant while its worker boots


class Name(NamedTuple):
    """What a name in a file says, but for the help text, which another version of the code may have put otherwise."""

    metric: str
    sample: str
    labels: _Labels


@dataclass(eq=False, slots=True)
class Run:
    """One histogram of one set of labels."""

    metric: str
    labels: dict[str, str]


@dataclass(eq=False, slots=True)
class Series:
    """One a name for as long as the reader lives, so that adding up compares nothing and a sample's labels are there.

    `run` and `bound` are a histogram's; the bound of its sum is not a number.
    """

    metric: str
    sample: str
    labels: dict[str, str]
    run: Run
    bound: float


@dataclass(slots=True)
class _Known:
    """A file as it was read last: which file that was, and where the payload of each series is."""

    inode: int = 0
    end: int = HEADER_BYTES
    failure: ValueError | None = None  # of a name in it that is none
    places: list[tuple[Series, int]] = field(default_factory=list)


class SlotFiles(Collector):
    """A collector over a directory of metric files. One thread at a time.

    Args:
        count_error: called for each file that could not be read, or not to its end.
        is_alive: whether a worker lives in a slot; the `live` gauges of others are left out.
    """

    def __init__(self, directory: Path, count_error: Callable[[], None], is_alive: Callable[[int], bool]) -> None:
        self._directory = directory
        self._count_error = count_error
        self._is_alive = is_alive
        self._known: dict[str, _Known] = {}
        self._series: dict[Name, Series] = {}
        self._runs: dict[tuple[str, _Labels], Run] = {}
        self._failed: dict[str, int] = {}  # for how many scrapes in a row a file has been broken
        self._failed_before = self._failed
        self._helps: dict[str, str] = {}  # of each metric, as it was read last

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        self._failed_before, self._failed = self._failed, {}
        exemplars = self._exemplars()
        for kind in KINDS:
            totals: dict[Series, float] = defaultdict(float)
            for path in sorted(self._directory.glob(f"{kind}_*.db")):
                data, places = self._read(path, VALUE_BYTES)
                for series, place in places:
                    totals[series] += _REAL.unpack_from(data, place)[0]
            yield from _families(kind, totals, self._helps, exemplars)
        yield from self._gauges()

    def _exemplars(self) -> dict[Series, Exemplar]:
        newest: dict[Series, Exemplar] = {}
        for path in self._directory.glob("exemplar_*.bin"):
            data, places = self._read(path, EXEMPLAR.size)
            for series, place in places:
                begun, trace_id, value, at, ended = EXEMPLAR.unpack_from(data, place)
                if begun != ended or not begun:
                    continue  # somebody is just writing it, or died of it
                if (other := newest.get(series)) is None or (other.timestamp or 0.0) < at:
                    newest[series] = Exemplar({EXEMPLAR_LABEL: trace_id.hex()}, value, at)
        return newest

    def _gauges(self) -> Iterable[Metric]:
        """Gauges that an application makes itself; prometheus-client's own merge, of what each file alone survives."""
        files = [str(path) for path in self._directory.glob("gauge_*_*.db") if self._counts(path)]
        try:
            return _merged(files)
        except Exception:  # noqa: BLE001 - whatever is wrong with one file must cost no other
            return _merged([file for file in files if self._can_merge(file)])

    def _can_merge(self, file: str) -> bool:
        try:
            _merged([file])
        except Exception as error:  # noqa: BLE001 - see above
            self._fail(Path(file), error)
            return False
        return True

    def _counts(self, gauge: Path) -> bool:
        _kind, mode, slot = gauge.stem.split("_", 2)
        return not mode.startswith("live") or (slot.isdigit() and self._is_alive(int(slot)))

    def _read(self, path: Path, payload_bytes: int) -> tuple[bytes, list[tuple[Series, int]]]:
        """A file's bytes, and where in them which series is; as far as both are whole."""
        for is_last_try in (False, True):
            try:
                return self._try(path, payload_bytes)
            except FileNotFoundError:
                break  # gone since the directory was listed
            except (BrokenFile, OSError, ValueError) as error:
                if is_last_try:
                    self._fail(path, error)
                else:
                    time.sleep(RETRY_SECONDS)
        return b"", []

    def _try(self, path: Path, payload_bytes: int) -> tuple[bytes, list[tuple[Series, int]]]:
        with path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            data = file.read()
        known = self._known.get(path.name)
        if known is None or known.inode != inode or known.end > len(data):
            known = self._known[path.name] = _Known(inode)
        failure: Exception | None = None
        try:
            for name, place in entries(memoryview(data), payload_bytes, known.end):
                known.end = place + payload_bytes
                self._learn(known, name, place)
        except BrokenFile as error:
            if not known.places:
                raise
            failure = error
        if failure := failure or known.failure:
            self._fail(path, failure)
        return data, known.places

    def _fail(self, path: Path, error: Exception) -> None:
        """Count it at each scrape; tell it at the second in a row, since a worker may boot at the first."""
        self._count_error()
        self._failed[path.name] = times = self._failed_before.get(path.name, 0) + 1
        if times == TOLD_AT:
            _log.warning("metrics_file_broken", file=str(path), reason=str(error))

    def _learn(self, known: _Known, name: bytes, place: int) -> None:
        """A name that is none costs itself alone: where the next one begins is known."""
        try:
            said, help_text = _parse(name)
            series = self._series.get(said) or self._meet(said)
        except ValueError as error:
            known.failure = error
        else:
            self._helps[said.metric] = help_text
            known.places.append((series, place))

    def _meet(self, name: Name) -> Series:
        metric, sample, labels = name
        bound, of_run = math.nan, labels
        if sample.endswith("_bucket"):
            bound = float(dict(labels).get("le", ""))  # without it the name is broken
            of_run = tuple(pair for pair in labels if pair[0] != "le")
        run = self._runs.setdefault((metric, of_run), Run(metric, dict(of_run)))
        shown = dict(labels) if math.isnan(bound) else {**run.labels, "le": floatToGoString(bound)}
        self._series[name] = series = Series(metric, sample, shown, run, bound)
        return series


def _merged(gauges: list[str]) -> list[Metric]:
    return list(MultiProcessCollector.merge(gauges)) if gauges else []


@lru_cache(maxsize=100_000)
def _parse(name: bytes) -> tuple[Name, str]:
    """The name's meaning and its help text. Raises ValueError for what prometheus-client did not write."""
    try:
        metric, sample, labels, help_text = json.loads(name)
        pairs = tuple((str(key), str(value)) for key, value in labels.items())
    except (TypeError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a series: {error}") from None
    return Name(str(metric), str(sample), pairs), str(help_text)


def _families(
    kind: str, totals: dict[Series, float], helps: dict[str, str], exemplars: dict[Series, Exemplar]
) -> Iterable[Metric]:
    families: dict[str, Metric] = {}
    runs: dict[Run, list[tuple[float, float, Series]]] = defaultdict(list)
    sums: dict[Run, float] = {}
    for series, value in totals.items():
        if series.metric not in families:
            families[series.metric] = Metric(series.metric, helps[series.metric], kind)
        if kind != "histogram":
            families[series.metric].samples.append(Sample(series.sample, series.labels, value))
        elif math.isnan(series.bound):
            sums[series.run] = value
        else:
            runs[series.run].append((series.bound, value, series))
    for run, buckets in runs.items():
        families[run.metric].samples.extend(_samples(run, sorted(buckets, key=_BOUND), sums.get(run, 0.0), exemplars))
    return families.values()


def _samples(
    run: Run, buckets: list[tuple[float, float, Series]], total_sum: float, exemplars: dict[Series, Exemplar]
) -> Iterable[Sample]:
    """Files hold each bucket's own count; what is shown is cumulated. Nothing while not all have room."""
    total, metric = 0.0, run.metric
    if buckets[-1][0] != math.inf:
        return
    for _bound, value, series in buckets:
        total += value
        yield Sample(series.sample, series.labels, total, None, exemplars.get(series))
    yield Sample(f"{metric}_count", run.labels, total)
    yield Sample(f"{metric}_sum", run.labels, total_sum)
