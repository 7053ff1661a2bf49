/** Dark or light, by default as the system is. */

import { effect, signal } from '@preact/signals'

import { recall, remember } from './storage'

export type Theme = 'auto' | 'dark' | 'light'
export const THEMES: Theme[] = ['auto', 'dark', 'light']

export const theme = signal<Theme>(recall<Theme>('theme', 'auto'))
/** Grows with each change of colours: canvases draw again. */
export const paint = signal(0)

effect(() => {
  if (theme.value === 'auto') document.documentElement.removeAttribute('data-theme')
  else document.documentElement.dataset['theme'] = theme.value
  remember('theme', theme.value)
  paint.value = paint.peek() + 1
})

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => (paint.value = paint.peek() + 1))
