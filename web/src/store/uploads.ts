/** Uploads: one at a time, checked before they are sent, and begun again when the connection is back. */

import { signal } from '@preact/signals'

import { Offline, Refused } from '../api/client'
import { getLimits, type Limits } from '../api/limits'
import { uploadSong, type Song } from '../api/songs'
import { t } from '../i18n'
import { putSong, watchSongs } from './library'
import { notify, wordsOf } from './notices'
import { route, showSong } from './route'
import { handleDeadSession, user } from './session'

const MB = 1024 * 1024
const RETRY_MS = [1000, 2000, 4000, 8000]

export interface Pending {
  id: number
  title: string
  /** A file, or a link to one. */
  source: File | string
  state: 'waiting' | 'sending' | 'offline' | 'refused'
  progress: number
  reason: string
  /** The file itself is refused: to send it again would not help. A link may lead to another file later. */
  isFinal: boolean
  /** The file is sent for the user that added it, and for no other. */
  owner: number | null
}

export const uploads = signal<Pending[]>([])
export const limits = signal<Limits | null>(null)
/** The song that plays by itself as soon as it can: the visitor has just dropped it. */
export const expectedSong = signal<number | null>(null)

let lastId = 0
let abort: (() => void) | null = null
let isSending = false

export async function loadLimits(): Promise<void> {
  limits.value = await getLimits()
}

export function addFiles(files: Iterable<File>): void {
  add([...files].map((file) => draft(file, titleOf(file.name))))
}

/** Adds the song of a link. Returns whether the text is one. */
export function addLink(text: string): boolean {
  const link = text.trim()
  if (!/^https?:\/\/\S+$/i.test(link) || !URL.canParse(link)) return false
  const url = new URL(link)
  add([draft(url.href, titleOf(fileNameOf(url)) || url.host)])
  return true
}

function fileNameOf(url: URL): string {
  const name = url.pathname.split('/').pop() ?? ''
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

function add(added: Pending[]): void {
  uploads.value = [...uploads.value, ...added]
  void sendAll()
}

const titleOf = (name: string): string => name.replace(/\.[^.]+$/, '') || name

function draft(source: File | string, title: string): Pending {
  const reason = typeof source === 'string' ? '' : refusalOf(source, title)
  return { id: ++lastId, title, source, state: reason ? 'refused' : 'waiting', progress: 0, reason, isFinal: Boolean(reason), owner: visitor() }
}

/** Returns why a file would be refused, in words, or an empty text. */
function refusalOf(file: File, title: string): string {
  if (!limits.value) return ''
  const { maxUploadMb, extensions } = limits.value
  if (file.size > maxUploadMb * MB) return t('tooLarge', { title, size: Math.ceil(file.size / MB), mb: maxUploadMb })
  const extension = file.name.split('.').pop()?.toLowerCase() ?? ''
  const isAudio = extensions.includes(extension) || /^(audio|video)\//.test(file.type)
  return isAudio ? '' : t('wrongKind', { title, kinds: extensions.map((each) => each.toUpperCase()).join(', ') })
}

async function sendAll(): Promise<void> {
  if (isSending) return
  isSending = true
  try {
    for (let next = nextWaiting(); next; next = nextWaiting()) await send(next)
  } finally {
    isSending = false
  }
}

function nextWaiting(): Pending | undefined {
  return uploads.value.find((each) => each.state === 'waiting')
}

async function send(pending: Pending): Promise<void> {
  for (let attempt = 0; isListed(pending.id); attempt++) {
    if (pending.owner !== visitor()) return change(pending.id, { state: 'refused', reason: t('sessionEnded') })
    change(pending.id, { state: 'sending', progress: 0 })
    const upload = uploadSong(pending.source, (progress) => change(pending.id, { progress }))
    abort = upload.abort
    try {
      return accept(pending, await upload.done)
    } catch (error) {
      if (error instanceof DOMException || !isListed(pending.id)) return
      const isTemporary = error instanceof Offline || (error instanceof Refused && error.isTemporary)
      if (!isTemporary) return refuse(pending, error)
      // The list tells whether the service is away, or the session has ended.
      watchSongs()
      change(pending.id, { state: 'offline', reason: error instanceof Offline ? t('uploadOffline') : wordsOf(error) })
      await pause(RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 0)
    } finally {
      abort = null
    }
  }
}

function accept(pending: Pending, song: Song): void {
  const isOnly = uploads.value.length === 1
  drop(pending.id)
  putSong(song)
  watchSongs()
  if (isOnly || route.value.songId === null) {
    expectedSong.value = song.id
    showSong(song.id)
  }
}

async function refuse(pending: Pending, error: unknown): Promise<void> {
  const isDead = await handleDeadSession(error)
  change(pending.id, isDead ? { state: 'refused', reason: t('sessionEnded') } : { state: 'refused', reason: wordsOf(error) })
}

export function retryUpload(id: number): void {
  change(id, { state: 'waiting', reason: '', owner: visitor() })
  void sendAll()
}

export function cancelUpload(pending: Pending): void {
  drop(pending.id)
  if (pending.state === 'sending') abort?.()
  if (pending.state !== 'refused') notify(t('uploadCancelled', { title: pending.title }))
}

const visitor = (): number | null => user.value?.id ?? null

function change(id: number, values: Partial<Pending>): void {
  uploads.value = uploads.value.map((each) => (each.id === id ? { ...each, ...values } : each))
}

function drop(id: number): void {
  uploads.value = uploads.value.filter((each) => each.id !== id)
}

function isListed(id: number): boolean {
  return uploads.value.some((each) => each.id === id)
}

/** Waits, or goes on when the browser reports a connection. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
    addEventListener('online', () => resolve(), { once: true })
  })
}
