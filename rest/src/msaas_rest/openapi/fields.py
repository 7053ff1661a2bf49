"""Types of fields and parameters. Their values come from the tables of `common`."""

import re
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from msaas.formats import FORMATS
from msaas.models import MODEL_NAMES, PART_NAMES, STEM_NAMES
from msaas.recipe import CLIPS, MAX_OVERLAP, MAX_SHIFTS, SAMPLE_RATES

EXAMPLE_HASH = "077dd328c409069f8183b7d754d098e63a5e446a22ff0f1e8cf4211307c969d8"
#: The pattern of `parse_id`: no two dots in a row. It has no look-ahead, which few readers know.
ID = r"[A-Za-z0-9](\.?[A-Za-z0-9_-])*\.?"
_EXTENSIONS = "|".join(re.escape(row.extension) for row in FORMATS.values())
NAME = f"({'|'.join(PART_NAMES)})"
PART = rf"{NAME}(\.({_EXTENSIONS}))?"


def one_of(values: Any) -> dict[str, Any]:
    return {"enum": list(values)}


def _distinct(name: str) -> list[Any]:
    """Return the values that a parameter has in any format."""
    return sorted({value for row in FORMATS.values() for value in getattr(row, name)})


JobId = Annotated[
    str,
    Field(
        description="Id of a job: the SHA-256 of the song, with `.<12 hex digits>` for other options.",
        max_length=128,
        json_schema_extra={"pattern": f"^{ID}$"},
        examples=[EXAMPLE_HASH],
    ),
]
Sha256 = Annotated[
    str,
    Field(description="SHA-256 of the song", pattern="^[0-9a-f]{64}$", examples=[EXAMPLE_HASH]),
]
Time = Annotated[str | None, Field(description="RFC 3339, UTC", examples=["2026-11-29T19:44:33.398Z"])]
ModelName = Annotated[str, Field(json_schema_extra=one_of(MODEL_NAMES))]
StemName = Annotated[str, Field(json_schema_extra=one_of(STEM_NAMES))]
FormatName = Annotated[str, Field(json_schema_extra=one_of(FORMATS))]
BitRate = Annotated[int, Field(json_schema_extra=one_of(_distinct("bit_rates")))]
Bits = Annotated[str, Field(json_schema_extra=one_of(_distinct("bits")))]
Clip = Annotated[str, Field(json_schema_extra=one_of(CLIPS))]
SampleRate = Annotated[str, Field(json_schema_extra=one_of(SAMPLE_RATES))]
Overlap = Annotated[float, Field(ge=0, le=MAX_OVERLAP)]
Shifts = Annotated[int, Field(ge=0, le=MAX_SHIFTS)]
#: A song in a form. Swagger UI shows a file chooser for it.
File = Annotated[str, WithJsonSchema({"type": "string", "contentMediaType": "application/octet-stream"})]
Base64 = Annotated[
    str,
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "contentMediaType": "audio/mpeg"}),
]
