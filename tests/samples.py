"""Samples of replies in documents, and their comparison with real replies.

`…` in a sample stands for more: in a text for one or more characters, as an element of a list for one or more
further elements, as the field `"…": "…"` of an object for one or more further fields, and as a line of a text
for one or more further lines.
"""

import json
import re
from collections.abc import Set
from typing import Any

MORE = "…"


def compare_json(
    found: Any, sample: Any, *, varying: Set[str] = frozenset(), where: str = "reply"
) -> list[str]:
    """Return the differences between a reply and its sample, each with its place.

    Fields in `varying` differ from run to run: they have the type of the sample, or are null.
    """
    if isinstance(found, dict) and isinstance(sample, dict):
        return _compare_fields(found, sample, varying=varying, where=where)
    if isinstance(found, list) and isinstance(sample, list):
        return _compare_elements(found, sample, varying=varying, where=where)
    if where.rpartition(".")[2] in varying:
        is_same = found is None or type(found) is type(sample)
    elif isinstance(found, str) and isinstance(sample, str):
        is_same = _pattern_of(sample).fullmatch(found) is not None
    else:
        is_same = type(found) is type(sample) and found == sample
    return [] if is_same else [f"{where} is {_shorten(found)}, in the document {_shorten(sample)}"]


def _compare_fields(
    found: dict[str, Any], sample: dict[str, Any], *, varying: Set[str], where: str
) -> list[str]:
    named = sample.keys() - {MORE}
    complaints = [f"{where} lacks {name}" for name in sorted(named - found.keys())]
    further = sorted(found.keys() - named)
    if bool(further) != (MORE in sample):
        complaints.append(f"{where} has {', '.join(further) or 'no'} further fields")
    for name in sorted(named & found.keys()):
        complaints += compare_json(found[name], sample[name], varying=varying, where=f"{where}.{name}")
    return complaints


def _compare_elements(found: list[Any], sample: list[Any], *, varying: Set[str], where: str) -> list[str]:
    before, after = (sample, []) if MORE not in sample else _split(sample)
    named, has_more = len(before) + len(after), MORE in sample
    if len(found) <= named if has_more else len(found) != named:
        return [f"{where} has {len(found)} elements: {_shorten(found)}"]
    pairs = [*zip(found, before, strict=False), *zip(found[len(found) - len(after) :], after, strict=True)]
    return [
        complaint
        for number, (one, other) in enumerate(pairs)
        for complaint in compare_json(one, other, varying=varying, where=f"{where}[{number}]")
    ]


def _split(sample: list[Any]) -> tuple[list[Any], list[Any]]:
    at = sample.index(MORE)
    return sample[:at], sample[at + 1 :]


def compare_text(found: str, sample: str) -> list[str]:
    """Return the difference between a text and its sample. Spaces at the ends of lines are not compared."""
    lines = [line.rstrip() for line in sample.rstrip().splitlines()]
    pattern = "".join(r"(?:.*\n)+" if line == MORE else _pattern_of(line).pattern + r"\n" for line in lines)
    text = "".join(f"{line.rstrip()}\n" for line in found.rstrip().splitlines())
    return [] if re.fullmatch(pattern, text) else [f"The text is\n{text}\nin the document\n{sample}"]


def _pattern_of(sample: str) -> re.Pattern[str]:
    return re.compile(".+".join(map(re.escape, sample.split(MORE))))


def _shorten(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:200]
