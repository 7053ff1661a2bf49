"""A song through the running service against the `demucs` CLI, cold, as users run it.

The service is resident: its worker has loaded the model when the song comes. The start that the CLI pays each
time is part of this ratio; what the model alone gains says `bench.model_stage`.
"""

import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.fidelity import fidelity
from bench.measuring import Cost, Pairs
from bench.report import Findings, Goal
from bench.service import Service
from bench.songs import write_song

from tests.cluster.kube import new_song

#: Gate B; against the CLI on the same samples, before the MP3 encoder.
_GATE_B_DB = 45.0
#: Nobody hears it; one bit set otherwise in an MP3 can make as much.
_LOST_IN_MP3_DB = 0.1
_FASTER, _FASTER_IN_BFLOAT16 = 1.4, 3.2


@dataclass(frozen=True)
class Cli:
    """`demucs --mp3 --shifts 0`: the settings of the service, each time a new process."""

    repo: Path
    out: Path

    def separate(self, song: Path) -> None:
        program = Path(sys.executable).with_name("demucs")
        options = ["--mp3", "--shifts", "0", "-n", "htdemucs", "--repo", self.repo, "-o", self.out]
        command = [program, *options, song]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command

    def stems(self, song: Path) -> dict[str, Path]:
        return {path.stem: path for path in (self.out / "htdemucs" / song.stem).glob("*.mp3")}


def measure(service: Service, *, seconds: float, pairs: int, folder: Path) -> dict[str, Any]:
    song, cli = write_song(folder, seconds=seconds), Cli(service.repo, folder / "demucs")
    measured = Pairs()
    for _ in range(pairs):
        reference = Cost.of(lambda: cli.separate(song))
        measured.add(reference, Cost.of(lambda: service.separated(song), cpu_s=service.cpu_s))
    job_id = service.done(new_song(song))
    found = fidelity(
        song,
        repo=service.repo,
        arithmetic=service.arithmetic(job_id),
        reference_mp3s=cli.stems(song),
        mp3s=service.stems(job_id),
    )
    summary = measured.summary()
    return {
        **asdict(found),
        "mp3_lost_db": found.lost_db,
        **summary,
        **_null(measured),
        "times_real_time": seconds / summary["seconds"],
    }


def _null(measured: Pairs) -> dict[str, float]:
    null = measured.null()
    if not null.before:
        return {}
    return {f"null_{name}": null.summary()[name] for name in ("ratio", "ratio_min", "ratio_max")}


def end_to_end(service: Service, *, pairs: dict[float, int], folder: Path) -> Findings:
    """`pairs` says how many for a song of so many seconds."""
    rows = {
        f"{seconds:g} s": measure(service, seconds=seconds, pairs=count, folder=folder)
        for seconds, count in pairs.items()
    }
    return Findings(
        "A song through the service, against the demucs CLI",
        rows,
        _COLUMNS,
        tuple(goal for name, row in rows.items() for goal in _goals(name, row)),
        note=_NOTE,
    )


def _goals(name: str, row: dict[str, Any]) -> list[Goal]:
    faster = _FASTER_IN_BFLOAT16 if row["arithmetic"].startswith("bfloat16") else _FASTER
    return [
        Goal(f"{name} song, × the CLI ({row['arithmetic']})", row["ratio"], at_least=faster),
        Goal(f"{name} song, SNR before MP3, dB", row["snr_db"], at_least=_GATE_B_DB, is_gate=True),
        Goal(f"{name} song, lost in MP3, dB", row["mp3_lost_db"], at_most=_LOST_IN_MP3_DB, is_gate=True),
    ]


_COLUMNS = {
    "ratio (min-max)": "{ratio:.2f} ({ratio_min:.2f}-{ratio_max:.2f})",
    "pairs": "{pairs}",
    "CLI against CLI": "{null_ratio:.2f} ({null_ratio_min:.2f}-{null_ratio_max:.2f})",
    "in CPU time": "{cpu_ratio:.2f}",
    "CLI s": "{reference_s:.2f}",
    "service s": "{seconds:.2f}",
    "× real time": "{times_real_time:.2f}",
    "arithmetic": "{arithmetic}",
    "SNR dB before MP3": "{snr_db:.1f}",
    "our MP3": "{mp3_snr_db:.1f}",
    "CLI's MP3": "{reference_mp3_snr_db:.1f}",
    "MP3 to MP3": "{mp3_to_mp3_snr_db:.1f}",
}
_NOTE = (
    "SNR of the worst stem against demucs' float32 samples: of what our engine hands to the encoder, of our "
    "MP3, of the CLI's own MP3 (what MP3 costs whoever made the samples); and of our MP3 against the CLI's."
)
