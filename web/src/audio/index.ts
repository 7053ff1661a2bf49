/** The engine: it knows no framework, no API and no page. */

export { beginsBar, ClickTrack, clickWave, nearestBeat, type Beats } from './click'
export { decodeByWasm, RATE_HZ, type Sound } from './decode'
export { Graph, type LaneLevel, type Shift } from './graph'
export { renderMix, type Part } from './mixdown'
export { extremesOf, NO_PEAKS, PAIR_SAMPLES, type Peaks } from './peaks'
export { Player, type Loop, type PlayerState } from './player'
export { canShift } from './shifter'
export { FetchFailed, FragmentSource, GrowingSource, RangeSource, UnsupportedFile, WholeFileSource, type Fetch } from './source'
export { FrameTrack, SongTrack, type Track } from './track'
export { encodeFlac } from './flac'
export { encodeWav } from './wav'
