/** Texts of the page in the language of the visitor. */

import { effect, signal } from '@preact/signals'

import { de } from './de'
import { en, type Key } from './en'
import { remember, recall } from '../store/storage'

const TABLES = { en, de }
export type Language = keyof typeof TABLES
export const LANGUAGES = Object.keys(TABLES) as Language[]

export const language = signal<Language>(firstLanguage())

effect(() => {
  document.documentElement.lang = language.value
  remember('language', language.value)
})

function firstLanguage(): Language {
  const wanted = [recall<string>('language', ''), ...navigator.languages].map((each) => each.slice(0, 2))
  return LANGUAGES.find((each) => each === wanted.find((one) => one in TABLES)) ?? 'en'
}

/** Returns a text with its values in place. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return TABLES[language.value][key].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''))
}

export function nameOf(table: Language): string {
  return TABLES[table].name
}

/** Returns the name of a stem. One that has no translation is shown as it is. */
export function stemName(stem: string): string {
  return stem in en ? t(stem as Key) : stem.replace('_', ' ')
}

export function time(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  const rest = String(whole % 60).padStart(2, '0')
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`
}

export function date(text: string): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: 'medium' }).format(new Date(text))
}

export function dateTime(text: string): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(text))
}
