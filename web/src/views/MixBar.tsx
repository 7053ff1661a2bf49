/** Presets, the loop, and the link to the mix. */

import { RATE_HZ } from '../audio'
import { stemName, t, time } from '../i18n'
import type { Deck } from '../store/deck'
import { applyPreset, encodeMix, NEW_MIX, presetsFor } from '../store/mix'
import { notify } from '../store/notices'
import { Icon } from './Icon'

export function MixBar({ deck }: { deck: Deck }) {
  const mix = deck.mix.value
  const stems = deck.stems.value
  const apply = (heard: (stem: string) => boolean): void => {
    deck.mix.value = applyPreset(deck.mix.value, stems, heard)
  }
  const share = async (): Promise<void> => {
    const query = encodeMix(mix)
    await navigator.clipboard?.writeText(`${location.origin}/#/song/${deck.songId}${query && `?${query}`}`)
    notify(t('shared'))
  }
  return (
    <div class="mix-bar">
      <div class="presets" role="group" aria-label={t('presets')}>
        <span class="faint" aria-hidden="true">
          {t('presets')}
        </span>
        {presetsFor(stems).map(({ id, heard }) => (
          <button key={id} type="button" onClick={() => apply(heard)}>
            {t(id as 'presetAll')}
          </button>
        ))}
        <select
          aria-label={t('presetPractice', { stem: '…' })}
          value=""
          onChange={(event) => {
            const only = event.currentTarget.value
            event.currentTarget.value = ''
            apply((stem) => stem === only)
          }}
        >
          <option value="" hidden>
            {t('presetPractice', { stem: '…' })}
          </option>
          {stems.map((stem) => (
            <option key={stem} value={stem}>
              {stemName(stem)}
            </option>
          ))}
        </select>
      </div>
      <span class="grow" />
      {mix.loop && (
        <button type="button" class="chip" onClick={() => deck.setLoop(null)} aria-label={`${t('loopFrom', { from: time(mix.loop.start / RATE_HZ), to: time(mix.loop.end / RATE_HZ) })}. ${t('loopClear')}`}>
          <Icon name="loop" />
          {time(mix.loop.start / RATE_HZ)} – {time(mix.loop.end / RATE_HZ)}
          <Icon name="close" />
        </button>
      )}
      <button type="button" class="plain" onClick={() => deck.change({ ...NEW_MIX, bpm: mix.bpm, songKey: mix.songKey })}>
        <Icon name="reset" />
        {t('reset')}
      </button>
      {'clipboard' in navigator && (
        <button type="button" class="plain" onClick={() => void share()}>
          <Icon name="link" />
          {t('share')}
        </button>
      )}
    </div>
  )
}
