/** The songs of the visitor. While any is being separated, the list is read every few seconds. */

import { computed, effect, signal } from '@preact/signals'

import { Offline } from '../api/client'
import { cancelJob, deleteSong, listSongs, renameSong, type Song } from '../api/songs'
import { t } from '../i18n'
import { isConnected, notify, wordsOf } from './notices'
import { route, showLibrary } from './route'
import { handleDeadSession, user } from './session'
import { recall, remember } from './storage'

const BUSY_MS = 2500
const IDLE_MS = 20_000

export type Sort = 'newest' | 'oldest' | 'title' | 'titleDown'

export const songs = signal<Song[] | null>(null)
export const search = signal('')
export const sort = signal<Sort>(recall<Sort>('sort', 'newest'))
/** Songs that are deleted as soon as the time for undoing is over. */
const leaving = signal<ReadonlySet<number>>(new Set())

effect(() => remember('sort', sort.value))

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' })
const ORDERS: Record<Sort, (a: Song, b: Song) => number> = {
  newest: (a, b) => b.id - a.id,
  oldest: (a, b) => a.id - b.id,
  title: (a, b) => collator.compare(a.title, b.title),
  titleDown: (a, b) => collator.compare(b.title, a.title),
}

export const shownSongs = computed(() => {
  const text = search.value.trim().toLocaleLowerCase()
  const shown = (songs.value ?? []).filter((song) => !leaving.value.has(song.id) && song.title.toLocaleLowerCase().includes(text))
  return shown.sort(ORDERS[sort.value])
})

export const songById = (id: number): Song | undefined => songs.value?.find((song) => song.id === id)

export const isOwn = (song: Song): boolean => song.uploader_id !== null && song.uploader_id === user.value?.id

export const isBusy = (song: Song): boolean => song.status !== 'SPLIT' && !song.error

/** Grows with each change of a song by the visitor: a list that was asked for before is not the newest. */
let changes = 0

export async function refreshSongs(): Promise<void> {
  try {
    const before = changes
    const listed = await listSongs()
    if (changes !== before) return refreshSongs()
    songs.value = listed
    if (!isConnected.value) notify(t('online'))
    isConnected.value = true
  } catch (error) {
    if (await handleDeadSession(error)) return refreshSongs()
    if (!(error instanceof Offline)) throw error
    isConnected.value = false
  }
}

let timer: ReturnType<typeof setTimeout> | undefined

/** Reads the list now, and from then on as often as it changes. */
export function watchSongs(): void {
  clearTimeout(timer)
  void refreshSongs()
    .catch((error: unknown) => console.warn('list failed', error))
    .finally(() => {
      clearTimeout(timer)
      const isUrgent = !isConnected.value || (songs.value ?? []).some(isBusy)
      timer = setTimeout(watchSongs, document.hidden ? IDLE_MS : isUrgent ? BUSY_MS : IDLE_MS)
    })
}

/** Puts a newer state of a song into the list. */
export function putSong(song: Song): void {
  const rest = (songs.value ?? []).filter((each) => each.id !== song.id)
  songs.value = [...rest, song].sort(ORDERS.newest)
}

export async function rename(song: Song, title: string): Promise<void> {
  putSong({ ...song, title })
  try {
    const renamed = await renameSong(song.id, title)
    changes++
    putSong(renamed)
  } catch (error) {
    putSong(song)
    notify(wordsOf(error), { kind: 'error' })
  }
}

/** Hides a song at once, and deletes it when the time for undoing is over. */
export function remove(song: Song): void {
  leaving.value = new Set([...leaving.value, song.id])
  if (route.value.songId === song.id) showLibrary()
  const undo = (): void => {
    leaving.value = without(leaving.value, song.id)
    notify(t('restored', { title: song.title }))
  }
  notify(t('deleted', { title: song.title }), {
    action: { label: t('undo'), run: undo },
    onExpire: () => void finishRemoval(song.id),
  })
}

async function finishRemoval(id: number): Promise<void> {
  if (!leaving.value.has(id)) return
  try {
    await deleteSong(id)
    songs.value = (songs.value ?? []).filter((song) => song.id !== id)
  } catch (error) {
    notify(wordsOf(error), { kind: 'error' })
  }
  leaving.value = without(leaving.value, id)
}

addEventListener('pagehide', () => {
  for (const id of leaving.value) void deleteSong(id, true).catch(() => {})
})

function without(ids: ReadonlySet<number>, id: number): ReadonlySet<number> {
  return new Set([...ids].filter((each) => each !== id))
}

/** Ends the separation. A song of a user is deleted with it. */
export async function cancel(song: Song): Promise<void> {
  try {
    if (isOwn(song)) {
      await deleteSong(song.id)
      songs.value = (songs.value ?? []).filter((each) => each.id !== song.id)
      if (route.value.songId === song.id) showLibrary()
    } else {
      await cancelJob(song.job_id)
    }
    notify(t('cancelledToast', { title: song.title }))
    watchSongs()
  } catch (error) {
    notify(wordsOf(error), { kind: 'error' })
  }
}
