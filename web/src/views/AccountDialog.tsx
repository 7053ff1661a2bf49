/** Sign in, create an account, and the sessions of the user. */

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'

import { endOtherSessions, endSession, listSessions, signIn, signUp, type Session } from '../api/accounts'
import { Refused, type FieldErrors } from '../api/client'
import { dateTime, t } from '../i18n'
import { refreshSongs } from '../store/library'
import { notify, wordsOf } from '../store/notices'
import { accountView, leave, refreshUser, user } from '../store/session'
import { Dialog } from './Dialog'

export function AccountDialog() {
  const view = accountView.value
  if (view === null) return null
  const title = view === 'account' ? t('account') : view === 'sign-up' ? t('signUp') : t('signIn')
  return (
    <Dialog key={view === 'account' ? view : 'form'} title={title} onClose={() => (accountView.value = null)}>
      {view === 'account' ? <Account /> : <LoginForm key={view} isNew={view === 'sign-up'} />}
    </Dialog>
  )
}

function LoginForm({ isNew }: { isNew: boolean }) {
  const errors = useSignal<FieldErrors>({})
  const isBusy = useSignal(false)
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    const form = new FormData(event.target as HTMLFormElement)
    const [name, password, again] = ['username', 'password1', 'password2'].map((field) => String(form.get(field) ?? ''))
    isBusy.value = true
    try {
      await (isNew ? signUp(name ?? '', password ?? '', again ?? '') : signIn(name ?? '', password ?? ''))
      await refreshUser()
      accountView.value = null
      await refreshSongs()
    } catch (error) {
      errors.value = error instanceof Refused && Object.keys(error.errors).length ? error.errors : { general: [wordsOf(error)] }
    }
    isBusy.value = false
  }
  const { general, ...fields } = errors.value
  return (
    <form class="account-form" onSubmit={(event) => void submit(event)}>
      <Field name="username" label={t('username')} autocomplete="username" errors={fields['username']} />
      <Field name="password1" label={t('password')} isSecret autocomplete={isNew ? 'new-password' : 'current-password'} errors={fields['password1'] ?? fields['password']} />
      {isNew && <Field name="password2" label={t('passwordAgain')} isSecret autocomplete="new-password" errors={fields['password2']} />}
      {general && (
        <p class="reason" role="alert">
          {general.join(' ')}
        </p>
      )}
      <button class="button main" disabled={isBusy.value}>
        {t(isNew ? 'signUp' : 'signIn')}
      </button>
      <button type="button" class="plain" onClick={() => (accountView.value = isNew ? 'sign-in' : 'sign-up')}>
        {t(isNew ? 'haveAccount' : 'newHere')}
      </button>
    </form>
  )
}

interface FieldProps {
  name: string
  label: string
  isSecret?: boolean
  autocomplete: string
  errors: string[] | undefined
}

function Field({ name, label, isSecret = false, autocomplete, errors }: FieldProps) {
  const hint = `${name}-errors`
  const common = { id: name, name, required: true, autocomplete, autocapitalize: 'none', spellcheck: false, 'aria-invalid': errors !== undefined, 'aria-describedby': errors && hint } as const
  return (
    <div class="form-field">
      <label for={name}>{label}</label>
      {isSecret ? <input type="password" {...common} /> : <input {...common} />}
      {errors && (
        <p id={hint} class="reason" role="alert">
          {errors.join(' ')}
        </p>
      )}
    </div>
  )
}

function Account() {
  const sessions = useSignal<Session[]>([])
  const refresh = async (): Promise<void> => {
    sessions.value = await listSessions()
  }
  const run = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work()
      await refresh()
    } catch (error) {
      notify(wordsOf(error), { kind: 'error' })
    }
  }
  useEffect(() => void run(refresh), [])
  const out = async (): Promise<void> => {
    await leave()
    notify(t('signedOut'))
    await refreshSongs()
  }
  const hasOthers = sessions.value.some((session) => !session.is_current)
  return (
    <div class="account-view">
      <p>{t('signedInAs', { name: user.value?.username ?? '' })}</p>
      <h3>{t('sessions')}</h3>
      <ul>
        {sessions.value.map((session) => (
          <li key={session.id}>
            <span>
              <b>{session.is_current ? t('thisSession') : shortAgent(session.agent)}</b>
              <br />
              <span class="faint">{t('lastSeen', { date: dateTime(session.last_seen_at) })}</span>
            </span>
            {!session.is_current && (
              <button type="button" class="plain" onClick={() => void run(() => endSession(session.id))}>
                {t('endSession')}
              </button>
            )}
          </li>
        ))}
      </ul>
      <div class="dialog-actions">
        {hasOthers && (
          <button type="button" class="plain" onClick={() => void run(endOtherSessions)}>
            {t('endOthers')}
          </button>
        )}
        <button type="button" class="button" onClick={() => void run(out)}>
          {t('signOut')}
        </button>
      </div>
    </div>
  )
}

/** Returns the browser and the system of a user agent, as far as they are known. */
function shortAgent(agent: string): string {
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\/[\d.]+/.exec(agent)?.[1]
  const system = /(Windows|Mac OS X|Android|iPhone|iPad|Linux)/.exec(agent)?.[1]
  return [browser, system].filter(Boolean).join(', ') || agent.slice(0, 40) || '–'
}
