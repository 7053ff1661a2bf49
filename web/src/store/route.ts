/** The address: `#/song/12?…` shows a song, and the query has its mix. */

import { signal } from '@preact/signals'

export interface Route {
  songId: number | null
  query: string
}

export const route = signal<Route>(parse(location.hash))

addEventListener('hashchange', () => {
  route.value = parse(location.hash)
})

function parse(hash: string): Route {
  const [, id, query = ''] = /^#\/song\/(\d+)(?:\?(.*))?$/.exec(hash) ?? []
  return { songId: id ? Number(id) : null, query }
}

export function showSong(id: number): void {
  if (route.value.songId !== id) location.hash = `#/song/${id}`
}

export function showLibrary(): void {
  location.hash = ''
}

/** Writes the mix into the address without a step in the history. */
export function writeQuery(songId: number, query: string): void {
  if (route.value.songId === songId) history.replaceState(null, '', `#/song/${songId}${query && `?${query}`}`)
}
