/** The mix of a song: kept in this browser, and written into the address. */

import type { Loop } from '../audio'
import { BPM, KEYS, type Correction } from './analysis'
import { recall, remember } from './storage'

export interface Channel {
  volume: number
  pan: number
  isMuted: boolean
  isSolo: boolean
}

/** `minus` is the original minus the muted stems. */
export type Mode = 'stems' | 'original' | 'minus'

export interface Mix extends Correction {
  channels: Record<string, Channel>
  master: number
  mode: Mode
  /** Percent. */
  tempo: number
  semitones: number
  /** In samples. */
  loop: Loop | null
}

export const NEW_CHANNEL: Channel = { volume: 1, pan: 0, isMuted: false, isSolo: false }
export const NEW_MIX: Mix = { channels: {}, master: 1, mode: 'stems', tempo: 100, semitones: 0, loop: null, bpm: null, songKey: null }
export const MAX_VOLUME = 1.5
export const TEMPO = { min: 50, max: 150 }
export const SEMITONES = 6

export function channelOf(mix: Mix, stem: string): Channel {
  return mix.channels[stem] ?? NEW_CHANNEL
}

/** Returns whether a stem is heard, by the mutes and solos of all. */
export function isHeard(mix: Mix, stem: string): boolean {
  const hasSolo = Object.values(mix.channels).some((channel) => channel.isSolo)
  const channel = channelOf(mix, stem)
  return hasSolo ? channel.isSolo : !channel.isMuted
}

export function encodeMix(mix: Mix): string {
  const query = new URLSearchParams()
  for (const [stem, { volume, pan, isMuted, isSolo }] of Object.entries(mix.channels)) {
    const flags = (isMuted ? 'm' : '') + (isSolo ? 's' : '')
    const text = `${Math.round(volume * 100)},${Math.round(pan * 100)}${flags && `,${flags}`}`
    if (text !== '100,0') query.set(stem, text)
  }
  if (mix.master !== 1) query.set('master', String(Math.round(mix.master * 100)))
  if (mix.mode !== 'stems') query.set('mode', mix.mode)
  if (mix.tempo !== 100) query.set('tempo', String(mix.tempo))
  if (mix.semitones) query.set('key', String(mix.semitones))
  if (mix.loop) query.set('loop', `${mix.loop.start},${mix.loop.end}`)
  if (mix.bpm !== null) query.set('bpm', String(mix.bpm))
  if (mix.songKey !== null) query.set('tonic', mix.songKey)
  return query.toString().replaceAll('%2C', ',')
}

const NOT_STEMS = new Set(['master', 'mode', 'tempo', 'key', 'loop', 'bpm', 'tonic'])

/** Reads a mix. Anything invalid in it is left out: the address can come from anywhere. */
export function decodeMix(text: string): Mix {
  const query = new URLSearchParams(text)
  const number = (name: string, fallback: number, low: number, high: number): number => clamp(query.get(name), fallback, low, high)
  const channels: Record<string, Channel> = {}
  for (const [name, value] of query) {
    if (!/^[a-z_]{1,20}$/.test(name) || NOT_STEMS.has(name)) continue
    const [volume, pan, flags = ''] = value.split(',')
    channels[name] = {
      volume: clamp(volume, 100, 0, MAX_VOLUME * 100) / 100,
      pan: clamp(pan, 0, -100, 100) / 100,
      isMuted: flags.includes('m'),
      isSolo: flags.includes('s'),
    }
  }
  const mode = query.get('mode')
  const [start, end] = (query.get('loop') ?? '').split(',').map(Number)
  return {
    channels,
    master: number('master', 100, 0, MAX_VOLUME * 100) / 100,
    mode: mode === 'original' || mode === 'minus' ? mode : 'stems',
    tempo: Math.round(number('tempo', 100, TEMPO.min, TEMPO.max)),
    semitones: Math.round(number('key', 0, -SEMITONES, SEMITONES)),
    loop: start !== undefined && end !== undefined && start >= 0 && end > start ? { start, end } : null,
    bpm: number('bpm', 0, BPM.min, BPM.max) || null,
    songKey: KEYS.find((key) => key === query.get('tonic')) ?? null,
  }
}

function clamp(text: string | null | undefined, fallback: number, low: number, high: number): number {
  const value = Number(text)
  return text === null || text === undefined || text === '' || !Number.isFinite(value) ? fallback : Math.max(low, Math.min(high, value))
}

/** Returns the mix of the address, or the last one of this song in this browser. */
export function firstMix(songId: number, query: string): Mix {
  return decodeMix(query || recall<string>(`mix.${songId}`, ''))
}

export function keepMix(songId: number, mix: Mix): void {
  remember(`mix.${songId}`, encodeMix(mix))
}

export type Preset = { id: string; heard: (stem: string) => boolean }

export function presetsFor(stems: string[]): Preset[] {
  const presets: Preset[] = [{ id: 'presetAll', heard: () => true }]
  if (stems.includes('vocals')) {
    presets.push({ id: 'presetKaraoke', heard: (stem) => stem !== 'vocals' }, { id: 'presetAcappella', heard: (stem) => stem === 'vocals' })
  }
  if (stems.includes('drums')) presets.push({ id: 'presetDrumless', heard: (stem) => stem !== 'drums' })
  return presets
}

export function applyPreset(mix: Mix, stems: string[], heard: (stem: string) => boolean): Mix {
  const channels = Object.fromEntries(stems.map((stem) => [stem, { ...channelOf(mix, stem), isMuted: !heard(stem), isSolo: false }]))
  return { ...mix, channels, mode: 'stems' }
}
