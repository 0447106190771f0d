// @ts-check
// What was asked for with this key, newest first.

import { html, useLayoutEffect, useRef, useState } from './preact.js'
import { filesIn } from './files.js'
import { dollars } from './usage.js'

/** @typedef {import('./api.js').Generation} Generation */

/** @param {{ list: Generation[], shownId: string | null, hasMore: boolean, onMore: () => void, onOpen: (generation: Generation) => void }} props `shownId`: the one that is on show */
export function Gallery ({ list, shownId, hasMore, onMore, onOpen }) {
  const places = useRef(/** @type {HTMLUListElement | null} */ (null))
  // The first of those that were asked for: the button that asked may be gone once they are there.
  const next = useRef(Infinity)
  useLayoutEffect(() => {
    if (list.length <= next.current) return
    places.current?.children[next.current]?.querySelector('button')?.focus()
    next.current = Infinity
  }, [list.length])
  return html`
    <section class="gallery" aria-labelledby="gallery">
      <h2 id="gallery">Gallery</h2>
      ${list.length === 0
        ? html`<p class="muted">Nothing yet. What you make is kept here for a while.</p>`
        : html`<ul ref=${places}>${list.map(one => html`<li key=${one.id}><button type="button" aria-current=${one.id === shownId} onClick=${() => onOpen(one)}><${Thumb} generation=${one} /><span class="wish">${wishOf(one)}</span>${one.cost_usd !== null && html`<span class="price">${dollars(one.cost_usd)}</span>`}</button></li>`)}</ul>`}
      ${hasMore && html`<button type="button" class="quiet" onClick=${() => {
        next.current = list.length
        onMore()
      }}>Older ones</button>`}
    </section>`
}

/** @param {{ generation: Generation }} props */
function Thumb ({ generation: { status, output } }) {
  const [isGone, setGone] = useState(false)
  const files = filesIn(output)
  const picture = files.find(({ kind }) => kind === 'image')
  return picture === undefined || isGone
    ? html`<span class=${`thumb ${status}`}>${status !== 'succeeded' ? status : isGone ? 'gone' : files[0]?.kind ?? 'no file'}</span>`
    : html`<img class="thumb" src=${picture.url} alt="" loading="lazy" onError=${() => setGone(true)} />`
}

/** @param {Generation} generation */
function wishOf ({ input, model }) {
  const wish = input?.['prompt'] ?? input?.['text']
  return typeof wish === 'string' ? wish : model
}
