/** What Vite does not do for this deck by itself: talk.toml as a module, and figures that change. */
import { existsSync, readFileSync, utimesSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import { at, readRun } from './optional.mjs'
import { path as talkFile, readTalk } from './talk.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const figures = join(here, 'public')
const numbers = join(here, 'data', 'run.json')
const slides = join(here, 'slides.md')

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

/** Slides that only some runs have come and go with run.json: then Slidev reads slides.md again. */
const optionalSlides: Plugin = {
  name: 'shakegpt:optional-slides',
  configureServer(server) {
    const keys = [...readFileSync(slides, 'utf8').matchAll(/^when: (\S+)$/gm)].map(([, key]) => key)
    const present = (run: unknown) => keys.map((key) => Boolean(at(run, key))).join()
    let shown = present(readRun(numbers))
    const follow = (file: string) => {
      const run = file === numbers && readRun(numbers)
      if (!run || present(run) === shown) return
      shown = present(run)
      utimesSync(slides, new Date(), new Date())
    }
    server.watcher.on('change', follow)
    server.watcher.on('add', follow)
  },
  /** A slide that comes back is imported by no module yet, for which Vite would reload the page. */
  handleHotUpdate: {
    order: 'post',
    handler({ file, modules, server }) {
      if (file !== slides) return
      const absent = modules.filter((module) => !module.importers.size && !module.isSelfAccepting)
      for (const module of absent) server.moduleGraph.invalidateModule(module)
      return modules.filter((module) => !absent.includes(module))
    },
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

/** One classic script: no browser loads modules from file://, so the deck opens from a disk, too. */
const oneScript: Plugin = {
  name: 'shakegpt:one-script',
  apply: 'build',
  configResolved({ build }) {
    const output = build.rollupOptions.output as Record<string, unknown>
    delete output.manualChunks
    Object.assign(output, { format: 'iife', inlineDynamicImports: true })
  },
  transformIndexHtml: {
    order: 'post',
    handler: (html) => html.replace(/<script type="module"/g, '<script defer').replace(/ crossorigin/g, ''),
  },
}

/** Bundled before the first page: one that is met while slides are shown reloads the stage, or breaks it. */
const bundled = ['uqr', 'ansis', 'file-saver', 'nanotar', 'pptxgenjs', 'recordrtc', '@shikijs/engine-javascript']

export default defineConfig({ optimizeDeps: { include: bundled }, plugins: [liveFigures, optionalSlides, talk, addresses, handout, oneScript] })
