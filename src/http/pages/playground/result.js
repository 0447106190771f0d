// @ts-check
// A generation while it is made, and what came of it.

import { html, useState } from './preact.js'
import { hasEnded } from './api.js'
import { copy } from './snippets.js'
import { dollars } from './usage.js'

/** @typedef {import('./api.js').Generation} Generation */
/** @typedef {import('./api.js').Outcome & { generation: Generation | null, log: string[], error: string | null }} Run */

const words = /** @type {Record<string, string>} */ ({ queued: 'Waiting for its turn', running: 'Being made', succeeded: 'Done', failed: 'Failed', cancelled: 'Cancelled', unknown: 'Outcome unknown' })

/** @param {{ run: Run | null, note: string, onCancel: () => void, canReuse: boolean, onReuse: () => void }} props `canReuse`: its settings are known, and its model is on offer */
export function Result ({ run, note, onCancel, canReuse, onReuse }) {
  if (run === null) {
    return html`<section id="result" class="card result empty" tabindex="-1" aria-label="Result"><p class="muted">Describe a picture, and it appears here.</p></section>`
  }
  const { generation, log, error, cacheStatus, costUsd, savedUsd } = run
  const isOpen = error === null && (generation === null || !hasEnded(generation.status))
  const files = generation === null ? [] : filesIn(generation.output)
  const problem = error ?? (generation?.error === null || generation?.error === undefined ? null : [generation.error.title, generation.error.detail].filter(Boolean).join('. '))
  return html`
    <section id="result" class="card result" tabindex="-1" aria-label="Result" aria-busy=${isOpen}>
      <div class="progress" role="status">
        ${isOpen && html`<span class="pulse"></span>`}
        <strong>${error === null ? words[generation?.status ?? ''] ?? 'Asking' : 'Not made'}</strong>
        ${isOpen && typeof generation?.queue_position === 'number' && html`<span class="muted">${generation.queue_position === 0 ? 'next in the queue' : `${generation.queue_position} before it in the queue`}</span>`}
        ${generation !== null && !isOpen && error === null && html`<span class="pill">${outcomeOf(cacheStatus, generation)}</span><span class="pill">cost ${dollars(costUsd ?? generation.cost_usd)}</span>
          ${Number(savedUsd ?? 0) > 0 && html`<span class="pill good">saved ${dollars(savedUsd)}</span>`}`}
        ${isOpen && generation !== null && html`<button type="button" class="quiet" onClick=${onCancel}>Cancel</button>`}
      </div>
      ${note !== '' && html`<p class="problem" role="alert">${note}</p>`}
      ${problem !== null && problem !== '' && html`<p class="problem" role="alert">${problem}</p>`}
      ${isOpen && html`<div class="waiting" aria-hidden="true"></div>`}
      ${files.map(file => html`<${File} key=${file.url} file=${file} wish=${String(generation?.input?.['prompt'] ?? 'The result')} />`)}
      ${log.length > 0 && html`<details class="log" open=${isOpen}><summary>The model's log</summary><pre tabindex="0">${log.join('\n')}</pre></details>`}
      ${generation !== null && generation.output !== null && generation.output !== undefined && html`<details><summary>The answer as JSON</summary><pre tabindex="0">${JSON.stringify(generation.output, null, 2)}</pre></details>`}
      ${!isOpen && canReuse && html`<button type="button" class="quiet" onClick=${onReuse}>Take its settings</button>`}
      ${generation?.seed !== null && generation?.seed !== undefined && html`<p class="muted">Seed ${generation.seed}</p>`}
    </section>`
}

/** @param {{ file: { url: string, kind: string, name: string }, wish: string }} props */
function File ({ file: { url, kind, name }, wish }) {
  const [isReal, setReal] = useState(false)
  const [said, say] = useState('')
  return html`
    <figure>
      ${kind === 'image' && html`<div class=${isReal ? 'frame real' : 'frame'} tabindex=${isReal ? 0 : -1} role="group" aria-label="Picture"><img src=${url} alt=${wish} /></div>`}
      ${kind === 'video' && html`<video src=${url} controls></video>`}
      ${kind === 'audio' && html`<audio src=${url} controls></audio>`}
      <figcaption>
        ${kind === 'image' && html`<button type="button" class="quiet" aria-pressed=${isReal} onClick=${() => setReal(!isReal)}>Real size</button>`}
        <a class="quiet" href=${url} download=${name} target="_blank" rel="noreferrer">Download</a>
        <button type="button" class="quiet" onClick=${async () => { say(await copy(url) ? 'Copied' : url) }}>Copy link</button>
        <span class="muted said" role="status">${said}</span>
      </figcaption>
    </figure>`
}

/** Where a result comes from; without a call what the generation tells. @param {string} cacheStatus @param {Generation} generation */
function outcomeOf (cacheStatus, { status, cost_usd: usd }) {
  if (/; hit/.test(cacheStatus)) return 'a stored result'
  const [, detail] = /detail=([a-z-]+)/.exec(cacheStatus) ?? []
  return detail ?? (status !== 'succeeded' ? 'not bought' : Number(usd ?? 0) > 0 ? 'bought' : 'bought by others')
}

/**
 * All files in an answer, wherever they are.
 * @param {unknown} output @returns {{ url: string, kind: 'image' | 'video' | 'audio' | 'other', name: string }[]}
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
