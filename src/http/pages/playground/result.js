// @ts-check
// A generation while it is made, and what came of it.

import { html, useEffect, useState } from './preact.js'
import { hasEnded, sentenceIn } from './api.js'
import { File, filesIn } from './files.js'
import { dollars } from './usage.js'

/** @typedef {import('./api.js').Generation} Generation */
/** @typedef {import('./api.js').Outcome & { generation: Generation | null, log: string[], error: string | null }} Run */

const words = /** @type {Record<string, string>} */ ({ queued: 'Waiting for its turn', running: 'Being made', succeeded: 'Done', failed: 'Failed', cancelled: 'Cancelled', unknown: 'Outcome unknown' })

/**
 * @param {{ run: Run | null, note: string, ratio: [width: number, height: number] | null, onCancel: () => void, canReuse: boolean, onReuse: () => void }} props
 * `ratio`: that of the picture to come; `canReuse`: its settings are known, and its model is on offer
 */
export function Result ({ run, note, ratio, onCancel, canReuse, onReuse }) {
  if (run === null) {
    return html`<section id="result" class="card result empty" tabindex="-1" aria-label="Result">${easel}<p class="muted">Describe a picture, and it appears here.</p>
      ${note !== '' && html`<p class="problem" role="alert">${note}</p>`}</section>`
  }
  const { generation, log, error, cacheStatus, costUsd, savedUsd } = run
  const isOpen = error === null && (generation === null || !hasEnded(generation.status))
  const files = generation === null ? [] : filesIn(generation.output)
  const problem = error ?? (generation?.error === null || generation?.error === undefined ? null : sentenceIn(generation.error))
  const hasAnswer = generation !== null && generation.output !== null && generation.output !== undefined
  return html`
    <section id="result" class="card result" tabindex="-1" aria-label="Result" aria-busy=${isOpen}>
      <div class="head">
        <div class="progress" role="status">
          ${isOpen && html`<span class="pulse"></span>`}
          <strong>${error === null ? words[generation?.status ?? ''] ?? 'Asking' : 'Not made'}</strong>
          ${isOpen && typeof generation?.queue_position === 'number' && html`<span class="muted">${generation.queue_position === 0 ? 'next in the queue' : `${generation.queue_position} before it in the queue`}</span>`}
          ${generation !== null && !isOpen && error === null && html`${generation.status === 'succeeded' && html`<span class="pill">${outcomeOf(cacheStatus, generation)}</span>`}<span class="pill">cost ${dollars(costUsd ?? generation.cost_usd)}</span>
            ${Number(savedUsd ?? 0) > 0 && html`<span class="pill good">saved ${dollars(savedUsd)}</span>`}`}
        </div>
        ${isOpen && html`<${Seconds} key=${generation?.id} />`}
        ${isOpen && generation !== null && html`<button type="button" class="quiet" onClick=${onCancel}>Cancel</button>`}
        ${generation?.seed !== null && generation?.seed !== undefined && html`<span class="muted seed-said" title=${generation.seed}>Seed ${generation.seed}</span>`}
      </div>
      ${note !== '' && html`<p class="problem" role="alert">${note}</p>`}
      ${problem !== null && problem !== '' && html`<p class="problem" role="alert">${problem}</p>`}
      ${isOpen && html`<div class="waiting" aria-hidden="true" style=${ratio === null ? {} : { aspectRatio: ratio.join(' / ') }}></div>`}
      ${files.length > 0 && html`<div class=${files.length > 1 ? 'files many' : 'files'}>${files.map(file => html`<${File} key=${file.url} file=${file} wish=${String(generation?.input?.['prompt'] ?? 'The result')} />`)}</div>`}
      ${log.length > 0 && html`<details class="log" open=${isOpen}><summary>The model's log</summary><pre tabindex="0" aria-label="Log">${log.join('\n')}</pre></details>`}
      ${hasAnswer && html`<details><summary>The answer as JSON</summary><pre tabindex="0" aria-label="JSON">${JSON.stringify(generation.output, null, 2)}</pre></details>`}
      ${!isOpen && canReuse && html`<button type="button" class="quiet" onClick=${onReuse}>Take its settings</button>`}
    </section>`
}

/** Seconds since it is shown. Screen readers are told when something changes. */
function Seconds () {
  const [seconds, setSeconds] = useState(0)
  useEffect(() => {
    const begun = Date.now()
    const clock = setInterval(() => setSeconds(Math.floor((Date.now() - begun) / 1000)), 500)
    return () => clearInterval(clock)
  }, [])
  return html`<span class="muted seconds" aria-hidden="true">${seconds} s</span>`
}

/** Where a result comes from; without a call what the generation tells. @param {string} cacheStatus @param {Generation} generation */
function outcomeOf (cacheStatus, { cost_usd: usd }) {
  if (/; hit/.test(cacheStatus)) return 'a stored result'
  const [, detail] = /detail=([a-z-]+)/.exec(cacheStatus) ?? []
  return detail ?? (Number(usd ?? 0) > 0 ? 'bought' : 'bought by others')
}

const easel = html`<svg viewBox="0 0 48 48" width="48" height="48" aria-hidden="true"><rect x="7" y="9" width="34" height="30" rx="4" /><circle cx="17" cy="19" r="3.5" /><path d="M7 34l10-9 7 6 7-9 10 10" /></svg>`
