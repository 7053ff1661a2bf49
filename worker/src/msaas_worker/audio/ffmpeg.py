"""Start of the `ffmpeg` command for untrusted songs, limited and confined like the decoder process.

    python -m msaas_worker.audio.ffmpeg SONG CPU_S START

It becomes ffmpeg, which writes the song's first audio stream to stdout, as a WAV of floats: its header tells
the speakers.
The song begins at the byte START: ffmpeg does not find an MP4 behind tags.
"""

import os
import shutil
import sys
from pathlib import Path

from msaas_worker.audio.process_limits import limit
from msaas_worker.confinement.process import confine_program

#: Its libraries alone reserve hundreds of MiB of address space.
MEMORY_BYTES = 2048 * 1024 * 1024
_SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin"
_ARGUMENTS = (
    *("-nostdin", "-hide_banner", "-loglevel", "error", "-threads", "1", "-protocol_whitelist"),
    *("file,pipe,subfile", "-guess_layout_max", "2", "-i", "subfile,,start,{start},end,0,,:file:{song}"),
    *("-map", "0:a:0", "-threads", "1", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"),
)


def find_ffmpeg() -> str | None:
    """Return the path of the command, None if it is not installed."""
    return shutil.which("ffmpeg", path=_SEARCH_PATH)


def main() -> None:
    song, cpu_s, start = sys.argv[1:]
    program = find_ffmpeg()
    if program is None:
        sys.exit("ffmpeg is not installed")
    limit(memory_bytes=MEMORY_BYTES, cpu_s=int(cpu_s), output_bytes=0)
    confine_program(Path(program), readable=Path(song))
    arguments = (part.format(song=song, start=int(start)) for part in _ARGUMENTS)
    os.execve(program, [program, *arguments], {})  # noqa: S606


if __name__ == "__main__":
    main()
