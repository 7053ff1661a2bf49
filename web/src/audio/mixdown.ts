/** The current mix as samples: computed segment by segment, and shifted by an OfflineAudioContext if needed. */

import { RATE_HZ } from './decode'
import type { LaneLevel, Shift } from './graph'
import { openShifter } from './shifter'
import type { Track } from './track'

const UNITS = 4
const DRUMS = 'drums'

export interface Part {
  name: string
  track: Track
  level: LaneLevel
}

export interface Mix {
  parts: Part[]
  master: number
  shift: Shift
  /** The samples of the song that are rendered. */
  start: number
  end: number
}

export type OnProgress = (share: number) => void

/** Returns the left and the right channel. */
export async function renderMix(mix: Mix, onProgress: OnProgress, signal: AbortSignal): Promise<Float32Array[]> {
  const isShifted = mix.shift.tempo !== 100 || mix.shift.semitones !== 0
  if (!isShifted) return (await sumOf(mix.parts, mix, onProgress, signal)).map((channel) => channel)
  const drums = mix.parts.filter((part) => part.name === DRUMS)
  const tonal = mix.parts.filter((part) => part.name !== DRUMS)
  const buses = [await sumOf(tonal, mix, (share) => onProgress(share * 0.7), signal), await sumOf(drums, mix, onProgress, signal)]
  return shiftBuses(buses, mix.shift)
}

async function sumOf(parts: Part[], mix: Mix, onProgress: OnProgress, signal: AbortSignal): Promise<Float32Array[]> {
  const length = mix.end - mix.start
  const sum = [new Float32Array(length), new Float32Array(length)]
  for (const [index, { track, level }] of parts.entries()) {
    const gains = panGains(level.pan)
    let at = mix.start
    while (at < mix.end) {
      signal.throwIfAborted()
      const segment = await track.segment(at, UNITS)
      const until = Math.min(segment.end, mix.end)
      if (until <= at) break
      add(sum, segment.sound, { from: at - segment.start, to: at - mix.start, count: until - at, gain: level.gain * mix.master, gains })
      at = until
      onProgress((index + (at - mix.start) / length) / parts.length)
    }
  }
  return sum
}

interface Span {
  from: number
  to: number
  count: number
  gain: number
  gains: PanGains
}

function add(sum: Float32Array[], sound: { left: Float32Array; right: Float32Array }, span: Span): void {
  const [left, right] = sum
  if (!left || !right) return
  const { ll, lr, rl, rr } = span.gains
  for (let i = 0; i < span.count; i++) {
    const [a, b] = [sound.left[span.from + i] ?? 0, sound.right[span.from + i] ?? 0]
    left[span.to + i]! += span.gain * (a * ll + b * rl)
    right[span.to + i]! += span.gain * (a * lr + b * rr)
  }
}

interface PanGains {
  ll: number
  lr: number
  rl: number
  rr: number
}

/** The gains of a StereoPannerNode for a stereo input (Web Audio API, section 1.29.4). */
export function panGains(pan: number): PanGains {
  const angle = ((pan <= 0 ? pan + 1 : pan) * Math.PI) / 2
  if (pan === 0) return { ll: 1, lr: 0, rl: 0, rr: 1 }
  return pan < 0 ? { ll: 1, lr: 0, rl: Math.cos(angle), rr: Math.sin(angle) } : { ll: Math.cos(angle), lr: Math.sin(angle), rl: 0, rr: 1 }
}

/** Renders the tonal bus and the drums at another tempo, with their pitch corrected. */
async function shiftBuses(buses: Float32Array[][], { tempo, semitones }: Shift): Promise<Float32Array[]> {
  const length = Math.ceil(((buses[0]?.[0]?.length ?? 0) * 100) / tempo)
  const probe = await openShifter(new OfflineAudioContext(2, 1, RATE_HZ))
  const delay = Math.round(probe.latencyS * RATE_HZ)
  const context = new OfflineAudioContext(2, length + delay, RATE_HZ)
  const correction = -12 * Math.log2(tempo / 100)
  for (const [index, bus] of buses.entries()) {
    const shifter = await openShifter(context)
    shifter.transpose(index === 0 ? correction + semitones : correction)
    const buffer = context.createBuffer(2, Math.max(1, bus[0]?.length ?? 1), RATE_HZ)
    bus.forEach((channel, at) => buffer.copyToChannel(channel as Float32Array<ArrayBuffer>, at))
    const source = new AudioBufferSourceNode(context, { buffer, playbackRate: tempo / 100 })
    source.connect(shifter.node).connect(context.destination)
    source.start()
  }
  const rendered = await context.startRendering()
  return [0, 1].map((channel) => rendered.getChannelData(channel).subarray(delay))
}
