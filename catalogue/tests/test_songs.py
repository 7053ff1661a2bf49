"""Songs: visibility, lists, titles, references."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from catalogue.tests.conftest import Clock
from msaas.errors import InvalidFields, SongLimitReached, SongNotFound, UserNotFound
from msaas.outcomes import Outcome
from msaas.recipe import Recipe
from msaas_catalogue import Catalogue, Song, SongQuery
from msaas_catalogue.fields import encode_cursor, search_key
from msaas_catalogue.values import SORTS

SONG, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
SIX = Recipe(model="htdemucs_6s")
PASSWORD = "correct horse"
#: Their order differs between languages, cases and bytes.
TITLES = [
    "b",
    "A",
    "a",
    "Zoë",
    "zebra",
    "Ärger",
    "ärger",
    "100 %",
    "_x",
    "а",
    "𝄞",
    "Été",
    "ete",
    "ß",
    "ss",
    "a b",
]


@pytest.fixture
def ann(catalogue: Catalogue) -> int:
    return catalogue.accounts.register("ann", password=PASSWORD, repeated=PASSWORD).user.id


@pytest.fixture
def bob(catalogue: Catalogue) -> int:
    return catalogue.accounts.register("bob", password=PASSWORD, repeated=PASSWORD).user.id


def add(
    catalogue: Catalogue,
    user_id: int | None,
    title: str = "Song",
    *,
    song_hash: str = SONG,
    recipe: Recipe = Recipe(),
) -> Song:
    return catalogue.songs.add(title, song_hash=song_hash, recipe=recipe, user_id=user_id)


def add_limited(catalogue: Catalogue, user_id: int | None) -> Song:
    """Add an upload where two are allowed."""
    return catalogue.songs.add("x", song_hash=SONG, recipe=Recipe(), user_id=user_id, max_songs=2)


def titles(catalogue: Catalogue, query: SongQuery = SongQuery(), *, user_id: int | None = None) -> list[str]:
    return [song.title for song in catalogue.songs.list_page(query, user_id=user_id).songs]


def test_added_song_is_read_back(catalogue: Catalogue, clock: Clock, ann: int) -> None:
    song = add(catalogue, ann, "Été", recipe=SIX)
    assert song == Song(
        id=song.id,
        title="Été",
        song_hash=SONG,
        job_id=SIX.job_id(SONG),
        recipe='{"model":"htdemucs_6s"}',
        uploader_id=ann,
        created_at=clock.now,
    )
    assert catalogue.songs.get(song.id, user_id=ann) == song
    assert Recipe.parse(song.options) == SIX


def test_song_of_a_deleted_account_is_refused(catalogue: Catalogue, ann: int) -> None:
    catalogue.accounts.delete(ann, password=PASSWORD)
    with pytest.raises(UserNotFound):
        add(catalogue, ann)


# Visibility


@pytest.mark.parametrize(
    ("owner", "caller", "sees", "changes"),
    [
        (None, None, True, False),
        (None, "ann", True, False),
        ("ann", None, False, False),
        ("ann", "ann", True, True),
        ("ann", "bob", False, False),
    ],
)
def test_song_is_visible_as_the_contract_says(
    catalogue: Catalogue, ann: int, bob: int, owner: str | None, caller: str | None, sees: bool, changes: bool
) -> None:
    ids = {None: None, "ann": ann, "bob": bob}
    song, user_id = add(catalogue, ids[owner]), ids[caller]
    assert titles(catalogue, user_id=user_id) == (["Song"] if sees else [])
    assert catalogue.songs.is_visible(SONG, user_id=user_id) is sees
    if sees:
        assert catalogue.songs.get(song.id, user_id=user_id) == song
    else:
        with pytest.raises(SongNotFound):
            catalogue.songs.get(song.id, user_id=user_id)
    if changes:
        renamed = catalogue.songs.rename(song.id, title="New", user_id=user_id)
        assert renamed == replace(song, title="New")
        assert catalogue.songs.delete(song.id, user_id=user_id).song == renamed
    else:
        for change in (
            lambda: catalogue.songs.rename(song.id, title="New", user_id=user_id),
            lambda: catalogue.songs.delete(song.id, user_id=user_id),
        ):
            with pytest.raises(SongNotFound):
                change()


@pytest.mark.parametrize("song_id", [0, -1, 10**9, 2**63, 2**70])
def test_unknown_number_is_not_found(catalogue: Catalogue, ann: int, song_id: int) -> None:
    with pytest.raises(SongNotFound, match=f"Song {song_id} does not exist"):
        catalogue.songs.get(song_id, user_id=ann)


def test_hash_is_private_if_users_alone_uploaded_it(catalogue: Catalogue, ann: int, bob: int) -> None:
    for user_id, song_hash in ((ann, SONG), (bob, SONG), (ann, OTHER), (None, OTHER), (None, THIRD)):
        add(catalogue, user_id, song_hash=song_hash)
    assert catalogue.songs.all_private_songs() == {SONG}


# References


def test_references_count_uploads_of_all_users(catalogue: Catalogue, ann: int, bob: int) -> None:
    first, second = add(catalogue, ann), add(catalogue, ann)
    other = add(catalogue, bob, recipe=SIX)
    add(catalogue, None)
    add(catalogue, ann, song_hash=OTHER)
    left = [catalogue.songs.delete(song.id, user_id=ann).left for song in (first, second)]
    assert [(each.to_song, each.to_job) for each in left] == [(3, 2), (2, 1)]
    six = catalogue.songs.delete(other.id, user_id=bob).left
    assert (six.to_song, six.to_job) == (1, 0)
    assert catalogue.songs.count_references(SONG, job_id=SONG) == replace(six, to_job=1)
    assert catalogue.songs.referenced_songs() == {SONG, OTHER}


def test_anonymous_uploads_of_a_time_are_listed(catalogue: Catalogue, ann: int) -> None:
    add(catalogue, ann)
    first, second = add(catalogue, None), add(catalogue, None, song_hash=OTHER)
    songs, at = catalogue.songs, second.created_at
    assert songs.list_anonymous(since=first.created_at - 1, until=at + 1) == [first, second]
    assert songs.list_anonymous(since=at + 1, until=at + 2) == []
    assert songs.list_anonymous(since=0, until=first.created_at - 1) == []


def test_anonymous_uploads_are_listed_in_pages(catalogue: Catalogue, ann: int) -> None:
    first, _, second, third = (add(catalogue, user_id) for user_id in (None, ann, None, None))
    songs, until = catalogue.songs, third.created_at
    assert songs.list_anonymous(since=0, until=until, limit=2) == [first, second]
    assert songs.list_anonymous(since=0, until=until, after_id=second.id, limit=2) == [third]
    assert songs.list_anonymous(since=0, until=until, after_id=third.id, limit=2) == []


def test_anonymous_uploads_are_removed_and_those_of_users_stay(catalogue: Catalogue, ann: int) -> None:
    removed, mine, kept = add(catalogue, None), add(catalogue, ann), add(catalogue, None)
    ids = [removed.id, mine.id, 10**9]
    assert [catalogue.songs.remove_anonymous(ids) for _ in range(2)] == [1, 0]
    assert catalogue.songs.list_uploads(SONG) == [mine, kept]
    assert catalogue.songs.remove_anonymous([]) == 0


def test_note_of_a_job_goes_with_its_last_anonymous_upload(catalogue: Catalogue, ann: int) -> None:
    last, shared, other = add(catalogue, None), add(catalogue, None, song_hash=OTHER), add(catalogue, None)
    six = add(catalogue, None, recipe=SIX)
    add(catalogue, ann, song_hash=OTHER)
    jobs = {last.job_id, shared.job_id, six.job_id}
    catalogue.outcomes.record(
        [Outcome(job_id=each, is_split=True, model="x", stems=("bass",)) for each in jobs]
    )
    catalogue.songs.remove_anonymous([last.id, shared.id])
    assert catalogue.outcomes.find(jobs).keys() == jobs
    catalogue.songs.remove_anonymous([other.id])
    assert catalogue.outcomes.find(jobs).keys() == jobs - {last.job_id}


def test_uploads_of_a_hash_are_listed(catalogue: Catalogue, ann: int) -> None:
    mine, anonymous = add(catalogue, ann), add(catalogue, None, recipe=SIX)
    add(catalogue, ann, song_hash=OTHER)
    assert catalogue.songs.list_uploads(SONG) == [mine, anonymous]


def test_upload_that_was_not_stored_is_removed(catalogue: Catalogue) -> None:
    song = add(catalogue, None)
    assert catalogue.songs.is_referenced(SONG)
    assert not catalogue.songs.is_referenced(OTHER)
    catalogue.songs.remove(song.id)
    catalogue.songs.remove(song.id)
    assert not catalogue.songs.is_referenced(SONG)
    assert catalogue.songs.referenced_songs() == set()


def test_number_of_a_deleted_song_is_not_given_again(catalogue: Catalogue, ann: int) -> None:
    song = add(catalogue, ann)
    catalogue.songs.delete(song.id, user_id=ann)
    assert add(catalogue, ann).id > song.id


# Limit


def test_account_has_as_many_songs_as_allowed(catalogue: Catalogue, ann: int, bob: int) -> None:
    songs = [add_limited(catalogue, ann) for _ in range(2)]
    for refuse in (
        lambda: add_limited(catalogue, ann),
        lambda: catalogue.songs.check_limit(user_id=ann, max_songs=2),
    ):
        with pytest.raises(SongLimitReached, match=r"limit of 2 songs\. Delete songs"):
            refuse()
    assert len(titles(catalogue, user_id=ann)) == 2
    add_limited(catalogue, bob)
    add_limited(catalogue, None)
    catalogue.songs.delete(songs[0].id, user_id=ann)
    catalogue.songs.check_limit(user_id=ann, max_songs=2)
    add_limited(catalogue, ann)


def test_anonymous_clients_share_a_limit(catalogue: Catalogue, ann: int) -> None:
    add(catalogue, ann)
    first, _ = add_limited(catalogue, None), add_limited(catalogue, None)
    for refuse in (
        lambda: add_limited(catalogue, None),
        lambda: catalogue.songs.check_limit(user_id=None, max_songs=2),
    ):
        with pytest.raises(SongLimitReached, match="all anonymous clients is reached"):
            refuse()
    catalogue.songs.remove_anonymous([first.id])
    add_limited(catalogue, None)


def test_songs_of_before_a_lower_limit_stay(catalogue: Catalogue, ann: int) -> None:
    for _ in range(3):
        add(catalogue, ann)
    with pytest.raises(SongLimitReached):
        add_limited(catalogue, ann)
    assert len(titles(catalogue, user_id=ann)) == 3


@pytest.mark.parametrize("uploader", ["ann", None])
def test_uploads_at_once_do_not_pass_the_limit(catalogue: Catalogue, ann: int, uploader: str | None) -> None:
    user_id, barrier = (ann if uploader else None), threading.Barrier(4)

    def try_to_add(_: int) -> bool:
        barrier.wait()
        try:
            add_limited(catalogue, user_id)
        except SongLimitReached:
            return False
        return True

    for _ in range(10):
        for song in catalogue.songs.list_uploads(SONG):
            catalogue.songs.remove(song.id)
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(try_to_add, range(4))) == 2
        assert len(catalogue.songs.list_uploads(SONG)) == 2


# Titles


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (" a \n b\t", "a b"),
        ("a\0b\x1bc", "a b c"),
        ("e\u0301", "é"),
        ("\ud800x", "x"),
        ("x" * 200, "x" * 200),
        ("𝄞" * 200, "𝄞" * 200),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🎤", "👩\u200d🎤"),
    ],
)
def test_title_is_one_line(catalogue: Catalogue, ann: int, text: str, title: str) -> None:
    song = add(catalogue, ann, text)
    assert song.title == title
    assert catalogue.songs.get(song.id, user_id=ann).title == title


@pytest.mark.parametrize("title", ["ﷺ" * 200, "ß" * 200])
def test_title_that_grows_when_folded_is_stored(catalogue: Catalogue, ann: int, title: str) -> None:
    assert add(catalogue, ann, title).title == title


@pytest.mark.parametrize(
    ("title", "fault"), [("", "missing"), (" \0 ", "missing"), ("x" * 201, "more than 200")]
)
def test_title_that_breaks_a_rule_is_refused(catalogue: Catalogue, ann: int, title: str, fault: str) -> None:
    song = add(catalogue, ann)
    for call in (
        lambda: add(catalogue, ann, title),
        lambda: catalogue.songs.rename(song.id, title=title, user_id=ann),
    ):
        with pytest.raises(InvalidFields) as refused:
            call()
        assert fault in refused.value.fields["title"][0]


# Lists


@pytest.mark.parametrize("sort", SORTS)
def test_pages_have_every_song_once_in_order(catalogue: Catalogue, ann: int, bob: int, sort: str) -> None:
    for number, title in enumerate(TITLES):
        add(catalogue, (ann, None)[number % 2], title)
        add(catalogue, bob, title)
    everything = titles(catalogue, SongQuery(sort=sort), user_id=ann)
    expected = sorted(TITLES, key=lambda title: search_key(title, chars=255)) if "title" in sort else TITLES
    assert [search_key(each, chars=255) for each in everything] == [
        search_key(each, chars=255) for each in (reversed(expected) if sort.startswith("-") else expected)
    ]
    paged: list[str] = []
    query = SongQuery(sort=sort, limit=3)
    while True:
        page = catalogue.songs.list_page(query, user_id=ann)
        paged += [song.title for song in page.songs]
        if not page.next:
            break
        assert len(page.songs) == 3
        query = replace(query, cursor=page.next)
    assert paged == everything


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ÄRG", ["Ärger", "ärger"]),
        ("100 %", ["100 %"]),
        ("%", ["100 %"]),
        ("_", ["_x"]),
        ("\\", []),
        ("zebra ", ["zebra"]),
        ("SS", ["ß", "ss"]),
        ("'; DROP TABLE songs; --", []),
        ("\0", TITLES),
        ("", TITLES),
    ],
)
def test_search_finds_a_part_of_a_title(
    catalogue: Catalogue, ann: int, search: str, found: list[str]
) -> None:
    for title in TITLES:
        add(catalogue, ann, title)
    assert titles(catalogue, SongQuery(search=search), user_id=ann) == found
    assert titles(catalogue, SongQuery(search=search), user_id=None) == []


def test_search_goes_on_behind_a_cursor(catalogue: Catalogue) -> None:
    for title in ("x 1", "y", "x 2", "x 3"):
        add(catalogue, None, title)
    page = catalogue.songs.list_page(SongQuery(search="x", limit=2, sort="-title"), user_id=None)
    assert [song.title for song in page.songs] == ["x 3", "x 2"]
    rest = SongQuery(search="x", limit=2, sort="-title", cursor=page.next)
    assert titles(catalogue, rest) == ["x 1"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (SongQuery(sort="size"), "sort"),
        (SongQuery(limit=0), "limit"),
        *(
            (SongQuery(cursor=cursor), "cursor")
            for cursor in (
                "x",
                "ä",
                "W10",
                encode_cursor("title", "a", 1),
                encode_cursor("created", "", 2**63),
                encode_cursor("created", "\0", 1),
                encode_cursor("created", 1, 1),
                encode_cursor("created", "", 1, 1),
                "WyJjcmVhdGVkIiwgIlx1ZDgwMCIsIDFd",
            )
        ),
    ],
)
def test_invalid_query_names_its_field(catalogue: Catalogue, query: SongQuery, field: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        catalogue.songs.list_page(query, user_id=None)
    assert list(refused.value.fields) == [field]
