/** The visitor: a user, or anonymous. */

import { computed, signal } from '@preact/signals'

import { findUser, signOut, type User } from '../api/accounts'
import { Refused } from '../api/client'
import { t } from '../i18n'
import { notify } from './notices'

export const user = signal<User | null>(null)
export const isSignedIn = computed(() => user.value !== null)
export type AccountView = 'sign-in' | 'sign-up' | 'account' | null
/** The dialog about the account that is open. */
export const accountView = signal<AccountView>(null)

export async function refreshUser(): Promise<void> {
  user.value = await findUser()
}

/** Ends the session here, and forgets its cookie. */
export async function leave(): Promise<void> {
  await signOut()
  user.value = null
  accountView.value = null
}

/** Handles a session that has ended elsewhere. Returns whether the error was one. */
export async function handleDeadSession(error: unknown): Promise<boolean> {
  if (!(error instanceof Refused) || error.status !== 401) return false
  user.value = null
  await signOut().catch(() => {})
  accountView.value = 'sign-in'
  notify(t('sessionEnded'), { kind: 'error' })
  return true
}
