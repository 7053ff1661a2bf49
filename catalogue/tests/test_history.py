"""The history: repeated records, filters, pages."""

from dataclasses import replace

import pytest

from msaas.errors import InvalidFields
from msaas.jobs import JobState
from msaas.separations import Separation
from msaas_catalogue import Catalogue, HistoryQuery
from msaas_catalogue.fields import encode_cursor

SONG, OTHER = "a" * 64, "b" * 64
VARIANT = f"{SONG}.{'1' * 12}"
END = 1_764_489_600.25
DONE = Separation(
    event_id="1",
    job_id=VARIANT,
    state=JobState.DONE,
    finished_at=END,
    queued_at=END - 20,
    started_at=END - 10,
    options={"model": "mdx", "overlap": 0.5, "stems": ["bass"]},
    model="mdx",
    requested_model="mdx",
    weights_sha256="f" * 64,
    device="cuda",
    attempts=2,
    audio_s=180.5,
)
FAILED = Separation(
    event_id="2", job_id=OTHER, state=JobState.FAILED, finished_at=END + 1, error_code="separation_failed"
)


def ids(catalogue: Catalogue, **query: object) -> list[str]:
    page = catalogue.history.list_page(replace(HistoryQuery(), **query))  # type: ignore[arg-type]
    return [each.event_id for each in page.separations]


def test_added_separations_are_read_back(catalogue: Catalogue) -> None:
    catalogue.history.add([DONE, FAILED])
    page = catalogue.history.list_page()
    assert page.separations == (FAILED, DONE)
    assert page.next == ""
    assert (page.separations[1].song_hash, page.separations[1].work_s) == (SONG, 10.0)


def test_separation_that_is_added_again_is_one_row(catalogue: Catalogue) -> None:
    catalogue.history.add([DONE, FAILED])
    better = replace(DONE, device="cpu")
    catalogue.history.add([DONE, better, FAILED])
    assert catalogue.history.list_page().separations == (FAILED, better)


def test_nothing_is_added_by_no_separations(catalogue: Catalogue) -> None:
    catalogue.history.add([])
    assert catalogue.history.list_page().separations == ()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"states": frozenset({JobState.DONE})}, ["1"]),
        ({"states": frozenset({JobState.DONE, JobState.FAILED})}, ["2", "1"]),
        ({"model": "mdx"}, ["1"]),
        ({"model": "htdemucs"}, []),
        ({"song_hash": SONG}, ["1"]),
        ({"song_hash": VARIANT}, []),
        ({"job_id": VARIANT}, ["1"]),
        ({"since": END}, ["2", "1"]),
        ({"since": END + 0.001}, ["2"]),
        ({"until": END + 1}, ["1"]),
        ({"since": 1e300}, []),
        ({"since": END, "until": END + 1, "model": "mdx"}, ["1"]),
    ],
)
def test_filters_select_separations(catalogue: Catalogue, query: dict[str, object], found: list[str]) -> None:
    catalogue.history.add([DONE, FAILED])
    assert ids(catalogue, **query) == found


def test_pages_have_every_separation_once(catalogue: Catalogue) -> None:
    """Several end in one millisecond."""
    ends = [replace(DONE, event_id=str(number), finished_at=END + number // 4) for number in range(120)]
    catalogue.history.add(ends)
    found: list[str] = []
    query = HistoryQuery(limit=7)
    while True:
        page = catalogue.history.list_page(query)
        found += [each.event_id for each in page.separations]
        if not page.next:
            break
        query = replace(query, cursor=page.next)
    assert len(found) == len(set(found)) == 120
    assert found[:4] == ["119", "118", "117", "116"]


def test_values_that_do_not_fit_are_cut(catalogue: Catalogue) -> None:
    """Messages that were pushed by hand and devices of workers may be anything."""
    odd = replace(
        DONE,
        event_id="x" * 200,
        model="m\0" * 100,
        device="𝄞" * 100,
        error_code="\ud800",
        options={"a\0": "x" * 5000},
        attempts=10**12,
        audio_s=1e300,
    )
    catalogue.history.add([odd])
    [found] = catalogue.history.list_page().separations
    assert (found.event_id, found.device, found.error_code) == ("x" * 160, "𝄞" * 64, "")
    assert found.options == {}
    assert found.attempts == 2**31 - 1


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (HistoryQuery(limit=0), "limit"),
        (HistoryQuery(limit=1001), "limit"),
        (HistoryQuery(cursor="x"), "cursor"),
        (HistoryQuery(cursor=encode_cursor(1, 2**63)), "cursor"),
        (HistoryQuery(cursor=encode_cursor("1", 1)), "cursor"),
    ],
)
def test_invalid_query_names_its_field(catalogue: Catalogue, query: HistoryQuery, field: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        catalogue.history.list_page(query)
    assert list(refused.value.fields) == [field]
