// @ts-check
// What was spent, saved and is left, as numbers and small plots.

import { html } from './preact.js'
import { Growth, Parts } from './plots.js'

/** @typedef {{ spentUsd: number, savedUsd: number }} Call one that came to its end while the page was open */

/** Models that have a line of their own. */
const MOST_MODELS = 5

/**
 * @param {{ usage: import('./api.js').Usage | null, token: import('./api.js').Token | null, generations: import('./api.js').Generation[], titleOf: (model: string) => string, calls: Call[] }} props
 * `usage`: of a tenant, `token`: of who has one in place of a key; `generations`: the latest; `calls`: those of this page
 */
export function Usage ({ usage, token, generations, titleOf, calls }) {
  if (usage === null && token === null) return null
  return html`
    <section class="card usage" aria-labelledby="usage">
      ${token !== null ? html`<${OfToken} token=${token} />` : usage !== null && html`<${OfTenant} usage=${usage} />`}
      ${(calls.length > 0 || generations.length > 0) && html`<div class="plots">
        ${calls.length > 0 && html`<${OfPage} calls=${calls} />`}
        ${generations.length > 0 && html`<${ByModel} generations=${generations} titleOf=${titleOf} />`}
      </div>`}
    </section>`
}

/** @param {{ usage: import('./api.js').Usage }} props */
function OfTenant ({ usage: { tenant, budget, month, saved } }) {
  const of = budget ?? month
  const savings = Object.entries(saved).filter(([name]) => name.endsWith('_usd')).map(([name, usd]) => ({ name: name.slice(0, -4), usd: Number(usd) }))
  const savedUsd = savings.reduce((sum, { usd }) => sum + usd, 0)
  const parts = [{ name: 'spent', value: of.spent_usd }, { name: 'reserved', value: of.reserved_usd }]
  const figures = budget === null ? parts : [...parts, { name: 'left', value: budget.left_usd }]
  const gone = of.spent_usd + of.reserved_usd
  return html`
    <div class="row"><h2 id="usage">Usage</h2><span class="muted">${tenant}, ${budget === null ? `month ${month.period}` : `${budget.per} ${budget.period}`}</span></div>
    <${Parts} parts=${parts} whole=${budget === null ? gone : Math.max(budget.usd, gone)} label=${figures.map(({ name, value }) => `${dollars(value)} ${name}`).join(', ')} />
    <dl class="figures">
      ${figures.map(({ name, value }) => html`<${Figure} key=${name} name=${name} words=${name} value=${dollars(value)} of=${name === 'left' && budget !== null ? dollars(budget.usd) : null} />`)}
      <${Figure} name="saved" words="saved" value=${dollars(savedUsd)} title=${savings.map(({ name, usd }) => `${name} ${dollars(usd)}`).join(', ')} />
    </dl>`
}

/** @param {{ token: import('./api.js').Token }} props */
function OfToken ({ token: { pictures, pictures_left: left, usd, usd_left: rest, expires_at: end } }) {
  const usdLeft = Math.max(0, rest ?? 0)
  return html`
    <div class="row"><h2 id="usage">This token</h2><span class="muted">until ${timeOf(end)}</span></div>
    <${Parts} parts=${[{ name: 'spent', value: pictures - left }]} whole=${pictures} label=${`${left} of ${pictures} pictures are left`} />
    ${usd !== null && html`<${Parts} parts=${[{ name: 'spent', value: usd - usdLeft }]} whole=${usd} label=${`${dollars(usdLeft)} of ${dollars(usd)} are left`} />`}
    <dl class="figures">
      <${Figure} name="left" words="pictures left" value=${left} of=${pictures} />
      ${usd !== null && html`<${Figure} name="left" words="dollars left" value=${dollars(usdLeft)} of=${dollars(usd)} />`}
    </dl>`
}

/** What this page has spent and saved, call by call. @param {{ calls: Call[] }} props */
function OfPage ({ calls }) {
  const lines = [{ name: 'spent', values: calls.map(({ spentUsd }) => spentUsd) }, { name: 'saved', values: calls.map(({ savedUsd }) => savedUsd) }]
  const sums = lines.map(({ name, values }) => ({ name, usd: values.reduce((sum, value) => sum + value, 0) }))
  return html`<figure class="plot">
    <figcaption><h3>Since you came</h3><span class="muted">${calls.length === 1 ? '1 call' : `${calls.length} calls`}</span></figcaption>
    ${sums.some(({ usd }) => usd > 0) && html`<${Growth} lines=${lines} label=${`Call by call: ${sums.map(({ name, usd }) => `${dollars(usd)} ${name}`).join(', ')} in all`} />`}
    <p class="keys">${sums.map(({ name, usd }) => html`<span key=${name}><i class=${`dot ${name}`}></i>${name} ${dollars(usd)}</span>`)}</p>
  </figure>`
}

/** What the latest generations cost, by model. @param {{ generations: import('./api.js').Generation[], titleOf: (model: string) => string }} props */
function ByModel ({ generations, titleOf }) {
  const sums = /** @type {Map<string, { usd: number, count: number }>} */ (new Map())
  for (const { model, cost_usd: usd } of generations) {
    const { usd: before, count } = sums.get(model) ?? { usd: 0, count: 0 }
    sums.set(model, { usd: before + (usd ?? 0), count: count + 1 })
  }
  const lines = [...sums].sort(([, a], [, b]) => b.usd - a.usd).slice(0, MOST_MODELS)
  const most = lines[0]?.[1].usd ?? 0
  return html`<figure class="plot">
    <figcaption><h3>By model</h3><span class="muted">${generations.length === 1 ? 'the latest one' : `the latest ${generations.length}`}</span></figcaption>
    <ul class="models">${lines.map(([model, { usd, count }]) => html`<li key=${model}>
      <span class="name">${titleOf(model)}</span><span class="muted">${dollars(usd)} for ${count}</span>
      <${Parts} parts=${[{ name: 'spent', value: usd }]} whole=${most} label=${`${dollars(usd)} of ${dollars(most)}`} />
    </li>`)}</ul>
  </figure>`
}

/** @param {{ name: string, words: string, value: string | number, of?: string | number | null, title?: string }} props */
function Figure ({ name, words, value, of = null, title = '' }) {
  return html`<div><dt><i class=${`dot ${name}`}></i>${words}</dt><dd title=${title}>${value}${of !== null && html` <span class="muted">of ${of}</span>`}</dd></div>`
}

/** @param {import('./api.js').Token} token */
export function picturesLeft ({ pictures_left: left }) {
  return left === 0 ? 'no pictures are left' : left === 1 ? '1 picture is left' : `${left} pictures are left`
}

/** A time of day, with its date unless that is today's. @param {string} time RFC 3339 */
function timeOf (time) {
  const date = new Date(time)
  return date.toDateString() === new Date().toDateString() ? date.toLocaleTimeString() : date.toLocaleString()
}

/** Sums of micro-dollars, of which no more than these are told. @param {number | string | null} usd */
export function dollars (usd) {
  const value = Number(Number(usd ?? 0).toFixed(6))
  return '$' + (Number.isInteger(Number((value * 100).toFixed(4))) || value >= 10 ? value.toFixed(2) : String(value))
}
