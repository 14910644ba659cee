/** The built deck as a vector PDF, by the Chromium at hand: `npm run pdf`. Slides, or with --notes a handout. */
import { spawn, spawnSync } from 'node:child_process'
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

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
  const path = join(dist, normalize(decodeURIComponent(new URL(request.url, 'http://deck').pathname)))
  const file = path.endsWith('/') ? join(path, 'index.html') : path
  if (!file.startsWith(dist) || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end()
  response.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' })
  createReadStream(file).pipe(response)
})
server.listen(0, '127.0.0.1', () => {
  const profile = mkdtempSync(join(tmpdir(), 'deck-pdf-'))
  const printing = spawn(browser, [
    '--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${profile}`, '--no-pdf-header-footer',
    '--run-all-compositor-stages-before-draw', '--virtual-time-budget=30000', `--print-to-pdf=${out}`,
    `http://127.0.0.1:${server.address().port}/index.html#/${page}`,
  ], { stdio: 'ignore' })
  printing.on('close', (code) => {
    server.close()
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
    if (code !== 0 || !existsSync(out)) stop(`${browser} ended with ${code}`)
    console.log(out)
    process.exit(0)
  })
})
