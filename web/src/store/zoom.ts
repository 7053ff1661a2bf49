/** The part of the song that the waveforms show. */

import { computed, signal } from '@preact/signals'

import { deck } from './deck'

const MAX_ZOOM = 64

export const zoom = signal(1)
/** The first sample that is shown, as the visitor or the playhead has moved it. */
const origin = signal(0)

export interface Window {
  start: number
  /** Samples that are shown. */
  length: number
}

export const shown = computed<Window>(() => {
  const samples = deck.value?.samples.value || 1
  const length = samples / zoom.value
  return { start: Math.max(0, Math.min(origin.value, samples - length)), length }
})

/** Zooms, and keeps a sample in its place. */
export function zoomBy(factor: number, around: number): void {
  const before = shown.value
  const next = Math.max(1, Math.min(MAX_ZOOM, zoom.value * factor))
  const share = (around - before.start) / before.length
  origin.value = around - share * (before.length * (zoom.value / next))
  zoom.value = next
}

export function scrollBy(samples: number): void {
  origin.value = Math.max(0, shown.value.start + samples)
}

/** Turns the page when the playhead leaves the window. */
export function keepInView(sample: number): void {
  const { start, length } = shown.value
  if (zoom.value > 1 && (sample < start || sample > start + length)) origin.value = sample - length * 0.05
}

export function resetZoom(): void {
  zoom.value = 1
  origin.value = 0
}
