"""Gates A and B on clean files: stems of the worker before the encoder against those of the `demucs` CLI.

    python -m bench.clean_inputs [--seconds 20] [--repo DIR]

Needs ffmpeg and lame. The CLI decodes a file by itself. The worker removes the delay of an MP3's encoder, so
its stems are compared after alignment. "same samples" is a WAV with the floats that the worker decoded: here
the decoder of the CLI makes no difference. Without `--repo` the weights are random.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from bench.fidelity import STEMS, Stems, load_separator, run_worker
from bench.random_htdemucs import PUBLISHED, write_repository
from bench.songs import write_song
from worker.tests.references import compare, decode_by_ffmpeg, run

from msaas_worker.audio.decoded import SAMPLERATE, Audio
from msaas_worker.audio.decoding import decode
from msaas_worker.separators import Precision

_HEAD = (
    "| input | our length | CLI's length | CLI lag | decoded, SNR dB | exact, SNR dB | fast, SNR dB |\n"
    "|---|--:|--:|--:|--:|--:|--:|\n"
)


def clean_files(folder: Path, *, seconds: float) -> dict[str, Path]:
    """Write the song in each format."""
    bare = write_song(folder, seconds=seconds)
    samples = decode_by_ffmpeg(bare)
    wav, tagged, flac = (folder / f"song.{ending}" for ending in ("wav", "mp3", "flac"))
    soundfile.write(wav, samples.T, SAMPLERATE, subtype="PCM_16")
    soundfile.write(flac, samples.T, SAMPLERATE, subtype="PCM_16")
    run("lame", "--quiet", "-b", "256", wav, tagged)
    return {
        "WAV, 16 bit": wav,
        "FLAC, 16 bit": flac,
        "MP3 without Info frame": bare,
        "MP3 with Info frame": tagged,
        "the same MP3, same samples": write_decoded(tagged, folder / "same.wav"),
    }


def write_decoded(song: Path, path: Path) -> Path:
    """Write the samples that the worker decodes as a WAV of floats."""
    soundfile.write(path, decode_by_worker(song).T, SAMPLERATE, subtype="FLOAT")
    return path


def decode_by_worker(song: Path) -> Audio:
    decoded = decode(song, song.with_suffix(".f32"), max_duration_s=3600)
    return decoded.read(0, decoded.samples)


def decode_by_cli(song: Path) -> Audio:
    """Return the samples that the CLI separates."""
    import sphn

    samples, rate_hz = sphn.read(str(song))
    assert rate_hz == SAMPLERATE
    return np.asarray(samples)


def run_cli(song: Path, *, repo: Path, out: Path) -> Stems:
    """Return the stems of a new process, as floats that are not scaled."""
    program = Path(sys.executable).with_name("demucs")
    command: list[str | Path] = [program, "--float32", "--clip-mode", "none", "--shifts", "0"]
    command += ["-n", "htdemucs", "--repo", repo, "-o", out, song]
    subprocess.run(command, check=True, capture_output=True)
    folder = out / "htdemucs" / song.stem
    return {stem: soundfile.read(folder / f"{stem}.wav", dtype="float32")[0].T for stem in STEMS}


def worst(reference: Stems, ours: Stems) -> tuple[int, float]:
    """Return the largest lag of the reference behind our stems, and the SNR of the worst stem without it."""
    found = [compare(ours[stem], reference[stem]) for stem in STEMS]
    return max((each.lag for each in found), key=abs), min(each.snr_db for each in found)


def rows(folder: Path, *, seconds: float, repo: Path) -> Iterator[str]:
    precisions: tuple[Precision, ...] = ("exact", "fast")
    separators = [load_separator(repo, precision=precision) for precision in precisions]
    for name, path in clean_files(folder, seconds=seconds).items():
        reference = run_cli(path, repo=repo, out=folder / "cli")
        ours = [run_worker(path, separator) for separator in separators]
        lag, _ = worst(reference, ours[0])
        cells: list[object] = [ours[0][STEMS[0]].shape[-1], reference[STEMS[0]].shape[-1], lag]
        found = [compare(decode_by_worker(path), decode_by_cli(path)).snr_db]
        found += [worst(reference, stems)[1] for stems in ours]
        cells += ["equal" if np.isinf(snr_db) else f"{snr_db:.1f}" for snr_db in found]
        yield f"| {name} | {' | '.join(map(str, cells))} |"
    yield "\n" + ", ".join(
        f"{name}: {each.arithmetic}" for name, each in zip(precisions, separators, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repo", type=Path, help="a MODEL_REPO with htdemucs; random weights without it")
    options = parser.parse_args()
    sys.stdout.write(_HEAD)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repo = options.repo or write_repository(folder / "models", name="htdemucs", configuration=PUBLISHED)
        for row in rows(folder, seconds=options.seconds, repo=repo):
            sys.stdout.write(row + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
