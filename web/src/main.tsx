import { effect, untracked } from '@preact/signals'
import { render } from 'preact'

import { openDeck } from './store/deck'
import { watchSongs } from './store/library'
import { route } from './store/route'
import { refreshUser } from './store/session'
import { loadLimits } from './store/uploads'
import './store/theme'
import { App } from './views/App'
import './views/keyboard'

render(<App />, document.getElementById('app')!)

effect(() => {
  const { songId, query } = route.value
  untracked(() => openDeck(songId, query))
})

void loadLimits()
void refreshUser().catch(() => {})
watchSongs()
addEventListener('online', watchSongs)
document.addEventListener('visibilitychange', () => document.hidden || watchSongs())
