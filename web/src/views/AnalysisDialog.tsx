/** The tempo and the key of the song, corrected by hand. */

import { t } from '../i18n'
import { BPM, KEYS } from '../store/analysis'
import type { Deck } from '../store/deck'
import { keyName } from './keyName'
import { Dialog } from './Dialog'

export function AnalysisDialog({ deck, onClose }: { deck: Deck; onClose: () => void }) {
  const { bpm, songKey } = deck.mix.peek()
  const measured = deck.measured.value
  const submit = (event: SubmitEvent): void => {
    event.preventDefault()
    const form = new FormData(event.target as HTMLFormElement)
    deck.change({ bpm: Number(form.get('bpm')) || null, songKey: String(form.get('songKey')) || null })
    onClose()
  }
  return (
    <Dialog title={t('correctAnalysis')} onClose={onClose}>
      <form class="account-form" onSubmit={submit}>
        <div class="form-field">
          <label for="bpm">{t('beatsPerMinute')}</label>
          <input id="bpm" name="bpm" type="number" min={BPM.min} max={BPM.max} step="any" defaultValue={String(bpm ?? '')} placeholder={measured?.bpm?.value.toFixed(1)} />
        </div>
        <div class="form-field">
          <label for="song-key">{t('key')}</label>
          <select id="song-key" name="songKey" defaultValue={songKey ?? ''}>
            <option value="">{measured?.key ? t('asMeasured', { fact: keyName(measured.key.value) }) : '–'}</option>
            {KEYS.map((key) => (
              <option key={key} value={key} selected={key === songKey}>
                {keyName(key)}
              </option>
            ))}
          </select>
        </div>
        <p class="faint">{t('correctAnalysisHint')}</p>
        <button class="button main">{t('save')}</button>
      </form>
    </Dialog>
  )
}
