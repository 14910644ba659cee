/** Colours of code that keep their contrast on a projector, comments included. */
import { defineShikiSetup } from '@slidev/types'

export default defineShikiSetup(() => ({
  themes: { dark: 'github-dark-high-contrast', light: 'github-dark-high-contrast' },
}))
