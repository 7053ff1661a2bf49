/** Downloads: a stem, all stems, or the current mix, which the browser renders. */

import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'

import type { Song } from '../api/songs'
import { urls } from '../api/songs'
import { encodeFlac, encodeWav, RATE_HZ, renderMix } from '../audio'
import { stemName, t } from '../i18n'
import type { Deck } from '../store/deck'
import { notify, wordsOf } from '../store/notices'
import { Icon } from './Icon'

const ENCODERS = { WAV: encodeWav, FLAC: encodeFlac }
type Format = keyof typeof ENCODERS
const URL_LIFE_MS = 60_000

export function DownloadMenu({ deck, song }: { deck: Deck; song: Song }) {
  const menu = useRef<HTMLDetailsElement>(null)
  const progress = useSignal<number | null>(null)
  useEffect(() => {
    const close = (event: Event): void => {
      const isInside = event.target instanceof Node && menu.current?.contains(event.target)
      if (menu.current && (!isInside || (event instanceof KeyboardEvent && event.key === 'Escape'))) menu.current.open = false
    }
    addEventListener('pointerdown', close)
    addEventListener('keydown', close)
    return () => {
      removeEventListener('pointerdown', close)
      removeEventListener('keydown', close)
    }
  }, [])
  const render = async (format: Format): Promise<void> => {
    if (progress.value !== null) return
    progress.value = 0
    try {
      save(await renderAs(deck, format, (share) => (progress.value = share)), `${song.title}.mix.${format.toLowerCase()}`)
    } catch (error) {
      notify(t('mixFailed', { reason: wordsOf(error) }), { kind: 'error' })
      console.warn('mix failed', error)
    }
    progress.value = null
  }
  const rendering = progress.value === null ? '' : t('rendering', { percent: Math.round(progress.value * 100) })
  return (
    <div class="download">
      <span class="faint" role="status">
        {rendering}
      </span>
      <details ref={menu} class="menu">
        <summary class="button">
          <Icon name="download" />
          <span>{t('download')}</span>
        </summary>
        <div class="menu-items">
          {(Object.keys(ENCODERS) as Format[]).map((format) => (
            <button key={format} type="button" class="plain" disabled={progress.value !== null} onClick={() => void render(format)}>
              {t('downloadMix', { format })}
            </button>
          ))}
          <hr />
          {deck.stems.value.map((stem) => (
            <a key={stem} class={`s-${stem}`} href={urls.part(song.id, stem)} download>
              <span class="dot" />
              {t('downloadStem', { stem: stemName(stem) })}
            </a>
          ))}
          <hr />
          <a href={urls.archive(song.id)} download>
            {t('downloadAll')}
          </a>
        </div>
      </details>
    </div>
  )
}

async function renderAs(deck: Deck, format: Format, onProgress: (share: number) => void): Promise<Blob> {
  const { master, tempo, semitones, loop } = deck.mix.value
  const end = deck.samples.value
  const mix = { parts: deck.parts(), master, shift: { tempo, semitones }, start: loop?.start ?? 0, end: Math.min(loop?.end ?? end, end) }
  return ENCODERS[format](await renderMix(mix, onProgress, new AbortController().signal), RATE_HZ)
}

function save(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), URL_LIFE_MS)
}
