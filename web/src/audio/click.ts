/** A metronome as a track: a click on each beat, so that it follows seeks, loops and tempos as the stems do. */

import { RATE_HZ } from './decode'
import type { Segment, Track } from './track'

const SEGMENT_SAMPLES = 4 * RATE_HZ
const TAIL_SAMPLES = 1152
const CLICK_SAMPLES = 2200
const DECAY_SAMPLES = 350
const BEAT_HZ = 1200
const BAR_HZ = 1800
const LEVEL = 0.5

/** Beats in s, and which of them begin a bar. */
export interface Beats {
  times: number[]
  beatsPerBar: number | null
  firstDownbeat: number
}

export function beginsBar(beats: Beats, at: number): boolean {
  return beats.beatsPerBar !== null && at >= beats.firstDownbeat && (at - beats.firstDownbeat) % beats.beatsPerBar === 0
}

/** Returns the sample of the nearest beat. */
export function nearestBeat(beats: Beats, sample: number): number {
  const seconds = sample / RATE_HZ
  const nearest = beats.times.reduce((best, time) => (Math.abs(time - seconds) < Math.abs(best - seconds) ? time : best), Infinity)
  return Number.isFinite(nearest) ? Math.round(nearest * RATE_HZ) : sample
}

/** Returns the wave of a click. */
export function clickWave(isBar: boolean): Float32Array {
  const hz = isBar ? BAR_HZ : BEAT_HZ
  return Float32Array.from({ length: CLICK_SAMPLES }, (_, i) => LEVEL * Math.exp(-i / DECAY_SAMPLES) * Math.sin((2 * Math.PI * hz * i) / RATE_HZ))
}

export class ClickTrack implements Track {
  private readonly beat = clickWave(false)
  private readonly bar = clickWave(true)

  constructor(private readonly beats: Beats, private readonly length: number) {}

  async samples(): Promise<number> {
    return this.length
  }

  has(): boolean {
    return true
  }

  async segment(sample: number): Promise<Segment> {
    const start = Math.floor(sample / SEGMENT_SAMPLES) * SEGMENT_SAMPLES
    const wave = new Float32Array(SEGMENT_SAMPLES + TAIL_SAMPLES)
    this.beats.times.forEach((time, at) => {
      const place = Math.round(time * RATE_HZ) - start
      if (place > -CLICK_SAMPLES && place < wave.length) this.add(wave, beginsBar(this.beats, at) ? this.bar : this.beat, place)
    })
    return { sound: { left: wave, right: wave }, start, end: Math.min(start + SEGMENT_SAMPLES, this.length) }
  }

  private add(wave: Float32Array, click: Float32Array, place: number): void {
    for (let i = Math.max(0, -place); i < click.length && place + i < wave.length; i++) wave[place + i]! += click[i]!
  }
}
