/** A track of the song, cut into segments of whole units that are decoded on demand. */

import { decodeFile, decodeFrames, RATE_HZ, type Sound } from './decode'
import { FRAME_SAMPLES, UNIT_FRAMES } from './mp3'
import { UnsupportedFile, type FrameSource, type WholeFileSource } from './source'

/** Samples of a segment that are kept decoded for each track: 8 s, 3 MB. */
const KEPT_SAMPLES = 8 * RATE_HZ
/** Samples behind a segment, for the interpolation at other tempos. */
export const TAIL_SAMPLES = FRAME_SAMPLES
/** A file that is decoded as a whole takes 350 kB a second. */
const MAX_WHOLE_S = 15 * 60

export interface Segment {
  sound: Sound
  /** The song's sample at which the sound begins, which can be before 0. */
  start: number
  /** The song's sample at which the segment ends. The sound goes on for a few samples. */
  end: number
}

export interface Track {
  /** Samples of the song. */
  samples(): Promise<number>
  /** Returns whether the segment with this sample can be read now. */
  has(sample: number): boolean
  /** Returns a segment of up to `units` units in which `sample` is. */
  segment(sample: number, units: number): Promise<Segment>
}

export class FrameTrack implements Track {
  private readonly kept = new Map<string, Promise<Segment>>()
  /** All tracks of a stack have the same delay. Known after the first read. */
  private trim = 1105

  constructor(private readonly source: FrameSource) {}

  async samples(): Promise<number> {
    return (await this.source.layout()).samples
  }

  has(sample: number): boolean {
    return sample + this.trim < this.source.available * FRAME_SAMPLES
  }

  async segment(sample: number, units: number): Promise<Segment> {
    const layout = await this.source.layout()
    this.trim = layout.trim
    const unit = UNIT_FRAMES * FRAME_SAMPLES
    const first = Math.floor((sample + layout.trim) / unit) * UNIT_FRAMES
    const end = Math.min(first + units * UNIT_FRAMES, layout.frames, this.source.available)
    const key = `${first}-${end}`
    const found = this.kept.get(key) ?? this.decode(first, end)
    this.keep(key, found)
    return found
  }

  private async decode(first: number, end: number): Promise<Segment> {
    const { frames, trim, samples } = await this.source.layout()
    const tail = end < Math.min(frames, this.source.available) ? 1 : 0
    const sound = await decodeFrames(this.source, first, end + tail)
    const start = first * FRAME_SAMPLES - trim
    return { sound, start, end: Math.min(end * FRAME_SAMPLES - trim, samples) }
  }

  private keep(key: string, segment: Promise<Segment>): void {
    this.kept.delete(key)
    this.kept.set(key, segment)
    segment.catch(() => this.kept.delete(key))
    const sizes = [...this.kept.keys()].map((each) => each.split('-').map(Number))
    let total = sizes.reduce((sum, [from = 0, to = 0]) => sum + (to - from) * FRAME_SAMPLES, 0)
    for (const [from = 0, to = 0] of sizes.slice(0, -1)) {
      if (total <= KEPT_SAMPLES) break
      total -= (to - from) * FRAME_SAMPLES
      this.kept.delete(`${from}-${to}`)
    }
  }
}

/** The song itself: by frames if it is an MP3 of 44.1 kHz, else decoded as a whole. */
export class SongTrack implements Track {
  private inner: Promise<Track> | null = null

  constructor(private readonly source: WholeFileSource) {}

  async samples(): Promise<number> {
    return (await this.open()).samples()
  }

  has(): boolean {
    return true
  }

  async segment(sample: number, units: number): Promise<Segment> {
    return (await this.open()).segment(sample, units)
  }

  private open(): Promise<Track> {
    this.inner ??= this.choose().catch((error: unknown) => {
      this.inner = null
      throw error
    })
    return this.inner
  }

  private async choose(): Promise<Track> {
    try {
      await this.source.layout()
      return new FrameTrack(this.source)
    } catch (error) {
      if (!(error instanceof UnsupportedFile)) throw error
      return new DecodedTrack(await decodeFile(await this.source.bytes()))
    }
  }
}

class DecodedTrack implements Track {
  constructor(private readonly sound: Sound) {
    if (sound.left.length > MAX_WHOLE_S * RATE_HZ) throw new UnsupportedFile('The file is too long to decode as a whole.')
  }

  async samples(): Promise<number> {
    return this.sound.left.length
  }

  has(): boolean {
    return true
  }

  async segment(sample: number, units: number): Promise<Segment> {
    const unit = UNIT_FRAMES * FRAME_SAMPLES
    const start = Math.floor(sample / unit) * unit
    const end = Math.min(start + units * unit, this.sound.left.length)
    const sound = { left: this.sound.left.subarray(start, end + TAIL_SAMPLES), right: this.sound.right.subarray(start, end + TAIL_SAMPLES) }
    return { sound, start, end }
  }
}
