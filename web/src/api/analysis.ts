/** `/songs/<id>/analysis.json`: tempo, beats, key and loudness, as far as the worker is certain of them. */

import type { Beats } from '../audio'

export interface Analysis {
  bpm: Estimate<number> | null
  key: Estimate<string> | null
  lufs: number | null
  beats: Beats | null
}

export interface Estimate<T> {
  value: T
  isCertain: boolean
}

interface Reply {
  loudness: { integrated_lufs: number | null }
  key: { name: string; confidence: number } | null
  tempo: { bpm: number; confidence: number } | null
  beats: { times_s: number[]; bars: { beats_per_bar: number; first_downbeat: number } | null } | null
}

const CERTAIN = 0.5

/** Returns null for a song without an analysis. */
export async function getAnalysis(id: number): Promise<Analysis | null> {
  const reply = await fetch(`/songs/${id}/analysis.json`)
  if (!reply.ok) return null
  const { loudness, key, tempo, beats } = (await reply.json()) as Reply
  return {
    bpm: tempo && { value: tempo.bpm, isCertain: tempo.confidence >= CERTAIN },
    key: key && { value: key.name, isCertain: key.confidence >= CERTAIN },
    lufs: loudness.integrated_lufs,
    beats: beats && { times: beats.times_s, beatsPerBar: beats.bars?.beats_per_bar ?? null, firstDownbeat: beats.bars?.first_downbeat ?? 0 },
  }
}
