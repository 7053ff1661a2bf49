/** The engine in a browser: joins, seeks, sums, meters and encoders, sample by sample. FILES is the folder of sounds. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'

import { openBrowser, openPage } from './browser.mjs'
import { serve } from './server.mjs'

/** Of full scale. Firefox decodes to 16 bits. */
const MAX_ERROR = 1e-4
/** Of the starter, whose stems add up to the song before they are encoded. */
const MIN_SUM_DB = 20
let browser, server, page

before(async () => {
  server = await serve(process.env.FILES)
  browser = await openBrowser()
  page = await openPage(browser, server.url)
  await page.waitForFunction(() => window.engine)
  await page.evaluate(defineHelpers)
})

after(async () => {
  await browser?.close()
  server?.close()
})

function defineHelpers() {
  const { FrameTrack, RangeSource, FragmentSource, FetchFailed } = window.engine
  window.fetchBytes = async (url, range) => {
    const reply = await fetch(url, range && { headers: { Range: `bytes=${range.start}-${range.end - 1}` } })
    if (!reply.ok) throw new FetchFailed(reply.status)
    return new Uint8Array(await reply.arrayBuffer())
  }
  window.byRange = (name) => new FrameTrack(new RangeSource(`/${name}`, window.fetchBytes))
  window.byFragments = (count) => {
    const source = new FragmentSource((number) => `/pieces/${number}`, window.fetchBytes)
    source.announce(count)
    return new FrameTrack(source)
  }
  /** The whole sound, decoded at once without its Info frame: no browser trims it, and its numbers do. */
  window.wholeSong = async (name) => {
    const file = await window.fetchBytes(`/${name}`)
    const source = new RangeSource(`/${name}`, window.fetchBytes)
    const { trim, samples, frames } = await source.layout()
    const sound = await source.frames(0, frames)
    const decoded = await new OfflineAudioContext(2, 1, 44100).decodeAudioData(sound.buffer)
    if (decoded.length !== frames * 1152) throw new Error(`${decoded.length} samples of ${frames} frames, ${file.length} bytes`)
    return [0, 1].map((channel) => decoded.getChannelData(channel).subarray(trim, trim + samples))
  }
  /** Reads a track segment by segment. */
  window.readAll = async (track, units) => {
    const samples = await track.samples()
    const all = [new Float32Array(samples), new Float32Array(samples)]
    for (let at = 0; at < samples; ) {
      const { sound, start, end } = await track.segment(at, units)
      all[0].set(sound.left.subarray(at - start, end - start), at)
      all[1].set(sound.right.subarray(at - start, end - start), at)
      at = end
    }
    return all
  }
  window.distance = (a, b) => {
    if (a[0].length !== b[0].length) return Infinity
    let most = 0
    for (const channel of [0, 1]) for (let i = 0; i < a[0].length; i++) most = Math.max(most, Math.abs(a[channel][i] - b[channel][i]))
    return most
  }
  window.loudness = (a) => Math.sqrt(a[0].reduce((sum, value) => sum + value * value, 0) / a[0].length)
}

for (const [name, units] of [['stem.mp3', 1], ['stem.mp3', 4], ['stem128.mp3', 1], ['stem192.mp3', 3]]) {
  test(`ranges of ${units} units of ${name} join without an error`, async (t) => {
    const [error, loudness] = await page.evaluate(
      async (name, units) => {
        const whole = await wholeSong(name)
        return [distance(await readAll(byRange(name), units), whole), loudness(whole)]
      },
      name,
      units,
    )
    t.diagnostic(`error ${error.toExponential(1)}`)
    assert.ok(loudness > 0.05)
    assert.ok(error <= MAX_ERROR, `error ${error}`)
  })
}

test('fragments join without an error', async (t) => {
  const error = await page.evaluate(async (count) => distance(await readAll(byFragments(count), 4), await wholeSong('stem.mp3')), Number(process.env.FRAGMENTS))
  t.diagnostic(`error ${error.toExponential(1)}`)
  assert.ok(error <= MAX_ERROR, `error ${error}`)
})

test('a song of variable bit rate joins without an error', async (t) => {
  const error = await page.evaluate(async () => {
    const { SongTrack, WholeFileSource } = engine
    const track = new SongTrack(new WholeFileSource('/song.mp3', fetchBytes))
    const decoded = await new OfflineAudioContext(2, 1, 44100).decodeAudioData((await fetchBytes('/song.mp3')).buffer)
    const samples = await track.samples()
    const parts = await readAll(track, 3)
    const whole = [0, 1].map((channel) => decoded.getChannelData(channel).subarray(0, samples))
    return distance(parts, whole)
  })
  t.diagnostic(`error ${error.toExponential(1)}`)
  assert.ok(error <= MAX_ERROR, `error ${error}`)
})

test('mpg123 decodes as the browser does', async (t) => {
  const error = await page.evaluate(async () => {
    const source = new engine.RangeSource('/stem.mp3', fetchBytes)
    const { trim, samples, frames } = await source.layout()
    const { left, right } = await engine.decodeByWasm(await source.frames(0, frames))
    return distance([left.subarray(trim, trim + samples), right.subarray(trim, trim + samples)], await wholeSong('stem.mp3'))
  })
  t.diagnostic(`error ${error.toExponential(1)}`)
  assert.ok(error <= MAX_ERROR, `error ${error}`)
})

test('stems at unity add up to the song', async (t) => {
  const snr = await page.evaluate(async () => {
    const names = ['vocals', 'drums', 'bass', 'other']
    const stems = await Promise.all(names.map((name) => readAll(byRange(`separated/${name}.mp3`), 4)))
    const { SongTrack, WholeFileSource } = engine
    const song = await readAll(new SongTrack(new WholeFileSource('/separated/song.mp3', fetchBytes)), 4)
    let [signal, noise] = [0, 0]
    for (const channel of [0, 1])
      song[channel].forEach((value, at) => {
        signal += value ** 2
        noise += (value - stems.reduce((sum, stem) => sum + stem[channel][at], 0)) ** 2
      })
    return 10 * Math.log10(signal / noise)
  })
  t.diagnostic(`${snr.toFixed(1)} dB`)
  assert.ok(snr >= MIN_SUM_DB, `${snr} dB`)
})

test('stems are 0 samples apart after 50 random seeks, loops and tempos', async (t) => {
  const [apart, error, loudness] = await page.evaluate(async () => {
    const names = ['a', 'b', 'c', 'd']
    const [seeks, length] = [50, 22_050]
    const whole = await wholeSong('stem.mp3')
    const context = new OfflineAudioContext(names.length, (seeks + 1) * length, 44100)
    const merger = new ChannelMergerNode(context, { numberOfInputs: names.length })
    merger.connect(context.destination)
    const lanes = names.map((_, at) => {
      const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 })
      splitter.connect(merger, 0, at)
      return splitter
    })
    // Each stem has a track of its own, and half of them come as fragments.
    const tracks = new Map(names.map((name, at) => [name, at % 2 ? byFragments(99) : byRange('stem.mp3')]))
    const player = new engine.Player(context, tracks, (name) => lanes[names.indexOf(name)], true)
    await player.setActive(names)
    let seed = 7
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
    const jumps = []
    for (let at = 0; at < seeks; at++) {
      const frame = at * length + Math.floor(random() * 5000)
      const sample = Math.floor(random() * (whole[0].length - 2 * length))
      const tempo = at % 5 === 4 ? 50 + Math.floor(random() * 100) : 100
      const loop = at % 3 === 2 ? { start: sample, end: sample + 5000 + Math.floor(random() * 5000) } : null
      await player.setTempo(tempo)
      await player.setLoop(loop)
      jumps.push({ frame, sample, tempo, loop })
      player.lastFrame = frame + 2 * length
      await player.begin(sample, frame)
      await player.settle()
    }
    const rendered = await context.startRendering()
    const channels = names.map((_, at) => rendered.getChannelData(at))
    let [apart, error] = [0, 0]
    for (let i = 0; i < rendered.length; i++) for (const other of channels.slice(1)) apart = Math.max(apart, Math.abs(other[i] - channels[0][i]))
    jumps.forEach(({ frame, sample, tempo, loop }, at) => {
      if (tempo !== 100) return
      const end = Math.min(jumps[at + 1]?.frame ?? frame + length, frame + length)
      for (let i = frame; i < end; i++) {
        const place = loop ? loop.start + ((i - frame) % (loop.end - loop.start)) : sample + i - frame
        error = Math.max(error, Math.abs(channels[0][i] - whole[0][place]))
      }
    })
    return [apart, error, loudness([channels[0]])]
  })
  t.diagnostic(`apart ${apart}, error ${error.toExponential(1)}`)
  assert.ok(loudness > 0.05)
  assert.equal(apart, 0)
  assert.ok(error <= MAX_ERROR, `error ${error}`)
})

test('another tempo joins without a click', async (t) => {
  const [error, loudness] = await page.evaluate(async () => {
    const context = new OfflineAudioContext(2, 44100 * 4, 44100)
    // A sine as a track of short segments: at any tempo it must stay a sine.
    const track = {
      samples: async () => 44100 * 8,
      has: () => true,
      segment: async (sample) => {
        const start = Math.floor(sample / 5000) * 5000
        const wave = Float32Array.from({ length: 5000 + 1152 }, (_, i) => 0.5 * Math.sin((2 * Math.PI * 100 * (start + i)) / 44100))
        return { sound: { left: wave, right: wave }, start, end: start + 5000 }
      },
    }
    const player = new engine.Player(context, new Map([['a', track]]), () => context.destination, true)
    await player.setActive(['a'])
    await player.setTempo(87)
    await player.begin(0, 0)
    await player.settle()
    const wave = (await context.startRendering()).getChannelData(0)
    let error = 0
    for (let i = 10; i < wave.length - 10; i++) error = Math.max(error, Math.abs(wave[i] - 0.5 * Math.sin((2 * Math.PI * 100 * i * 0.87) / 44100)))
    return [error, loudness([wave])]
  })
  t.diagnostic(`error ${error.toExponential(1)}`)
  assert.ok(loudness > 0.3)
  assert.ok(error <= 1e-3, `error ${error}`)
})

test('the mixdown is the sound of the graph', async (t) => {
  const error = await page.evaluate(async () => {
    const levels = { vocals: { gain: 0.7, pan: -0.4 }, drums: { gain: 1.2, pan: 0.6 } }
    const tracks = new Map([['vocals', byRange('stem.mp3')], ['drums', byRange('stem128.mp3')]])
    const samples = await tracks.get('vocals').samples()
    const context = new OfflineAudioContext(2, samples, 44100)
    const graph = new engine.Graph(context, tracks.keys())
    for (const [name, level] of Object.entries(levels)) graph.setLevel(name, level, true)
    const player = new engine.Player(context, tracks, (name) => graph.inputOf(name), true)
    await player.setActive([...tracks.keys()])
    await player.begin(0, 0)
    await player.settle()
    const rendered = await context.startRendering()
    const parts = [...tracks].map(([name, track]) => ({ name, track, level: levels[name] }))
    const mix = await engine.renderMix({ parts, master: 1, shift: { tempo: 100, semitones: 0 }, start: 0, end: samples }, () => {}, new AbortController().signal)
    return distance(mix, [rendered.getChannelData(0), rendered.getChannelData(1)])
  })
  t.diagnostic(`error ${error.toExponential(1)}`)
  assert.ok(error <= MAX_ERROR, `error ${error}`)
})

test('meters show known levels', async () => {
  const [lane, master] = await page.evaluate(async () => {
    const context = new OfflineAudioContext(2, 44100, 44100)
    const graph = new engine.Graph(context, ['vocals'])
    graph.setLevel('vocals', { gain: 0.5, pan: 0 }, true)
    const buffer = context.createBuffer(2, 44100, 44100)
    for (const [channel, level] of [[0, 0.8], [1, 0.2]]) buffer.copyToChannel(Float32Array.from({ length: 44100 }, (_, i) => level * Math.sin((2 * Math.PI * i) / 50)), channel)
    const source = new AudioBufferSourceNode(context, { buffer })
    source.connect(graph.inputOf('vocals'))
    source.start()
    await context.startRendering()
    return [graph.readMeter('vocals'), graph.readMeter()]
  })
  for (const [found, expected] of [[lane[0], 0.4], [lane[1], 0.1], [master[0], 0.4], [master[1], 0.1]]) assert.ok(Math.abs(found - expected) < 0.005, `${found} for ${expected}`)
})

test('a transposed mix keeps the length and the drums', async (t) => {
  const pitches = await page.evaluate(async () => {
    const sine = (hz) => ({
      samples: async () => 44100 * 4,
      has: () => true,
      segment: async (sample) => {
        const start = Math.floor(sample / 44100) * 44100
        const wave = Float32Array.from({ length: 44100 }, (_, i) => 0.4 * Math.sin((2 * Math.PI * hz * (start + i)) / 44100))
        return { sound: { left: wave, right: wave }, start, end: start + 44100 }
      },
    })
    const pitchOf = (wave) => {
      const part = wave.subarray(wave.length / 4, (wave.length * 3) / 4)
      let crossings = 0
      for (let i = 1; i < part.length; i++) if (part[i - 1] < 0 && part[i] >= 0) crossings++
      return (crossings * 44100) / part.length
    }
    const render = (name, tempo, semitones) =>
      engine.renderMix({ parts: [{ name, track: sine(440), level: { gain: 1, pan: 0 } }], master: 1, shift: { tempo, semitones }, start: 0, end: 44100 * 4 }, () => {}, new AbortController().signal)
    const results = []
    for (const [name, tempo, semitones] of [['vocals', 100, 5], ['drums', 100, 5], ['vocals', 80, 0], ['vocals', 125, -3]]) {
      const [left] = await render(name, tempo, semitones)
      results.push([pitchOf(left), left.length, loudness([left])])
    }
    return results
  })
  const octave = (semitones) => 440 * 2 ** (semitones / 12)
  t.diagnostic(JSON.stringify(pitches))
  const expected = [[octave(5), 176_400], [440, 176_400], [440, 220_500], [octave(-3), 141_120]]
  pitches.forEach(([pitch, length, loudness], at) => {
    assert.ok(Math.abs(pitch / expected[at][0] - 1) < 0.01, `${pitch} Hz`)
    assert.equal(length, expected[at][1])
    assert.ok(loudness > 0.15)
  })
})

test('WAV and FLAC hold the same 16 bits', async () => {
  const [wav, flac] = await page.evaluate(async () => {
    const whole = (await wholeSong('stem.mp3')).map((channel) => channel.subarray(0, 100_001))
    const encoded = [engine.encodeWav(whole, 44100), engine.encodeFlac(whole, 44100)]
    const bytes = []
    for (const blob of encoded) bytes.push(Array.from(new Uint8Array(await blob.arrayBuffer())))
    return bytes
  })
  const paths = ['mix.wav', 'mix.flac'].map((name) => join(process.env.FILES, name))
  ;[wav, flac].forEach((bytes, at) => writeFileSync(paths[at], Buffer.from(bytes)))
  const decoded = spawnSync('flac', ['-d', '-s', '-c', '--force-raw-format', '--endian=little', '--sign=signed', paths[1]], { maxBuffer: 2 ** 26 })
  assert.equal(decoded.status, 0, String(decoded.stderr ?? decoded.error))
  assert.deepEqual(decoded.stdout, Buffer.from(wav).subarray(44))
  assert.ok(flac.length < wav.length * 0.95)
})
