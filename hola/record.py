"""Fixed runs of 8-byte words in shared memory, with a name for each: what the scoreboard is made of."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

WORD_BYTES = 8
RECORD_WORDS = 48
_NAME = "hola-records"


class Word:
    """One field of a record: a signed 64-bit integer, a double, or the first of a run of counters."""

    def __init__(self, real: bool = False, count: int = 1) -> None:
        self._view = "reals" if real else "words"
        self.count = count
        self.index = 0

    def __set_name__(self, owner: type[Record], name: str) -> None:
        self.index = owner.size
        owner.size += self.count

    def __get__(self, record: Record | None, owner: type | None = None) -> Any:
        return self if record is None else getattr(record, self._view)[self.index]

    def __set__(self, record: Record, value: float) -> None:
        getattr(record, self._view)[self.index] = value


class Counter(Word):
    """A word that only ever grows, over the lives of all masters that follow each other by USR2."""


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

    def forget(self) -> None:
        """Set every word to 0 but the counters."""
        for word in self._fields().values():
            if not isinstance(word, Counter):
                self.words[word.index : word.index + word.count] = memoryview(bytes(word.count * WORD_BYTES)).cast("q")

    @classmethod
    def layout(cls) -> str:
        """Which word is where; a record with more words at its end has a layout that begins like this one's."""
        return "".join(f"{name}*{word.count} " for name, word in cls._fields().items())

    @classmethod
    def _fields(cls) -> dict[str, Word]:
        return {name: word for name, word in vars(cls).items() if isinstance(word, Word)}


class Halves:
    """Memory of two masters that serve beside each other at USR2: each writes its own half, and reads both.

    The kernel frees it with its last process. Its descriptor is closed by exec, unless it is bequeathed.

    Args:
        size: of a half, in bytes.
        layouts: of all that is in a half.
        bequest: what the other master's `bequeath` returned, or "". Memory in which the same words are elsewhere, since
            the code is another, is left alone.
    """

    def __init__(self, size: int, layouts: list[str], bequest: str = "") -> None:
        self._layouts = layouts
        inherited = self._inherited(size, bequest)
        self._fd = os.memfd_create(_NAME) if inherited is None else inherited
        os.truncate(self._fd, 2 * size)
        memory = memoryview(mmap.mmap(self._fd, 2 * size))
        self.halves = (memory[:size], memory[size:])

    def bequeath(self) -> str:
        """Let the program that this process is about to become have the memory; what to tell it."""
        os.set_inheritable(self._fd, True)
        return "|".join([str(self._fd), *self._layouts])

    def _inherited(self, size: int, bequest: str) -> int | None:
        number, *theirs = bequest.split("|")
        with suppress(ValueError, OSError):  # no bequest, or not of this process
            name = Path(f"/proc/self/fd/{number}").readlink().name
            is_whole = name.startswith(f"memfd:{_NAME}") and os.fstat(int(number)).st_size == 2 * size
            if is_whole and len(theirs) == len(self._layouts) and all(map(_agree, theirs, self._layouts)):
                os.set_inheritable(int(number), False)
                return int(number)
        return None


def _agree(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
