"""Values, events and pauses, without a server."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from msaas_client.events import Event, read_events
from msaas_client.retries import RetryPolicy, parse_retry_after
from msaas_client.values import Job, Options


def test_job_ignores_unknown_fields_and_reads_the_extension_of_its_links() -> None:
    links = {"stems": {"vocals": "https://store.example/out/id-vocals.flac?signature=a.b"}}
    job = Job.from_json({"songhash": "id", "state": "done", "links": links, "novelty": 1})
    assert (job.extension, job.has_ended) == ("flac", True)


@pytest.mark.parametrize("stem", ["../vocals", "", "a/b", ".hidden", "vocals.mp3"])
def test_stem_that_leads_to_another_folder_is_refused(stem: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a stem"):
        Job.from_json({"songhash": "id", "state": "done", "stems": [stem]})


def test_options_that_are_not_set_are_left_out() -> None:
    assert Options(shifts=0, exact_sum=False, stems=("bass",)).values() == {
        "shifts": 0,
        "exact_sum": False,
        "stems": ("bass",),
    }


def test_events_are_read_between_comments() -> None:
    lines = [": comment", "", "retry: 2000", "", "id: 1", 'data: {"a": 1}', "", "id: 2", 'data: {"a": 2}']
    assert list(read_events(lines)) == [Event("1", {"a": 1})]


def test_retry_after_is_a_number_or_a_date() -> None:
    in_a_minute = datetime.now(UTC) + timedelta(seconds=60)
    assert parse_retry_after("5") == 5
    assert parse_retry_after(format_datetime(in_a_minute, usegmt=True)) == pytest.approx(60, abs=2)
    assert parse_retry_after("soon") is None
    assert parse_retry_after(None) is None


def test_pauses_double_up_to_a_limit() -> None:
    pauses = RetryPolicy(first_s=1, longest_s=4).pauses()
    found = [next(pauses) for _ in range(4)]
    for pause, most in zip(found, (1, 2, 4, 4), strict=True):
        assert most / 2 <= pause <= most
