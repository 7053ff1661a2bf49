/** Sound at another speed, by cubic interpolation (Catmull-Rom). Browsers differ in theirs, and at its edges. */

/** Returns `count` samples: from `start` on, `step` samples of the wave apart. */
export function resample(wave: Float32Array, start: number, step: number, count: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(count)
  const last = wave.length - 1
  for (let i = 0; i < count; i++) {
    const place = start + i * step
    const at = Math.floor(place)
    const share = place - at
    const a = wave[Math.max(0, at - 1)] ?? 0
    const b = wave[Math.min(at, last)] ?? 0
    const c = wave[Math.min(at + 1, last)] ?? 0
    const d = wave[Math.min(at + 2, last)] ?? 0
    out[i] = b + 0.5 * share * (c - a + share * (2 * a - 5 * b + 4 * c - d + share * (3 * (b - c) + d - a)))
  }
  return out
}
