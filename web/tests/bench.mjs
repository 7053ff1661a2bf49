/** Figures of the page in Chromium, for docs/page.md: URL, SONG (4 minutes), LONG_SONG (10 minutes). Prints JSON. */

import { readdirSync, readFileSync } from 'node:fs'

import { newSong, openBrowser, openPage, until } from './browser.mjs'

const { URL: SITE, SONG, LONG_SONG } = process.env
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

/** Memory that is not shared, in MB. */
function memory() {
  const sizes = processes().map((pid) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0))
  return sizes.reduce((sum, size) => sum + size, 0) / 1024
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
  const [paint] = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint').map((entry) => entry.startTime))
  figures.first_paint_ms = Math.round(paint)
}

async function measureFirstSound(page) {
  const start = performance.now()
  await (await page.$('#add')).uploadFile(newSong(SONG, 'Four minutes'))
  await isPlaying(page)
  await page.waitForFunction(() => document.querySelector('.master-lane .meter span').style.transform.match(/scaleX\((0\.\d*[1-9]|1)/), { polling: 20, timeout: 120_000 })
  figures.first_sound_s = (performance.now() - start) / 1000
  await page.waitForSelector('.download', { timeout: 300_000 })
}

/** Time from a click on a waveform until the player runs again at the new place. */
async function measureSeek(page) {
  const times = []
  for (const share of [0.2, 0.8, 0.4, 0.6, 0.1, 0.9, 0.3, 0.7, 0.5, 0.25]) {
    times.push(
      await page.evaluate(async (share) => {
        const area = document.querySelector('.lane.s-drums .timeline')
        const box = area.getBoundingClientRect()
        const at = { clientX: box.left + box.width * share, clientY: box.top + 10, bubbles: true, pointerId: 1, button: 0 }
        const head = document.querySelector('.lane.s-drums .head')
        area.setPointerCapture = () => {}
        const start = performance.now()
        area.dispatchEvent(new PointerEvent('pointerdown', at))
        area.dispatchEvent(new PointerEvent('pointerup', at))
        const shown = () => Number(/translateX\(([\d.]+)%/.exec(head.style.transform)?.[1])
        // The playhead is at the place at once, and moves from it with the sound.
        await new Promise((resolve) => requestAnimationFrame(resolve))
        for (;;) {
          const now = shown()
          if (now > share * 100 + 0.001 && now < share * 100 + 2) return performance.now() - start
          if (performance.now() - start > 5000) throw new Error(`the playhead is at ${head.style.transform}, not at ${share}`)
          await new Promise((resolve) => setTimeout(resolve, 4))
        }
      }, share),
    )
    await sleep(700)
  }
  times.sort((a, b) => a - b)
  figures.seek_ms = { median: Math.round(times[5]), worst: Math.round(times.at(-1)) }
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

async function measureScrolling(page) {
  await page.evaluate(() => (location.hash = ''))
  await until(async () => (await page.$$('.song')).length > 5)
  figures.songs = await page.$eval('.library-line span', (each) => each.textContent)
  figures.slow_frames = await page.evaluate(async () => {
    const box = document.querySelector('.rows')
    let [slow, last] = [0, performance.now()]
    for (let at = 0; at < 240; at++) {
      box.scrollTop = (at * box.scrollHeight) / 240
      await new Promise((resolve) => requestAnimationFrame(resolve))
      const now = performance.now()
      if (now - last > 50) slow++
      last = now
    }
    return slow
  })
}

async function measureMemory() {
  const page = await openPage(browser, SITE, { width: 1440, height: 900 })
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

const page = await openPage(browser, SITE, { width: 1440, height: 900 })
await measurePaint(page)
await measureFirstSound(page)
await measureSeek(page)
await measureCpu(page)
await measureScrolling(page)
await page.browserContext().close()
if (LONG_SONG) await measureMemory()
await browser.close()
console.log(JSON.stringify(figures, null, 1))
