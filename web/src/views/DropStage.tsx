/** The empty stage, and the drop of files anywhere on the page. */

import { useEffect, useState } from 'preact/hooks'

import { t } from '../i18n'
import { isSignedIn } from '../store/session'
import { addFiles, addLink, limits } from '../store/uploads'
import { Icon } from './Icon'

/** Returns whether files are dragged over the page. */
export function useDrop(): boolean {
  const [isOver, setOver] = useState(false)
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false
    const over = (event: DragEvent): void => {
      if (!hasFiles(event)) return
      event.preventDefault()
      setOver(true)
    }
    const leave = (event: DragEvent): void => {
      if (!event.relatedTarget) setOver(false)
    }
    const drop = (event: DragEvent): void => {
      if (!hasFiles(event)) return
      event.preventDefault()
      setOver(false)
      addFiles(event.dataTransfer?.files ?? [])
    }
    addEventListener('dragover', over)
    addEventListener('dragleave', leave)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragover', over)
      removeEventListener('dragleave', leave)
      removeEventListener('drop', drop)
    }
  }, [])
  return isOver
}

/** Adds files and links that are pasted anywhere but into a field. */
export function usePaste(): void {
  useEffect(() => {
    const paste = (event: ClipboardEvent): void => {
      if ((event.target as Element).closest('input, textarea')) return
      const pasted = event.clipboardData
      if (pasted?.files.length) addFiles(pasted.files)
      else if (pasted) addLink(pasted.getData('text'))
    }
    addEventListener('paste', paste)
    return () => removeEventListener('paste', paste)
  }, [])
}

/** A field for the link of a song. */
function LinkForm() {
  const [isWrong, setWrong] = useState(false)
  const submit = (event: Event): void => {
    event.preventDefault()
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem('link') as HTMLInputElement
    const isLink = addLink(field.value)
    setWrong(!isLink)
    if (isLink) field.value = ''
  }
  return (
    <form class="link-form" onSubmit={submit} noValidate>
      <input id="link" name="link" type="url" required aria-label={t('linkLabel')} placeholder={t('linkLabel')} aria-invalid={isWrong} aria-describedby={isWrong ? 'link-fault' : undefined} />
      <button type="submit">{t('linkAdd')}</button>
      {isWrong && (
        <p id="link-fault" class="reason" role="alert">
          {t('linkWrong')}
        </p>
      )}
    </form>
  )
}

/** A button that opens the file picker of the system. */
export function ChooseFiles({ id, label, isMain = false }: { id: string; label: string; isMain?: boolean }) {
  return (
    <label class={isMain ? 'button main' : 'button'}>
      <Icon name="plus" />
      <span>{label}</span>
      <input
        id={id}
        class="unseen"
        type="file"
        multiple
        accept="audio/*,video/*"
        aria-label={label}
        onChange={(event) => {
          addFiles([...(event.currentTarget.files ?? [])])
          event.currentTarget.value = ''
        }}
      />
    </label>
  )
}

const BARS = [
  ['vocals', 5, 9, 16, 26, 30, 22, 14, 20, 32, 38, 30, 18, 9, 14, 24, 34, 28, 16, 8, 4],
  ['drums', 38, 10, 6, 22, 8, 36, 9, 5, 24, 8, 38, 10, 6, 22, 8, 36, 9, 24, 26, 8],
  ['bass', 14, 18, 20, 18, 14, 12, 16, 22, 24, 20, 14, 12, 16, 20, 22, 18, 14, 12, 16, 18],
  ['other', 8, 10, 13, 18, 22, 24, 22, 18, 14, 12, 14, 20, 26, 28, 24, 18, 13, 10, 9, 8],
] as const

function Figure() {
  return (
    <svg class="figure" viewBox="0 0 400 200" aria-hidden="true">
      {BARS.map(([stem, ...heights], row) => (
        <g key={stem} class={`s-${stem}`}>
          {heights.map((height, at) => (
            <path key={at} d={`M${12 + at * 19.8} ${26 + row * 49 - height / 2}v${height}`} />
          ))}
        </g>
      ))}
    </svg>
  )
}

export function DropStage() {
  return (
    <section class="drop-stage" aria-labelledby="drop-title">
      <Figure />
      <h1 id="drop-title">{t('tagline')}</h1>
      <p class="lead">{t('dropHint')}</p>
      <ChooseFiles id="choose" label={t('choose')} isMain />
      <LinkForm />
      {limits.value && (
        <p class="faint">{t('limitsHint', { mb: limits.value.maxUploadMb, minutes: Math.floor(limits.value.maxDurationS / 60) })}</p>
      )}
      {!isSignedIn.value && <p class="faint note">{t('anonymousNote')}</p>}
    </section>
  )
}
