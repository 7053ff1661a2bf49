"""Styles of music: tempo, drum grids, bass figures and the roles of the other parts."""

from __future__ import annotations

from dataclasses import dataclass

# General MIDI drum keys.
KICK, SNARE, SIDE_STICK, CLAP = 36, 38, 37, 39
CLOSED_HAT, PEDAL_HAT, OPEN_HAT = 42, 44, 46
LOW_TOM, MID_TOM, HIGH_TOM = 45, 47, 50
CRASH, RIDE, BELL, SPLASH = 49, 51, 53, 55
TAMBOURINE, COWBELL, SHAKER, CONGA_HIGH, CONGA_LOW, CLAVES = 54, 56, 70, 63, 64, 75


@dataclass(frozen=True)
class Style:
    """One style.

    A drum grid has 16 steps a bar: `x` is a hit, `o` a soft hit, `?` an occasional hit, `.` a rest.
    """

    name: str
    tempo_bpm: tuple[int, int]
    grids: tuple[dict[int, str], ...]
    bass: tuple[str, ...]
    others: tuple[str, ...]
    swing: float = 0.0
    minor: float = 0.5


STYLES: tuple[Style, ...] = (
    Style(
        "rock",
        (96, 148),
        (
            {KICK: "x.....x.x.x.....", SNARE: "....x.......x..?", CLOSED_HAT: "x.o.x.o.x.o.x.o."},
            {KICK: "x..x......x..?..", SNARE: "....x.......x...", RIDE: "x.x.x.x.x.x.x.x."},
            {KICK: "x...x...x...x...", SNARE: "....x.......x.?x", CRASH: "x...?...x...?..."},
        ),
        ("eighths", "roots", "walk"),
        ("power", "strum", "lead", "riff", "organ"),
    ),
    Style(
        "pop",
        (88, 128),
        (
            {KICK: "x.......x.x.....", SNARE: "....x.......x...", CLOSED_HAT: "x.x.x.x.x.x.x.xo"},
            {KICK: "x..x..x.x..x..x.", CLAP: "....x.......x...", SHAKER: "xoxoxoxoxoxoxoxo"},
        ),
        ("roots", "eighths", "syncopated"),
        ("comp", "pad", "arpeggio", "strum", "lead"),
    ),
    Style(
        "house",
        (116, 130),
        (
            {
                KICK: "x...x...x...x...",
                CLAP: "....x.......x...",
                OPEN_HAT: "..x...x...x...x.",
                CLOSED_HAT: "o?oxo?oxo?oxo?ox",
            },
            {
                KICK: "x...x...x...x..?",
                SNARE: "....x..?....x...",
                CLOSED_HAT: "xoxoxoxoxoxoxoxo",
                CONGA_HIGH: "..?..x..?..x..?.",
            },
        ),
        ("offbeat", "syncopated", "octaves"),
        ("stabs", "pad", "arpeggio", "comp"),
        minor=0.8,
    ),
    Style(
        "hiphop",
        (72, 100),
        (
            {KICK: "x......x..x.....", SNARE: "....x.......x...", CLOSED_HAT: "x.x.x.xxx.x.x?xx"},
            {KICK: "x.x.......xx....", CLAP: "....x.......x..?", CLOSED_HAT: "xoxoxoxoxxxoxoxo"},
        ),
        ("long", "syncopated", "slide"),
        ("comp", "arpeggio", "pad", "riff"),
        swing=0.12,
        minor=0.8,
    ),
    Style(
        "ballad",
        (60, 84),
        (
            {KICK: "x.......x.......", SIDE_STICK: "....x.......x...", CLOSED_HAT: "x.o.x.o.x.o.x.o."},
            {KICK: "x.....?.x.......", SNARE: "....x.......x...", RIDE: "x...x...x...x..."},
        ),
        ("long", "roots"),
        ("comp", "pad", "strum", "lead", "arpeggio"),
    ),
    Style(
        "funk",
        (92, 116),
        (
            {KICK: "x..x..x...x..x..", SNARE: "....x..o.o..x..o", CLOSED_HAT: "xxxxxxxxxxxxxxxx"},
            {
                KICK: "x.x....?x..x....",
                SNARE: "....x.?o....x.o.",
                CLOSED_HAT: "x.xxx.xxx.xxx.xx",
                COWBELL: "x...x...x...x...",
            },
        ),
        ("syncopated", "octaves", "slap"),
        ("stabs", "scratch", "riff", "organ"),
    ),
    Style(
        "bossa",
        (110, 140),
        (
            {KICK: "x.....x.x.....x.", SIDE_STICK: "x..x..x...x..x..", CLOSED_HAT: "xoxoxoxoxoxoxoxo"},
            {
                KICK: "x..x..x.x..x..x.",
                SHAKER: "xoxxxoxxxoxxxoxx",
                CONGA_LOW: "..x...xx..x...xx",
                CLAVES: "x..x..x...x.x...",
            },
        ),
        ("fifths", "walk"),
        ("comp", "strum", "lead", "pad"),
    ),
    Style(
        "jazz",
        (100, 180),
        (
            {
                RIDE: "x...x.x.x...x.x.",
                PEDAL_HAT: "....x.......x...",
                KICK: "o...?...o...?..?",
                SNARE: "..?..?....?....?",
            },
        ),
        ("walk", "walk", "fifths"),
        ("comp", "lead", "comp"),
        swing=0.3,
        minor=0.4,
    ),
    Style(
        "metal",
        (120, 190),
        (
            {KICK: "xxxxxxxxxxxxxxxx", SNARE: "....x.......x...", CRASH: "x.......x......."},
            {KICK: "x.xxx.xxx.xxx.xx", SNARE: "........x.......", RIDE: "x...x...x...x..."},
        ),
        ("eighths", "sixteenths"),
        ("power", "riff", "lead"),
        minor=0.95,
    ),
    Style(
        "reggae",
        (66, 90),
        (
            {KICK: "........x.......", SIDE_STICK: "........x.......", CLOSED_HAT: "x.o.x.o.x.o.x.o."},
            {KICK: "x...x...x...x...", SNARE: "........x....?..", CLOSED_HAT: "..x...x...x...x."},
        ),
        ("dub", "syncopated"),
        ("skank", "organ", "lead"),
        swing=0.1,
    ),
    Style(
        "breaks",
        (150, 176),
        (
            {KICK: "x.........x.....", SNARE: "....x..o.o..x..o", CLOSED_HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "x.x.......x..?..", SNARE: "....x....o..x.?.", RIDE: "x.x.x.x.x.x.x.x."},
        ),
        ("long", "slide", "syncopated"),
        ("pad", "stabs", "arpeggio"),
        minor=0.9,
    ),
    Style(
        "folk",
        (84, 132),
        (
            {KICK: "x.......x.......", TAMBOURINE: "..x...x...x...x."},
            {KICK: "x...x...x...x...", SNARE: "..o...o...o...o.", SHAKER: "x.x.x.x.x.x.x.x."},
        ),
        ("fifths", "roots"),
        ("strum", "comp", "lead", "strum"),
        minor=0.3,
    ),
)
