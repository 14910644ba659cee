/** Slides that only some runs have: `when: KEY` in a slide's matter names a key of run.json. */

import { readFileSync } from 'node:fs'

/** run.json, or null while it is not whole. */
export function readRun(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}

/** What stands at a dotted path of run.json; undefined for nothing. */
export function at(run, path) {
  let place = run
  for (const key of path.split('.')) {
    if (typeof place !== 'object' || place === null || !Object.hasOwn(place, key)) return undefined
    place = place[key]
  }
  return place
}

const OPTIONAL = /^---\n(?:(?!---$).*\n)*?when: (\S+)\n(?:(?!---$).*\n)*?---\n(?:(?!---$).*\n?)*/gm

/** The deck's markdown without the slides that this run lacks. */
export function withoutAbsent(markdown, run) {
  return markdown.replace(OPTIONAL, (slide, key) => (at(run, key) ? slide : ''))
}
