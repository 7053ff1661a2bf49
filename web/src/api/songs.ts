/** `/songs`: list, upload, rename, delete, follow. */

import { call, Offline, readEnvelope, Refused } from './client'
import { FetchFailed, type Fetch, type Peaks } from '../audio'

export type SongStatus = 'UPLOADING' | 'UPLOADED' | 'SPLITTING' | 'SPLIT'

export interface Problem {
  code: string
  title: string
  detail: string
}

export interface Song {
  id: number
  title: string
  hash: string
  uploader_id: number | null
  status: SongStatus
  created_at: string
  job_id: string
  error: Problem | null
  progress: number
  position: number | null
  duration_s: number | null
  model: string | null
  stems: string[]
}

/** The events of a separation. */
export interface Job {
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled'
  progress: number
  position: number | null
  eta_s: number | null
  duration_s: number | null
  playable_until_s: number | null
  model: string | null
  stems: string[]
  error: Problem | null
}

export interface FragmentList {
  pieces: number
  stems: string[]
  playable_until_s: number
}

const FIELDS = 'created_at,job_id,error,progress,position,duration_s,model,stems'
const PAGE = 1000

export async function listSongs(): Promise<Song[]> {
  const songs: Song[] = []
  for (let cursor = ''; ; ) {
    const query = new URLSearchParams({ fields: FIELDS, sort: '-created', limit: String(PAGE), ...(cursor && { cursor }) })
    const page = await call<{ songs: Song[]; next?: string }>('GET', `/songs/?${query}`)
    songs.push(...page.songs)
    if (!page.next) return songs
    cursor = page.next
  }
}

export async function getSong(id: number): Promise<Song> {
  return (await call<{ song: Song }>('GET', `/songs/${id}?fields=${FIELDS}`)).song
}

export async function renameSong(id: number, title: string): Promise<Song> {
  return (await call<{ song: Song }>('PATCH', `/songs/${id}?fields=${FIELDS}`, { title })).song
}

export async function deleteSong(id: number, isLeaving = false): Promise<void> {
  await call('DELETE', `/songs/${id}`, undefined, { keepalive: isLeaving })
}

/** Cancels the separation of an anonymous song. One of a user is cancelled by its deletion. */
export async function cancelJob(jobId: string): Promise<void> {
  const reply = await fetch(`/apiv1/job/${jobId}`, { method: 'DELETE' })
  if (reply.ok || reply.status === 409) return
  const problem = (await reply.json().catch(() => ({}))) as { detail?: string }
  throw new Refused(reply.status, problem.detail ? { general: [problem.detail] } : {})
}

export interface Upload {
  done: Promise<Song>
  abort(): void
}

/** Uploads a file, or lets the service fetch a link. By XMLHttpRequest: `fetch` does not report the progress of a body. */
export function uploadSong(source: File | string, onProgress: (share: number) => void): Upload {
  const request = new XMLHttpRequest()
  const form = new FormData()
  form.append(typeof source === 'string' ? 'url' : 'file', source)
  const done = new Promise<Song>((resolve, reject) => {
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total)
    request.onerror = request.ontimeout = () => reject(new Offline())
    request.onabort = () => reject(new DOMException('aborted', 'AbortError'))
    request.onload = () => {
      try {
        resolve(readEnvelope<{ song: Song }>(request.status, request.responseText).song)
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
      }
    }
  })
  request.open('POST', `/songs/upload?fields=${FIELDS}`)
  request.send(form)
  return { done, abort: () => request.abort() }
}

/** Calls `onJob` with each state, and `onClosed` if the browser does not connect again. Returns a function that ends it. */
export function followSong(id: number, onJob: (job: Job) => void, onClosed: () => void): () => void {
  const events = new EventSource(`/songs/${id}/events`)
  events.onmessage = (event) => {
    const job = JSON.parse(event.data as string) as Job
    onJob(job)
    if (['done', 'failed', 'cancelled'].includes(job.state)) events.close()
  }
  events.onerror = () => events.readyState === EventSource.CLOSED && onClosed()
  return () => events.close()
}

export async function listFragments(id: number): Promise<FragmentList | null> {
  return call<FragmentList>('GET', `/songs/${id}/pieces`).catch((error: unknown) => {
    if (error instanceof Refused) return null
    throw error
  })
}

export async function getPeaks(id: number): Promise<Peaks | null> {
  const reply = await fetch(`/songs/${id}/peaks.json`)
  if (!reply.ok) return null
  const body = (await reply.json()) as { is_whole: boolean; stems: Record<string, number[]> }
  return { isWhole: body.is_whole, stems: new Map(Object.entries(body.stems).map(([stem, pairs]) => [stem, Int8Array.from(pairs)])) }
}

export const urls = {
  part: (id: number, part: string): string => `/songs/${id}/${part}.mp3`,
  archive: (id: number): string => `/songs/${id}/stems.zip`,
  fragment: (id: number, stem: string, number: number): string => `/songs/${id}/pieces/${stem}/${number}`,
}

/** Sound is scheduled for longer than the service needs to come back. */
const TRIES = 24
const WAIT_MS = 500

/** Reads bytes for the engine. A service that is away is asked again. */
export const fetchBytes: Fetch = async (url, range) => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchOnce(url, range)
    } catch (error) {
      const isAway = error instanceof FetchFailed && (error.status === 0 || error.status === 429 || error.status >= 502)
      if (!isAway || attempt === TRIES) throw error
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS))
    }
  }
}

const fetchOnce: Fetch = async (url, range) => {
  const headers = range ? { Range: `bytes=${range.start}-${range.end - 1}` } : undefined
  const reply = await fetch(url, { headers }).catch(() => null)
  if (!reply?.ok) throw new FetchFailed(reply?.status ?? 0)
  const body = await reply.arrayBuffer().catch(() => null)
  if (!body) throw new FetchFailed(0)
  return new Uint8Array(body)
}
