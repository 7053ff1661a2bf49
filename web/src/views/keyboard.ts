/** Keyboard shortcuts and the media keys of the system. */

import { effect } from '@preact/signals'

import { RATE_HZ } from '../audio'
import { deck, type Deck } from '../store/deck'
import { songById } from '../store/library'
import { channelOf } from '../store/mix'
import { zoomBy } from '../store/zoom'
import { isSheetOpen } from './ShortcutSheet'

const PAGE_KEYS: Record<string, () => void> = {
  '/': () => document.getElementById('search')?.focus(),
  u: () => document.getElementById('add')?.click(),
  '?': () => (isSheetOpen.value = true),
}

const move = (deck: Deck, seconds: number): void => void deck.seek(deck.position.value + seconds * RATE_HZ)

const SONG_KEYS: Record<string, (deck: Deck) => void> = {
  ' ': (deck) => void deck.toggle(),
  k: (deck) => void deck.toggle(),
  ArrowLeft: (deck) => move(deck, -5),
  ArrowRight: (deck) => move(deck, 5),
  ',': (deck) => move(deck, -1),
  '.': (deck) => move(deck, 1),
  Home: (deck) => void deck.seek(0),
  i: (deck) => deck.setLoop({ start: Math.round(deck.position.value), end: deck.mix.value.loop?.end ?? deck.samples.value }),
  o: (deck) => deck.setLoop({ start: deck.mix.value.loop?.start ?? 0, end: Math.round(deck.position.value) }),
  l: (deck) => deck.setLoop(null),
  t: (deck) => deck.change({ mode: deck.mix.value.mode === 'stems' ? 'original' : 'stems' }),
  '+': (deck) => zoomBy(2, deck.position.value),
  '-': (deck) => zoomBy(0.5, deck.position.value),
}

/** Inputs of text, lists and dialogs have their own keys, and so have buttons and sliders. */
function isTaken(event: KeyboardEvent): boolean {
  const target = event.target as Element
  if (event.ctrlKey || event.metaKey || event.altKey || target.closest('dialog')) return true
  if (target.matches('select, textarea, input:not([type=range], [type=radio])')) return true
  if (event.key === ' ') return target.matches('button, a, summary, input')
  return event.key.startsWith('Arrow') && target.matches('input, .rows')
}

addEventListener('keydown', (event) => {
  if (isTaken(event)) return
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  const act = PAGE_KEYS[key] ?? (deck.value && (SONG_KEYS[key] ?? stemKey(event)))
  if (!act) return
  event.preventDefault()
  act(deck.value!)
})

/** A digit mutes a stem, with Shift it plays alone. */
function stemKey(event: KeyboardEvent): ((deck: Deck) => void) | undefined {
  const [, digit] = /^Digit([1-6])$/.exec(event.code) ?? []
  if (!digit) return undefined
  return (deck) => {
    const stem = deck.stems.value[Number(digit) - 1]
    if (!stem) return
    const { isMuted, isSolo } = channelOf(deck.mix.value, stem)
    deck.changeChannel(stem, event.shiftKey ? { isSolo: !isSolo } : { isMuted: !isMuted })
  }
}

if ('mediaSession' in navigator) {
  const session = navigator.mediaSession
  session.setActionHandler('play', () => void deck.value?.play())
  session.setActionHandler('pause', () => deck.value?.pause())
  session.setActionHandler('seekbackward', () => deck.value && move(deck.value, -5))
  session.setActionHandler('seekforward', () => deck.value && move(deck.value, 5))
  session.setActionHandler('seekto', (details) => void deck.value?.seek((details.seekTime ?? 0) * RATE_HZ))
  effect(() => {
    const song = deck.value && songById(deck.value.songId)
    session.metadata = song ? new MediaMetadata({ title: song.title, artist: 'MSaaS' }) : null
    session.playbackState = deck.value?.state.value === 'playing' ? 'playing' : 'paused'
  })
}
