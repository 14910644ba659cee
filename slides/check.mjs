/** Before the deck is built or served: is everything there, and all of one run? A sentence, if not. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { at, withoutAbsent } from './optional.mjs'
import { readTalk } from './talk.mjs'

const SCHEMA = 3 // of run.json: figures/shakegpt_figures/rundata.py names the same one
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

const run = readRun()
if (run?.schema !== SCHEMA) {
  stop(`slides/data/run.json has schema ${run?.schema} and the deck reads ${SCHEMA}; ${remedy}`)
}
const deck = withoutAbsent(readFileSync(join(here, 'slides.md'), 'utf8'), run)
for (const [, path] of deck.matchAll(/(?:\sk="|^alt: )([\w.]+)/gm)) {
  const found = at(run, path)
  if (found === undefined) stop(`slides.md shows ${path}, which slides/data/run.json does not have; ${remedy}`)
  for (const [, key] of String(found).matchAll(/\{([\w.]+)\}/g)) {
    if (path.startsWith('story.') && at(run, key) === undefined) {
      stop(`${path} shows ${key}, which slides/data/run.json does not have; ${remedy}`)
    }
  }
}
for (const [, image] of deck.matchAll(/^image: \/(\S+)/gm)) {
  const path = join(here, 'public', image)
  if (!existsSync(path) || statSync(path).size === 0) {
    stop(`the figure slides/public/${image} is missing; ${remedy}`)
  }
  const digest = readFileSync(path, 'utf8').match(/<dc:identifier>sha256:(\w+)/)?.[1]
  if (digest !== run.run.log_sha256) {
    stop(`slides/public/${image} is not of run ${run.run.id}, whose numbers the slides have; ${remedy}`)
  }
}
await readTalk().catch((error) => stop(error.message))
