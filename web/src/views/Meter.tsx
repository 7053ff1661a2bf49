/** The level of a stem or of the mix, in dB below full scale. It is for the eye: screen readers skip it. */

import { effect } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'

import type { Deck } from '../store/deck'
import { animate, stop } from '../store/frames'

const FLOOR_DB = -48
/** The bar falls by this much a second, in dB. */
const FALL_DB = 30

export function Meter({ deck, stem }: { deck: Deck; stem?: string }) {
  const bars = [useRef<HTMLSpanElement>(null), useRef<HTMLSpanElement>(null)]
  useEffect(() => {
    const levels = [FLOOR_DB, FLOOR_DB]
    const show = (elapsedMs: number): boolean => {
      const fall = (FALL_DB * Math.min(1000, elapsedMs)) / 1000
      deck.readMeter(stem).forEach((peak, channel) => {
        const db = Math.max(FLOOR_DB, peak > 0 ? 20 * Math.log10(peak) : FLOOR_DB)
        const level = Math.max(db, (levels[channel] ?? FLOOR_DB) - fall, FLOOR_DB)
        if (level === levels[channel]) return
        levels[channel] = level
        const bar = bars[channel]?.current
        if (!bar) return
        bar.style.transform = `scaleX(${(1 - level / FLOOR_DB).toFixed(3)})`
        bar.classList.toggle('is-clipping', level > -0.1)
      })
      return deck.state.peek() === 'playing' || levels.some((level) => level > FLOOR_DB)
    }
    const stopWatching = effect(() => {
      if (deck.state.value === 'playing') animate(show)
    })
    return () => {
      stopWatching()
      stop(show)
    }
  }, [deck, stem])
  return (
    <div class="meter" aria-hidden="true">
      <i>
        <span ref={bars[0]} />
      </i>
      <i>
        <span ref={bars[1]} />
      </i>
    </div>
  )
}
