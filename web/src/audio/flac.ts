/** FLAC with 16 bits (RFC 9639): fixed predictors of order 2 and Rice codes with one parameter a channel and block. */

import { quantise } from './wav'

const BLOCK = 4096
const ORDER = 2

class Bits {
  private bytes = new Uint8Array(1 << 16)
  private length = 0
  private pending = 0
  private count = 0

  /** Writes up to 24 bits. */
  put(value: number, bits: number): void {
    this.pending = (this.pending << bits) | (value & ((1 << bits) - 1))
    this.count += bits
    while (this.count >= 8) {
      this.count -= 8
      this.push((this.pending >>> this.count) & 0xff)
    }
    this.pending &= (1 << this.count) - 1
  }

  /** Writes zeros and then a one. */
  unary(zeros: number): void {
    for (; zeros >= 16; zeros -= 16) this.put(0, 16)
    this.put(1, zeros + 1)
  }

  align(): void {
    if (this.count) this.put(0, 8 - this.count)
  }

  take(): Uint8Array {
    return this.bytes.subarray(0, this.length)
  }

  private push(byte: number): void {
    if (this.length === this.bytes.length) {
      const larger = new Uint8Array(2 * this.length)
      larger.set(this.bytes)
      this.bytes = larger
    }
    this.bytes[this.length++] = byte
  }
}

export function encodeFlac(channels: Float32Array[], rateHz: number): Blob {
  const samples = channels.map((channel) => {
    const whole = new Int32Array(channel.length)
    quantise(channel, whole, 0, 1)
    return whole
  })
  const length = samples[0]?.length ?? 0
  const parts: Uint8Array[] = [streamInfo(length, rateHz, channels.length)]
  for (let start = 0, frame = 0; start < length; start += BLOCK, frame++) {
    parts.push(encodeFrame(samples.map((each) => each.subarray(start, start + BLOCK)), frame))
  }
  return new Blob(parts as BlobPart[], { type: 'audio/flac' })
}

function streamInfo(length: number, rateHz: number, channels: number): Uint8Array {
  const bits = new Bits()
  for (const letter of 'fLaC') bits.put(letter.charCodeAt(0), 8)
  bits.put(0x80, 8)
  bits.put(34, 24)
  bits.put(BLOCK, 16)
  bits.put(BLOCK, 16)
  bits.put(0, 24)
  bits.put(0, 24)
  bits.put(rateHz, 20)
  bits.put(channels - 1, 3)
  bits.put(15, 5)
  bits.put(Math.floor(length / 2 ** 24), 12)
  bits.put(length % 2 ** 24, 24)
  // The MD5 of the samples is unknown.
  for (let i = 0; i < 16; i++) bits.put(0, 8)
  return bits.take()
}

function encodeFrame(channels: Int32Array[], frame: number): Uint8Array {
  const bits = new Bits()
  const size = channels[0]?.length ?? 0
  bits.put(0xfff8, 16)
  bits.put(0b0111, 4)
  bits.put(0b1001, 4)
  bits.put(channels.length - 1, 4)
  bits.put(0b1000, 4)
  putNumber(bits, frame)
  bits.put(size - 1, 16)
  bits.put(crc(bits.take(), 8, 0x07), 8)
  for (const channel of channels) putChannel(bits, channel)
  bits.align()
  bits.put(crc(bits.take(), 16, 0x8005), 16)
  return bits.take()
}

/** Writes a number as UTF-8 does. */
function putNumber(bits: Bits, value: number): void {
  if (value < 0x80) return bits.put(value, 8)
  const more = value < 0x800 ? 1 : value < 0x10000 ? 2 : 3
  bits.put((0xff00 >> (more + 1)) & 0xff | (value >> (6 * more)), 8)
  for (let i = more - 1; i >= 0; i--) bits.put(0x80 | ((value >> (6 * i)) & 0x3f), 8)
}

function putChannel(bits: Bits, samples: Int32Array): void {
  const order = Math.min(ORDER, samples.length)
  bits.put((8 + order) << 1, 8)
  for (let i = 0; i < order; i++) bits.put(samples[i] ?? 0, 16)
  const residuals = new Int32Array(samples.length - order)
  let total = 0
  for (let i = order; i < samples.length; i++) {
    const [a = 0, b = 0, c = 0] = [samples[i], samples[i - 1], samples[i - 2]]
    const residual = order === 2 ? a - 2 * b + c : order === 1 ? a - b : a
    // Signs alternate: 0, -1, 1, -2 …
    const folded = residual < 0 ? -2 * residual - 1 : 2 * residual
    residuals[i - order] = folded
    total += folded
  }
  const mean = total / Math.max(1, residuals.length)
  const parameter = Math.max(0, Math.min(14, Math.floor(Math.log2(mean + 1))))
  bits.put(0, 6)
  bits.put(parameter, 4)
  for (const residual of residuals) {
    bits.unary(residual >>> parameter)
    if (parameter) bits.put(residual, parameter)
  }
}

const TABLES = new Map<number, Uint16Array>()

/** Returns the checksum of 8 or 16 bits with this polynomial. */
function crc(data: Uint8Array, width: 8 | 16, polynomial: number): number {
  const top = width - 8
  const mask = (1 << width) - 1
  let table = TABLES.get(width)
  if (!table) {
    table = new Uint16Array(256)
    for (let byte = 0; byte < 256; byte++) {
      let value = byte << top
      for (let i = 0; i < 8; i++) value = value & (1 << (width - 1)) ? ((value << 1) ^ polynomial) & mask : (value << 1) & mask
      table[byte] = value
    }
    TABLES.set(width, table)
  }
  let value = 0
  for (const byte of data) value = ((value << 8) ^ (table[((value >> top) ^ byte) & 0xff] ?? 0)) & mask
  return value
}
