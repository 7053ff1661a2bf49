/** Decoding of some frames of an MP3, as exact as if the whole file were decoded. */

import { FRAME_SAMPLES } from './mp3'
import type { FrameSource } from './source'

export const RATE_HZ = 44_100

/** Samples of both channels. */
export interface Sound {
  left: Float32Array
  right: Float32Array
}

/** Returns the samples of the frames `[first, end)`. Frames before them are decoded and dropped. */
export async function decodeFrames(source: FrameSource, first: number, end: number): Promise<Sound> {
  const { preroll } = await source.layout()
  const before = Math.min(first, preroll)
  const data = await source.frames(first - before, end)
  const samples = (end - first + before) * FRAME_SAMPLES
  const sound = await decodeExactly(data, samples)
  return { left: sound.left.subarray(before * FRAME_SAMPLES), right: sound.right.subarray(before * FRAME_SAMPLES) }
}

/** Returns all samples of a file in any format that the browser reads. */
export async function decodeFile(data: Uint8Array): Promise<Sound> {
  return soundOf(await decodeByBrowser(data))
}

async function decodeExactly(data: Uint8Array, samples: number): Promise<Sound> {
  const decoded = await decodeByBrowser(data.slice()).catch(() => null)
  // A browser that drops or adds samples at the ends would move everything after them.
  return decoded?.length === samples ? soundOf(decoded) : decodeByWasm(data)
}

async function decodeByBrowser(data: Uint8Array): Promise<AudioBuffer> {
  const buffer = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer
  return new OfflineAudioContext(2, 1, RATE_HZ).decodeAudioData(buffer)
}

/** Decodes frames by mpg123: it keeps all samples in every browser. */
export async function decodeByWasm(data: Uint8Array): Promise<Sound> {
  const { MPEGDecoder } = await import('mpg123-decoder')
  const decoder = new MPEGDecoder({ enableGapless: false })
  await decoder.ready
  const { channelData } = decoder.decode(data)
  const [left = new Float32Array(), right = left] = channelData.map((each) => each.slice())
  decoder.free()
  return { left, right }
}

function soundOf(decoded: AudioBuffer): Sound {
  return { left: decoded.getChannelData(0), right: decoded.getChannelData(decoded.numberOfChannels - 1) }
}
