/** Serves the engine and the files of a folder, whole, by ranges, and an MP3 as fragments. */

import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TYPES = { js: 'text/javascript', mjs: 'text/javascript', html: 'text/html', mp3: 'audio/mpeg' }

/** Returns the files of the engine as one library, by name. */
async function buildEngine() {
  const { output } = (
    await build({
      root: ROOT,
      configFile: false,
      logLevel: 'warn',
      base: '/',
      build: { write: false, minify: false, target: 'es2022', assetsInlineLimit: 0, lib: { entry: join(ROOT, 'src/audio/index.ts'), formats: ['es'], fileName: () => 'engine.js' } },
    })
  )[0]
  return new Map(output.map((file) => [`/${file.fileName}`, Buffer.from(file.type === 'chunk' ? file.code : file.source)]))
}

/** The byte of the sound at which each fragment of an MP3 of 320 kbit/s begins, as the worker cuts it. */
function fragmentOf(file, number, head) {
  const unit = 51_200
  let first = 0
  for (let at = 1; ; at++) {
    const end = first + Math.min(Math.max(Math.floor(first / 10), 4), 40)
    if (at === number) return file.subarray(at === 1 ? 0 : head + first * unit, Math.min(file.length, head + end * unit))
    first = end
  }
}

export async function serve(folder) {
  const files = await buildEngine()
  files.set('/', await readFile(join(ROOT, 'tests/engine.html')))
  const server = createServer(async (request, response) => {
    const path = request.url.split('?')[0]
    try {
      const [, fragment] = /^\/pieces\/(\d+)$/.exec(path) ?? []
      let body = files.get(path) ?? (await readFile(join(folder, fragment ? 'stem.mp3' : path.slice(1))))
      if (fragment) body = fragmentOf(body, Number(fragment), Number(process.env.HEAD_BYTES))
      const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
      const type = TYPES[path === '/' ? 'html' : path.split('.').pop()] ?? 'application/octet-stream'
      const part = start === undefined ? body : body.subarray(Number(start), Number(end) + 1)
      response.writeHead(start === undefined ? 200 : 206, { 'Content-Type': type, 'Content-Length': part.length }).end(part)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}
