/** The waveform of a stem. The part that is not separated yet is a line, and grows into a waveform. */

import { useSignal, useSignalEffect } from '@preact/signals'
import { useLayoutEffect, useRef } from 'preact/hooks'

import { extremesOf, PAIR_SAMPLES } from '../audio'
import type { Deck } from '../store/deck'
import { paint } from '../store/theme'
import { shown } from '../store/zoom'

const BAR_PX = 2
const GAP_PX = 1
/** A quiet sound stays visible. */
const MIN_BAR_PX = 1

export function Waveform({ deck, stem, isOn }: { deck: Deck; stem: string; isOn: boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const size = useSignal({ width: 0, height: 0 })
  const heard = useSignal(isOn)
  heard.value = isOn

  useLayoutEffect(() => {
    const element = canvas.current!
    const observer = new ResizeObserver(() => (size.value = { width: element.clientWidth, height: element.clientHeight }))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  useSignalEffect(() => {
    const { width, height } = size.value
    const element = canvas.current
    const pairs = deck.peaks.value.stems.get(stem)
    const { start, length } = shown.value
    void paint.value
    void heard.value
    if (!element || !width) return
    const scale = devicePixelRatio || 1
    element.width = Math.round(width * scale)
    element.height = Math.round(height * scale)
    const brush = element.getContext('2d')!
    brush.scale(scale, scale)
    const style = getComputedStyle(element)
    draw(brush, { pairs: pairs ?? new Int8Array(), width, height, start, length, end: deck.samples.value, colour: style.color, line: style.borderTopColor })
  })
  return <canvas ref={canvas} aria-hidden="true" />
}

interface Picture {
  pairs: Int8Array
  width: number
  height: number
  start: number
  length: number
  /** Samples of the song. */
  end: number
  colour: string
  line: string
}

function draw(brush: CanvasRenderingContext2D, { pairs, width, height, start, length, end, colour, line }: Picture): void {
  const middle = height / 2
  const step = BAR_PX + GAP_PX
  const perPx = length / width
  const known = pairs.length / 2
  for (let x = 0; x < width; x += step) {
    const from = start + x * perPx
    if (from >= end) break
    const first = Math.floor(from / PAIR_SAMPLES)
    const isKnown = first < known
    const [low, high] = isKnown ? extremesOf(pairs, first, Math.max(first + 1, Math.floor((from + step * perPx) / PAIR_SAMPLES))) : [0, 0]
    const [top, bottom] = [middle - high * (middle - 2), middle - low * (middle - 2)]
    brush.fillStyle = isKnown ? colour : line
    brush.fillRect(x, Math.min(top, middle - MIN_BAR_PX / 2), BAR_PX, Math.max(MIN_BAR_PX, bottom - top))
  }
}
