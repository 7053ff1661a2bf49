"""Flags of `msaas separate`: those of demucs, and those of the options of this service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from msaas_client.values import Options

Command = TypeVar("Command", bound=Callable[..., Any])
_WAV, _FLAC, _MP3 = "wav", "flac", "mp3"
_FLOAT = "float"


@dataclass(frozen=True, kw_only=True)
class FormatFlags:
    """The flags that choose the format of the stems. `format`, `bits` and `bitrate` are ours."""

    format: str | None
    mp3: bool
    flac: bool
    int24: bool
    float32: bool
    bitrate: int | None
    bits: str | None

    def check(self) -> None:
        """Raise `UsageError` for flags that exclude each other, as in demucs."""
        if sum((bool(self.format), self.mp3, self.flac)) > 1:
            raise click.UsageError("--format, --mp3 and --flac exclude each other.")
        if sum((bool(self.bits), self.int24, self.float32)) > 1:
            raise click.UsageError("--bits, --int24 and --float32 exclude each other.")

    @property
    def named_format(self) -> str | None:
        """Return the format that the flags name. --int24 and --float32 alone mean WAV."""
        named = self.format or (_MP3 if self.mp3 else _FLAC if self.flac else None)
        return named or (_WAV if self.int24 or self.float32 else None)

    @property
    def named_bits(self) -> str | None:
        return self.bits or ("24" if self.int24 else _FLOAT if self.float32 else None)

    def of_demucs(self) -> dict[str, Any]:
        """Return format, bits and bit rate as demucs chooses them: WAV and FLAC with 16 bits by default.

        As there, FLAC has no floats, --mp3-bitrate has no effect on WAV and FLAC, and bits none on MP3.
        """
        chosen = self.named_format or _WAV
        bits = self.named_bits or "16"
        if chosen == _FLAC and bits == _FLOAT:
            bits = "16"
        if chosen in (_WAV, _FLAC):
            return {"format": chosen, "bits": bits}
        return {"format": chosen, "bitrate": self.bitrate}


@dataclass(frozen=True, kw_only=True)
class SeparationFlags:
    """The flags that choose the stems."""

    model: str | None
    two_stems: str | None
    stems: str | None
    clip_mode: str | None
    overlap: float | None
    shifts: int | None
    sample_rate: str | None
    exact_sum: bool
    form: FormatFlags

    @property
    def has_one_stem(self) -> bool:
        return len(_split(self.stems)) == 1

    def options(self, *, callback: str | None = None) -> Options:
        """Return the options of a request. The server chooses all that no flag names."""
        return Options(
            model=self.model,
            stems=_split(self.stems),
            two_stems=self.two_stems,
            format=self.form.named_format,
            bits=self.form.named_bits,
            bitrate=self.form.bitrate,
            clip=self.clip_mode,
            sample_rate=self.sample_rate,
            exact_sum=self.exact_sum or None,
            overlap=self.overlap,
            shifts=self.shifts,
            callback={"url": callback} if callback else None,
        )

    def options_of_demucs(self) -> dict[str, Any]:
        """Return the options of a separation in this process, with the defaults of demucs."""
        options = self.options().values()
        for name in ("format", "bits", "bitrate"):
            options.pop(name, None)
        return {**options, **self.form.of_demucs()}


def _split(stems: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (stem.strip() for stem in (stems or "").split(","))))


def separation_flags(command: Command) -> Command:
    """Add the flags. The command gets them as keyword arguments, for `read_flags`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_flags(arguments: dict[str, Any]) -> SeparationFlags:
    """Return the flags, and take them out of `arguments`. Raises `UsageError`."""
    names = ("format", "mp3", "flac", "int24", "float32", "bitrate", "bits")
    form = FormatFlags(**{name: arguments.pop(name) for name in names})
    form.check()
    others = [name for name in SeparationFlags.__dataclass_fields__ if name != "form"]
    return SeparationFlags(form=form, **{name: arguments.pop(name) for name in others})


def _complete_models(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from msaas_client.command.completion import complete_models

    return complete_models(context, incomplete)


_OPTIONS = (
    click.option(
        "-m",
        "-n",
        "--model",
        "--name",
        "model",
        metavar="MODEL",
        shell_complete=_complete_models,
        help="Model to use. `msaas models` lists them.",
    ),
    click.option("--two-stems", metavar="STEM", help="Make STEM and no_STEM, the song without it."),
    click.option("--stems", metavar="STEM,…", help="Make only these stems."),
    click.option("--format", metavar="FORMAT", help="Format of the stems: mp3, flac, wav, opus, m4a."),
    click.option("--mp3", is_flag=True, help="The same as --format mp3."),
    click.option("--flac", is_flag=True, help="The same as --format flac."),
    click.option(
        "--mp3-bitrate", "--bitrate", "bitrate", type=int, metavar="KBPS", help="Bit rate of MP3 and Opus."
    ),
    click.option("--bits", type=click.Choice(["16", "24", _FLOAT]), help="Bits of a sample of WAV or FLAC."),
    click.option("--int24", is_flag=True, help="The same as --bits 24."),
    click.option("--float32", is_flag=True, help="The same as --bits float."),
    click.option(
        "--clip-mode",
        type=click.Choice(["rescale", "clamp", "none"]),
        help="A stem that exceeds full scale is scaled down as a whole, cut, or left (floats only).",
    ),
    click.option(
        "--sample-rate",
        type=click.Choice(["44100", "source"]),
        help="Rate of the stems: 44100 Hz, or that of the song.",
    ),
    click.option("--exact-sum", is_flag=True, help="Stems add up to the song to the last bit."),
    click.option(
        "--overlap", type=click.FloatRange(0, 0.75), help="Part of a segment that the next one repeats."
    ),
    click.option("--shifts", type=click.IntRange(0, 10), help="Average so many shifted separations."),
)
