/** The list of keyboard shortcuts. */

import { signal } from '@preact/signals'

import { t } from '../i18n'
import type { Key } from '../i18n/en'
import { Dialog } from './Dialog'

export const isSheetOpen = signal(false)

const SHORTCUTS: [string[], Key][] = [
  [['Space', 'K'], 'scPlay'],
  [['←', '→'], 'scSeek'],
  [[',', '.'], 'scSeekFine'],
  [['Home'], 'scStart'],
  [['1', '…', '6'], 'scMute'],
  [['⇧ 1', '…', '⇧ 6'], 'scSolo'],
  [['I', 'O', 'L'], 'scLoop'],
  [['T'], 'scMode'],
  [['+', '−'], 'scZoom'],
  [['/'], 'scSearch'],
  [['U'], 'scAdd'],
  [['?'], 'scHelp'],
]

export function ShortcutSheet() {
  if (!isSheetOpen.value) return null
  return (
    <Dialog title={t('shortcuts')} onClose={() => (isSheetOpen.value = false)}>
      <dl class="shortcuts">
        {SHORTCUTS.map(([keys, text]) => (
          <div key={text}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{t(text)}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
