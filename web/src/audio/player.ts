/**
 * Plays tracks that stay locked to the sample. Segments are scheduled back to back on whole frames of the context.
 *
 * A pass is a stretch of the song that plays without a jump. A loop repeats it, and each repetition is a pass. Every
 * track computes the frame of a sample from the pass alone, so that no track can drift.
 */

import { RATE_HZ } from './decode'
import { resample } from './resample'
import type { Segment, Track } from './track'

/** Sound is scheduled this far ahead, in s. Timers of hidden pages tick once a second. */
const AHEAD_S = 12
/** Time between a decision and its sound, in s. */
const LEAD_S = 0.03
const TICK_MS = 250
/** Units of the first segments, so that a seek decodes little. */
const FIRST_UNITS = [1, 1, 2]
const UNITS = 4
/** A loop is at least this long, in samples. */
const MIN_LOOP = RATE_HZ / 10

export type PlayerState = 'paused' | 'waiting' | 'playing' | 'ended' | 'failed'

export interface Loop {
  start: number
  end: number
}

interface Pass {
  /** Frame of the context at which `start` sounds. */
  frame: number
  start: number
  end: number
  tempo: Tempo
}

interface Sounding {
  node: AudioBufferSourceNode
  frame: number
  end: number
}

/** Samples of the song for each frame of the context, in percent. */
export type Tempo = number

export class Player {
  state: PlayerState = 'paused'
  onState: (state: PlayerState) => void = () => {}
  /** An offline context schedules everything at once, but nothing that begins after this frame. */
  lastFrame = Infinity
  private run = 0
  private passes: Pass[] = []
  private sounding = new Set<Sounding>()
  private resting = 0
  /** The target of a seek while its sound is being read. */
  private target: number | null = null
  private loop: Loop | null = null
  private tempo: Tempo = 100
  private length = Infinity
  private active: string[] = []
  private wakers = new Set<() => void>()
  private timer: ReturnType<typeof setInterval> | undefined

  constructor(
    private readonly context: BaseAudioContext,
    private readonly tracks: ReadonlyMap<string, Track>,
    private readonly outputOf: (track: string) => AudioNode,
    /** The context does not run while sound is scheduled: an OfflineAudioContext. */
    private readonly isOffline = false,
  ) {}

  /** The song's sample that sounds now. */
  get position(): number {
    if (this.target !== null) return this.target
    return this.passes.length && this.state !== 'paused' && this.state !== 'ended' ? this.positionAt(this.now) : this.resting
  }

  get samples(): number {
    return this.length
  }

  /** Begins where the player stopped, after a number of frames. */
  async play(delay = 0): Promise<void> {
    if (this.state === 'ended') this.resting = this.loop?.start ?? 0
    await this.begin(this.resting, delay ? this.now + delay : undefined)
  }

  pause(): void {
    const position = this.position
    this.halt(this.now)
    this.resting = position
    this.enter('paused')
  }

  async seek(sample: number): Promise<void> {
    const target = Math.max(0, Math.min(Math.round(sample), this.length - 1))
    this.resting = target
    if (this.state === 'playing' || this.state === 'waiting') {
      this.target = target
      await this.begin(target)
    }
    if (this.state === 'ended') this.enter('paused')
  }

  async setLoop(loop: Loop | null): Promise<void> {
    const next = loop && loop.end - loop.start >= MIN_LOOP ? { start: Math.max(0, Math.round(loop.start)), end: Math.round(loop.end) } : null
    if (next?.start === this.loop?.start && next?.end === this.loop?.end) return
    this.loop = next
    await this.continue()
  }

  async setTempo(tempo: Tempo): Promise<void> {
    if (tempo === this.tempo) return
    this.tempo = tempo
    await this.continue()
  }

  /** Chooses the tracks that are read. Others cost nothing. */
  async setActive(names: string[]): Promise<void> {
    const known = names.filter((name) => this.tracks.has(name))
    if (known.join() === this.active.join()) return
    this.active = known
    await this.continue()
  }

  /** Reads go on that waited for sound which has arrived meanwhile. */
  wake(): void {
    for (const waker of [...this.wakers]) waker()
  }

  close(): void {
    this.halt(this.now)
    this.enter('paused')
  }

  /** Begins at a sample. `frame` is that of the context, by default as soon as the sound is there. */
  async begin(sample: number, frame?: number): Promise<void> {
    const run = ++this.run
    const wasPlaying = this.state === 'playing'
    this.resting = sample
    if (!wasPlaying) this.enter('waiting')
    const isReady = await this.prepare(run, sample)
    if (!isReady || run !== this.run) return
    this.start(run, sample, frame ?? this.now + Math.ceil(LEAD_S * RATE_HZ))
  }

  /** Waits until sound is scheduled up to the end. For an OfflineAudioContext. */
  async settle(): Promise<void> {
    await Promise.all(this.running)
  }

  private running: Promise<void>[] = []

  /** Takes up a change of the loop, the tempo or the tracks, without a gap. Offline the next `begin` does. */
  async continue(): Promise<void> {
    if (this.isOffline) return
    if (this.state !== 'playing' && this.state !== 'waiting') return
    const run = ++this.run
    const isReady = await this.prepare(run, this.position)
    if (!isReady || run !== this.run) return
    const frame = this.now + Math.ceil(LEAD_S * RATE_HZ)
    this.start(run, this.passes.length ? Math.round(this.positionAt(frame)) : this.resting, frame)
  }

  private start(run: number, sample: number, frame: number): void {
    this.halt(frame, run)
    this.target = null
    const end = this.endAfter(sample)
    this.passes = [...this.passes.filter((pass) => pass.frame < frame).slice(-1), { frame, start: sample, end, tempo: this.tempo }]
    const first = this.passes.length - 1
    this.timer ??= this.isOffline ? undefined : setInterval(() => this.tick(), TICK_MS)
    this.enter('playing')
    this.running = this.active.map((name) => this.feed(run, name, first))
  }

  /** Returns where a pass that begins at a sample ends. One that begins behind the loop ignores it. */
  private endAfter(sample: number): number {
    return this.loop && sample < this.loop.end ? Math.min(this.loop.end, this.length) : this.length
  }

  /** Decodes the first segment of every track. Returns false if the run was replaced meanwhile. */
  private async prepare(run: number, sample: number): Promise<boolean> {
    try {
      await Promise.all(
        this.active.map(async (name, at) => {
          const track = this.track(name)
          while (!track.has(sample)) {
            if (run !== this.run) return
            if (this.state === 'playing' && this.sounding.size === 0) this.enter('waiting')
            await this.sleep()
          }
          const samples = await track.samples()
          if (at === 0) this.length = samples
          await track.segment(sample, FIRST_UNITS[0] ?? UNITS)
        }),
      )
    } catch (error) {
      if (run === this.run) this.fail(error)
      return false
    }
    return run === this.run
  }

  /** Schedules a track, pass after pass, until the song or the run ends. */
  private async feed(run: number, name: string, firstPass: number): Promise<void> {
    const track = this.track(name)
    let at = firstPass
    let count = 0
    let length = Infinity
    let pass = this.passes[at]
    let sample = pass?.start ?? 0
    while (pass) {
      if (!(await this.reach(run, frameOf(pass, sample)))) return
      if (!track.has(sample)) {
        if (frameOf(pass, sample) <= this.now) return this.starve(run, sample)
        await this.sleep()
        continue
      }
      let segment: Segment
      try {
        segment = await track.segment(sample, FIRST_UNITS[count++] ?? UNITS)
        length = await track.samples()
      } catch (error) {
        return this.recover(run, error)
      }
      if (run !== this.run) return
      if (frameOf(pass, sample) < this.now) return this.starve(run, sample)
      // A track that is shorter than the others is silent at its end.
      sample = sample < length ? this.schedule(name, segment, pass, sample) : pass.end
      if (sample >= length) sample = pass.end
      if (sample >= pass.end) {
        pass = this.passAfter(pass, ++at)
        sample = pass?.start ?? 0
      }
    }
  }

  /** Plays a segment from a sample on. Returns the sample at which the next one takes over. */
  private schedule(name: string, segment: Segment, pass: Pass, sample: number): number {
    const cut = Math.min(cutAfter(segment.end, pass), pass.end)
    const frame = frameOf(pass, sample)
    const end = frameOf(pass, cut)
    const offset = sample - segment.start
    const isPlain = pass.tempo === 100
    const waves = [segment.sound.left, segment.sound.right].map((wave) => (isPlain ? wave : resample(wave, offset, pass.tempo / 100, end - frame)))
    const buffer = this.context.createBuffer(2, waves[0]?.length || 1, RATE_HZ)
    waves.forEach((wave, channel) => buffer.copyToChannel(wave as Float32Array<ArrayBuffer>, channel))
    const node = this.context.createBufferSource()
    node.buffer = buffer
    node.connect(this.outputOf(name))
    node.start(frame / RATE_HZ, isPlain ? offset / RATE_HZ : 0)
    node.stop(end / RATE_HZ)
    const sounding = { node, frame, end }
    this.sounding.add(sounding)
    node.onended = () => {
      this.sounding.delete(sounding)
      node.disconnect()
    }
    return cut
  }

  private passAfter(pass: Pass, at: number): Pass | undefined {
    const known = this.passes[at]
    if (known) return known
    if (!this.loop || pass.end !== Math.min(this.loop.end, this.length)) return undefined
    const next = { ...pass, frame: frameOf(pass, pass.end), start: this.loop.start }
    this.passes.push(next)
    return next
  }

  private positionAt(frame: number): number {
    const pass = this.passes.findLast((each) => each.frame <= frame) ?? this.passes[0]
    if (!pass) return this.resting
    return Math.min(pass.start + (Math.max(0, frame - pass.frame) * pass.tempo) / 100, pass.end)
  }

  private get now(): number {
    return this.isOffline ? 0 : Math.round(this.context.currentTime * RATE_HZ)
  }

  /** Waits until a frame is near enough to be scheduled. Returns false if the run was replaced. */
  private async reach(run: number, frame: number): Promise<boolean> {
    if (this.isOffline) return run === this.run && frame <= this.lastFrame
    while (run === this.run && frame > this.now + AHEAD_S * RATE_HZ) await this.sleep()
    return run === this.run
  }

  private sleep(): Promise<void> {
    return new Promise((resolve) => {
      const waker = (): void => {
        this.wakers.delete(waker)
        resolve()
      }
      this.wakers.add(waker)
    })
  }

  private tick(): void {
    this.wake()
    if (this.state !== 'playing') return
    const last = this.passes.at(-1)
    if (last && last.end === this.length && this.positionAt(this.now) >= this.length) {
      this.halt(this.now)
      this.resting = this.length
      this.enter('ended')
    }
  }

  /** The sound of a track is late: all tracks stop, and go on together when it is there. */
  private starve(run: number, sample: number): void {
    if (run !== this.run) return
    this.halt(this.now)
    this.enter('waiting')
    void this.begin(Math.min(sample, Math.round(this.length)))
  }

  private recover(run: number, error: unknown): void {
    if (run !== this.run) return
    // What is scheduled plays on. The next read tries again.
    const position = this.position
    this.halt(this.now)
    this.resting = position
    this.fail(error)
  }

  private fail(error: unknown): void {
    console.warn('playback failed', error)
    this.enter('failed')
  }

  /** Stops sound at a frame. Without `run`, the current run ends as well. */
  private halt(frame: number, run?: number): void {
    if (run === undefined) this.run++
    for (const sounding of this.sounding) {
      if (sounding.frame >= frame) sounding.node.disconnect()
      // A later end would let the tail of a segment sound.
      if (sounding.end <= frame) continue
      sounding.node.stop(frame / RATE_HZ)
      sounding.end = frame
    }
    if (run === undefined) {
      this.target = null
      clearInterval(this.timer)
      this.timer = undefined
      this.passes = []
      this.wake()
    }
  }

  private enter(state: PlayerState): void {
    if (this.state === state) return
    this.state = state
    this.onState(state)
    if (state === 'waiting' && !this.isOffline) this.timer ??= setInterval(() => this.tick(), TICK_MS)
  }

  private track(name: string): Track {
    const track = this.tracks.get(name)
    if (!track) throw new Error(`Track ${name} is unknown.`)
    return track
  }
}

/** Returns the first sample from `end` on that falls on a whole frame. It is in the tail of the segment. */
function cutAfter(end: number, pass: Pass): number {
  const step = pass.tempo / gcd(pass.tempo, 100)
  return pass.start + Math.ceil((end - pass.start) / step) * step
}

function frameOf(pass: Pass, sample: number): number {
  return pass.frame + Math.ceil(((sample - pass.start) * 100) / pass.tempo)
}

function gcd(a: number, b: number): number {
  return b ? gcd(b, a % b) : a
}
