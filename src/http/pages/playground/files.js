// @ts-check
// The files in an answer: found wherever they are, and shown.

import { html, useState } from './preact.js'
import { copy } from './snippets.js'

/** @typedef {{ url: string, kind: 'image' | 'video' | 'audio' | 'other', name: string }} ResultFile */

/** @param {{ file: ResultFile, wish: string }} props `wish`: what was asked for, which is the best text for what it shows */
export function File ({ file: { url, kind, name }, wish }) {
  const [isReal, setReal] = useState(false)
  const [isGone, setGone] = useState(false)
  const [said, say] = useState('')
  const lost = () => setGone(true)
  return html`
    <figure class="file">
      ${isGone && html`<p class="frame gone" role="alert">This file cannot be loaded from where it is.</p>`}
      ${!isGone && kind === 'image' && html`<div class=${isReal ? 'frame real' : 'frame'} tabindex=${isReal ? 0 : -1} role="group" aria-label="Picture"><img src=${url} alt=${wish} onError=${lost} /></div>`}
      ${!isGone && kind === 'video' && html`<video src=${url} controls aria-label=${wish} onError=${lost}></video>`}
      ${!isGone && kind === 'audio' && html`<audio src=${url} controls aria-label=${wish} onError=${lost}></audio>`}
      <figcaption>
        ${!isGone && kind === 'image' && html`<button type="button" class="quiet" aria-pressed=${isReal} onClick=${() => setReal(!isReal)}>Real size</button>`}
        <a class="quiet" href=${url} download=${name} target="_blank" rel="noreferrer">Download</a>
        <button type="button" class="quiet" onClick=${async () => { say(await copy(url) ? 'Copied' : url) }}>Copy link</button>
        <span class="muted said" role="status">${said}</span>
      </figcaption>
    </figure>`
}

/**
 * All files in an answer, wherever they are.
 * @param {unknown} output @returns {ResultFile[]}
 */
export function filesIn (output, depth = 0) {
  if (typeof output !== 'object' || output === null || depth > 6) return []
  const url = Reflect.get(output, 'url')
  if (typeof url === 'string' && /^(?:https?:|data:)/.test(url)) {
    const type = String(Reflect.get(output, 'content_type') ?? /^data:([^;,]+)/.exec(url)?.[1] ?? '')
    const name = String(Reflect.get(output, 'file_name') ?? 'result')
    return [{ url, name, kind: kindOf(type, url) }]
  }
  return Object.values(output).flatMap(part => filesIn(part, depth + 1))
}

/** @param {string} type @param {string} url */
function kindOf (type, url) {
  for (const kind of /** @type {const} */ (['image', 'video', 'audio'])) if (type.startsWith(kind + '/')) return kind
  if (/\.(?:mp4|webm|mov)(?:$|\?)/.test(url)) return 'video'
  if (/\.(?:mp3|wav|ogg|flac)(?:$|\?)/.test(url)) return 'audio'
  return type === '' || /\.(?:png|jpe?g|webp|gif|avif|svg)(?:$|\?)/.test(url) ? 'image' : 'other'
}
