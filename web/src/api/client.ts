/** Calls of the songs API. Every answer but a file is `{ok, errors, data}`. */

export type FieldErrors = Record<string, string[]>

/** A refusal by the service. `errors` has the texts of each field that is wrong. */
export class Refused extends Error {
  constructor(readonly status: number, readonly errors: FieldErrors) {
    super(Object.values(errors).flat()[0] ?? `HTTP status ${status}`)
  }

  /** The service may accept the same call later. */
  get isTemporary(): boolean {
    return this.status === 429 || this.status >= 502
  }
}

/** The service does not answer. */
export class Offline extends Error {}

export async function call<T>(method: string, path: string, body?: Record<string, string>, init: RequestInit = {}): Promise<T> {
  const json = body && { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }
  let reply: Response
  try {
    reply = await fetch(path, { method, credentials: 'same-origin', ...json, ...init })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new Offline()
  }
  return readEnvelope<T>(reply.status, await reply.text())
}

/** Returns `data` of an envelope. Raises `Refused`, also for a body without an envelope. */
export function readEnvelope<T>(status: number, text: string): T {
  let body: { ok?: boolean; errors?: FieldErrors; data?: T }
  try {
    body = JSON.parse(text) as typeof body
  } catch {
    throw new Refused(status, {})
  }
  if (!body.ok) throw new Refused(status, body.errors ?? {})
  return body.data as T
}
