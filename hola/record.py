"""Fixed runs of 8-byte words in somebody else's memory, with a name for each: what the scoreboard is made of."""

from __future__ import annotations

from typing import Any, ClassVar

WORD_BYTES = 8
RECORD_WORDS = 48


class Word:
    """One field of a record: a signed 64-bit integer, a double, or the first of a run of counters."""

    def __init__(self, real: bool = False, count: int = 1) -> None:
        self._view = "reals" if real else "words"
        self._count = count
        self.index = 0

    def __set_name__(self, owner: type[Record], name: str) -> None:
        self.index = owner.size
        owner.size += self._count

    def __get__(self, record: Record | None, owner: type | None = None) -> Any:
        return self if record is None else getattr(record, self._view)[self.index]

    def __set__(self, record: Record, value: float) -> None:
        getattr(record, self._view)[self.index] = value


class Record:
    """A fixed run of words. `words` and `reals` are two views of the same memory."""

    size: ClassVar[int] = 0

    def __init_subclass__(cls) -> None:
        if cls.size > RECORD_WORDS:
            raise TypeError(f"{cls.__name__} has {cls.size} words, a record holds {RECORD_WORDS}")

    def __init__(self, memory: memoryview) -> None:
        self.words = memory.cast("q")
        self.reals = memory.cast("d")

    def add(self, first: str, offset: int = 0, amount: int = 1) -> None:
        """Add to the word `offset` behind the field `first`. One writer at a time."""
        self.words[getattr(type(self), first).index + offset] += amount

    def counts(self, first: str, names: tuple[str, ...]) -> dict[str, int]:
        """The words from the field `first` on, by `names`."""
        index = getattr(type(self), first).index
        return dict(zip(names, self.words[index : index + len(names)].tolist(), strict=True))
