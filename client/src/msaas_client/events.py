"""Server-sent events of a job (WHATWG HTML, section 9.2), as far as this API uses them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """`id` is for the `Last-Event-ID` of the next connection."""

    id: str
    data: dict[str, Any]


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the event that each blank line ends. Comments are ignored, and an event that was cut.

    Raises:
        ValueError: the data of an event is not a JSON object.
    """
    event_id, data = "", list[str]()
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            event_id = value
        elif name == "data":
            data.append(value)
        elif not line and data:
            found = json.loads("\n".join(data))
            if not isinstance(found, dict):
                raise ValueError("The data of an event is not a JSON object.")
            yield Event(event_id, found)
            data.clear()
