"""Routes of the results of a song."""

import json

from openapi_pydantic import Header, Operation, PathItem, Schema

from msaas import errors
from msaas_rest.openapi.fetching import AUDIO, RANGE_HEADERS
from msaas_rest.openapi.fields import NAME, PART
from msaas_rest.openapi.following import EXAMPLE_JOB
from msaas_rest.openapi.messages import Peaks, SongFragmentsReply
from msaas_rest.openapi.operations import Reply, bytes_of, in_header, in_path, in_query, schema_of, text_of
from msaas_rest.openapi.songs import OF_A_SONG, STATED, describe, song_id, success

TAG = "results of songs"
_FILES = (errors.TrackNotFound, errors.UnknownStem, errors.UnknownFormat, errors.TooBusy, errors.InvalidId)


def paths() -> dict[str, PathItem]:
    return {
        "/songs/{song_id}/{file}": PathItem(get=_part()),
        "/songs/{song_id}/stems.zip": PathItem(get=_stems()),
        "/songs/{song_id}/peaks.json": PathItem(get=_peaks()),
        "/songs/{song_id}/events": PathItem(get=_events()),
        "/songs/{song_id}/pieces": PathItem(get=_fragments()),
        "/songs/{song_id}/pieces/{part}/{number}": PathItem(get=_fragment()),
    }


def _part() -> Operation:
    schema = Schema(type="string", pattern=rf"^(song(\.[a-z0-9]+)?|{PART})$")
    return _file(
        "Download a part of a song, or the song itself",
        name="download_part",
        parameters=[in_path("file", "`song`, or a stem", schema, example="vocals.mp3")],
        media_types=(*AUDIO, "application/octet-stream"),
    )


def _stems() -> Operation:
    stems = Schema(type="string", pattern=f"^({NAME}(,{NAME})*)?$")
    return _file(
        "Download all stems as a ZIP",
        name="download_stems",
        parameters=[in_query("stems", "Only these, with commas between", stems, example="vocals")],
        media_types=("application/zip",),
    )


def _file(summary: str, *, name: str, parameters: list, media_types: tuple[str, ...]) -> Operation:  # type: ignore[type-arg]
    headers = {"Content-Disposition": Header(description="The name of the file", param_schema=schema_of(str))}
    content = bytes_of(*media_types)
    return describe(
        TAG,
        summary,
        name=name,
        parameters=[
            song_id(),
            *parameters,
            in_query(
                "inline", "A browser plays the file and does not save it", Schema(type="string", enum=["1"])
            ),
            *RANGE_HEADERS,
        ],
        replies={
            200: Reply(description="The file", content=content, headers=headers),
            206: Reply(description="A range of it", content=content, headers=headers),
            304: Reply(description="The client has this file."),
        },
        raises=(*OF_A_SONG, *STATED, *_FILES, errors.SongMissing, errors.SongDamaged),
        statuses=[416],
    )


def _peaks() -> Operation:
    example = {"samples_per_pair": 512, "is_whole": True, "stems": {"vocals": [-3, 4, -12, 11]}}
    return describe(
        TAG,
        "Get the peaks of all stems",
        name="show_peaks",
        parameters=[song_id()],
        replies={200: Reply(description="The peaks", model=Peaks, example=example)},
        raises=(*OF_A_SONG, *STATED, errors.PeaksNotFound),
    )


def _events() -> Operation:
    stream = f"retry: 2000\n\nid: 5e1c1f6a5b1c0d2f\ndata: {json.dumps(EXAMPLE_JOB)}\n\n"
    return describe(
        TAG,
        "Follow the separation of a song by server-sent events",
        name="follow_song",
        description="Each event has the job object of `/apiv1/job/<id>`.",
        parameters=[
            song_id(),
            in_header("Last-Event-ID", "The last event that the client has", example="5e1c1f6a5b1c0d2f"),
        ],
        replies={
            200: Reply(description="The stream", content=text_of("text/event-stream", stream)),
            204: Reply(description="The job has ended, and the client has its last event."),
        },
        raises=(*OF_A_SONG, *STATED, errors.JobNotFound, errors.TooBusy),
    )


def _fragments() -> Operation:
    example = success({"playable_until_s": 10.24, "stems": ["drums", "vocals"], "pieces": 2})
    return describe(
        TAG,
        "List the fragments of a song that is being separated",
        name="list_song_fragments",
        parameters=[song_id()],
        replies={200: Reply(description="The fragments", model=SongFragmentsReply, example=example)},
        raises=(*OF_A_SONG, errors.QueueUnavailable, errors.FragmentNotFound),
    )


def _fragment() -> Operation:
    number = in_path("number", "From 1 on", Schema(type="integer", minimum=1, maximum=999_999), example=1)
    stem = Schema(type="string", pattern=f"^{NAME}$")
    return describe(
        TAG,
        "Download a fragment of a song that is being separated",
        name="download_song_fragment",
        parameters=[song_id(), in_path("part", "A stem", stem, example="vocals"), number],
        replies={200: Reply(description="The fragment", content=bytes_of("audio/mpeg"))},
        raises=(*OF_A_SONG, *STATED, errors.UnknownStem, errors.FragmentNotFound),
    )
