"""What is told of a reload's check that failed."""

from __future__ import annotations

import pytest

from hola.server.reload import MOST_TOLD, why_not

TRACEBACK = """Traceback (most recent call last):
  File "/srv/hola/server/check.py", line 31, in <module>
    sys.exit(main(sys.argv[1]))
             ^^^^^^^^^^^^^^^^^
  File "/srv/hola/app.py", line 7, in make
    {last}
{error}
"""


@pytest.mark.parametrize(
    ("last", "error", "told"),
    [
        ("raise it", "RuntimeError: no database", "RuntimeError: no database (/srv/hola/app.py, line 7)"),
        ("1 / 0\n    ~~^~~", "ZeroDivisionError: by zero", "ZeroDivisionError: by zero (/srv/hola/app.py, line 7)"),
        ("load()", "ValueError: two lines\n  of it", "ValueError: two lines of it (/srv/hola/app.py, line 7)"),
    ],
)
def test_a_traceback_is_told_as_its_error_and_the_place(last: str, error: str, told: str) -> None:
    assert why_not(TRACEBACK.format(last=last, error=error)) == told


def test_a_traceback_without_source_lines_is_told_as_well() -> None:
    assert why_not('  File "<frozen>", line 1, in f\nOSError: no\n') == "OSError: no (<frozen>, line 1)"


def test_anything_else_is_told_in_one_line_and_not_without_end() -> None:
    assert why_not("\nError: no such setting\n  more\n") == "Error: no such setting more"
    assert len(why_not("x" * 5000)) == MOST_TOLD


def test_nothing_said_is_nothing_told() -> None:
    assert why_not("") == ""
