/** WAV with 16 bits. */

const HEADER_BYTES = 44

export function encodeWav(channels: Float32Array[], rateHz: number): Blob {
  const length = channels[0]?.length ?? 0
  const block = 2 * channels.length
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + length * block))
  const text = (at: number, value: string): void => [...value].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)))
  text(0, 'RIFF')
  view.setUint32(4, HEADER_BYTES - 8 + length * block, true)
  text(8, 'WAVEfmt ')
  view.setUint32(16, 16, true)
  view.setUint16(20, 1, true)
  view.setUint16(22, channels.length, true)
  view.setUint32(24, rateHz, true)
  view.setUint32(28, rateHz * block, true)
  view.setUint16(32, block, true)
  view.setUint16(34, 16, true)
  text(36, 'data')
  view.setUint32(40, length * block, true)
  const samples = new Int16Array(view.buffer, HEADER_BYTES)
  channels.forEach((channel, c) => quantise(channel, samples, c, channels.length))
  return new Blob([view.buffer], { type: 'audio/wav' })
}

/** Writes one channel as 16 bits. Louder samples are clipped. */
export function quantise(channel: Float32Array, samples: Int16Array | Int32Array, first: number, step: number): void {
  for (let i = 0; i < channel.length; i++) {
    samples[first + i * step] = Math.round(Math.max(-1, Math.min(1, channel[i] ?? 0)) * 32_767)
  }
}
