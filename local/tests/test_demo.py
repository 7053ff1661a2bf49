"""The table at the end of the demo."""

from pathlib import Path

from msaas_local.demo import Row, format_table


def test_table_has_a_line_for_each_stem() -> None:
    rows = [
        Row("engine-room.mp3", "vocals", 3.14, Path("output/engine-room/vocals.mp3")),
        Row("engine-room.mp3", "drums", 3.14, Path("output/engine-room/drums.mp3")),
    ]
    assert format_table(rows) == (
        "song                     stem      seconds  file\n"
        "engine-room.mp3          vocals        3.1  output/engine-room/vocals.mp3\n"
        "engine-room.mp3          drums         3.1  output/engine-room/drums.mp3\n"
    )
