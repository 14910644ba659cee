// What a person would see on slide `number`: texts with their sizes, and what is wrong with their places.
(number) => {
  const slide = document.querySelector(`.slidev-page-${number}`)
  const room = slide.getBoundingClientRect()
  const scale = room.width / slide.offsetWidth
  const short = (text) => text.trim().replace(/\s+/g, ' ').slice(0, 80)
  const all = [...slide.querySelectorAll('*')]
  const shows = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true })

  // WCAG contrast of an element's text with what lies behind it
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number)
  const light = (colour) => channels(colour).slice(0, 3)
    .map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
  const behind = (e) => {
    const colour = e ? getComputedStyle(e).backgroundColor : 'rgb(255, 255, 255)'
    return (channels(colour)[3] ?? 1) === 1 ? colour : behind(e.parentElement)
  }
  const contrast = (e) => {
    const [dark, bright] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => a - b)
    return (bright + 0.05) / (dark + 0.05)
  }

  const texts = []
  const boxes = []
  const outside = []
  const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const node = walker.currentNode
    if (!node.data.trim() || !shows(node.parentElement)) continue
    const size = parseFloat(getComputedStyle(node.parentElement).fontSize) * scale
    texts.push([size, contrast(node.parentElement), short(node.data)])
    const range = document.createRange()
    range.selectNodeContents(node)
    for (const box of range.getClientRects()) {
      if (box.left < room.left - 1 || box.right > room.right + 1 ||
          box.top < room.top - 1 || box.bottom > room.bottom + 1) outside.push(short(node.data))
      boxes.push({ box, text: short(node.data) })
    }
  }

  const overlaps = []
  boxes.forEach(({ box: a, text }, i) => {
    for (const { box: b, text: other } of boxes.slice(i + 1)) {
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left)
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
      // boxes of lines reach a little over the letters: half a line counts
      if (wide > 2 && high > Math.min(a.height, b.height) / 2) overlaps.push(`${text} | ${other}`)
    }
  })

  const clipped = all
    .filter((e) => shows(e) && getComputedStyle(e).overflowX !== 'visible')
    .filter((e) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
    .map((e) => short(e.textContent))
  const sample = slide.querySelector('[data-sample]')
  return {
    texts,
    outside,
    overlaps,
    clipped,
    hidden: [...slide.querySelectorAll('.slidev-vclick-hidden')].map((e) => short(e.textContent)),
    images: [...slide.querySelectorAll('img')].map((e) => [e.src, e.naturalWidth, e.alt]),
    runs: [...document.querySelectorAll('[data-run]')]
      .filter((e) => slide.contains(e) || e.classList.contains('status'))
      .map((e) => [e.dataset.run, e.textContent]),
    code: [...slide.querySelectorAll('.slidev-code .line')].map((e) => e.textContent),
    sample: sample && [...sample.children].map((e) => e.textContent),
    sampleElements: sample ? sample.querySelectorAll('*:not(mark)').length : 0,
    copied: sample && [...sample.querySelectorAll('mark')].map((e) => e.textContent),
    faces: [...document.fonts].filter((f) => f.status === 'loaded').map((f) => f.family),
    title: document.title,
  }
}
