"""A song through the running service, compared with a cold run of the `demucs` CLI.

The service is resident: its worker has loaded the model before the song arrives. The CLI loads it in each
run, and this time is part of the ratio. `bench.model_stage` measures the model alone.
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

#: Gate B: minimum SNR against demucs on the same samples, before the MP3 encoder.
_GATE_B_DB = 45.0
#: An inaudible difference: a single different bit in an MP3 can cause as much.
_LOST_IN_MP3_DB = 0.1
_FASTER, _FASTER_IN_BFLOAT16 = 1.4, 3.2


@dataclass(frozen=True)
class Cli:
    """`demucs --mp3 --shifts 0`, which are the settings of the service, in a new process for each run."""

    repo: Path
    out: Path

    def separate(self, song: Path) -> None:
        program = Path(sys.executable).with_name("demucs")
        command: list[str | Path] = [program, "--mp3", "--shifts", "0", "-n", "htdemucs"]
        command += ["--repo", self.repo, "-o", self.out, song]
        subprocess.run(command, check=True, capture_output=True)

    def stems(self, song: Path) -> dict[str, Path]:
        return {path.stem: path for path in (self.out / "htdemucs" / song.stem).glob("*.mp3")}


def measure(service: Service, *, seconds: float, pairs: int, folder: Path) -> dict[str, Any]:
    song, cli = write_song(folder, seconds=seconds), Cli(service.repo, folder / "demucs")
    measured = Pairs()
    for _ in range(pairs):
        reference = Cost.of(lambda: cli.separate(song))
        measured.add(reference, Cost.of(lambda: service.separate(song), cpu_s=service.cpu_s))
    job_id = service.send_and_wait(new_song(song))
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
    """Measure songs. `pairs` maps the length of a song in seconds to the number of runs."""
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
    "CLI MP3": "{reference_mp3_snr_db:.1f}",
    "MP3 to MP3": "{mp3_to_mp3_snr_db:.1f}",
}
_NOTE = (
    "SNR of the worst stem against the float32 samples of demucs: before the encoder, of our MP3, and of the "
    "MP3 of the CLI, which shows the loss of MP3 itself. The last column is our MP3 against that of the CLI."
)
