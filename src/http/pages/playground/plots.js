// @ts-check
// Small plots as SVG. Each has a text for who does not see it, and its numbers stand beside it.

import { html } from './preact.js'

/** Less than any sum that is shown, so that nothing is divided by 0. */
const LEAST_USD = 1e-9

/** How high and wide the lines are in their own units; the page stretches them. */
const [WIDTH, HEIGHT] = [100, 40]

/**
 * Parts of a whole, one behind the other; what is left of the whole is the ground.
 * @param {{ parts: { name: string, value: number }[], whole: number, label: string }} props `name`: the class of its colour
 */
export function Parts ({ parts, whole, label }) {
  // What is there is seen, however little it is.
  const widths = parts.map(({ value }) => value > 0 ? Math.min(100, Math.max(value / Math.max(whole, LEAST_USD) * 100, 0.8)) : 0)
  return html`<svg class="stack" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label=${label}>
    ${widths.map((width, at) => html`<rect key=${at} class=${parts[at]?.name} x=${widths.slice(0, at).reduce((sum, one) => sum + one, 0)} y="0" width=${width} height="4" />`)}
  </svg>`
}

/**
 * Sums that grow from call to call.
 * @param {{ lines: { name: string, values: number[] }[], label: string }} props `values`: what each call adds
 */
export function Growth ({ lines, label }) {
  const sums = lines.map(({ values }) => values.reduce((/** @type {number[]} */ all, value) => [...all, (all.at(-1) ?? 0) + value], []))
  const most = Math.max(...sums.flat(), LEAST_USD)
  const step = WIDTH / Math.max(1, ...lines.map(({ values }) => values.length))
  const high = (/** @type {number} */ sum) => HEIGHT - 1 - sum / most * (HEIGHT - 4)
  const path = (/** @type {number[]} */ all) => `M0 ${high(0)}` + all.map((sum, at) => `L${(at + 1) * step} ${high(sum)}`).join('')
  return html`<svg class="growth" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label=${label}>
    ${lines.map(({ name }, at) => html`<g key=${name} class=${name}>
      <path class="area" d=${`${path(sums[at] ?? [])}V${high(0)}Z`} /><path class="line" d=${path(sums[at] ?? [])} />
    </g>`)}
  </svg>`
}
