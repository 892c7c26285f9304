"""What every part of the live document is made of: frozen, strict, without unknown keys, with times that end it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


def _check_time(value: object) -> object:
    if value is not None and not (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        raise ValueError("must be a time as RFC 3339 writes it, such as 2026-12-01T00:00:00Z")
    return value


Until = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_check_time)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
