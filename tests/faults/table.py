"""The table of faults, and the tests of other folders that do their damage."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """A row of docs/reliability.md."""

    damage: str
    passes_when: str
    #: Tests of other folders, by the beginning of their node id.
    also: tuple[str, ...] = field(default=())


FAULTS: dict[str, Fault] = {
    "R1": Fault(
        "SIGKILL at random instants, 3 workers",
        "all jobs end, every stem equals that of an undisturbed run, recovery ≤ lease + 15 s",
    ),
    "R2": Fault("a kill between each two steps of a job", "0 lost, 0 wrong"),
    "R3": Fault("SIGTERM during a job", "exit 0 in ≤ 5 s, job released, attempts unchanged"),
    "R4": Fault(
        "SIGSTOP past the lease, then SIGCONT, two engines",
        "the second result stands, never a stem of one engine under the manifest of the other",
    ),
    "R5": Fault(
        "`kill -9` of Redis during 500 enqueues",
        "every accepted job is found, work resumes in ≤ 10 s",
    ),
    "R6": Fault(
        "Redis unreachable or silent",
        "API 503 in ≤ 2 s with `Retry-After`, no pile-up, workers live",
        also=(
            "rest/tests/test_faults.py::test_killed_redis_is_503_and_nothing_is_stored",
            "rest/tests/test_faults.py::test_silent_redis_is_503_and_threads_do_not_pile_up",
            "rest/tests/test_faults.py::test_service_recovers_when_redis_is_back",
        ),
    ),
    "R7": Fault(
        "Redis full",
        "enqueue 503, workers finish, nothing evicted",
        also=("rest/tests/test_faults.py::test_full_redis_is_503_and_nothing_is_enqueued",),
    ),
    "R8": Fault("3 idle minutes", "no exception, a push is taken in ≤ 1 s"),
    "R9": Fault(
        "reply cut after the server ran the step",
        "done in ≤ lease + sweep, nothing stuck, no further attempt counted",
    ),
    "R10": Fault("one job delivered 50 times at once", "one result, one manifest, one callback id"),
    "R11": Fault("a poison job among 20 good ones", "dead after exactly 3 attempts, 20/20 done"),
    "R12": Fault(
        "malformed entries: 5 MB, 10,000 levels deep, binary, empty, a lone surrogate in a URL",
        "each in the dead-letter list with a reason, worker alive",
    ),
    "R13": Fault("a separator that hangs", "killed and counted, other jobs continue"),
    "S1": Fault(
        "store down, 500, slow, cut during a PUT",
        "retried, nothing partial visible, done after recovery, API 503",
        also=(
            "rest/tests/test_faults.py::test_unreachable_store_is_503_and_nothing_is_enqueued",
            "rest/tests/test_faults.py::test_store_that_breaks_during_the_upload",
            "rest/tests/test_faults.py::test_unwritable_store_folder_is_503",
        ),
    ),
    "S2": Fault("song deleted before its work", "fails for good after 1 attempt, with its reason"),
    "D1": Fault("a full disk", "fails cleanly, the next small job works, nothing left"),
    "O1": Fault(
        "the decoder exceeds its memory or time",
        "worker lives, a named error",
        also=(
            "worker/tests/test_decoding.py::test_decoder_beyond_its_memory_is_an_undecodable_song",
            "worker/tests/test_decoding.py::test_decoder_beyond_its_cpu_time_is_killed",
        ),
    ),
    "U1": Fault(
        "body of 10 × the limit, chunked and endless",
        "413, memory grows by ≤ 2 × the limit",
        also=("rest/tests/test_bad_input.py::test_endless_body_is_413_and_memory_stays_bounded",),
    ),
    "U2": Fault(
        "100 slow clients",
        "p99 of the others ≤ 1 s",
        also=(
            "rest/tests/test_server.py::test_slow_clients_do_not_delay_others",
            "rest/tests/test_server.py::test_client_without_a_whole_head_is_disconnected",
            "rest/tests/test_server.py::test_body_below_the_minimum_rate_is_408",
        ),
    ),
    "T1": Fault(
        "500 clients each that linger, are silent, and trickle",
        "p99 of the others ≤ 100 ms, none refused",
    ),
    "T2": Fault(
        "1,000 clients that read nothing of a stem, an archive, peaks or a fragment",
        "memory grows by ≤ 40 MiB and 0.2 MiB a client, and by ≤ 450 MiB for any number, "
        "every other request is answered",
    ),
    "T3": Fault(
        "2,000 callbacks of 64 kB for one finished song, or with 2,000 songs, on a Redis of 32 MiB",
        "Redis stays below its limit + 1 MiB, 429 or 503, jobs finish, delivered callbacks free their memory",
    ),
    "T4": Fault("JSON of 150 MiB, with any end", "memory grows by ≤ 64 MiB, 4xx"),
    "T5": Fault(
        "100 uploads that trickle, 16 large ones at once",
        "every song of the others accepted, no mutual refusal",
    ),
    "T7": Fault(
        "escape sequences, line separators and up to 10,000 characters in everything that a client may send",
        "none in a line of `rest`, in Redis or in what `logs` prints, each value ≤ 1,000 characters",
    ),
    "T8": Fault(
        "40 uploads begun at once with `MAX_QUEUED=3`, 100,000 waiting jobs",
        "3 enqueued, `/apiv1/queue` < 100 kB in ≤ 100 ms",
    ),
    "T9": Fault(
        "a page that deletes through an image without referrer",
        "403 on every host, also in a real browser, programs pass",
    ),
    "T10": Fault(
        "`job:<id>` of another type, or with NaN and unknown states in it",
        "in the dead-letter list with a reason, the worker goes on, status is 200 and strict JSON",
    ),
    "T11": Fault(
        "a song altered or cut in the store, expired results, a POST at each step of a sweep of retention, "
        "an anonymous upload at each step of the removal of an old one",
        "`song_damaged` at the first attempt, the next POST heals it, no job is `done` without stems, "
        "each accepted song has its stems or its job",
    ),
    "T12": Fault(
        "infinite numbers, `Retry-After`, failed jobs, addresses of cloud platforms",
        "400, honoured up to an hour, sent if `events` ask for it, refused",
    ),
    "T13": Fault(
        "an MP3 that takes over the decoder: 42 attempts to reach files, network, processes and the worker,"
        " and every other system call",
        "each fails, and the same attempts work in a plain process",
    ),
    "T15": Fault(
        "a process of the local stack that floods its log",
        "its logs take ≤ 30 MiB a moment later, the end is kept",
    ),
    "U3": Fault(
        "broken base64",
        "400 each",
        also=(
            "rest/tests/test_base64_text.py",
            "rest/tests/test_bad_input.py::test_malformed_json_field_is_400",
        ),
    ),
    "A1": Fault(
        "≥ 200 mutated MP3s",
        "0 worker deaths, each ≤ 10 s of CPU and ≤ 1.5 GiB, a named error or a right result",
    ),
    "W1": Fault(
        "receivers that refuse, hang, drip, redirect, flood",
        "delivered exactly when 2xx, ≤ 15 s, ≤ 8 KiB read, one id",
    ),
    "W2": Fault("≥ 60 URLs to private places", "all refused before a packet, 14 public addresses allowed"),
    "W3": Fault("a hanging receiver for 1,000 jobs", "CPU time of the jobs within 5 %"),
    "H2": Fault(
        "path and id fuzzing",
        "never 500, no store call with an unvalidated key",
        also=("rest/tests/test_ids.py",),
    ),
    "L1": Fault(
        "soak: 1,000 jobs among random kills and stops of workers, keepers and Redis",
        "0 lost, memory flat, keys bounded",
    ),
    "K1": Fault("two keepers side by side", "each task is done once"),
    "K2": Fault(
        "SIGKILL of keepers, during a POST and at random", "nothing is lost, the next keeper continues"
    ),
    "K3": Fault("no worker at all", "callbacks are delivered and repeated, retention and collection run"),
    "K4": Fault("SIGKILL of a worker beside a keeper", "its job is back within lease + sweep + 1 s"),
    "Q1": Fault(
        "SIGKILL of the database, of each kind, while 100 jobs end",
        "the jobs end and the keeper reaps as before, each end is one row after the restart",
        also=("keeper/tests/test_history.py::test_songs_go_on_while_the_database_is_killed",),
    ),
    "B1": Fault(
        "SIGKILL of workers of RabbitMQ at random instants, 3 workers, classic and quorum queues",
        "every song is stored by the backend, every stem equals that of an undisturbed run, no dead letter",
    ),
    "B2": Fault(
        "a broker that is killed, or a network that is cut, while songs are unacknowledged or held",
        "the worker stops and uploads nothing, each song is done afterwards",
        also=("common/tests/test_rabbitmq.py::test_song_survives_a_killed_broker",),
    ),
    "B3": Fault(
        "`consumer_timeout` of 5 s, songs of 15 s of work",
        "done at the first attempt if they are held, at the second one if the time must be learned",
        also=("common/tests/test_rabbitmq.py::test_held_song_outlives_the_time_of_the_broker",),
    ),
    "B4": Fault(
        "a message that kills its workers, messages without a valid song",
        "in the dead-letter queue with a reason, after exactly 3 workers or at once, the others are done",
    ),
    "B5": Fault(
        "a body above the limit of the broker",
        "`message_too_large` before and at the publication, the next song passes",
        also=(
            "common/tests/test_song_queue.py::test_song_above_the_limit_is_refused",
            "common/tests/test_rabbitmq.py::test_limit_of_the_broker_is_learned",
        ),
    ),
    "B6": Fault(
        "a heartbeat of 1 s under work of 8 s, a silent broker",
        "the connection holds, no call of the publisher takes longer than stated",
        also=(
            "common/tests/test_rabbitmq.py::test_heartbeats_hold_while_the_song_is_worked_on",
            "common/tests/test_rabbitmq.py::test_silent_broker_blocks_no_call_for_longer_than_stated",
        ),
    ),
    "B7": Fault(
        "a backend that is down, answers 500, cuts the upload, refuses the result",
        "uploaded once it is back, a refused result is in the dead-letter queue",
    ),
    "B8": Fault(
        "kills of workers, of `rest` and of the broker between an upload by `/songs` and its stems",
        "every song is SPLIT with the stems of an undisturbed run, no dead letter",
    ),
    "M": Fault(
        "state machine on a real server, beside its in-memory twin",
        "every job in one place, a stale token changes nothing, every job ends",
    ),
}
