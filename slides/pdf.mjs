/** The built deck as a vector PDF, by the Chromium at hand: `npm run pdf`. Slides, or with --notes a handout of slides and notes. */
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
const notes = process.argv.includes('--notes')
const out = join(here, notes ? 'handout.pdf' : 'deck.pdf')

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

/** Open a page of the deck and wait until `ready` holds; a function that evaluates in it. */
async function open(call, address, ready) {
  const { targetId } = await call('Target.createTarget', { url: address })
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true })
  const loaded = `${ready} && document.fonts.status === 'loaded' && [...document.images].every((image) => image.complete)`
  const limit = Date.now() + 120_000
  const ask = async (expression) =>
    (await call('Runtime.evaluate', { expression, returnByValue: true }, sessionId)).result.value
  while (!(await ask(loaded))) {
    if (Date.now() > limit) throw new Error('the slides did not load within two minutes')
    await new Promise((next) => setTimeout(next, 200))
  }
  await new Promise((next) => setTimeout(next, 1000))
  return { ask, sessionId }
}

/** In the page: number of the slide -> its notes as HTML. */
const readNotes = `Object.fromEntries([...document.querySelectorAll('#page-root .break-inside-avoid-page')].map(
  (part) => [parseInt(part.querySelector('h2').textContent), part.querySelector('h2').nextElementSibling.innerHTML]))`

/** In the page of all slides: each one small, its notes beside it, on white paper. */
function layOut(notes) {
  const style = document.createElement('style')
  style.textContent = `
    @page { size: A4; margin: 12mm }
    html, body { height: auto !important; overflow: visible !important; background: #fff !important }
    html { color-scheme: light !important }
    .handout { display: grid; grid-template-columns: 88mm 1fr; gap: 6mm; margin-bottom: 6mm; break-inside: avoid }
    .handout .print-slide-container { zoom: 0.34; break-after: auto !important }
    .handout .note, .handout .note * { color: #1e293b !important; font-size: 9.5pt; line-height: 1.35; opacity: 1 }
    .handout .note p { margin: 0 0 1.5mm }`
  const parts = [...document.querySelectorAll('.print-slide-container')].map((slide, i) => {
    const [part, frame, note] = ['section', 'div', 'div'].map((name) => document.createElement(name))
    part.className = 'handout'
    note.className = 'note'
    note.innerHTML = notes[i + 1] ?? ''
    frame.append(slide)
    part.append(frame, note)
    return part
  })
  document.head.append(style)
  document.body.replaceChildren(...parts)
}

async function print(call, base) {
  const run = JSON.parse(readFileSync(join(here, 'data', 'run.json'), 'utf8'))
  const deck = withoutAbsent(readFileSync(join(here, 'slides.md'), 'utf8'), run)
  const count = (deck.match(/^# |^image: /gm) ?? []).length
  const slides = await open(call, `${base}/export`, `document.querySelectorAll('.print-slide-container').length >= ${count}`)
  if (notes) {
    const parts = "document.querySelectorAll('#page-root .break-inside-avoid-page').length"
    const page = await open(call, `${base}/presenter/print`, `${parts} > 1`)
    await slides.ask(`(${layOut})(${JSON.stringify(await page.ask(readNotes))})`)
  }
  const how = { preferCSSPageSize: true, printBackground: true }
  const { data } = await call('Page.printToPDF', how, slides.sessionId)
  writeFileSync(out, Buffer.from(data, 'base64'))
}

server.listen(0, '127.0.0.1', async () => {
  const profile = mkdtempSync(join(tmpdir(), 'deck-pdf-'))
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe', `--user-data-dir=${profile}`]
  const chromium = spawn(browser, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] })
  let problem = ''
  try {
    await print(devtools(chromium), `http://127.0.0.1:${server.address().port}/index.html#`)
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
