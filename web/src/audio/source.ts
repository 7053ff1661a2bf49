/** Frames of MP3s: of a stem by ranges, of a stem that is being made by fragments, of a whole file in memory. */

import { spansOf, unitsOf } from './fragments'
import { frameOffset, id3Bytes, layoutOf, prerollFrames, readHeader, readInfo, UNIT_FRAMES, walkFrames, type Layout } from './mp3'

/** A request that failed. `status` is 0 if the server did not answer. */
export class FetchFailed extends Error {
  constructor(readonly status: number) {
    super(`HTTP status ${status}`)
  }
}

export class UnsupportedFile extends Error {}

export type Fetch = (url: string, range?: { start: number; end: number }) => Promise<Uint8Array>

export interface FrameSource {
  layout(): Promise<Layout>
  /** Returns the bytes of the frames `[first, end)`. */
  frames(first: number, end: number): Promise<Uint8Array>
  /** The number of frames that can be read now. */
  readonly available: number
}

/** Enough for a tag without picture and the Info frame. */
const HEAD_BYTES = 4096

interface Head {
  layout: Layout
  /** The byte at which the first frame with sound begins. */
  start: number
}

async function readHead(read: (start: number, end: number) => Promise<Uint8Array>): Promise<Head> {
  let data = await read(0, HEAD_BYTES)
  const tag = id3Bytes(data)
  const base = tag + 200 > data.length ? tag : 0
  if (base) data = await read(base, base + HEAD_BYTES)
  const header = readHeader(data, tag - base)
  const info = header && readInfo(data, tag - base)
  if (!header || !info || !info.frames) throw new UnsupportedFile('The stem has no Info frame.')
  return { layout: layoutOf(header, info), start: tag + header.sizeBytes }
}

/** A finished stem, read by ranges that are computed. */
export class RangeSource implements FrameSource {
  private head: Promise<Head> | null = null
  available = Infinity

  constructor(private readonly url: string, private readonly fetch: Fetch) {}

  async layout(): Promise<Layout> {
    return (await this.findHead()).layout
  }

  async frames(first: number, end: number): Promise<Uint8Array> {
    const { layout, start } = await this.findHead()
    const range = { start: start + frameOffset(layout, first), end: start + frameOffset(layout, Math.min(end, layout.frames)) }
    return this.fetch(this.url, range)
  }

  private findHead(): Promise<Head> {
    this.head ??= readHead((start, end) => this.fetch(this.url, { start, end })).catch((error: unknown) => {
      this.head = null
      throw error
    })
    return this.head
  }
}

/** Fragments that are kept in memory for each stem. */
const KEPT_FRAGMENTS = 3

/** A stem that is being made. `announce` tells how many fragments there are. */
export class FragmentSource implements FrameSource {
  private readonly kept = new Map<number, Promise<Uint8Array>>()
  private head: Promise<Head> | null = null
  private count = 0

  constructor(private readonly urlOf: (fragment: number) => string, private readonly fetch: Fetch) {}

  get available(): number {
    return unitsOf(this.count) * UNIT_FRAMES
  }

  announce(count: number): void {
    this.count = Math.max(this.count, count)
  }

  /** Frees the memory of fragments. */
  release(): void {
    this.kept.clear()
  }

  async layout(): Promise<Layout> {
    return (await this.findHead()).layout
  }

  async frames(first: number, end: number): Promise<Uint8Array> {
    const { layout, start } = await this.findHead()
    const unit = frameOffset(layout, UNIT_FRAMES)
    const [from, until] = [frameOffset(layout, first), frameOffset(layout, Math.min(end, layout.frames))]
    const parts: Uint8Array[] = []
    for (const span of spansOf(Math.floor(from / unit), Math.ceil(until / unit))) {
      const whole = await this.fragment(span.number)
      const sound = span.number === 1 ? whole.subarray(start) : whole
      const base = span.firstUnit * unit
      parts.push(sound.subarray(Math.max(0, from - base), until - base))
    }
    return concat(parts)
  }

  private findHead(): Promise<Head> {
    this.head ??= readHead(async (start, end) => (await this.fragment(1)).subarray(start, end)).catch((error: unknown) => {
      this.head = null
      throw error
    })
    return this.head
  }

  private fragment(number: number): Promise<Uint8Array> {
    const found = this.kept.get(number) ?? this.fetch(this.urlOf(number))
    this.kept.delete(number)
    this.kept.set(number, found)
    found.catch(() => this.kept.delete(number))
    for (const old of [...this.kept.keys()].slice(0, -KEPT_FRAGMENTS)) this.kept.delete(old)
    return found
  }
}

/** The end of a job takes its fragments away a moment before it is announced. */
const END_TRIES = 20
const END_WAIT_MS = 300

/** A stem of a job that runs at first: fragments until the job has ended, ranges of the stem afterwards. */
export class GrowingSource implements FrameSource {
  private current: FrameSource

  constructor(private readonly fragments: FragmentSource, private readonly stem: RangeSource, isDone: boolean) {
    this.current = isDone ? stem : fragments
  }

  get available(): number {
    return this.current.available
  }

  announce(count: number): void {
    this.fragments.announce(count)
  }

  finish(): void {
    this.current = this.stem
    this.fragments.release()
  }

  layout(): Promise<Layout> {
    return this.read((source) => source.layout())
  }

  frames(first: number, end: number): Promise<Uint8Array> {
    return this.read((source) => source.frames(first, end))
  }

  private async read<T>(work: (source: FrameSource) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(this.current)
      } catch (error) {
        const isGone = error instanceof FetchFailed && error.status === 404 && attempt < END_TRIES
        if (!isGone) throw error
        await new Promise((resolve) => setTimeout(resolve, END_WAIT_MS))
      }
    }
  }
}

/** An MP3 of any bit rate. Its compressed bytes are kept, and a walk finds the frames. */
export class WholeFileSource implements FrameSource {
  private file: Promise<{ data: Uint8Array; offsets: number[]; layout: Layout }> | null = null
  available = Infinity

  constructor(private readonly url: string, private readonly fetch: Fetch) {}

  async layout(): Promise<Layout> {
    return (await this.open()).layout
  }

  async frames(first: number, end: number): Promise<Uint8Array> {
    const { data, offsets } = await this.open()
    return data.slice(offsets[first], offsets[Math.min(end, offsets.length - 1)])
  }

  /** Returns the whole file, for a decoder that reads other formats. */
  async bytes(): Promise<Uint8Array> {
    return this.fetch(this.url)
  }

  private open(): Promise<{ data: Uint8Array; offsets: number[]; layout: Layout }> {
    this.file ??= this.walk().catch((error: unknown) => {
      this.file = null
      throw error
    })
    return this.file
  }

  private async walk(): Promise<{ data: Uint8Array; offsets: number[]; layout: Layout }> {
    const data = await this.fetch(this.url)
    const tag = id3Bytes(data)
    const header = readHeader(data, tag)
    if (!header || header.rateHz !== 44_100) throw new UnsupportedFile('The file is not an MP3 of 44.1 kHz.')
    const info = readInfo(data, tag)
    const offsets = walkFrames(data, info ? tag + header.sizeBytes : tag)
    const frames = offsets.length - 1
    if (frames < 1) throw new UnsupportedFile('The file has no frames.')
    const layout = layoutOf(header, { frames, delay: info?.delay ?? 0, padding: info?.padding ?? 0 })
    // The bit rate may vary: the smallest frame decides how many of them a frame may borrow from.
    const smallest = Math.min(...[0, 1, 2, 3].map((at) => readHeader(data, offsets[at] ?? -1)?.bitRate ?? header.bitRate))
    return { data, offsets, layout: { ...layout, preroll: Math.max(12, prerollFrames({ ...header, bitRate: smallest })) } }
  }
}

function concat(parts: Uint8Array[]): Uint8Array {
  const [only] = parts
  if (parts.length === 1 && only) return only.slice()
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
