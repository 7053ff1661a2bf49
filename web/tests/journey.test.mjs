/** Journeys of visitors through the page, on a running stack: URL, STACK_PID and SONG (a file) come from the environment. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { BROWSER, newSong, openBrowser, openPage, until } from './browser.mjs'

const { URL: SITE, STACK_PID, SONG } = process.env
const AXE = readFileSync(fileURLToPath(new URL('../node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8')
const PASSWORD = 'correct horse battery'
/** Failed requests are logged by the browser as errors, also those that a test provokes. */
const EXPECTED = /Failed to load resource|NetworkError|can.t establish a connection|connection to .* was interrupted|NS_ERROR|net::ERR/
let browser
let pages = []

before(async () => {
  browser = await openBrowser()
})

after(async () => browser?.close())

afterEach(async () => {
  const problems = pages.flatMap((page) => page.problems).filter((text) => !EXPECTED.test(text))
  for (const page of pages) await page.browserContext().close()
  pages = []
  assert.deepEqual(problems, [])
})

async function visit(options) {
  const page = await openPage(browser, SITE, options)
  pages.push(page)
  await page.waitForSelector('#choose, #add')
  return page
}

async function choose(page, file = SONG) {
  await (await page.$('#add')).uploadFile(file)
}

async function drop(page, file = SONG) {
  const bytes = readFileSync(file).toString('base64')
  await page.evaluate(
    (text, name) => {
      const files = new DataTransfer()
      files.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], name, { type: 'audio/mpeg' }))
      dispatchEvent(new DragEvent('drop', { dataTransfer: files, cancelable: true }))
    },
    bytes,
    file.split('/').pop(),
  )
}

/** Serves a song at every address but `/absent.mp3`. */
async function serveSong(file) {
  const server = createServer((request, response) => {
    if (request.url === '/absent.mp3') return response.writeHead(404).end()
    return response.end(readFileSync(file))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  return `http://127.0.0.1:${server.address().port}`
}

const textOf = (page, selector) => page.$eval(selector, (element) => element.textContent).catch(() => '')
const position = async (page) => {
  const text = (await textOf(page, '.clock span')) ?? ''
  return text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
}
const isLoud = (page, stem) => page.$eval(`.lane.s-${stem} .meter span`, (bar) => Number(/scaleX\(([\d.e-]+)\)/.exec(bar.style.transform)?.[1] ?? 0) > 0.05)
/** A browser that draws and plays without hardware leaves little of two cores to the separation. */
const waitUntilSplit = (page) => page.waitForSelector('.download', { timeout: 300_000 })

/** Accessibility and layout hold in every state. */
async function check(page, state) {
  await page.evaluate(AXE)
  const found = await page.evaluate(async () => (await window.axe.run()).violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`))
  assert.deepEqual(found, [], state)
  const tooWide = await page.evaluate(() => {
    const boxes = [document.documentElement, ...document.querySelectorAll('.stage, .library, .rows, dialog, .bar')]
    return boxes.filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => `${box.tagName}.${box.className}: ${box.scrollWidth} > ${box.clientWidth}`)
  })
  assert.deepEqual(tooWide, [], state)
}

async function signUp(page, name) {
  await page.click('.account')
  await page.waitForSelector('.account-form .plain', { visible: true })
  await page.click('.account-form .plain')
  await page.waitForSelector('#password2')
  await page.type('#username', name)
  await page.type('#password1', PASSWORD)
  await page.type('#password2', PASSWORD)
  await page.click('.account-form .main')
  await until(async () => (await textOf(page, '.account')).includes(name), { what: 'the login' })
}

const nameFor = (who) => `${who}-${BROWSER}-${Date.now() % 1e6}`

test('a dropped song plays while it is separated, loses its vocals, and is saved as a mix', async (t) => {
  const page = await visit()
  await check(page, 'empty')
  const song = newSong(SONG, 'Night train')
  const start = Date.now()
  await drop(page, song)
  await page.waitForSelector('.play.is-playing', { timeout: 120_000 })
  t.diagnostic(`drop to first sound: ${Date.now() - start} ms`)
  await until(async () => (await position(page)) >= 1, { what: 'the playhead to move' })
  await until(() => isLoud(page, 'drums'), { what: 'sound' })
  await waitUntilSplit(page)
  t.diagnostic(`drop to all stems: ${Date.now() - start} ms`)
  await check(page, 'mixer')
  await page.click('.lane.s-vocals .toggle')
  await until(async () => !(await isLoud(page, 'vocals')), { what: 'silent vocals' })
  assert.ok(await page.$('.lane.s-vocals.is-off'))
  await until(async () => page.url().includes('vocals=100,0,m'), { what: 'the mix in the address' })
  await page.evaluate(() => {
    const create = URL.createObjectURL
    URL.createObjectURL = (blob) => ((window.saved = blob), create.call(URL, blob))
  })
  await page.click('.download summary')
  await check(page, 'downloads')
  await page.click('.download .menu-items button')
  await page.waitForFunction(() => window.saved, { timeout: 120_000 })
  const [type, difference, loudness] = await page.evaluate(async () => {
    const decode = async (bytes) => new OfflineAudioContext(2, 1, 44100).decodeAudioData(bytes)
    const mix = await decode(await window.saved.arrayBuffer())
    const id = /song\/(\d+)/.exec(location.hash)[1]
    const sum = new Float32Array(mix.length)
    for (const stem of ['drums', 'bass', 'other']) {
      const part = await decode(await (await fetch(`/songs/${id}/${stem}.mp3`)).arrayBuffer())
      part.getChannelData(0).forEach((value, at) => (sum[at] += value))
    }
    const found = mix.getChannelData(0)
    let [error, power] = [0, 0]
    found.forEach((value, at) => {
      error += (value - Math.max(-1, Math.min(1, sum[at]))) ** 2
      power += value ** 2
    })
    return [window.saved.type, Math.sqrt(error / found.length), Math.sqrt(power / found.length)]
  })
  assert.equal(type, 'audio/wav')
  assert.ok(loudness > 0.01, `loudness ${loudness}`)
  assert.ok(difference < 1e-3, `difference ${difference}`)
})

test('a mix survives a reload, and its link shows it in another browser', async () => {
  const page = await visit()
  await choose(page)
  await waitUntilSplit(page)
  await page.click('.lane.s-bass .solo')
  await until(async () => page.url().includes('bass=100,0,s'), { what: 'the mix in the address' })
  await page.reload()
  await page.waitForSelector('.lane.s-bass .solo[aria-pressed=true]')
  const other = await visit()
  await other.goto(page.url())
  await other.waitForSelector('.lane.s-bass .solo[aria-pressed=true]')
  assert.ok(await other.$('.lane.s-drums.is-off'))
})

test('keys play, seek, mute and loop', async () => {
  const page = await visit()
  await choose(page)
  await waitUntilSplit(page)
  await page.waitForSelector('.play.is-playing')
  await page.keyboard.press('k')
  await page.waitForSelector('.play.is-paused')
  const before = await position(page)
  await page.keyboard.press('ArrowRight')
  await until(async () => Math.abs((await position(page)) - before - 5) <= 1, { what: 'a seek of 5 s' })
  await page.keyboard.press('1')
  await page.waitForSelector('.lane.s-vocals .toggle[aria-pressed=true]')
  await page.keyboard.press('i')
  await page.keyboard.press('ArrowRight')
  await page.keyboard.press('o')
  await page.waitForSelector('.chip')
  await page.keyboard.press('l')
  await page.waitForFunction(() => !document.querySelector('.chip'))
  await page.keyboard.type('?')
  await page.waitForSelector('dialog[open]')
  await check(page, 'shortcuts')
})

test('a tempo and a key that the visitor corrects are kept with the mix', async () => {
  const page = await visit()
  await choose(page)
  await waitUntilSplit(page)
  await page.click('.correct')
  await page.waitForSelector('dialog[open] #bpm')
  await check(page, 'correction')
  await page.type('#bpm', '96')
  await page.select('#song-key', 'Eb minor')
  await page.click('.account-form .main')
  await page.waitForFunction(() => !document.querySelector('dialog[open]'))
  await until(async () => /96 BPM · E♭ minor/.test(await textOf(page, '.song-name p')), { what: 'the corrected facts' })
  await until(async () => page.url().includes('bpm=96&tonic=Eb+minor'), { what: 'the correction in the address' })
  await page.reload()
  await until(async () => /96 BPM · E♭ minor/.test(await textOf(page, '.song-name p')), { what: 'the facts after a reload' })
  const marks = await page.waitForFunction(() => document.querySelectorAll('.bar-mark').length)
  assert.ok(await marks.jsonValue())
})

test('the original and the stems switch at the same instant', async () => {
  const page = await visit()
  await choose(page)
  await waitUntilSplit(page)
  await page.waitForSelector('.play.is-playing')
  await page.keyboard.press('t')
  await page.waitForSelector('input[value=original]:checked')
  await until(async () => !(await isLoud(page, 'drums')), { what: 'silent stems' })
  await page.waitForFunction(() => /scaleX\(0\.[1-9]/.test(document.querySelector('.master-lane .meter span').style.transform), { timeout: 60_000 })
  await page.keyboard.press('t')
  await until(() => isLoud(page, 'drums'), { what: 'stems again' })
})

test('two users do not see the songs of each other', async () => {
  const [ann, bob] = [await visit(), await visit()]
  await signUp(ann, nameFor('ann'))
  await choose(ann, newSong(SONG, 'Private'))
  await ann.waitForSelector('.song-view')
  const address = ann.url()
  const title = await textOf(ann, '#song-title')
  await signUp(bob, nameFor('bob'))
  await bob.goto(address)
  await bob.waitForFunction(() => document.querySelector('.stage .centre button'))
  await check(bob, 'missing song')
  const id = /song\/(\d+)/.exec(address)[1]
  assert.equal(await bob.$(`a[href="#/song/${id}"]`), null)
  assert.ok(await ann.$(`a[href="#/song/${id}"]`), title)
  await waitUntilSplit(ann)
})

test('a song is renamed, deleted, and brought back', async () => {
  const page = await visit()
  await signUp(page, nameFor('cleo'))
  await choose(page)
  await waitUntilSplit(page)
  const own = '.song:has(.row-actions)'
  await page.hover(own)
  await page.click(`${own} .row-actions button`)
  await page.waitForSelector('.rename input')
  await page.keyboard.type('Renamed')
  await page.keyboard.press('Enter')
  await until(async () => (await textOf(page, '#song-title')) === 'Renamed', { what: 'the new title' })
  await page.hover(own)
  await page.click(`${own} .row-actions button:last-child`)
  await page.waitForFunction((selector) => !document.querySelector(selector), {}, own)
  await page.click('.notice button:not(.icon-button)')
  await page.waitForSelector(own)
  await check(page, 'library')
})

test('a file that is no song is refused in words', async () => {
  const page = await visit()
  const text = join(tmpdir(), `notes-${BROWSER}.txt`)
  writeFileSync(text, 'no song')
  await choose(page, text)
  await page.waitForSelector('.upload.is-refused')
  assert.match(await textOf(page, '.upload .reason'), /not a kind of audio file/)
  await page.click('.upload .icon-button')
  const fake = join(tmpdir(), `fake-${BROWSER}.mp3`)
  writeFileSync(fake, Buffer.alloc(5000, 'no sound '))
  await choose(page, fake)
  await page.waitForSelector('.upload.is-refused', { timeout: 60_000 })
  assert.ok((await textOf(page, '.upload .reason')).length > 20)
  await check(page, 'refused')
})

function paste(page, text) {
  return page.evaluate((pasted) => {
    const clipboardData = new DataTransfer()
    clipboardData.setData('text', pasted)
    document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }))
  }, text)
}

test('a link is fetched by the service, or refused in words', async () => {
  const page = await visit()
  const address = await serveSong(SONG)
  await page.type('#link', 'no link')
  await page.click('.link-form button')
  await page.waitForSelector('#link-fault')
  await check(page, 'no link')
  await page.$eval('#link', (field) => (field.value = ''))
  await page.type('#link', `${address}/absent.mp3`)
  await page.click('.link-form button')
  await page.waitForSelector('.upload.is-refused')
  assert.match(await textOf(page, '.upload .reason'), /404/)
  await page.click('.upload .icon-button:last-child')
  const link = `${address}/A%20link.mp3`
  if (BROWSER === 'chromium') await paste(page, link)
  else {
    // Scripts cannot paste in Firefox.
    await page.type('#link', link)
    await page.click('.link-form button')
  }
  await until(async () => (await textOf(page, '#song-title')).length > 0, { what: 'the song of the link' })
})

test('a session that has ended asks for a login, and uploads nothing', async () => {
  const page = await visit()
  await signUp(page, nameFor('dora'))
  const cookies = await page.browserContext().cookies()
  const session = cookies.find((cookie) => cookie.name === 'msaas')
  await page.browserContext().setCookie({ ...session, value: 'x'.repeat(session.value.length) })
  await choose(page)
  await page.waitForSelector('dialog[open] #username', { timeout: 60_000 })
  await check(page, 'sign-in')
  await page.waitForSelector('.upload.is-refused')
})

/** Kills the service. Its supervisor starts it again within seconds. */
function killService() {
  const rows = execFileSync('ps', ['--ppid', STACK_PID, '-o', 'pid=,args='], { encoding: 'utf8' }).trim().split('\n')
  const row = rows.find((each) => each.includes('msaas_rest') || each.includes('rest-server'))
  process.kill(Number(row.trim().split(' ')[0]), 'SIGKILL')
}

test('an upload goes on after the service was killed', async () => {
  const page = await visit()
  const large = join(tmpdir(), `large-${BROWSER}.mp3`)
  writeFileSync(large, Buffer.concat(Array(20).fill(readFileSync(newSong(SONG, 'Long')))))
  await choose(page, large)
  killService()
  await page.waitForSelector('.song-view', { timeout: 120_000 })
  await page.waitForSelector('.separation button, .download')
  if (await page.$('.separation button')) await page.click('.separation button')
})

test('a song goes on after the service was killed while it is separated', async () => {
  const page = await visit()
  await choose(page, newSong(SONG, 'Interrupted'))
  await page.waitForSelector('.song-view')
  killService()
  await waitUntilSplit(page)
  await page.waitForSelector('.play.is-playing', { timeout: 60_000 })
})

test('the page fits a phone of 360 px in every state', async () => {
  const page = await visit({ width: 360, height: 740, scheme: 'light' })
  for (const language of ['de', 'en']) {
    await page.select('.picker + .picker select', language)
    await check(page, `empty, phone, ${language}`)
  }
  await choose(page, newSong(SONG, 'Phone'))
  await page.waitForSelector('.song-view')
  await check(page, 'song, phone')
  await waitUntilSplit(page)
  await check(page, 'mixer, phone')
  await page.click('.account')
  await page.waitForSelector('dialog[open]')
  await check(page, 'sign-in, phone')
})
