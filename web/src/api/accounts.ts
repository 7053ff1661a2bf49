/** `/auth`: accounts and their sessions. */

import { call, Refused } from './client'

export interface User {
  id: number
  username: string
}

export interface Session {
  id: number
  agent: string
  created_at: string
  last_seen_at: string
  is_current: boolean
}

/** Returns null for an anonymous visitor, and after the end of the session. */
export async function findUser(): Promise<User | null> {
  try {
    return (await call<{ user: User }>('GET', '/auth/account')).user
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return null
    throw error
  }
}

export const signUp = (username: string, password: string, repeated: string): Promise<void> =>
  call('POST', '/auth/register', { username, password1: password, password2: repeated })

export const signIn = (username: string, password: string): Promise<void> => call('POST', '/auth/login', { username, password })

export const signOut = (): Promise<void> => call('POST', '/auth/logout')

export const listSessions = async (): Promise<Session[]> => (await call<{ sessions: Session[] }>('GET', '/auth/sessions')).sessions

export const endSession = (id: number): Promise<void> => call('DELETE', `/auth/sessions/${id}`)

export const endOtherSessions = (): Promise<void> => call('DELETE', '/auth/sessions')

export const changePassword = (password: string, fresh: string, repeated: string): Promise<void> =>
  call('POST', '/auth/password', { password, password1: fresh, password2: repeated })

export const deleteAccount = (password: string): Promise<void> => call('DELETE', '/auth/account', { password })
