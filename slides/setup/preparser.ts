/** The speaker's title and duration, from talk.toml, for slides.md's own; and no slide that the run lacks. */
import { fileURLToPath } from 'node:url'
import { definePreparserSetup } from '@slidev/types'
import { at, readRun } from '../optional.mjs'
import { readTalk } from '../talk.mjs'

const numbers = fileURLToPath(new URL('../data/run.json', import.meta.url))

export default definePreparserSetup(async () => {
  const talk: Record<string, string> = await readTalk()
  return [
    {
      transformRawLines(lines: string[]) {
        for (const key of ['title', 'duration']) {
          const place = lines.findIndex((line) => line.startsWith(`${key}: `))
          if (talk[key] && place >= 0) lines[place] = `${key}: ${JSON.stringify(talk[key])}`
        }
        const run = readRun(numbers)
        for (const [place, line] of lines.entries()) {
          const key = line.match(/^when: (\S+)$/)?.[1]
          if (key && run && !at(run, key)) lines[place] = 'disabled: true'
        }
      },
    },
  ]
})
