/** Files of public/ are no modules, so Vite does not swap them: tell the deck when one was replaced. */
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'

const figures = join(dirname(fileURLToPath(import.meta.url)), 'public')

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

export default defineConfig({ plugins: [liveFigures] })
