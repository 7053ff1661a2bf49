/** A pitch shifter in an AudioWorklet. Its module is a file of its own, so that the policy of the page allows it. */

import moduleUrl from 'signalsmith-stretch?url'

interface StretchNode extends AudioWorkletNode {
  schedule(change: { active?: boolean; rate?: number; semitones?: number }): Promise<unknown>
  latency(): Promise<number>
}

type OpenStretch = ((context: BaseAudioContext, options?: AudioWorkletNodeOptions) => Promise<StretchNode>) & { moduleUrl?: string }

export interface Shifter {
  node: AudioNode
  latencyS: number
  transpose(semitones: number): void
}

/** AudioWorklet exists in secure contexts only. */
export function canShift(): boolean {
  return isSecureContext && 'AudioWorkletNode' in globalThis
}

export async function openShifter(context: BaseAudioContext): Promise<Shifter> {
  const { default: open } = (await import(/* @vite-ignore */ moduleUrl)) as { default: OpenStretch }
  open.moduleUrl = moduleUrl
  const node = await open(context, { numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [2] })
  await node.schedule({ active: true, rate: 1, semitones: 0 })
  return {
    node,
    latencyS: await node.latency(),
    transpose: (semitones) => void node.schedule({ active: true, rate: 1, semitones }),
  }
}
