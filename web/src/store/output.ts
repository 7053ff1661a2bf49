/** The sound output of the browser. */

type Policy = { getAutoplayPolicy?: (type: 'audiocontext') => 'allowed' | 'allowed-muted' | 'disallowed' }

/**
 * Returns whether the browser plays sound now, or holds it back until the visitor has clicked or pressed a key. Firefox
 * tells it. Others play after the first gesture, and before it for sites that they trust: null.
 */
export function allowsSound(): boolean | null {
  const policy = (navigator as Policy).getAutoplayPolicy?.('audiocontext')
  if (policy) return policy === 'allowed'
  return navigator.userActivation?.hasBeenActive ? true : null
}
