/** The nodes between the tracks and the speakers: gain and pan of each track, two buses, shift, master, meters. */

import { openShifter, type Shifter } from './shifter'

const SMOOTHING_S = 0.012
const METER_SAMPLES = 2048
/** Drums are never transposed. */
const PERCUSSION = new Set(['drums', 'metronome'])

export interface LaneLevel {
  /** Linear. A negative one inverts the track. */
  gain: number
  /** -1 is left, 1 is right. */
  pan: number
}

export interface Shift {
  /** Percent of the song's tempo. */
  tempo: number
  semitones: number
}

class Meter {
  private readonly analysers: AnalyserNode[]
  private readonly samples = new Float32Array(METER_SAMPLES)

  constructor(context: BaseAudioContext, input: AudioNode) {
    const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 })
    input.connect(splitter)
    this.analysers = [0, 1].map((channel) => {
      const analyser = new AnalyserNode(context, { fftSize: METER_SAMPLES })
      splitter.connect(analyser, channel)
      return analyser
    })
  }

  /** Returns the highest magnitude of the last samples of each channel. */
  read(): [number, number] {
    const [left = 0, right = 0] = this.analysers.map((analyser) => {
      analyser.getFloatTimeDomainData(this.samples)
      let peak = 0
      for (const sample of this.samples) peak = Math.max(peak, Math.abs(sample))
      return peak
    })
    return [left, right]
  }
}

interface Lane {
  input: GainNode
  pan: StereoPannerNode
  meter: Meter
}

export class Graph {
  private readonly lanes = new Map<string, Lane>()
  private readonly drums: GainNode
  private readonly tonal: GainNode
  private readonly master: GainNode
  private readonly meter: Meter
  private shifters: { drums: Shifter; tonal: Shifter } | null = null
  private wanted: Shift = { tempo: 100, semitones: 0 }
  /** Seconds between a track and the speakers. */
  latencyS = 0

  constructor(private readonly context: BaseAudioContext, names: Iterable<string>, output: AudioNode = context.destination) {
    this.drums = stereo(context)
    this.tonal = stereo(context)
    this.master = stereo(context)
    this.meter = new Meter(context, this.master)
    this.drums.connect(this.master)
    this.tonal.connect(this.master)
    this.master.connect(output)
    for (const name of names) this.add(name)
  }

  inputOf(name: string): AudioNode {
    return this.lane(name).input
  }

  /** The track behind its gain and pan. */
  outputOf(name: string): AudioNode {
    return this.lane(name).pan
  }

  setLevel(name: string, { gain, pan }: LaneLevel, isAtOnce = false): void {
    const lane = this.lane(name)
    this.move(lane.input.gain, gain, isAtOnce)
    this.move(lane.pan.pan, pan, isAtOnce)
  }

  setMaster(gain: number): void {
    this.move(this.master.gain, gain, false)
  }

  readMeter(name?: string): [number, number] {
    return name === undefined ? this.meter.read() : this.lane(name).meter.read()
  }

  /** Corrects the pitch of tracks that play at another tempo, and transposes all but the drums. */
  async setShift(shift: Shift): Promise<void> {
    this.wanted = shift
    const isNeutral = shift.tempo === 100 && shift.semitones === 0
    if (isNeutral && !this.shifters) return
    if (!this.shifters) {
      const [drums, tonal] = await Promise.all([openShifter(this.context), openShifter(this.context)])
      this.shifters ??= { drums, tonal }
    }
    const { tempo, semitones } = this.wanted
    const correction = -12 * Math.log2(tempo / 100)
    this.shifters.drums.transpose(correction)
    this.shifters.tonal.transpose(correction + semitones)
    this.reroute(tempo !== 100 || semitones !== 0)
  }

  private reroute(isShifted: boolean): void {
    if (!this.shifters) return
    for (const bus of ['drums', 'tonal'] as const) {
      this[bus].disconnect()
      this.shifters[bus].node.disconnect()
      if (isShifted) this[bus].connect(this.shifters[bus].node).connect(this.master)
      else this[bus].connect(this.master)
    }
    this.latencyS = isShifted ? this.shifters.tonal.latencyS : 0
  }

  add(name: string): void {
    if (!this.lanes.has(name)) this.lanes.set(name, this.addLane(name))
  }

  private addLane(name: string): Lane {
    const input = stereo(this.context)
    const pan = new StereoPannerNode(this.context)
    input.connect(pan).connect(PERCUSSION.has(name) ? this.drums : this.tonal)
    return { input, pan, meter: new Meter(this.context, pan) }
  }

  private move(parameter: AudioParam, value: number, isAtOnce: boolean): void {
    if (isAtOnce) parameter.value = value
    else parameter.setTargetAtTime(value, this.context.currentTime, SMOOTHING_S)
  }

  private lane(name: string): Lane {
    const lane = this.lanes.get(name)
    if (!lane) throw new Error(`Lane ${name} is unknown.`)
    return lane
  }
}

function stereo(context: BaseAudioContext): GainNode {
  return new GainNode(context, { channelCount: 2, channelCountMode: 'explicit' })
}
