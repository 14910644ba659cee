/** The run that the deck shows: data/run.json, replaced in place while a run trains. */
import { shallowRef } from 'vue'
import recorded from '../data/run.json'

export type Shown = { value: number; text: string }
export type Piece = { text?: string; key?: string }

export const run = shallowRef<typeof recorded>(recorded)

if (import.meta.hot) {
  import.meta.hot.accept('../data/run.json', (next) => {
    if (next) run.value = next.default as typeof recorded
  })
}

/** What stands at a dotted path of run.json; throws when nothing does, so no slide says "undefined". */
export function at(path: string): unknown {
  let place: unknown = run.value
  for (const key of path.split('.')) {
    if (typeof place !== 'object' || place === null || !Object.hasOwn(place, key)) {
      throw new Error(`data/run.json has no ${path}: run \`shakegpt figures\` again`)
    }
    place = (place as Record<string, unknown>)[key]
  }
  return place
}

/** The text of a number, or a string as it is; throws for what this run did not measure. */
export function text(path: string): string {
  const found = at(path)
  const shown = typeof found === 'string' ? found : (found as Shown | null)?.text
  if (typeof shown !== 'string') throw new Error(`${path} of data/run.json has no text to show`)
  return shown
}

/** A sentence cut at its {placeholders}: plain text, and keys of run.json to show in their place. */
export function pieces(path: string): Piece[] {
  return text(path)
    .split(/(\{[\w.]+\})/)
    .filter(Boolean)
    .map((part) => (/^\{[\w.]+\}$/.test(part) ? { key: part.slice(1, -1) } : { text: part }))
}

/** Whether something is there: not null, not false, not "", not 0. */
export function holds(path: string): boolean {
  const found = at(path)
  const value = typeof found === 'object' && found !== null ? (found as Shown).value : found
  return Boolean(value)
}
