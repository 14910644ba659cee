/** The built deck as a vector PDF, by the Chromium at hand: `npm run pdf`. Slides, or with --notes a handout. */
import { spawn, spawnSync } from 'node:child_process'
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withoutAbsent } from './optional.mjs'

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' }
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome']
const here = dirname(fileURLToPath(import.meta.url))
const dist = join(here, 'dist')
const page = process.argv.includes('--notes') ? 'presenter/print' : 'export'
const out = join(here, page === 'export' ? 'deck.pdf' : 'handout.pdf')

function stop(sentence) {
  console.error(`No PDF: ${sentence}.`)
  process.exit(1)
}

const browser = [process.env.CHROMIUM, ...NAMES].find(
  (name) => name && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
)
if (!browser) stop('no Chromium or Chrome was found; install one, or name it in the variable CHROMIUM')
if (!existsSync(join(dist, 'index.html'))) stop('the deck is not built; run `npm run build` first')

const server = createServer((request, response) => {
  const path = join(dist, normalize(decodeURIComponent(new URL(request.url, 'http://127.0.0.1').pathname)))
  const file = path.endsWith('/') ? join(path, 'index.html') : path
  if (!file.startsWith(dist) || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end()
  response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' })
  createReadStream(file).pipe(response)
})
/** The browser's DevTools over a pipe: send a command, get its result. */
function devtools(process) {
  const [, , , input, output] = process.stdio
  const waiting = new Map()
  let last = 0
  let rest = ''
  output.on('data', (chunk) => {
    const messages = (rest + chunk).split('\0')
    rest = messages.pop()
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      if (!waiting.has(id)) continue
      const [done, fail] = waiting.get(id)
      if (error) fail(new Error(error.message))
      else done(result)
    }
  })
  return (method, params = {}, sessionId = undefined) =>
    new Promise((done, fail) => {
      waiting.set(++last, [done, fail])
      input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`)
    })
}

async function print(call, address) {
  const { targetId } = await call('Target.createTarget', { url: address })
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true })
  const run = JSON.parse(readFileSync(join(here, 'data', 'run.json'), 'utf8'))
  const deck = withoutAbsent(readFileSync(join(here, 'slides.md'), 'utf8'), run)
  const slides = (deck.match(/^# |^image: /gm) ?? []).length
  const ready = `document.querySelectorAll('${page === 'export' ? '.print-slide-container' : '#page-root .break-inside-avoid-page'}')
    .length >= ${page === 'export' ? slides : 2} && document.fonts.status === 'loaded' && [...document.images].every((image) => image.complete)`
  const limit = Date.now() + 120_000
  for (;;) {
    const { result } = await call('Runtime.evaluate', { expression: ready }, sessionId)
    if (result.value) break
    if (Date.now() > limit) throw new Error('the slides did not load within two minutes')
    await new Promise((next) => setTimeout(next, 200))
  }
  await new Promise((next) => setTimeout(next, 1000))
  const { data } = await call('Page.printToPDF', { preferCSSPageSize: true, printBackground: true }, sessionId)
  writeFileSync(out, Buffer.from(data, 'base64'))
}

server.listen(0, '127.0.0.1', async () => {
  const profile = mkdtempSync(join(tmpdir(), 'deck-pdf-'))
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe', `--user-data-dir=${profile}`]
  const chromium = spawn(browser, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
  let problem = ''
  try {
    await print(devtools(chromium), `http://127.0.0.1:${server.address().port}/index.html#/${page}`)
  } catch (error) {
    problem = error.message
  }
  chromium.on('close', () => {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
    if (problem) stop(problem)
    console.log(out)
    process.exit(0)
  })
  chromium.kill()
  server.close()
})
