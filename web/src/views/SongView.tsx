/** The open song: its state, the transport, the lanes, and the uses of the mix. */

import { useSignal } from '@preact/signals'

import { RATE_HZ } from '../audio'
import { t, time } from '../i18n'
import { cancel, isOwn, songById } from '../store/library'
import { type Deck } from '../store/deck'
import { showLibrary } from '../store/route'
import type { Job, Song } from '../api/songs'
import { AnalysisDialog } from './AnalysisDialog'
import { DownloadMenu } from './DownloadMenu'
import { Icon } from './Icon'
import { keyName } from './keyName'
import { Lanes } from './Lanes'
import { describeState } from './Library'
import { MixBar } from './MixBar'
import { Transport } from './Transport'

export function SongView({ deck }: { deck: Deck }) {
  const song = songById(deck.songId)
  if (deck.availability.value === 'missing') return <Missing />
  if (!song || deck.availability.value === 'loading') {
    return (
      <p class="faint centre" role="status">
        {t('loading')}
      </p>
    )
  }
  return (
    <article class="song-view" aria-labelledby="song-title">
      <SongHead deck={deck} song={song} />
      <Transport deck={deck} />
      <Lanes deck={deck} />
      <MixBar deck={deck} />
    </article>
  )
}

/** Tempo and key follow the sliders. */
function describeAnalysis(deck: Deck): string[] {
  const analysis = deck.analysis.value
  const { tempo, semitones } = deck.mix.value
  if (!analysis) return []
  const say = (fact: string, isCertain: boolean): string => (isCertain ? fact : t('uncertain', { fact }))
  return [
    analysis.bpm ? say(t('bpm', { n: Math.round((analysis.bpm.value * tempo) / 100) }), analysis.bpm.isCertain) : '',
    analysis.key ? say(keyName(analysis.key.value, semitones), analysis.key.isCertain) : '',
    analysis.lufs === null ? '' : t('loudness', { n: analysis.lufs.toFixed(1).replace('-', '−') }),
  ]
}

function Missing() {
  return (
    <div class="centre">
      <h1 class="message">{t('songGone')}</h1>
      <button type="button" onClick={showLibrary}>
        {t('back')}
      </button>
    </div>
  )
}

function SongHead({ deck, song }: { deck: Deck; song: Song }) {
  const job = deck.job.value
  const isDone = song.status === 'SPLIT'
  const length = deck.samples.value > 1 ? time(deck.samples.value / RATE_HZ) : ''
  const isCorrecting = useSignal(false)
  const facts = [length, ...describeAnalysis(deck), song.model ?? ''].filter(Boolean).join(' · ')
  return (
    <header class="song-head">
      <button type="button" class="plain icon-button only-narrow" aria-label={t('back')} onClick={showLibrary}>
        <Icon name="back" />
      </button>
      <div class="song-name">
        <h1 id="song-title">{song.title}</h1>
        <p class="faint">
          {facts}
          {isDone && (
            <button type="button" class="plain correct" aria-label={t('correctAnalysis')} title={t('correctAnalysis')} onClick={() => (isCorrecting.value = true)}>
              <Icon name="pencil" />
            </button>
          )}
        </p>
      </div>
      {!isDone && <Separation song={song} job={job} />}
      {isDone && <DownloadMenu deck={deck} song={song} />}
      {song.uploader_id === null && (
        <span class="badge" title={t('anonymousBadge')}>
          <Icon name="globe" />
          <span class="unseen">{t('anonymousBadge')}</span>
        </span>
      )}
      {isCorrecting.value && <AnalysisDialog deck={deck} onClose={() => (isCorrecting.value = false)} />}
    </header>
  )
}

/** The state of the separation: the place in the queue, then the progress and the time that is left. */
function Separation({ song, job }: { song: Song; job: Job | null }) {
  if (song.error) {
    const text = song.error.code === 'cancelled' ? t('separationCancelled') : song.error.detail
    return (
      <p class="separation is-failed" role="alert">
        <Icon name="warn" />
        <span>{text}</span>
      </p>
    )
  }
  const now: Song = job ? { ...song, progress: job.progress, position: job.position, status: statusOf(song, job) } : song
  const percent = Math.floor(now.progress * 100)
  const eta = job?.eta_s ? t('eta', { time: time(job.eta_s) }) : ''
  return (
    <div class="separation">
      <div class="separation-text">
        <span role="status">{describeState(now)}</span>
        <span class="faint">{eta}</span>
      </div>
      <progress max={100} value={now.status === 'SPLITTING' ? percent : undefined} aria-label={describeState(now)} />
      <button type="button" class="plain" onClick={() => void cancel(song)} title={isOwn(song) ? t('delete') : undefined}>
        {t('cancelSeparation')}
      </button>
    </div>
  )
}

function statusOf(song: Song, job: Job): Song['status'] {
  if (job.state === 'running') return job.progress > 0 ? 'SPLITTING' : 'UPLOADED'
  return job.state === 'queued' ? 'UPLOADED' : song.status
}
