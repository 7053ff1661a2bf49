/** Short messages at the edge of the page. Screen readers announce them. */

import { signal } from '@preact/signals'

import { Offline, Refused } from '../api/client'
import { t } from '../i18n'

export interface Notice {
  id: number
  text: string
  kind: 'info' | 'error'
  action?: { label: string; run: () => void }
}

const INFO_MS = 6000

export const notices = signal<Notice[]>([])
/** A text for screen readers alone. */
export const announcement = signal('')
/** The service answers. */
export const isConnected = signal(true)

let lastId = 0

export function notify(text: string, options: Partial<Pick<Notice, 'kind' | 'action'>> & { onExpire?: () => void } = {}): number {
  const { onExpire, ...rest } = options
  const notice: Notice = { id: ++lastId, text, kind: 'info', ...rest }
  notices.value = [...notices.value, notice]
  if (notice.kind === 'info') {
    setTimeout(() => {
      dismiss(notice.id)
      onExpire?.()
    }, INFO_MS)
  }
  return notice.id
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id)
}

export function announce(text: string): void {
  announcement.value = text
}

/** Returns the words for a failure. */
export function wordsOf(error: unknown): string {
  if (error instanceof Offline) return t('offline')
  if (error instanceof Refused) return Object.values(error.errors).flat()[0] ?? t(error.isTemporary ? 'busy' : 'unknownFailure')
  return t('unknownFailure')
}
