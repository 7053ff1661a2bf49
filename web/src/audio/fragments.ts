/** The spans of fragments, as the worker cuts them: at least 4 units, at most 40, a tenth of the stem before. */

const MIN_UNITS = 4
const MAX_UNITS = 40
const GROWTH = 10

export interface Span {
  /** From 1. */
  number: number
  firstUnit: number
  endUnit: number
}

export function* spans(): Generator<Span> {
  let firstUnit = 0
  for (let number = 1; ; number++) {
    const endUnit = firstUnit + Math.min(Math.max(Math.floor(firstUnit / GROWTH), MIN_UNITS), MAX_UNITS)
    yield { number, firstUnit, endUnit }
    firstUnit = endUnit
  }
}

/** Returns the fragments that overlap the units `[first, end)`. */
export function spansOf(first: number, end: number): Span[] {
  const found: Span[] = []
  for (const span of spans()) {
    if (span.firstUnit >= end) break
    if (span.endUnit > first) found.push(span)
  }
  return found
}

/** Returns the number of whole units of the first fragments. */
export function unitsOf(fragments: number): number {
  if (fragments < 1) return 0
  for (const span of spans()) if (span.number === fragments) return span.endUnit
  return 0
}
