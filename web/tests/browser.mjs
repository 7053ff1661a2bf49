/** Debian's browsers, driven by puppeteer. BROWSER is `chromium` or `firefox`. */

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import puppeteer from 'puppeteer-core'

const PROGRAMS = { chromium: '/usr/bin/chromium', firefox: '/usr/bin/firefox-esr' }
export const BROWSER = process.env.BROWSER ?? 'chromium'

const CHROMIUM_OPTIONS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--mute-audio']
const FIREFOX_SETTINGS = { 'media.autoplay.default': 0, 'media.autoplay.blocking_policy': 0, 'intl.accept_languages': 'en' }

export async function openBrowser() {
  const executablePath = PROGRAMS[BROWSER]
  await access(executablePath)
  if (BROWSER === 'chromium') {
    return puppeteer.launch({ executablePath, headless: true, args: [...CHROMIUM_OPTIONS, '--lang=en', '--autoplay-policy=no-user-gesture-required'] })
  }
  const env = { ...process.env, PULSE_SERVER: await openSoundServer() }
  return puppeteer.launch({ browser: 'firefox', executablePath, headless: true, extraPrefsFirefox: FIREFOX_SETTINGS, env })
}

/** Starts a sound server without a sound card: an audio context of Firefox runs on a sound output alone. Returns its address. */
async function openSoundServer() {
  const folder = mkdtempSync(join(tmpdir(), 'sound-'))
  const socket = join(folder, 'native')
  const modules = ['module-null-sink', `module-native-protocol-unix auth-anonymous=1 auth-cookie-enabled=0 socket=${socket}`]
  const options = ['-n', '--daemonize=no', '--exit-idle-time=600', '--use-pid-file=no', '--log-level=error']
  const server = spawn('pulseaudio', [...options, ...modules.map((each) => `--load=${each}`)], {
    env: { ...process.env, HOME: folder, PULSE_RUNTIME_PATH: folder, PULSE_STATE_PATH: folder },
    stdio: 'ignore',
  })
  server.unref()
  process.on('exit', () => server.kill())
  await until(() => existsSync(socket), { timeout: 20_000, what: 'the sound server' })
  return `unix:${socket}`
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
