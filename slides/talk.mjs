/** talk.toml, the one file a speaker writes: read, checked, {} when there is none. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const path = join(dirname(fileURLToPath(import.meta.url)), 'talk.toml')
export const KEYS = ['title', 'subtitle', 'name', 'handle', 'event', 'date', 'address', 'repository', 'duration']

/** The file's values as strings; throws an Error with one sentence for what is no such file. */
export async function readTalk() {
  if (!existsSync(path)) return {}
  const { parse } = await import('smol-toml')
  let talk
  try {
    talk = parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new Error(`slides/talk.toml is not valid TOML: ${error.message.split('\n')[0]}`)
  }
  for (const [key, value] of Object.entries(talk)) {
    if (!KEYS.includes(key)) throw new Error(`slides/talk.toml has an unknown key ${key}; it may have ${KEYS.join(', ')}`)
    if (typeof value === 'object' && !(value instanceof Date)) throw new Error(`slides/talk.toml: ${key} must be text`)
    talk[key] = value instanceof Date ? value.toISOString().slice(0, 10) : String(value)
  }
  return talk
}
