/** The list of songs. Only the rows in view are in the document, so that thousands of songs scroll as few do. */

import { useSignal } from '@preact/signals'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'

import type { Song } from '../api/songs'
import { date, t, time } from '../i18n'
import { isOwn, remove, rename, search, shownSongs, songs, sort, type Sort } from '../store/library'
import { route } from '../store/route'
import { isSignedIn } from '../store/session'
import { cancelUpload, retryUpload, uploads, type Pending } from '../store/uploads'
import { ChooseFiles } from './DropStage'
import { Icon } from './Icon'

const ROW_PX = 60
const SPARE_ROWS = 6

export function Library() {
  const count = songs.value?.length ?? 0
  return (
    <aside class="library" aria-label={t('library')}>
      <div class="library-head">
        <ChooseFiles id="add" label={t('addSongs')} isMain />
        <div class="field search">
          <Icon name="search" />
          <input id="search" type="search" aria-label={t('search')} placeholder={t('search')} value={search.value} onInput={(event) => (search.value = event.currentTarget.value)} />
        </div>
        <div class="library-line">
          <span class="faint">{songs.value && (count === 1 ? t('oneSong') : t('songCount', { n: count }))}</span>
          <select aria-label={t('sort')} value={sort.value} onChange={(event) => (sort.value = event.currentTarget.value as Sort)}>
            <option value="newest">{t('sortNewest')}</option>
            <option value="oldest">{t('sortOldest')}</option>
            <option value="title">{t('sortTitle')}</option>
            <option value="titleDown">{t('sortTitleDown')}</option>
          </select>
        </div>
      </div>
      {uploads.value.length > 0 && (
        <ul class="uploads">
          {uploads.value.map((pending) => (
            <UploadRow key={pending.id} pending={pending} />
          ))}
        </ul>
      )}
      <Rows />
      {!isSignedIn.value && <p class="faint note library-note">{t('anonymousNote')}</p>}
    </aside>
  )
}

function UploadRow({ pending }: { pending: Pending }) {
  const { title, state, progress, reason } = pending
  const percent = Math.round(progress * 100)
  const isLink = typeof pending.source === 'string'
  const text = reason || (state === 'waiting' ? t('uploadWaits') : isLink ? t('fetching') : t('uploading', { percent }))
  return (
    <li class={`row upload is-${state}`}>
      <div class="row-text">
        <span class="row-title">{title}</span>
        <span class={state === 'refused' ? 'reason' : 'faint'} role={state === 'refused' ? 'alert' : undefined}>
          {text}
        </span>
        {state === 'sending' && <progress max={100} value={isLink ? undefined : percent} aria-label={text} />}
      </div>
      {state === 'refused' && !pending.isFinal && (
        <button type="button" class="plain" onClick={() => retryUpload(pending.id)}>
          {t('retry')}
        </button>
      )}
      <button type="button" class="plain icon-button" aria-label={state === 'refused' ? t('dismiss') : t('cancel')} onClick={() => cancelUpload(pending)}>
        <Icon name="close" />
      </button>
    </li>
  )
}

function Rows() {
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 800 })
  const rows = shownSongs.value
  useLayoutEffect(() => {
    const element = box.current!
    const measure = (): void => setView({ top: element.scrollTop, height: element.clientHeight })
    const observer = new ResizeObserver(measure)
    observer.observe(element)
    element.addEventListener('scroll', measure, { passive: true })
    return () => {
      observer.disconnect()
      element.removeEventListener('scroll', measure)
    }
  }, [])
  const first = Math.max(0, Math.floor(view.top / ROW_PX) - SPARE_ROWS)
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW_PX) + SPARE_ROWS)
  return (
    <div class="rows" ref={box} tabIndex={rows.length ? 0 : -1} role="region" aria-label={t('library')}>
      {songs.value && !rows.length && <p class="faint empty">{search.value ? t('noMatches', { text: search.value }) : t('noSongs')}</p>}
      <ul style={{ height: `${rows.length * ROW_PX}px` }}>
        {rows.slice(first, last).map((song, at) => (
          <SongRow key={song.id} song={song} top={(first + at) * ROW_PX} place={first + at + 1} count={rows.length} />
        ))}
      </ul>
    </div>
  )
}

export function describeState(song: Song): string {
  if (song.error) return song.error.code === 'cancelled' ? t('separationCancelled') : t('failed')
  if (song.status === 'SPLIT') return t('ready')
  if (song.status === 'SPLITTING') return t('separating', { percent: Math.floor(song.progress * 100) })
  if (song.status === 'UPLOADING') return t('storing')
  if (song.position) return song.position === 1 ? t('waitingNext') : t('waitingAt', { n: song.position })
  return t('starting')
}

function SongRow({ song, top, place, count }: { song: Song; top: number; place: number; count: number }) {
  const isOpen = route.value.songId === song.id
  const isRenaming = useSignal(false)
  const isDone = song.status === 'SPLIT'
  const facts = [song.duration_s ? time(song.duration_s) : '', isDone ? date(song.created_at) : describeState(song)].filter(Boolean).join(' · ')
  return (
    <li class={`row song ${isOpen ? 'is-open' : ''} ${song.error ? 'is-failed' : ''}`} style={{ transform: `translateY(${top}px)` }} aria-setsize={count} aria-posinset={place}>
      {isRenaming.value ? (
        <RenameForm song={song} onEnd={() => (isRenaming.value = false)} />
      ) : (
        <a class="row-text" href={`#/song/${song.id}`} aria-current={isOpen ? 'page' : undefined}>
          <span class="row-title">{song.title}</span>
          <span class={song.error ? 'reason' : 'faint'}>{facts}</span>
          {!isDone && !song.error && <span class="row-progress" style={{ transform: `scaleX(${song.progress})` }} />}
        </a>
      )}
      {isOwn(song) && !isRenaming.value && (
        <span class="row-actions">
          <button type="button" class="plain icon-button" aria-label={`${t('rename')}: ${song.title}`} title={t('rename')} onClick={() => (isRenaming.value = true)}>
            <Icon name="pencil" />
          </button>
          <button type="button" class="plain icon-button" aria-label={`${t('delete')}: ${song.title}`} title={t('delete')} onClick={() => remove(song)}>
            <Icon name="trash" />
          </button>
        </span>
      )}
    </li>
  )
}

function RenameForm({ song, onEnd }: { song: Song; onEnd: () => void }) {
  const input = useRef<HTMLInputElement>(null)
  const hasEnded = useRef(false)
  // Before the next key: an effect after the paint would let it be a shortcut.
  useLayoutEffect(() => {
    input.current?.focus()
    input.current?.select()
  }, [])
  const finish = (): void => {
    // The field loses the focus when it goes.
    if (hasEnded.current) return
    hasEnded.current = true
    const title = input.current?.value.trim() ?? ''
    if (title && title !== song.title) void rename(song, title)
    onEnd()
  }
  const cancel = (): void => {
    hasEnded.current = true
    onEnd()
  }
  return (
    <form
      class="rename"
      onSubmit={(event) => {
        event.preventDefault()
        finish()
      }}
    >
      <input ref={input} aria-label={t('renameTo')} defaultValue={song.title} maxLength={200} onBlur={finish} onKeyDown={(event) => event.key === 'Escape' && cancel()} />
    </form>
  )
}
