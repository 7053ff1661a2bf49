import { useEffect } from 'preact/hooks'

import { LANGUAGES, language, nameOf, t, type Language } from '../i18n'
import { deck } from '../store/deck'
import { announcement, dismiss, isConnected, notices } from '../store/notices'
import { route } from '../store/route'
import { accountView, user } from '../store/session'
import { theme, THEMES, type Theme } from '../store/theme'
import { AccountDialog } from './AccountDialog'
import { DropStage, useDrop, usePaste } from './DropStage'
import { Icon } from './Icon'
import { isSheetOpen, ShortcutSheet } from './ShortcutSheet'
import { Library } from './Library'
import { SongView } from './SongView'

export function App() {
  const isOver = useDrop()
  usePaste()
  const hasSong = route.value.songId !== null
  useEffect(() => {
    document.title = 'MSaaS'
  }, [hasSong])
  return (
    <div class={`app ${hasSong ? 'has-song' : 'has-no-song'} ${isOver ? 'is-over' : ''}`}>
      <Header />
      <Library />
      <main class="stage" id="stage">
        {deck.value ? <SongView key={deck.value.songId} deck={deck.value} /> : <DropStage />}
      </main>
      <Notices />
      <AccountDialog />
      <ShortcutSheet />
      <p class="unseen" aria-live="polite">
        {announcement.value}
      </p>
    </div>
  )
}

function Header() {
  return (
    <header class="bar">
      <a class="brand" href="#">
        <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
          <g stroke-width="3.2" stroke-linecap="round">
            <path class="s-vocals" d="M6 12v8" />
            <path class="s-drums" d="M12.7 6.5v19" />
            <path class="s-bass" d="M19.3 10v12" />
            <path class="s-other" d="M26 14v4" />
          </g>
        </svg>
        MSaaS
      </a>
      <span class="grow" />
      <label class="picker" title={t('theme')}>
        <span class="unseen">{t('theme')}</span>
        <select value={theme.value} onChange={(event) => (theme.value = event.currentTarget.value as Theme)}>
          {THEMES.map((each) => (
            <option key={each} value={each}>
              {t(each === 'auto' ? 'themeAuto' : each === 'dark' ? 'themeDark' : 'themeLight')}
            </option>
          ))}
        </select>
      </label>
      <label class="picker" title={t('language')}>
        <span class="unseen">{t('language')}</span>
        <select value={language.value} onChange={(event) => (language.value = event.currentTarget.value as Language)}>
          {LANGUAGES.map((each) => (
            <option key={each} value={each} lang={each}>
              {nameOf(each)}
            </option>
          ))}
        </select>
      </label>
      <button type="button" class="plain icon-button only-wide" onClick={() => (isSheetOpen.value = true)} aria-label={t('shortcuts')} title={t('shortcuts')}>
        <Icon name="keyboard" />
      </button>
      <button type="button" class="account" onClick={() => (accountView.value = user.value ? 'account' : 'sign-in')}>
        <Icon name="user" />
        <span>{user.value ? user.value.username : t('signIn')}</span>
      </button>
    </header>
  )
}

function Notices() {
  return (
    <div class="notices">
      {!isConnected.value && (
        <p class="notice is-error" role="status">
          <Icon name="warn" />
          <span>{t('offline')}</span>
        </p>
      )}
      <div role="status" aria-live="polite">
        {notices.value.map((notice) => (
          <p key={notice.id} class={`notice is-${notice.kind}`}>
            {notice.kind === 'error' && <Icon name="warn" />}
            <span>{notice.text}</span>
            {notice.action && (
              <button
                type="button"
                class="plain"
                onClick={() => {
                  notice.action?.run()
                  dismiss(notice.id)
                }}
              >
                {notice.action.label}
              </button>
            )}
            <button type="button" class="plain icon-button" aria-label={t('dismiss')} onClick={() => dismiss(notice.id)}>
              <Icon name="close" />
            </button>
          </p>
        ))}
      </div>
    </div>
  )
}
