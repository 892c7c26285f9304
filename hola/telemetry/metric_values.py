"""Where prometheus-client's counters keep their numbers: in the files of this worker's slot.

Set as `prometheus_client.values.ValueClass` before the first metric is made, so every Counter and Histogram
of the process counts there, a library's too, and one that a module makes when it is imported. The slot's next
worker goes on in the same files. Two things prometheus-client lacks with several processes: exemplars, and a
way to go on when there is no room: such a series counts in memory, is not shown meanwhile (it would jump from
scrape to scrape, as another worker answers), and moves to its file, with all that it counted, as soon as there is room.
"""

from __future__ import annotations

import struct
import threading
import time
from bisect import bisect_left
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import values
from prometheus_client.mmap_dict import mmap_key
from prometheus_client.samples import Exemplar

from hola.scoreboard import Row
from hola.telemetry.logs import get_logger
from hola.telemetry.metric_files import VALUE_BYTES, NoRoom, SeriesFile

# sequence, trace id, value, time, sequence again: equal at both ends when nobody is writing
EXEMPLAR = struct.Struct("=q16sddq")
EXEMPLAR_LABEL = "trace_id"
EXEMPLARS = "exemplar"

_log = get_logger("hola.metrics")


def count_in(directory: Path, slot: int, row: Row) -> SlotValues:
    """Let all metrics of this process count in the files of its slot, from now on. Twice is once.

    Two writers of one file would spoil it.
    """
    found = values.ValueClass
    if not (isinstance(found, SlotValues) and found.is_of(directory, row)):
        found = values.ValueClass = SlotValues(directory, slot, row)
    return found


class SlotValues:
    """prometheus-client's value class for one worker slot. Thread-safe; make it after the fork.

    Args:
        directory: of the metric files.
        row: where it is told how many series have no room.
    """

    _multiprocess = True  # prometheus-client asks

    def __init__(self, directory: Path, slot: int, row: Row) -> None:
        self._directory = directory
        self._slot = slot
        self._row = row
        self._files: dict[str, SeriesFile] = {}
        self._homeless: list[_Value] = []
        self.lock = threading.Lock()
        row.metrics_homeless = 0
        with suppress(NoRoom):  # room for the first series is taken at once, so that their number never changes
            for kind in ("counter", "histogram", EXEMPLARS):
                self._file(kind)

    def __call__(  # noqa: PLR0917 - prometheus-client's signature
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: list[str],
        labelvalues: list[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_: Any,
    ) -> _Value:
        kind = f"gauge_{multiprocess_mode}" if typ == "gauge" else typ
        key = mmap_key(metric_name, name, labelnames, labelvalues, help_text).encode()
        value = _Value(self, kind, key)
        with self.lock:
            if self._homeless or not self._house(value):
                self._homeless.append(value)
                self._tell_homeless()
        return value

    def is_of(self, directory: Path, row: Row) -> bool:
        return (self._directory, self._row) == (directory, row)

    def settle(self) -> None:
        """Try again to find room for the series that have none. Called about once a second."""
        if not self._homeless:
            return
        with self.lock:
            self._homeless = [value for value in self._homeless if not self._house(value)]
            self._row.metrics_homeless = len(self._homeless)
        if not self._homeless:
            _log.info("metrics_recovered")

    def place_exemplar(self, key: bytes) -> tuple[SeriesFile, int] | None:
        """Where the exemplar of a series is kept; None while there is no room. Under the lock."""
        try:
            file = self._file(EXEMPLARS)
            return file, file.place(key)
        except NoRoom:
            return None

    def _house(self, value: _Value) -> bool:
        try:
            file = self._file(value.kind)
            value.move(file, file.place(value.key))
        except NoRoom as error:
            self._reason = str(error)
            return False
        return True

    def _file(self, kind: str) -> SeriesFile:
        if (file := self._files.get(kind)) is None:
            suffix, payload_bytes = ("bin", EXEMPLAR.size) if kind == EXEMPLARS else ("db", VALUE_BYTES)
            path = self._directory / f"{kind}_{self._slot}.{suffix}"
            file = self._files[kind] = SeriesFile(path, payload_bytes)
        return file

    def _tell_homeless(self) -> None:
        if not self._row.metrics_homeless:
            _log.error("metrics_degraded", reason=self._reason, directory=str(self._directory))
        self._row.metrics_homeless = len(self._homeless)


class _Value:
    """One number, as prometheus-client uses it."""

    __slots__ = ("_exemplar", "_file", "_index", "_lock", "_values", "key", "kind")

    def __init__(self, values: SlotValues, kind: str, key: bytes) -> None:
        self._values = values
        self._lock = values.lock
        self._file: Any = _Memory()
        self._index = 0
        self._exemplar: tuple[SeriesFile, int] | None = None
        self.kind = kind
        self.key = key

    def move(self, file: SeriesFile, place: int) -> None:
        """Count in `file` from now on, and there add what was counted so far. Under the lock."""
        so_far = self._file.reals[self._index]
        self._file, self._index = file, place // 8
        if self.kind.startswith("gauge"):
            file.reals[self._index] = so_far  # not what the slot's last worker left
        else:
            file.reals[self._index] += so_far

    def inc(self, amount: float) -> None:
        with self._lock:
            self._file.reals[self._index] += amount

    def add(self, amount: float) -> None:
        """The same under the lock, for who holds it already."""
        self._file.reals[self._index] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        with self._lock:
            self._file.reals[self._index] = value
            self._file.reals[self._index + 1] = timestamp or 0.0

    def get(self) -> float:
        with self._lock:
            return float(self._file.reals[self._index])

    def set_exemplar(self, exemplar: Exemplar) -> None:
        """Keep the trace id of the latest observation; other labels than `trace_id` are not kept."""
        with self._lock:
            self.keep(exemplar.labels.get(EXEMPLAR_LABEL, ""), exemplar.value, float(exemplar.timestamp or 0.0))

    def keep(self, trace_id: str, value: float, timestamp: float) -> None:
        """Keep an exemplar. Under the lock."""
        if self._exemplar is None:
            self._exemplar = self._values.place_exemplar(self.key)
        if self._exemplar is None:
            return
        file, place = self._exemplar
        record = EXEMPLAR.pack(time.monotonic_ns(), bytes.fromhex(trace_id), value, timestamp, 0)
        end = place + EXEMPLAR.size
        file.memory[place : end - 8] = record[:-8]
        file.memory[end - 8 : end] = record[:8]

    def get_exemplar(self) -> None:
        """Asked for by prometheus-client's own collectors, which are not used here."""


class RequestSeries:
    """The numbers of requests alike in method, route and status, looked up once, and counted under one lock.

    prometheus-client's own way takes several times as long: a lock for each number, and the bucket by trial. Takes
    the values out of its metrics by names that it does not promise, so its version is pinned and tests hold them.
    """

    def __init__(self, values: SlotValues, count: Any, duration: Any, queue: Any) -> None:
        self._lock = values.lock
        self._count: _Value = count._value
        self._bounds: list[float] = duration._upper_bounds
        self._buckets: list[_Value] = duration._buckets
        self._seconds: _Value = duration._sum
        self._queue_bounds: list[float] = queue._upper_bounds
        self._queue_buckets: list[_Value] = queue._buckets
        self._queue_seconds: _Value = queue._sum

    def observe(self, seconds: float, queue_seconds: float | None, trace_id: str | None) -> None:
        """Count one request; `trace_id`, of 32 hexadecimal digits, becomes its bucket's exemplar."""
        bucket = self._buckets[bisect_left(self._bounds, seconds)]
        with self._lock:
            self._count.add(1.0)
            self._seconds.add(seconds)
            bucket.add(1.0)
            if queue_seconds is not None:
                self._queue_seconds.add(queue_seconds)
                self._queue_buckets[bisect_left(self._queue_bounds, queue_seconds)].add(1.0)
            if trace_id is not None:
                bucket.keep(trace_id, seconds, time.time())


class _Memory:
    """What stands for a file while there is none."""

    def __init__(self) -> None:
        self.reals = [0.0, 0.0]
