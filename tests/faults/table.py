"""The table of faults, and the tests of other folders that do their damage."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    damage: str
    passes_when: str
    #: Tests of other folders, by the beginning of their node id.
    also: tuple[str, ...] = field(default=())


FAULTS: dict[str, Fault] = {
    "R1": Fault("SIGKILL at random instants: 200 jobs, 3 workers", "200/200 end, every manifest right"),
    "R2": Fault("kill between each two steps of a job", "0 lost, 0 wrong at each of ≥ 6 points"),
    "R3": Fault("SIGTERM mid-job", "exits 0 in ≤ 5 s, job requeued, attempts unchanged"),
    "R4": Fault("SIGSTOP past the lease, then SIGCONT", "the second result stands, no stem of the first"),
    "R5": Fault("Redis kill -9 during 500 enqueues", "every answered enqueue found; work resumes ≤ 10 s"),
    "R6": Fault(
        "Redis unreachable or silent",
        "503 in ≤ 2 s with Retry-After; no pile-up",
        also=(
            "rest/tests/test_faults.py::test_killed_redis_is_503_and_nothing_is_stored",
            "rest/tests/test_faults.py::test_silent_redis_is_503_and_threads_do_not_pile_up",
            "rest/tests/test_faults.py::test_service_recovers_when_redis_is_back",
        ),
    ),
    "R7": Fault(
        "Redis full (noeviction)",
        "enqueue 503, workers finish, nothing evicted",
        also=("rest/tests/test_faults.py::test_full_redis_is_503_and_nothing_is_enqueued",),
    ),
    "R8": Fault("idle 3 minutes", "no exception; a push is taken ≤ 1 s"),
    "R9": Fault("reply cut after the server ran the command", "done ≤ lease + sweep; nothing stuck"),
    "R10": Fault("one job delivered 50 times at once", "one result, one manifest, one callback id"),
    "R11": Fault("a poison job among 20 good ones", "dead after exactly 3; 20/20 done"),
    "R12": Fault("malformed entries", "each in the dead-letter list with a reason; worker alive"),
    "R13": Fault("a separator that hangs", "killed and counted, other jobs go on"),
    "S1": Fault(
        "store down, 500, slow, cut mid-PUT",
        "retried; no partial object; done after recovery; API 503",
        also=(
            "rest/tests/test_faults.py::test_unreachable_store_is_503_and_nothing_is_enqueued",
            "rest/tests/test_faults.py::test_store_that_breaks_during_the_upload",
            "rest/tests/test_faults.py::test_unwritable_store_folder_is_503",
        ),
    ),
    "S2": Fault("song deleted between enqueue and work", "failed for good, reason says so, 1 attempt"),
    "D1": Fault("/tmp full", "fails cleanly, the next small one works; 0 files left"),
    "O1": Fault(
        "decode child over its memory",
        "worker lives; a named error",
        also=(
            "worker/tests/test_decoding.py::test_decoder_beyond_its_memory_is_an_undecodable_song",
            "worker/tests/test_decoding.py::test_decoder_beyond_its_cpu_time_is_killed",
        ),
    ),
    "U1": Fault(
        "body 10× the limit, chunked and endless",
        "413; memory grows ≤ 2× the limit",
        also=("rest/tests/test_bad_input.py::test_endless_body_is_413_and_memory_stays_bounded",),
    ),
    "U2": Fault(
        "100 slow clients",
        "others' p99 ≤ 1 s",
        also=(
            "rest/tests/test_server.py::test_slow_clients_do_not_delay_others",
            "rest/tests/test_server.py::test_silent_clients_are_disconnected",
        ),
    ),
    "U3": Fault(
        "broken base64",
        "400 each; never 500, never repaired",
        also=(
            "rest/tests/test_base64_text.py",
            "rest/tests/test_bad_input.py::test_malformed_json_field_is_400",
        ),
    ),
    "A1": Fault("≥ 200 mutated MP3s", "0 worker deaths; each ≤ 10 s; a named error or a right result"),
    "W1": Fault("callback receiver misbehaves", "delivered exactly when 2xx; ≤ 15 s; ≤ 8 KiB; one id"),
    "W2": Fault("≥ 60 URLs to private places", "100 % refused at connect; ≥ 10 public forms allowed"),
    "W3": Fault("receiver dead for 1,000 jobs", "job throughput within 5 %"),
    "H2": Fault(
        "path and id fuzz",
        "404/400; no store call with an unvalidated key",
        also=("rest/tests/test_ids.py",),
    ),
    "L1": Fault("soak: short jobs with random faults", "0 lost, memory flat, Redis keys bounded"),
    "K1": Fault("two keepers side by side", "each task is done once, none is left"),
    "K2": Fault("SIGKILL of keepers", "nothing is lost; the next keeper goes on"),
    "K3": Fault("no worker at all", "callbacks are delivered, retention and collection run"),
    "K4": Fault("SIGKILL of a worker beside a keeper", "its job is back within lease + sweep + 1 s"),
    "M": Fault("state machine on a real Redis", "every job in one place; a stale token changes nothing"),
}
