/** Names of keys. */

const NOTES = ['C', 'C♯', 'D', 'E♭', 'E', 'F', 'F♯', 'G', 'A♭', 'A', 'B♭', 'B']
const OTHER_NAMES: Record<string, string> = { 'D♭': 'C♯', 'D♯': 'E♭', 'G♭': 'F♯', 'G♯': 'A♭', 'A♯': 'B♭' }

/** Returns the name of a key such as `A minor`, moved by semitones. */
export function keyName(key: string, semitones = 0): string {
  const [tonic = '', mode = ''] = key.replace('#', '♯').replace(/^([A-G])b/, '$1♭').split(' ')
  const at = NOTES.indexOf(OTHER_NAMES[tonic] ?? tonic)
  return at < 0 ? key : `${NOTES[(at + semitones + 12) % 12]} ${mode}`
}
