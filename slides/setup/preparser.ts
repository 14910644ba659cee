/** The speaker's title and duration, from talk.toml, in the place of slides.md's own. */
import { definePreparserSetup } from '@slidev/types'
import { readTalk } from '../talk.mjs'

export default definePreparserSetup(async () => {
  const talk: Record<string, string> = await readTalk()
  return [
    {
      transformRawLines(lines: string[]) {
        for (const key of ['title', 'duration']) {
          const place = lines.findIndex((line) => line.startsWith(`${key}: `))
          if (talk[key] && place >= 0) lines[place] = `${key}: ${JSON.stringify(talk[key])}`
        }
      },
    },
  ]
})
