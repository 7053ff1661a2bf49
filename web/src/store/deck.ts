/** The open song: its separation, its waveforms, its mix, and the engine that plays it. */

import { batch, computed, effect, signal, untracked } from '@preact/signals'

import { ClickTrack, clickWave, FragmentSource, FrameTrack, Graph, GrowingSource, NO_PEAKS, Player, RangeSource, RATE_HZ, SongTrack, WholeFileSource } from '../audio'
import type { Beats, LaneLevel, Loop, Part, Peaks, PlayerState, Track } from '../audio'
import { getAnalysis, type Analysis } from '../api/analysis'
import { Refused } from '../api/client'
import { fetchBytes, followSong, getPeaks, getSong, listFragments, urls, type Job, type Song } from '../api/songs'
import { t } from '../i18n'
import { correctAnalysis } from './analysis'
import { animate, stop } from './frames'
import { putSong, watchSongs } from './library'
import { channelOf, decodeMix, encodeMix, firstMix, isHeard, keepMix, NEW_MIX, type Channel, type Mix } from './mix'
import { announce, isConnected, notify } from './notices'
import { allowsSound } from './output'
import { writeQuery } from './route'
import { expectedSong } from './uploads'

export const ORIGINAL = 'original'
const METRONOME = 'metronome'
const DEFAULT_STEMS = ['vocals', 'drums', 'bass', 'other']
const RETRY_MS = 2000
const KEEP_MS = 400
/** Bluetooth devices and sound servers take seconds to open. */
const OUTPUT_MS = 10_000
/** A browser that can hold sound back has decided after this time. */
const DECISION_MS = 2000
const COUNT_IN_LEAD_S = 0.05

export type Availability = 'loading' | 'missing' | 'here'

export class Deck {
  readonly availability = signal<Availability>('loading')
  readonly job = signal<Job | null>(null)
  readonly stems = signal<string[]>(DEFAULT_STEMS)
  readonly peaks = signal<Peaks>(NO_PEAKS)
  readonly mix = signal<Mix>(NEW_MIX)
  readonly state = signal<PlayerState>('paused')
  /** In samples. */
  readonly position = signal(0)
  /** Whole seconds, for all that shows no more. */
  readonly seconds = computed(() => Math.floor(this.position.value / RATE_HZ))
  readonly samples = signal(0)
  /** Samples of the stems that can be played. */
  readonly playable = signal(0)
  /** The analysis by the worker. */
  readonly measured = signal<Analysis | null>(null)
  private readonly bpm = computed(() => this.mix.value.bpm)
  private readonly songKey = computed(() => this.mix.value.songKey)
  /** The analysis with the corrections of the visitor. */
  readonly analysis = computed(() => correctAnalysis(this.measured.value, { bpm: this.bpm.value, songKey: this.songKey.value }, this.samples.value / RATE_HZ))
  /** The loop that is being drawn. */
  readonly draft = signal<Loop | null>(null)
  readonly hasClick = signal(false)
  readonly countsIn = signal(false)
  private readonly tracks = new Map<string, Track>()
  private readonly sources = new Map<string, GrowingSource>()
  private context: AudioContext | null = null
  private graph: Graph | null = null
  private player: Player | null = null
  private stopFollowing = (): void => {}
  private readonly stopEffects: (() => void)[] = []
  private fragments = 0
  private usesOriginal = false
  private isClosed = false
  private wantsPlay = false
  /** The browser did not tell whether it holds sound back. */
  private isUncertain = false

  constructor(readonly songId: number, query: string) {
    this.mix.value = firstMix(songId, query)
    this.tracks.set(ORIGINAL, new SongTrack(new WholeFileSource(urls.part(songId, 'song'), fetchBytes)))
    this.stopEffects.push(effect(() => this.keep(this.mix.value)), effect(() => this.applyMix(this.mix.value, this.stems.value, this.hasClick.value)), effect(() => this.setMetronome(this.analysis.value?.beats ?? null)))
    void this.load()
  }

  close(): void {
    this.isClosed = true
    this.stopFollowing()
    this.stopEffects.forEach((stop) => stop())
    stop(this.draw)
    this.player?.close()
    void this.context?.close()
    clearTimeout(this.keeping)
    this.keepNow()
  }

  get isPlaying(): boolean {
    return ['playing', 'waiting'].includes(this.state.value)
  }

  async toggle(): Promise<void> {
    // A browser that holds sound back plays it after this click.
    const isHeld = this.isUncertain && this.context?.state === 'suspended'
    if ((this.isPlaying || this.wantsPlay) && !isHeld) this.pause()
    else await this.play()
  }

  async play(): Promise<void> {
    const player = this.open()
    if (player.state === 'playing') return
    this.wantsPlay = true
    this.state.value = 'waiting'
    const isAwake = await this.wakeContext()
    if (!this.wantsPlay || this.isClosed) return
    if (!isAwake) return this.pause()
    // The first stems start to play when they are there.
    if (!this.playable.value && this.mix.value.mode === 'stems') return
    this.activate()
    await player.play(this.countIn())
    this.wantsPlay = false
  }

  /** Waits for the sound output. Returns false if the browser holds sound back. */
  private async wakeContext(): Promise<boolean> {
    const { context } = this
    const isAllowed = allowsSound()
    this.isUncertain = isAllowed === null
    const resumed = context?.resume().catch(() => {})
    const limitMs = isAllowed === null ? DECISION_MS : isAllowed ? OUTPUT_MS : 0
    await Promise.race([resumed, new Promise((resolve) => setTimeout(resolve, limitMs))])
    if (isAllowed && this.wantsPlay && context?.state === 'suspended') {
      notify(t('noSound'), { kind: 'error' })
      await resumed
    }
    return context?.state === 'running'
  }

  pause(): void {
    this.wantsPlay = false
    this.player?.pause()
    this.state.value = 'paused'
  }

  async seek(sample: number): Promise<void> {
    const target = Math.max(0, Math.min(sample, this.samples.value - 1))
    this.position.value = target
    await this.open().seek(target)
  }

  change(values: Partial<Mix>): void {
    this.mix.value = { ...this.mix.value, ...values }
  }

  changeChannel(stem: string, values: Partial<Channel>): void {
    const { channels } = this.mix.value
    this.change({ channels: { ...channels, [stem]: { ...channelOf(this.mix.value, stem), ...values } } })
  }

  setLoop(loop: Loop | null): void {
    this.change({ loop })
  }

  readMeter(stem?: string): [number, number] {
    if (!this.graph || this.state.value !== 'playing') return [0, 0]
    if (stem === undefined) return this.graph.readMeter()
    return this.tracks.has(stem) ? this.graph.readMeter(stem) : [0, 0]
  }

  /** Returns the tracks that are heard now, with their levels. */
  parts(): Part[] {
    const names = [...this.stems.value, ORIGINAL].filter((name) => this.levelOf(name).gain !== 0)
    return names.flatMap((name) => {
      const track = this.tracks.get(name)
      return track ? [{ name, track, level: this.levelOf(name) }] : []
    })
  }

  private levelOf(name: string): LaneLevel {
    const mix = this.mix.value
    const channel = channelOf(mix, name)
    if (name === ORIGINAL) return { gain: mix.mode === 'stems' ? 0 : 1, pan: 0 }
    if (mix.mode === 'stems') return { gain: isHeard(mix, name) ? channel.volume : 0, pan: channel.pan }
    return { gain: mix.mode === 'minus' && !isHeard(mix, name) ? -1 : 0, pan: 0 }
  }

  private open(): Player {
    if (this.player) return this.player
    this.context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: 'interactive' })
    const graph = new Graph(this.context, this.tracks.keys())
    this.graph = graph
    this.player = new Player(this.context, this.tracks, (name) => graph.inputOf(name))
    this.player.onState = (state) => this.follow(state)
    void this.player.seek(this.position.value)
    this.applyMix(this.mix.value, this.stems.value, this.hasClick.value)
    return this.player
  }

  private follow(state: PlayerState): void {
    this.state.value = state
    if (state === 'failed') this.explainFailure()
    if (state === 'ended') this.position.value = this.samples.value
    if (state === 'playing') animate(this.draw)
  }

  private explainFailure(): void {
    if (this.mix.value.mode === 'stems') return void notify(t('playFailed'), { kind: 'error' })
    this.usesOriginal = false
    this.change({ mode: 'stems' })
    notify(t('originalMissing'), { kind: 'error' })
  }

  private readonly draw = (): boolean => {
    if (!this.player || this.state.value !== 'playing') return false
    const latency = (this.graph?.latencyS ?? 0) * RATE_HZ * (this.mix.value.tempo / 100)
    this.position.value = Math.max(0, this.player.position - latency)
    if (Number.isFinite(this.player.samples)) this.samples.value = this.player.samples
    return true
  }

  private applyMix(mix: Mix, stems: string[], hasClick: boolean): void {
    const { graph, player } = this
    if (!graph || !player) return
    for (const name of [...stems, ORIGINAL]) if (this.tracks.has(name)) graph.setLevel(name, this.levelOf(name))
    if (this.tracks.has(METRONOME)) graph.setLevel(METRONOME, { gain: hasClick ? 1 : 0, pan: 0 })
    graph.setMaster(mix.master)
    this.activate()
    void player.setLoop(mix.loop)
    void graph
      .setShift({ tempo: mix.tempo, semitones: mix.semitones })
      .then(() => player.setTempo(mix.tempo))
      .catch((error: unknown) => console.warn('shift failed', error))
  }

  /** The original is read from its first use on, the stems as soon as they are there. */
  private activate(): void {
    const isOriginal = this.mix.value.mode !== 'stems'
    this.usesOriginal ||= isOriginal
    const stems = this.playable.value ? this.stems.value.filter((stem) => this.tracks.has(stem)) : []
    void this.player?.setActive([...stems, ...(this.usesOriginal ? [ORIGINAL] : []), ...(this.hasClick.value && this.tracks.has(METRONOME) ? [METRONOME] : [])])
  }

  private async load(): Promise<void> {
    const song = await this.persist(() => getSong(this.songId))
    if (this.isClosed) return
    if (!song) {
      this.availability.value = 'missing'
      return
    }
    putSong(song)
    this.availability.value = 'here'
    if (song.duration_s) this.samples.value = Math.round(song.duration_s * RATE_HZ)
    if (song.status === 'SPLIT') this.finish(song.stems)
    this.listen(song)
  }

  /** Reads once more while the service is away. Returns null if it refuses, or the song is closed. */
  private async persist<T>(read: () => Promise<T>): Promise<T | null> {
    while (!this.isClosed) {
      try {
        return await read()
      } catch (error) {
        if (error instanceof Refused && !error.isTemporary) return null
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
    return null
  }

  private listen(song: Song): void {
    this.stopFollowing()
    if (song.status === 'SPLIT' || song.error) return
    this.stopFollowing = followSong(
      this.songId,
      (job) => this.takeEvent(job),
      () => setTimeout(() => void this.load(), RETRY_MS),
    )
  }

  private takeEvent(job: Job): void {
    const before = this.job.value
    isConnected.value = true
    this.job.value = job
    if (job.duration_s && !this.samples.value) this.samples.value = Math.round(job.duration_s * RATE_HZ)
    if (job.state !== before?.state) void this.takeState(job)
    if (job.state === 'running' && job.playable_until_s && job.playable_until_s !== before?.playable_until_s) void this.takeFragments()
  }

  private async takeState(job: Job): Promise<void> {
    if (job.state === 'done') {
      announce(t('ready'))
      this.finish(job.stems)
    }
    if (job.state === 'queued') this.fragments = 0
    const song = await this.persist(() => getSong(this.songId))
    if (song) putSong(song)
    watchSongs()
  }

  private async takeFragments(): Promise<void> {
    const list = await this.persist(() => listFragments(this.songId))
    if (!list || this.isClosed || this.job.value?.state === 'done') return
    this.addStems(list.stems, false)
    for (const source of this.sources.values()) source.announce(list.pieces)
    this.playable.value = Math.max(this.playable.value, Math.floor(list.playable_until_s * RATE_HZ))
    this.player?.wake()
    this.activate()
    if (list.pieces !== this.fragments) {
      this.fragments = list.pieces
      const peaks = await this.persist(() => getPeaks(this.songId))
      if (peaks && !this.peaks.value.isWhole) this.peaks.value = peaks
    }
    await this.playExpected()
  }

  /** The whole stems are there. */
  private finish(stems: string[]): void {
    this.addStems(stems, true)
    for (const source of this.sources.values()) source.finish()
    void this.measure().then(() => this.analyse())
  }

  private async analyse(): Promise<void> {
    const analysis = await this.persist(() => getAnalysis(this.songId))
    if (!analysis || this.isClosed) return
    this.measured.value = analysis
  }

  private setMetronome(beats: Beats | null): void {
    if (beats) {
      this.tracks.set(METRONOME, new ClickTrack(beats, this.samples.peek()))
      this.graph?.add(METRONOME)
    } else this.tracks.delete(METRONOME)
    untracked(() => this.activate())
    void this.player?.continue()
  }

  /** Plays a bar of clicks if the visitor wants one. Returns its length in frames. */
  private countIn(): number {
    const bpm = this.analysis.value?.bpm
    const { context, graph } = this
    if (!this.countsIn.value || !bpm || !context || !graph) return 0
    const beats = this.analysis.value?.beats?.beatsPerBar ?? 4
    const beatS = 6000 / (bpm.value * this.mix.value.tempo)
    const start = context.currentTime + COUNT_IN_LEAD_S
    for (let beat = 0; beat < beats; beat++) {
      const wave = clickWave(beat === 0)
      const buffer = context.createBuffer(1, wave.length, RATE_HZ)
      buffer.copyToChannel(wave as Float32Array<ArrayBuffer>, 0)
      const node = new AudioBufferSourceNode(context, { buffer })
      node.connect(context.destination)
      node.start(start + beat * beatS)
    }
    return Math.round((COUNT_IN_LEAD_S + beats * beatS) * RATE_HZ)
  }

  private async measure(): Promise<void> {
    const [first] = this.stems.value
    const track = first && this.tracks.get(first)
    const [samples, peaks] = await Promise.all([track ? track.samples() : 0, this.persist(() => getPeaks(this.songId))]).catch(() => [0, null] as const)
    if (this.isClosed) return
    batch(() => {
      if (samples) this.samples.value = samples
      this.playable.value = this.samples.value || Infinity
      if (peaks) this.peaks.value = peaks
    })
    this.player?.wake()
    this.activate()
    await this.playExpected()
  }

  /** Plays a song that waits for its first sound, if it was just dropped or the visitor has pressed play. */
  private async playExpected(): Promise<void> {
    const isExpected = expectedSong.value === this.songId
    if (!this.playable.value || !(isExpected || this.wantsPlay)) return
    if (isExpected) expectedSong.value = null
    // A start that waits for the sound output goes on by itself.
    const isStarting = this.wantsPlay && this.context?.state === 'suspended'
    if (!isStarting && this.player?.state !== 'playing') await this.play()
  }

  private addStems(stems: string[], isDone: boolean): void {
    for (const stem of stems.filter((each) => !this.tracks.has(each))) {
      const fragments = new FragmentSource((number) => urls.fragment(this.songId, stem, number), fetchBytes)
      const source = new GrowingSource(fragments, new RangeSource(urls.part(this.songId, stem), fetchBytes), isDone)
      this.sources.set(stem, source)
      this.tracks.set(stem, new FrameTrack(source))
      this.graph?.add(stem)
    }
    const order = [...DEFAULT_STEMS, ...stems].filter((stem, at, all) => stems.includes(stem) && all.indexOf(stem) === at)
    if (order.length && order.join() !== untracked(() => this.stems.value).join()) this.stems.value = order
    else this.applyMix(this.mix.value, this.stems.value, this.hasClick.value)
  }

  private keeping: ReturnType<typeof setTimeout> | undefined

  private keep(_: Mix): void {
    clearTimeout(this.keeping)
    this.keeping = setTimeout(() => this.keepNow(), KEEP_MS)
  }

  private keepNow(): void {
    keepMix(this.songId, this.mix.value)
    writeQuery(this.songId, encodeMix(this.mix.value))
  }
}

/** The song that is open. */
export const deck = signal<Deck | null>(null)

export function openDeck(songId: number | null, query: string): void {
  const open = deck.peek()
  if (open?.songId === songId) {
    // A link to another mix of the same song.
    if (open && query && query !== encodeMix(open.mix.peek())) open.mix.value = decodeMix(query)
    return
  }
  open?.close()
  deck.value = songId === null ? null : new Deck(songId, query)
}
