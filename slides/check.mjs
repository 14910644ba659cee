/** Before the deck is built or served: is everything there that it shows? A sentence, if not. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const SCHEMA = 1 // of run.json: figures/shakegpt_figures/rundata.py names the same one
const here = dirname(fileURLToPath(import.meta.url))
const remedy = 'run `shakegpt figures` first'

function stop(sentence) {
  console.error(`The deck cannot be built: ${sentence}.`)
  process.exit(1)
}

function readRun() {
  const path = join(here, 'data', 'run.json')
  if (!existsSync(path)) stop(`slides/data/run.json is missing, so no slide has its numbers; ${remedy}`)
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    return stop(`slides/data/run.json is no JSON (${error.message}); ${remedy}`)
  }
}

function has(run, path) {
  let place = run
  for (const key of path.split('.')) {
    if (typeof place !== 'object' || place === null || !Object.hasOwn(place, key)) return false
    place = place[key]
  }
  return true
}

const run = readRun()
if (run?.schema !== SCHEMA) {
  stop(`slides/data/run.json has schema ${run?.schema} and the deck reads ${SCHEMA}; ${remedy}`)
}
const deck = readFileSync(join(here, 'slides.md'), 'utf8')
for (const [, path] of deck.matchAll(/(?:\sk="|^alt: )([\w.]+)/gm)) {
  if (!has(run, path)) stop(`slides.md shows ${path}, which slides/data/run.json does not have; ${remedy}`)
}
for (const [, image] of deck.matchAll(/^image: \/(\S+)/gm)) {
  const path = join(here, 'public', image)
  if (!existsSync(path) || statSync(path).size === 0) {
    stop(`the figure slides/public/${image} is missing; ${remedy}`)
  }
}
