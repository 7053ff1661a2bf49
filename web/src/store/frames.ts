/** One clock for all that moves on the page while a song plays. */

/** The eye follows meters at this rate, and a frame costs the browser much more than its drawing. */
const FRAME_MS = 60

/** Draws a frame. Gets the time since the last one, in ms. Returns false to end. */
export type Drawing = (elapsedMs: number) => boolean

const drawings = new Set<Drawing>()
let last = 0
let isRunning = false

/** Calls a drawing about 20 times a second, until it returns false. A hidden page draws nothing. */
export function animate(drawing: Drawing): void {
  drawings.add(drawing)
  if (isRunning) return
  isRunning = true
  last = performance.now()
  next()
}

export function stop(drawing: Drawing): void {
  drawings.delete(drawing)
}

function next(): void {
  setTimeout(() => requestAnimationFrame(draw), FRAME_MS - 16)
}

function draw(now: number): void {
  const elapsed = Math.max(0, now - last)
  last = now
  for (const drawing of [...drawings]) if (!drawing(elapsed)) drawings.delete(drawing)
  isRunning = drawings.size > 0
  if (isRunning) next()
}
