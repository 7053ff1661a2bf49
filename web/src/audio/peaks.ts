/** Waveforms: low, high, low, high … of every 512 samples, full scale is 127. */

export const PAIR_SAMPLES = 512

export interface Peaks {
  stems: ReadonlyMap<string, Int8Array>
  isWhole: boolean
}

export const NO_PEAKS: Peaks = { stems: new Map(), isWhole: false }

/** Returns the lowest and the highest of the pairs `[first, end)`, as a share of full scale. */
export function extremesOf(pairs: Int8Array, first: number, end: number): [number, number] {
  let [low, high] = [0, 0]
  for (let at = Math.max(0, first); at < end; at++) {
    low = Math.min(low, pairs[2 * at] ?? 0)
    high = Math.max(high, pairs[2 * at + 1] ?? 0)
  }
  return [low / 127, high / 127]
}
