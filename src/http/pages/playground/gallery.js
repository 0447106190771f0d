// @ts-check
// What was asked for with this key, newest first.

import { html, useEffect, useRef } from './preact.js'
import { filesIn } from './result.js'

/** @typedef {import('./api.js').Generation} Generation */

/** @param {{ list: Generation[], hasMore: boolean, onMore: () => void, onOpen: (generation: Generation) => void }} props */
export function Gallery ({ list, hasMore, onMore, onOpen }) {
  const places = useRef(/** @type {HTMLUListElement | null} */ (null))
  // The first of those that were asked for: the button that asked may be gone once they are there.
  const next = useRef(Infinity)
  useEffect(() => {
    if (list.length <= next.current) return
    places.current?.children[next.current]?.querySelector('button')?.focus()
    next.current = Infinity
  }, [list.length])
  return html`
    <section class="gallery" aria-labelledby="gallery">
      <h2 id="gallery">Gallery</h2>
      ${list.length === 0
        ? html`<p class="muted">Nothing yet. What you make is kept here for a while.</p>`
        : html`<ul ref=${places}>${list.map(one => html`<li key=${one.id}><button type="button" onClick=${() => onOpen(one)}>${thumb(one)}<span class="wish">${wishOf(one)}</span></button></li>`)}</ul>`}
      ${hasMore && html`<button type="button" class="quiet" onClick=${() => {
        next.current = list.length
        onMore()
      }}>Older ones</button>`}
    </section>`
}

/** @param {Generation} generation */
function thumb ({ status, output }) {
  const picture = filesIn(output).find(({ kind }) => kind === 'image')
  return picture === undefined
    ? html`<span class=${`thumb ${status}`}>${status}</span>`
    : html`<img class="thumb" src=${picture.url} alt="" loading="lazy" />`
}

/** @param {Generation} generation */
function wishOf ({ input, model }) {
  const wish = input?.['prompt'] ?? input?.['text']
  return typeof wish === 'string' ? wish : model
}
