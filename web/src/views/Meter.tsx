/** The level of a stem or of the mix, in dB below full scale. It is for the eye: screen readers skip it. */

import { useEffect, useRef } from 'preact/hooks'

import type { Deck } from '../store/deck'

const FLOOR_DB = -48
/** The bar falls by this much a second, in dB. */
const FALL_DB = 30
const FRAME_MS = 33

export function Meter({ deck, stem }: { deck: Deck; stem?: string }) {
  const bars = [useRef<HTMLSpanElement>(null), useRef<HTMLSpanElement>(null)]
  useEffect(() => {
    const levels = [FLOOR_DB, FLOOR_DB]
    let last = 0
    let frame = 0
    const show = (now: number): void => {
      frame = requestAnimationFrame(show)
      if (now - last < FRAME_MS) return
      const fall = (FALL_DB * Math.min(1000, now - last)) / 1000
      last = now
      if (deck.state.peek() !== 'playing' && levels.every((level) => level === FLOOR_DB)) return
      deck.readMeter(stem).forEach((peak, channel) => {
        const db = Math.max(FLOOR_DB, peak > 0 ? 20 * Math.log10(peak) : FLOOR_DB)
        const level = Math.max(db, (levels[channel] ?? FLOOR_DB) - fall, FLOOR_DB)
        levels[channel] = level
        const bar = bars[channel]?.current
        if (!bar) return
        bar.style.transform = `scaleX(${1 - level / FLOOR_DB})`
        bar.classList.toggle('is-clipping', level > -0.1)
      })
    }
    frame = requestAnimationFrame(show)
    return () => cancelAnimationFrame(frame)
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
