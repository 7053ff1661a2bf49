/** The tempo and the key of the open song: as measured, or as the visitor has corrected them. */

import type { Analysis } from '../api/analysis'
import type { Beats } from '../audio'

export const BPM = { min: 20, max: 400 }
const TONICS = ['C', 'C#', 'D', 'Eb', 'E', 'F', 'F#', 'G', 'Ab', 'A', 'Bb', 'B']
/** As the analysis writes them. */
export const KEYS = ['major', 'minor'].flatMap((mode) => TONICS.map((tonic) => `${tonic} ${mode}`))

export interface Correction {
  bpm: number | null
  songKey: string | null
}

const NOT_MEASURED: Analysis = { bpm: null, key: null, lufs: null, beats: null }

export function correctAnalysis(measured: Analysis | null, { bpm, songKey }: Correction, lengthS: number): Analysis | null {
  if (bpm === null && songKey === null) return measured
  const { beats, ...facts } = measured ?? NOT_MEASURED
  return {
    ...facts,
    bpm: bpm === null ? facts.bpm : { value: bpm, isCertain: true },
    key: songKey === null ? facts.key : { value: songKey, isCertain: true },
    beats: bpm === null ? beats : steadyBeats(beats, bpm, lengthS),
  }
}

/** Returns beats at one tempo. The first bar that was measured stays where it is. */
function steadyBeats(measured: Beats | null, bpm: number, lengthS: number): Beats {
  const beatS = 60 / bpm
  const anchorS = measured?.times[measured.firstDownbeat] ?? 0
  const before = Math.floor(anchorS / beatS)
  const firstS = anchorS - before * beatS
  const beatsPerBar = measured?.beatsPerBar ?? null
  return {
    times: Array.from({ length: Math.max(0, Math.ceil((lengthS - firstS) / beatS)) }, (_, at) => firstS + at * beatS),
    beatsPerBar,
    firstDownbeat: beatsPerBar ? before % beatsPerBar : 0,
  }
}
