/** A lane for each stem: its controls and its waveform, with one ruler and one playhead for all. */

import { useComputed, useSignalEffect } from '@preact/signals'
import { useRef } from 'preact/hooks'

import { beginsBar, nearestBeat, RATE_HZ, type Loop } from '../audio'
import { stemName, t, time } from '../i18n'
import type { Deck } from '../store/deck'
import { channelOf, isHeard, MAX_VOLUME } from '../store/mix'
import { keepInView, scrollBy, shown, zoomBy } from '../store/zoom'
import { Meter } from './Meter'
import { Waveform } from './Waveform'

/** A pointer that moves less than this has clicked, in CSS pixels. */
const CLICK_PX = 5
const STEP_S = 5
/** Places of the playhead in the window. A move by less would cost a frame and show nothing. */
const HEAD_PLACES = 2000
const RULER_STEPS_S = [0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600]
const MARK_PX = 76

export function Lanes({ deck }: { deck: Deck }) {
  return (
    <div class="lanes" role="group" aria-label={t('mixer')}>
      <div class="lane ruler-lane">
        <div class="lane-controls faint">{t('loopHint')}</div>
        <Ruler deck={deck} />
      </div>
      {deck.stems.value.map((stem, at) => (
        <Lane key={stem} deck={deck} stem={stem} number={at + 1} />
      ))}
      <MasterLane deck={deck} />
    </div>
  )
}

function Lane({ deck, stem, number }: { deck: Deck; stem: string; number: number }) {
  const name = stemName(stem)
  const channel = useComputed(() => channelOf(deck.mix.value, stem)).value
  const isOn = useComputed(() => isHeard(deck.mix.value, stem)).value
  return (
    <section class={`lane s-${stem} ${isOn ? '' : 'is-off'}`} aria-label={name}>
      <div class="lane-controls">
        <h2>
          <span class="dot" />
          {name}
          <kbd class="only-wide">{number}</kbd>
        </h2>
        <div class="lane-buttons">
          <button type="button" class="toggle" aria-pressed={channel.isMuted} aria-label={t('mute', { stem: name })} title={t('mute', { stem: name })} onClick={() => deck.changeChannel(stem, { isMuted: !channel.isMuted })}>
            M
          </button>
          <button type="button" class="toggle solo" aria-pressed={channel.isSolo} aria-label={t('solo', { stem: name })} title={t('solo', { stem: name })} onClick={() => deck.changeChannel(stem, { isSolo: !channel.isSolo })}>
            S
          </button>
        </div>
        <input
          class="volume"
          type="range"
          min={0}
          max={MAX_VOLUME * 100}
          value={Math.round(channel.volume * 100)}
          aria-label={t('volume', { stem: name })}
          aria-valuetext={`${Math.round(channel.volume * 100)} %`}
          onInput={(event) => deck.changeChannel(stem, { volume: event.currentTarget.valueAsNumber / 100 })}
          onDblClick={() => deck.changeChannel(stem, { volume: 1 })}
        />
        <input
          class="pan"
          type="range"
          min={-100}
          max={100}
          value={Math.round(channel.pan * 100)}
          aria-label={t('pan', { stem: name })}
          onInput={(event) => deck.changeChannel(stem, { pan: event.currentTarget.valueAsNumber / 100 })}
          onDblClick={() => deck.changeChannel(stem, { pan: 0 })}
        />
        <Meter deck={deck} stem={stem} />
      </div>
      <Timeline deck={deck}>
        <Waveform deck={deck} stem={stem} isOn={isOn} />
      </Timeline>
    </section>
  )
}

function MasterLane({ deck }: { deck: Deck }) {
  const { master } = deck.mix.value
  return (
    <section class="lane master-lane" aria-label={t('master')}>
      <div class="lane-controls">
        <h2>{t('master')}</h2>
        <input
          class="volume"
          type="range"
          min={0}
          max={MAX_VOLUME * 100}
          value={Math.round(master * 100)}
          aria-label={t('volume', { stem: t('master') })}
          aria-valuetext={`${Math.round(master * 100)} %`}
          onInput={(event) => deck.change({ master: event.currentTarget.valueAsNumber / 100 })}
          onDblClick={() => deck.change({ master: 1 })}
        />
        <Meter deck={deck} />
      </div>
    </section>
  )
}

/** Times along the song, and the position as a slider for keyboards and screen readers. */
function Ruler({ deck }: { deck: Deck }) {
  const { start, length } = shown.value
  const seconds = length / RATE_HZ
  const step = RULER_STEPS_S.find((each) => seconds / each <= 1000 / MARK_PX) ?? 600
  const first = Math.ceil(start / RATE_HZ / step)
  const marks = Array.from({ length: Math.max(0, Math.floor((start + length) / RATE_HZ / step) - first + 1) }, (_, at) => (first + at) * step)
  const now = deck.seconds.value
  return (
    <Timeline deck={deck} isRuler>
      <div
        class="ruler"
        role="slider"
        tabIndex={0}
        aria-label={t('position')}
        aria-valuemin={0}
        aria-valuemax={Math.floor(deck.samples.value / RATE_HZ)}
        aria-valuenow={now}
        aria-valuetext={time(now)}
        onKeyDown={(event) => seekByKey(event, deck)}
      >
        {barMarks(deck, start, length).map((share) => (
          <span key={share} class="bar-mark" style={{ left: `${share * 100}%` }} />
        ))}
        {deck.samples.value > 1 &&
          marks.map((mark) => (
            <span key={mark} class="mark" style={{ left: `${((mark * RATE_HZ - start) / length) * 100}%` }}>
              {step < 1 ? `${time(mark)}.${String(Math.round((mark % 1) * 100)).padStart(2, '0')}` : time(mark)}
            </span>
          ))}
      </div>
    </Timeline>
  )
}

const MAX_BAR_MARKS = 160

/** Returns where bars begin, as shares of the window. None if they would be too close. */
function barMarks(deck: Deck, start: number, length: number): number[] {
  const beats = deck.analysis.value?.beats
  if (!beats) return []
  const shares = beats.times.filter((_, at) => beginsBar(beats, at)).map((time) => (time * RATE_HZ - start) / length)
  const visible = shares.filter((share) => share >= 0 && share <= 1)
  return visible.length > MAX_BAR_MARKS ? [] : visible
}

function seekByKey(event: KeyboardEvent, deck: Deck): void {
  const targets: Record<string, number> = { Home: 0, End: deck.samples.value, PageUp: deck.position.value - 30 * RATE_HZ, PageDown: deck.position.value + 30 * RATE_HZ }
  const steps: Record<string, number> = { ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S }
  const step = steps[event.key]
  const target = step === undefined ? targets[event.key] : deck.position.value + step * RATE_HZ
  if (target === undefined) return
  event.preventDefault()
  event.stopPropagation()
  void deck.seek(target)
}

/** Moves the ends of a loop to the next beats, unless Alt is held or no beat is near. */
function snap(deck: Deck, loop: Loop, isFree: boolean): Loop {
  const beats = deck.analysis.value?.beats
  if (!beats || isFree) return loop
  const [start, end] = [nearestBeat(beats, loop.start), nearestBeat(beats, loop.end)]
  return start < end ? { start, end } : loop
}

/** Shows the playhead and the loop. A click seeks, a drag loops, the wheel scrolls and zooms. */
function Timeline({ deck, children, isRuler = false }: { deck: Deck; children: preact.ComponentChildren; isRuler?: boolean }) {
  const box = useRef<HTMLDivElement>(null)
  const head = useRef<HTMLDivElement>(null)
  const loop = useRef<HTMLDivElement>(null)
  const grip = useRef<{ x: number; sample: number; isDrag: boolean } | null>(null)

  useSignalEffect(() => {
    const { start, length } = shown.value
    const share = (deck.position.value - start) / length
    const place = `translateX(${(Math.round(share * HEAD_PLACES) * 100) / HEAD_PLACES}%)`
    if (head.current && head.current.style.transform !== place) {
      head.current.style.transform = place
      head.current.style.visibility = share < 0 || share > 1 ? 'hidden' : 'visible'
    }
    if (deck.state.value === 'playing') keepInView(deck.position.value)
  })
  useSignalEffect(() => {
    const { start, length } = shown.value
    const current = deck.draft.value ?? deck.mix.value.loop
    if (!loop.current) return
    loop.current.hidden = !current
    if (!current) return
    const [from, until] = [current.start, current.end].map((sample) => Math.max(0, Math.min(1, (sample - start) / length)))
    loop.current.style.left = `${(from ?? 0) * 100}%`
    loop.current.style.right = `${(1 - (until ?? 1)) * 100}%`
  })

  const sampleAt = (event: PointerEvent | WheelEvent): number => {
    const area = box.current!.getBoundingClientRect()
    const { start, length } = shown.value
    return Math.max(0, Math.min(deck.samples.value, start + (Math.max(0, Math.min(1, (event.clientX - area.left) / area.width)) * length)))
  }
  const down = (event: PointerEvent): void => {
    if (event.button !== 0 || deck.samples.value <= 1) return
    grip.current = { x: event.clientX, sample: sampleAt(event), isDrag: false }
    box.current!.setPointerCapture(event.pointerId)
  }
  const move = (event: PointerEvent): void => {
    const held = grip.current
    if (!held) return
    held.isDrag ||= Math.abs(event.clientX - held.x) > CLICK_PX
    if (!held.isDrag) return
    const other = sampleAt(event)
    deck.draft.value = snap(deck, { start: Math.round(Math.min(held.sample, other)), end: Math.round(Math.max(held.sample, other)) }, event.altKey)
  }
  const up = (): void => {
    const held = grip.current
    grip.current = null
    if (!held) return
    const current = deck.draft.value
    deck.draft.value = null
    if (!held.isDrag) return void deck.seek(held.sample)
    deck.setLoop(current)
    if (current && (deck.position.value < current.start || deck.position.value > current.end)) void deck.seek(current.start)
  }
  const cancel = (): void => {
    grip.current = null
    deck.draft.value = null
  }
  const wheel = (event: WheelEvent): void => {
    if (event.ctrlKey) {
      event.preventDefault()
      zoomBy(event.deltaY < 0 ? 1.25 : 0.8, sampleAt(event))
    } else if (event.deltaX || event.shiftKey) {
      scrollBy(((event.deltaX || event.deltaY) / 1000) * shown.value.length)
    }
  }
  return (
    <div ref={box} class={isRuler ? 'timeline is-ruler' : 'timeline'} onPointerDown={down} onPointerMove={move} onPointerUp={up} onPointerCancel={cancel} onWheel={wheel}>
      {children}
      <div ref={loop} class="loop" hidden />
      <div ref={head} class="head">
        <span />
      </div>
    </div>
  )
}
