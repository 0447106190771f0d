// @ts-check
// What was spent, saved and is left, as small plots.

import { html } from './preact.js'

/** Bars have room for as many, so that a few are no blocks. */
const SLOTS = 24

/** @param {{ usage: import('./api.js').Usage | null, costs: number[] }} props `costs`: dollars of the latest generations, oldest first */
export function Usage ({ usage, costs }) {
  if (usage === null) return null
  const { budget, month, saved } = usage
  const of = budget ?? month
  const total = budget === null ? Math.max(of.spent_usd + of.reserved_usd, 0.000001) : Math.max(budget.usd, of.spent_usd + of.reserved_usd)
  const savings = Object.entries(saved).filter(([name]) => name.endsWith('_usd')).map(([name, usd]) => ({ name: name.slice(0, -4), usd: Number(usd) }))
  const savedUsd = savings.reduce((sum, { usd }) => sum + usd, 0)
  const parts = [
    { name: 'spent', usd: of.spent_usd },
    { name: 'reserved', usd: of.reserved_usd },
    ...(budget === null ? [] : [{ name: 'left', usd: budget.left_usd }])
  ]
  // What is there is seen, however little it is.
  const widths = parts.map(({ usd }) => usd > 0 ? Math.max(usd / total * 100, 0.8) : 0)
  const most = Math.max(...costs, 0.000001)
  const slots = Math.max(costs.length, SLOTS)
  return html`
    <section class="card usage" aria-labelledby="usage">
      <div class="row"><h2 id="usage">Usage</h2><span class="muted">${usage.tenant}, ${budget === null ? `month ${month.period}` : `${budget.per} ${budget.period}`}</span></div>
      <svg class="stack" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label=${parts.map(({ name, usd }) => `${dollars(usd)} ${name}`).join(', ')}>
        ${widths.map((width, at) => html`<rect key=${at} class=${parts[at]?.name} x=${widths.slice(0, at).reduce((sum, one) => sum + one, 0)} y="0" width=${width} height="4" />`)}
      </svg>
      <dl class="figures">
        ${parts.map(({ name, usd }) => html`<div key=${name}><dt><i class=${`dot ${name}`}></i>${name}</dt><dd>${dollars(usd)}</dd></div>`)}
        <div><dt><i class="dot saved"></i>saved</dt><dd title=${savings.map(({ name, usd }) => `${name} ${dollars(usd)}`).join(', ')}>${dollars(savedUsd)}</dd></div>
      </dl>
      ${costs.length > 1 && html`
        <svg class="spark" viewBox=${`0 0 ${slots * 4} 24`} preserveAspectRatio="none" role="img" aria-label=${`What each of the latest ${costs.length} generations cost`}>
          ${costs.map((usd, at) => html`<rect key=${at} x=${at * 4} width="3" y=${24 - Math.max(1, usd / most * 24)} height=${Math.max(1, usd / most * 24)} />`)}
        </svg>
        <p class="muted">What each of the latest ${costs.length} generations cost</p>`}
    </section>`
}

/** @param {{ token: import('./api.js').Token }} props */
export function TokenLeft ({ token }) {
  const { pictures, pictures_left: left, usd, usd_left: usdLeft, expires_at: end } = token
  return html`
    <section class="card usage" aria-labelledby="token">
      <div class="row"><h2 id="token">This token</h2><span class="muted">until ${timeOf(end)}</span></div>
      <svg class="stack" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label=${`${left} of ${pictures} pictures are left`}><rect class="spent" x="0" y="0" width=${(pictures - left) / pictures * 100} height="4" /></svg>
      <dl class="figures">
        <div><dt><i class="dot left"></i>pictures left</dt><dd>${left} <span class="muted">of ${pictures}</span></dd></div>
        ${usd !== null && html`<div><dt>dollars left</dt><dd>${dollars(Math.max(0, usdLeft ?? 0))} <span class="muted">of ${dollars(usd)}</span></dd></div>`}
      </dl>
    </section>`
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

/** @param {number | string | null} usd */
export function dollars (usd) {
  const value = Number(usd ?? 0)
  return '$' + (Number.isInteger(value * 100) || value >= 10 ? value.toFixed(2) : String(value))
}
