/** Takes the pictures of docs/page: each state, on a phone and on a desktop, dark and light. URL, SONG, OUT, and ONLY some of them. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { newSong, openBrowser, openPage } from './browser.mjs'

const { URL: SITE, SONG, OUT, ONLY } = process.env
const SIZES = { desktop: [1440, 900], phone: [390, 844] }
const QUALITY = 72

mkdirSync(OUT, { recursive: true })
const browser = await openBrowser()
for (const [size, [width, height]] of Object.entries(SIZES)) {
  for (const scheme of ['dark', 'light']) {
    if (ONLY && !ONLY.split(',').includes(`${size}-${scheme}`)) continue
    const page = await openPage(browser, SITE, { width, height, scheme })
    const shoot = async (state) => {
      await new Promise((resolve) => setTimeout(resolve, 350))
      await page.screenshot({ path: join(OUT, `${state}-${size}-${scheme}.webp`), type: 'webp', quality: QUALITY })
    }
    await page.waitForSelector('#choose')
    await shoot('empty')
    const wrong = join(tmpdir(), 'notes.txt')
    writeFileSync(wrong, 'no song')
    await (await page.$('#add')).uploadFile(wrong)
    await page.waitForSelector('.upload.is-refused')
    await shoot('refused')
    await page.click('.upload .icon-button')
    await page.click('.account')
    await page.waitForSelector('dialog[open]')
    await shoot('sign-in')
    await page.keyboard.press('Escape')
    await (await page.$('#add')).uploadFile(newSong(SONG, 'Night train'))
    await page.waitForSelector('.song-view')
    await page.waitForSelector('.play.is-playing')
    await shoot('separating')
    await page.waitForSelector('.download', { timeout: 90_000 })
    await page.click('.lane.s-vocals .toggle')
    await shoot('mixer')
    await page.evaluate(() => (location.hash = ''))
    await page.waitForSelector('#choose')
    await shoot('library')
    await page.browserContext().close()
  }
}
await browser.close()
