"""Routes of the results of a song."""

from functools import partial

from openapi_pydantic import Operation, PathItem, Schema

from msaas import errors
from msaas_rest.openapi.downloads import (
    AUDIO,
    EXAMPLE_FRAGMENTS,
    analysis_operation,
    chosen_stems,
    events_operation,
    file_operation,
    fragment_operation,
)
from msaas_rest.openapi.fields import PART
from msaas_rest.openapi.messages.library import Peaks, SongFragmentsReply
from msaas_rest.openapi.operations import Reply, in_path
from msaas_rest.openapi.songs import OF_A_SONG, STATED, describe, song_id, success

_describe = partial(describe, "results of songs")
_FILES = (
    *(*OF_A_SONG, *STATED),
    *(errors.TrackNotFound, errors.UnknownStem, errors.UnknownFormat, errors.InvalidId),
    *(errors.SongMissing, errors.SongDamaged),
)


def paths() -> dict[str, PathItem]:
    return {
        "/songs/{song_id}/{file}": PathItem(get=_part()),
        "/songs/{song_id}/stems.zip": PathItem(get=_stems()),
        "/songs/{song_id}/peaks.json": PathItem(get=_peaks()),
        "/songs/{song_id}/analysis.json": PathItem(get=_analysis()),
        "/songs/{song_id}/events": PathItem(get=_events()),
        "/songs/{song_id}/pieces": PathItem(get=_fragments()),
        "/songs/{song_id}/pieces/{part}/{number}": PathItem(get=_fragment()),
    }


def _part() -> Operation:
    schema = Schema(type="string", pattern=rf"^(song(\.[a-z0-9]+)?|{PART})$")
    return file_operation(
        _describe,
        "Download a part of a song, or the song itself",
        name="download_part",
        parameters=[song_id(), in_path("file", "`song`, or a stem", schema, example="vocals.mp3")],
        media_types=(*AUDIO, "application/octet-stream"),
        raises=_FILES,
    )


def _stems() -> Operation:
    return file_operation(
        _describe,
        "Download all stems as a ZIP",
        name="download_stems",
        parameters=[song_id(), chosen_stems()],
        media_types=["application/zip"],
        raises=_FILES,
    )


def _peaks() -> Operation:
    example = {"samples_per_pair": 512, "is_whole": True, "stems": {"vocals": [-3, 4, -12, 11]}}
    return _describe(
        "Get the peaks of all stems",
        name="show_peaks",
        parameters=[song_id()],
        replies={200: Reply(description="The peaks", model=Peaks, example=example)},
        raises=(*OF_A_SONG, *STATED, errors.PeaksNotFound),
    )


def _analysis() -> Operation:
    return analysis_operation(
        _describe,
        "Get loudness, key, tempo and beats of a song",
        name="show_song_analysis",
        of=song_id(),
        raises=(*OF_A_SONG, *STATED),
    )


def _events() -> Operation:
    return events_operation(
        _describe,
        "Follow the separation of a song by server-sent events",
        name="follow_song",
        description="Each event has the job object of `/apiv1/job/<id>`.",
        of=song_id(),
        raises=(*OF_A_SONG, *STATED, errors.JobNotFound),
    )


def _fragments() -> Operation:
    example = success(EXAMPLE_FRAGMENTS)
    return _describe(
        "List the fragments of a song that is being separated",
        name="list_song_fragments",
        parameters=[song_id()],
        replies={200: Reply(description="The fragments", model=SongFragmentsReply, example=example)},
        raises=(*OF_A_SONG, errors.QueueUnavailable, errors.FragmentNotFound),
    )


def _fragment() -> Operation:
    return fragment_operation(
        _describe,
        "Download a fragment of a song that is being separated",
        name="download_song_fragment",
        of=song_id(),
        raises=(*OF_A_SONG, *STATED),
    )
