/** Play, position, loop, tempo, key, zoom. */

import { canShift, RATE_HZ } from '../audio'
import { t, time } from '../i18n'
import type { Deck } from '../store/deck'
import { SEMITONES, TEMPO, type Mode } from '../store/mix'
import { zoom, zoomBy } from '../store/zoom'
import { Icon } from './Icon'

export function Transport({ deck }: { deck: Deck }) {
  const state = deck.state.value
  const isOn = state === 'playing' || state === 'waiting'
  const label = state === 'waiting' ? t('buffering') : isOn ? t('pause') : t('play')
  return (
    <div class="transport">
      <div class="transport-play">
        <button type="button" class="plain icon-button" aria-label={t('toStart')} title={t('toStart')} onClick={() => void deck.seek(0)}>
          <Icon name="start" />
        </button>
        <button id="play" type="button" class={`play is-${state}`} aria-label={label} title={label} onClick={() => void deck.toggle()}>
          <Icon name={isOn ? 'pause' : 'play'} />
        </button>
        <Clock deck={deck} />
      </div>
      <ModeSwitch deck={deck} />
      <span class="grow" />
      <div class="group" role="group" aria-label={t('zoomIn')}>
        <button type="button" class="plain icon-button" aria-label={t('zoomOut')} title={t('zoomOut')} disabled={zoom.value <= 1} onClick={() => zoomBy(0.5, deck.position.value)}>
          <Icon name="minus" />
        </button>
        <button type="button" class="plain icon-button" aria-label={t('zoomIn')} title={t('zoomIn')} onClick={() => zoomBy(2, deck.position.value)}>
          <Icon name="plus" />
        </button>
      </div>
      {deck.analysis.value?.beats && (
        <div class="group">
          <button type="button" class="toggle wide" aria-pressed={deck.hasClick.value} onClick={() => (deck.hasClick.value = !deck.hasClick.value)}>
            {t('metronome')}
          </button>
          <button type="button" class="toggle wide" aria-pressed={deck.countsIn.value} onClick={() => (deck.countsIn.value = !deck.countsIn.value)}>
            {t('countIn')}
          </button>
        </div>
      )}
      {canShift() && <Shift deck={deck} />}
    </div>
  )
}

function Clock({ deck }: { deck: Deck }) {
  return (
    <p class="clock">
      <span>{time(deck.seconds.value)}</span>
      <span class="faint"> / {deck.samples.value > 1 ? time(deck.samples.value / RATE_HZ) : '–:––'}</span>
    </p>
  )
}

const MODES: [Mode, 'modeStems' | 'modeOriginal' | 'modeMinus'][] = [
  ['stems', 'modeStems'],
  ['original', 'modeOriginal'],
  ['minus', 'modeMinus'],
]

function ModeSwitch({ deck }: { deck: Deck }) {
  return (
    <div class="segments" role="radiogroup" aria-label={t('listen')}>
      {MODES.map(([mode, key]) => (
        <label key={mode}>
          <input type="radio" name="mode" value={mode} checked={deck.mix.value.mode === mode} onChange={() => deck.change({ mode })} />
          <span>{t(key)}</span>
        </label>
      ))}
    </div>
  )
}

function Shift({ deck }: { deck: Deck }) {
  const { tempo, semitones } = deck.mix.value
  const isChanged = tempo !== 100 || semitones !== 0
  return (
    <div class="shift">
      <label>
        <span class="faint">{t('tempo')}</span>
        <input type="range" min={TEMPO.min} max={TEMPO.max} value={tempo} onInput={(event) => deck.change({ tempo: event.currentTarget.valueAsNumber })} />
        <output>{tempo} %</output>
      </label>
      <label>
        <span class="faint">{t('key')}</span>
        <input
          type="range"
          min={-SEMITONES}
          max={SEMITONES}
          value={semitones}
          aria-valuetext={t('semitones', { n: semitones })}
          onInput={(event) => deck.change({ semitones: event.currentTarget.valueAsNumber })}
        />
        <output>{semitones > 0 ? `+${semitones}` : String(semitones).replace('-', '−')}</output>
      </label>
      <button type="button" class="plain icon-button" aria-label={t('resetTempo')} title={t('resetTempo')} disabled={!isChanged} onClick={() => deck.change({ tempo: 100, semitones: 0 })}>
        <Icon name="reset" />
      </button>
    </div>
  )
}
