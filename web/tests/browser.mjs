/** Debian's browsers, driven by puppeteer. BROWSER is `chromium` or `firefox`. */

import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import puppeteer from 'puppeteer-core'

const PROGRAMS = { chromium: '/usr/bin/chromium', firefox: '/usr/bin/firefox-esr' }
export const BROWSER = process.env.BROWSER ?? 'chromium'

const CHROMIUM_OPTIONS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--mute-audio']
/** Headless Firefox has no sound card: its audio context runs on a clock. */
const FIREFOX_SETTINGS = { 'media.autoplay.default': 0, 'media.autoplay.blocking_policy': 0, 'intl.accept_languages': 'en' }

export async function openBrowser({ autoplay = true } = {}) {
  const executablePath = PROGRAMS[BROWSER]
  await access(executablePath)
  return BROWSER === 'firefox'
    ? puppeteer.launch({ browser: 'firefox', executablePath, headless: true, extraPrefsFirefox: FIREFOX_SETTINGS })
    : puppeteer.launch({ executablePath, headless: true, args: [...CHROMIUM_OPTIONS, '--lang=en', ...(autoplay ? ['--autoplay-policy=no-user-gesture-required'] : [])] })
}

/** Opens a page that collects its errors and the violations of its policy. */
export async function openPage(browser, url, { width = 1280, height = 800, scheme = 'dark' } = {}) {
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  page.problems = []
  page.on('pageerror', (error) => page.problems.push(String(error.stack ?? error)))
  page.on('console', (message) => message.type() === 'error' && page.problems.push(message.text()))
  await page.setViewport({ width, height })
  if (BROWSER === 'chromium') await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
  await page.goto(url, { waitUntil: 'load' })
  return page
}

/** Writes a copy of an MP3 with a title of its own, so that the service has to separate it. */
export function newSong(file, name) {
  const title = `${name} ${randomBytes(4).toString('hex')}`
  const path = join(mkdtempSync(join(tmpdir(), 'song-')), `${title}.mp3`)
  const tag = Buffer.alloc(128)
  tag.write('TAG')
  tag.write(title, 3)
  writeFileSync(path, Buffer.concat([readFileSync(file), tag]))
  return path
}

export async function until(check, { timeout = 60_000, every = 100, what = 'the condition' } = {}) {
  const end = Date.now() + timeout
  for (;;) {
    const found = await check()
    if (found) return found
    if (Date.now() > end) throw new Error(`${what} did not happen within ${timeout} ms`)
    await new Promise((resolve) => setTimeout(resolve, every))
  }
}
