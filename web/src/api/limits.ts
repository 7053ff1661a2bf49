/** `/apiv1/limits`: sizes, lengths and kinds of songs that are accepted. */

export interface Limits {
  maxUploadMb: number
  maxDurationS: number
  /** Extensions without dot, of the formats that can be decoded now. */
  extensions: string[]
}

interface Reply {
  max_song_upload_mb: number
  max_duration_s: number
  inputs: { extension: string; available: boolean | null }[]
}

/** Returns null if the service does not tell: it then checks the upload alone. */
export async function getLimits(): Promise<Limits | null> {
  const reply = await fetch('/apiv1/limits').catch(() => null)
  if (!reply?.ok) return null
  const body = (await reply.json()) as Reply
  return {
    maxUploadMb: body.max_song_upload_mb,
    maxDurationS: body.max_duration_s,
    extensions: body.inputs.filter((each) => each.available !== false).map((each) => each.extension),
  }
}
