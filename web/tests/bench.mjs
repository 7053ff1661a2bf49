/**
 * Figures of the page in Chromium, for docs/page.md: URL, SONG (4 minutes), LONG_SONG (10 minutes), and IDLE_URL, a stack
 * without a worker, which gets 2,000 songs. Prints JSON.
 */

import { readdirSync, readFileSync } from 'node:fs'

import { newSong, openBrowser, openPage, until } from './browser.mjs'

const { URL: SITE, SONG, LONG_SONG, IDLE_URL } = process.env
const SONGS = 2000
const figures = {}
const browser = await openBrowser()
const root = browser.process().pid

/** Returns the processes of the browser. */
function processes() {
  const parents = new Map(readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      return [[Number(pid), Number(/^\d+ \(.*\) \S (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))[1])]]
    } catch {
      return []
    }
  }))
  const isOurs = (pid) => pid === root || (parents.has(pid) && parents.get(pid) > 1 && isOurs(parents.get(pid)))
  return [...parents.keys()].filter(isOurs)
}

/** Memory of a process in kB, its share of what is shared included. 0 if the process has ended meanwhile. */
function size(pid) {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** Memory of all processes of the browser, in MB. */
function memory() {
  return processes().map(size).reduce((sum, each) => sum + each, 0) / 1024
}

/** Seconds of CPU so far. */
function cpu() {
  const ticks = processes().map((pid) => {
    const [, rest] = /\) (.*)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))
    const fields = rest.split(' ')
    return Number(fields[11]) + Number(fields[12])
  })
  return ticks.reduce((sum, each) => sum + each, 0) / 100
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const isPlaying = (page) => page.waitForSelector('.play.is-playing', { timeout: 120_000 })

async function measurePaint(page) {
  figures.first_paint_ms = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const observer = new PerformanceObserver((list) => {
          const paint = list.getEntriesByName('first-contentful-paint')[0]
          if (paint) resolve(Math.round(paint.startTime))
        })
        observer.observe({ type: 'paint', buffered: true })
      }),
  )
}

async function measureFirstSound(page) {
  const start = performance.now()
  await (await page.$('#add')).uploadFile(newSong(SONG, 'Four minutes'))
  await isPlaying(page)
  await page.waitForFunction(() => document.querySelector('.master-lane .meter span').style.transform.match(/scaleX\((0\.\d*[1-9]|1)/), { polling: 20, timeout: 120_000 })
  figures.first_sound_s = (performance.now() - start) / 1000
  await page.waitForSelector('.download', { timeout: 300_000 })
}

/** Notes when the next scheduled sound is heard, on the clock of the page. */
const WATCH_SOUND = `
  const start = AudioBufferSourceNode.prototype.start
  AudioBufferSourceNode.prototype.start = function (when, ...rest) {
    window.onSound?.(performance.now() + 1000 * Math.max(0, when - this.context.currentTime))
    return start.call(this, when, ...rest)
  }
`

/** Time from a click on a waveform until the sound of the new place. */
async function measureSeek(page) {
  const times = []
  for (const share of [0.2, 0.8, 0.4, 0.6, 0.1, 0.9, 0.3, 0.7, 0.5, 0.25, 0.85, 0.15, 0.65, 0.35, 0.95, 0.05, 0.55, 0.45, 0.75, 0.6]) {
    const box = await page.evaluate((share) => {
      const area = document.querySelector('.lane.s-drums .timeline')
      window.sought = new Promise((resolve) => {
        const listen = () => {
          const clicked = performance.now()
          window.onSound = (heard) => {
            window.onSound = undefined
            resolve(heard - clicked)
          }
        }
        area.addEventListener('pointerup', listen, { once: true, capture: true })
      })
      const { left, width, top } = area.getBoundingClientRect()
      return { x: left + width * share, y: top + 10 }
    }, share)
    await page.mouse.click(box.x, box.y)
    times.push(await page.evaluate(() => window.sought))
    await sleep(700)
  }
  console.error(times.map(Math.round).join(' '))
  times.sort((a, b) => a - b)
  figures.seek_ms = { median: Math.round(times[times.length / 2]), worst: Math.round(times.at(-1)), count: times.length }
}

async function measureCpu(page) {
  const wall = 10_000
  const before = cpu()
  await sleep(wall)
  figures.cpu_playing_percent = Math.round(((cpu() - before) / wall) * 100_000)
  await page.click('#play')
  await sleep(500)
  const idle = cpu()
  await sleep(wall / 2)
  figures.cpu_paused_percent = Math.round(((cpu() - idle) / (wall / 2)) * 100_000)
}

/** Sends songs that differ in their last bytes. */
async function fill(page) {
  const sound = readFileSync(SONG).subarray(0, 40_000).toString('base64')
  await page.evaluate(
    async (sound, count) => {
      const bytes = Uint8Array.from(atob(sound), (char) => char.charCodeAt(0))
      for (let at = 0; at < count; at += 10) {
        const sent = Array.from({ length: 10 }, async (_, next) => {
          const form = new FormData()
          form.append('title', `Song number ${at + next}`)
          form.append('file', new File([bytes, `${at + next}`], 'song.mp3'))
          const reply = await fetch('/songs/upload', { method: 'POST', body: form })
          if (!reply.ok) throw new Error(`${reply.status} ${await reply.text()}`)
        })
        await Promise.all(sent)
      }
    },
    sound,
    SONGS,
  )
}

async function measureScrolling() {
  const page = await openPage(browser, IDLE_URL, { width: 1440, height: 900 })
  await fill(page)
  await page.reload()
  await until(async () => (await page.$$('.song')).length > 5)
  await sleep(1000)
  figures.songs = await page.$eval('.library-line span', (each) => each.textContent)
  const frames = await page.evaluate(async () => {
    const box = document.querySelector('.rows')
    const times = []
    let last = performance.now()
    for (let at = 0; at < 600; at++) {
      box.scrollTop = (at * box.scrollHeight) / 600
      await new Promise((resolve) => requestAnimationFrame(resolve))
      const now = performance.now()
      times.push(now - last)
      last = now
    }
    return times
  })
  figures.scrolling = { frames: frames.length, over_50_ms: frames.filter((each) => each > 50).length, worst_ms: Math.round(Math.max(...frames)) }
  await page.browserContext().close()
}

async function measureMemory() {
  const page = await openPage(browser, SITE, { width: 1440, height: 900 })
  // The inspector keeps a copy of every answer, which the browser of a visitor does not.
  await page._client().send('Network.disable')
  await page.waitForSelector('#choose')
  await sleep(1500)
  const empty = memory()
  await (await page.$('#add')).uploadFile(newSong(LONG_SONG, 'Ten minutes'))
  await page.waitForSelector('.download', { timeout: 400_000 })
  if (!(await page.$('.play.is-playing'))) await page.click('#play')
  let most = 0
  for (let at = 0; at < 20; at++) {
    await sleep(1000)
    most = Math.max(most, memory())
  }
  figures.memory_mb = { empty: Math.round(empty), above: Math.round(most - empty) }
  await page.browserContext().close()
}

try {
  const page = await openPage(browser, SITE, { width: 1440, height: 900 })
  await measurePaint(page)
  await page.evaluate(WATCH_SOUND)
  await measureFirstSound(page)
  await measureSeek(page)
  await measureCpu(page)
  await page.browserContext().close()
  if (LONG_SONG) await measureMemory()
  if (IDLE_URL) await measureScrolling()
} finally {
  console.log(JSON.stringify(figures, null, 1))
  await browser.close()
}
