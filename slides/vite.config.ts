/** What Vite does not do for this deck by itself: talk.toml as a module, and figures that change. */
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import { path as talkFile, readTalk } from './talk.mjs'

const figures = join(dirname(fileURLToPath(import.meta.url)), 'public')

/** Files of public/ are no modules, so Vite does not swap them: tell the deck when one was replaced. */
const liveFigures: Plugin = {
  name: 'shakegpt:live-figures',
  configureServer(server) {
    const tell = (file: string) => {
      if (dirname(file) !== figures || !file.endsWith('.svg')) return
      server.ws.send('shakegpt:figure', { path: `/${basename(file)}`, time: Date.now() })
    }
    server.watcher.add(figures)
    server.watcher.on('change', tell)
    server.watcher.on('add', tell)
  },
}

const talk: Plugin = {
  name: 'shakegpt:talk',
  resolveId: (id) => (id === 'virtual:talk' ? '\0virtual:talk' : undefined),
  async load(id) {
    if (id !== '\0virtual:talk') return
    if (existsSync(talkFile)) this.addWatchFile(talkFile)
    return `export default ${JSON.stringify(await readTalk())}`
  },
}

/** Slidev prints addresses such as /export/, but this deck's pages are /#/export and the like. */
const addresses: Plugin = {
  name: 'shakegpt:addresses',
  configureServer(server) {
    server.middlewares.use((request, response, next) => {
      const page = request.url?.match(/^\/(export|presenter|overview|print|entry|notes)\/?$/)?.[1]
      if (!page) return next()
      response.writeHead(302, { Location: `/#/${page === 'presenter' ? 'presenter/1' : page}` }).end()
    })
  },
}

/** The page with slides and notes, which pdf.mjs prints as a handout, is in the built deck, too. */
const handout: Plugin = {
  name: 'shakegpt:handout',
  enforce: 'post',
  config: () => ({ define: { __SLIDEV_FEATURE_PRINT__: 'true' } }),
}

export default defineConfig({ plugins: [liveFigures, talk, addresses, handout] })
