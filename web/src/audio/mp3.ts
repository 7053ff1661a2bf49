/** MP3 frames: headers, the Info frame, and the arithmetic of a constant bit rate. */

export const FRAME_SAMPLES = 1152
/** Samples that a decoder adds in front of the sound. */
const DECODER_DELAY = 529
/** Frames of a unit: at 44.1 kHz the smallest number with a whole number of bytes. */
export const UNIT_FRAMES = 49
/** The bytes of sound data that a frame may borrow from the frames before it. */
const RESERVOIR_BYTES = 511
const HEADER_AND_SIDE_INFO_BYTES = 38

const BIT_RATES = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
const RATES_HZ = [44_100, 48_000, 32_000]

export interface Header {
  bitRate: number
  rateHz: number
  sizeBytes: number
}

/** Reads a header of MPEG-1 layer III. Returns null where none stands. */
export function readHeader(data: Uint8Array, at: number): Header | null {
  const [a, b, c] = [data[at], data[at + 1], data[at + 2]]
  if (a !== 0xff || b === undefined || c === undefined || (b & 0xfe) !== 0xfa) return null
  const bitRate = BIT_RATES[c >> 4]
  const rateHz = RATES_HZ[(c >> 2) & 3]
  if (!bitRate || !rateHz) return null
  return { bitRate, rateHz, sizeBytes: Math.floor((144_000 * bitRate) / rateHz) + ((c >> 1) & 1) }
}

/** Returns the size of the ID3v2 tag at the start, 0 without one. */
export function id3Bytes(data: Uint8Array): number {
  if (data[0] !== 0x49 || data[1] !== 0x44 || data[2] !== 0x33) return 0
  const size = [6, 7, 8, 9].reduce((sum, at) => (sum << 7) | ((data[at] ?? 0) & 0x7f), 0)
  return 10 + size + ((data[5] ?? 0) & 0x10 ? 10 : 0)
}

export interface Info {
  frames: number
  delay: number
  padding: number
}

/** Reads the Info frame that begins at `at`. Returns null if the frame there has sound. */
export function readInfo(data: Uint8Array, at: number): Info | null {
  const isMono = ((data[at + 3] ?? 0) >> 6) === 3
  const tag = at + 4 + (isMono ? 17 : 32)
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  if (data.length < tag + 120 + 24) return null
  const name = String.fromCharCode(...data.subarray(tag, tag + 4))
  if (name !== 'Info' && name !== 'Xing') return null
  const flags = view.getUint32(tag + 4)
  const frames = flags & 1 ? view.getUint32(tag + 8) : 0
  const lame = tag + 8 + (flags & 1 ? 4 : 0) + (flags & 2 ? 4 : 0) + (flags & 4 ? 100 : 0) + (flags & 8 ? 4 : 0)
  const delays = ((data[lame + 21] ?? 0) << 16) | ((data[lame + 22] ?? 0) << 8) | (data[lame + 23] ?? 0)
  const hasDelays = /^(LAME|Lavc|Lavf)/.test(String.fromCharCode(...data.subarray(lame, lame + 4)))
  return { frames, delay: hasDelays ? delays >> 12 : 0, padding: hasDelays ? delays & 0xfff : 0 }
}

/** Places of frames and samples in an MP3. Frames count from the first one with sound. */
export interface Layout {
  rateHz: number
  bitRate: number
  frames: number
  /** Decoded samples before the song. */
  trim: number
  /** Samples of the song. */
  samples: number
  /** Frames that a decoder needs before the first one that it gets right. */
  preroll: number
}

export function layoutOf(header: Header, info: Info): Layout {
  const hasDelay = info.delay > 0
  return {
    rateHz: header.rateHz,
    bitRate: header.bitRate,
    frames: info.frames,
    trim: hasDelay ? info.delay + DECODER_DELAY : 0,
    samples: info.frames * FRAME_SAMPLES - (hasDelay ? info.delay + info.padding : 0),
    preroll: prerollFrames(header),
  }
}

/** One frame for the overlap, one for the filter bank, and those that a frame may borrow data from. */
export function prerollFrames(header: Header): number {
  // At 320 kbit/s a frame fills the buffer of a decoder: there is nothing to borrow.
  if (header.bitRate === 320) return 2
  return 2 + Math.ceil(RESERVOIR_BYTES / (Math.floor((144_000 * header.bitRate) / header.rateHz) - HEADER_AND_SIDE_INFO_BYTES))
}

/** Returns the byte at which a frame begins, from the first frame with sound. The first frame has no padding. */
export function frameOffset(layout: Pick<Layout, 'bitRate' | 'rateHz'>, frame: number): number {
  const bits = 144_000 * layout.bitRate
  const size = Math.floor(bits / layout.rateHz)
  return frame === 0 ? 0 : frame * size + Math.ceil(((frame - 1) * (bits % layout.rateHz)) / layout.rateHz)
}

/** Returns the offset of every frame with sound, and the end of the last one. */
export function walkFrames(data: Uint8Array, start: number): number[] {
  const offsets: number[] = []
  let at = start
  for (;;) {
    const header = readHeader(data, at)
    if (!header || at + header.sizeBytes > data.length) break
    offsets.push(at)
    at += header.sizeBytes
  }
  return [...offsets, at]
}
