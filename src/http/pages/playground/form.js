// @ts-check
// The form of a model: native controls, so that keyboards and screen readers need nothing more.

import { html } from './preact.js'
import { ratioOf } from './schema.js'
import { dollars, picturesLeft } from './usage.js'

/** @typedef {import('./schema.js').Field} Field */
/** @typedef {{ field: Field, value: string, fault: string | null, set: (value: string) => void }} Entry */

/** What models say of seeds is for programs. */
const SEED_NOTE = 'The same seed is the same picture, bought once. Empty: by chance.'

/** Seeds of the dice stay below what every model takes. */
const SEEDS = 2 ** 31

/** Modes of `Falgate-Cache` as people would say them. */
const cacheModes = /** @type {const} */ ([
  ['', 'take it where there is one'],
  ['refresh', 'buy a new one, and store that'],
  ['bypass', 'buy a new one, and leave the stored one'],
  ['reuse', 'take any of the same wish'],
  ['only', 'never buy']
])

/** Those that pay for what is stored: a token needs leave for them. */
const DEAR_MODES = ['refresh', 'bypass']

/**
 * @param {{ fields: Field[], values: Record<string, string>, faults: { path: string, message: string }[], isBusy: boolean, price: number | null, token: import('./api.js').Token | null, cacheMode: string, onCacheMode: (mode: string) => void, set: (name: string, value: string) => void, onMake: () => void }} props
 * `price`: dollars; `token`: `null` for a key
 */
export function Form ({ fields, values, faults, isBusy, price, token, cacheMode, onCacheMode, set, onMake }) {
  const entry = (/** @type {Field} */ field) => html`<${Control} key=${field.name} field=${field} value=${values[field.name] ?? ''} fault=${faultOf(field.name, faults)} set=${(/** @type {string} */ value) => set(field.name, value)} />`
  const folded = fields.filter(({ place }) => place === 'folded')
  const isFaulty = folded.some(({ name }) => faultOf(name, faults) !== null)
  return html`
    <form aria-label="What to make" novalidate onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault()
      if (!isBusy) onMake()
    }} onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
      if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || isBusy) return
      event.preventDefault()
      onMake()
    }}>
      ${fields.filter(({ place }) => place !== 'folded').map(entry)}
      <details open=${isFaulty}><summary>More settings</summary><div class="fields">${folded.map(entry)}
        <div class="field broad"><label for="cache-mode">A stored result</label>
          <select id="cache-mode" value=${cacheMode} onChange=${(/** @type {{ currentTarget: { value: string } }} */ { currentTarget }) => onCacheMode(currentTarget.value)}>
            ${cacheModes.filter(([mode]) => token === null || !DEAR_MODES.includes(mode) || token.cache.includes(mode)).map(([mode, words]) => html`<option key=${mode} value=${mode} selected=${mode === cacheMode}>${words}</option>`)}
          </select></div>
      </div></details>
      <div class="row">
        <button type="submit" class="main" aria-disabled=${isBusy}>${isBusy ? 'Making…' : 'Make it'}</button>
        <span class="muted">${[...(price === null ? [] : [`at most ${dollars(price)}`]), ...(token === null ? [] : [picturesLeft(token)])].join(', ')}</span>
      </div>
    </form>`
}

/** @param {string} name @param {{ path: string, message: string }[]} faults */
function faultOf (name, faults) {
  return faults.find(({ path }) => path === `/${name}` || path.startsWith(`/${name}/`))?.message ?? null
}

/** @param {Entry} props */
function Control ({ field, value, fault, set }) {
  const { name, label, kind, description, isRequired } = field
  const id = `field-${name}`
  const about = `${id}-about`
  const common = { id, 'aria-describedby': about, 'aria-invalid': fault !== null, 'aria-required': isRequired }
  const typed = (/** @type {{ currentTarget: { value: string } }} */ { currentTarget }) => set(currentTarget.value)
  const note = html`<p id=${about} class=${fault === null ? 'about' : 'about problem'} title=${description}>${fault ?? (kind === 'seed' ? SEED_NOTE : description)}</p>`
  if (kind === 'ratio') {
    return html`<fieldset class="field broad" aria-describedby=${about}><legend>${label}</legend><div class="options">
      ${field.options.map(one => html`<label key=${one}><input type="radio" name=${name} checked=${value === one} onChange=${() => set(one)} /><span>${shape(one)}${one.replaceAll('_', ' ')}</span></label>`)}
    </div>${note}</fieldset>`
  }
  if (kind === 'switch') {
    return html`<div class="field broad"><label class="switch"><input type="checkbox" ...${common} checked=${value === 'true'} onChange=${(/** @type {{ currentTarget: { checked: boolean } }} */ { currentTarget }) => set(String(currentTarget.checked))} />${label}</label>${note}</div>`
  }
  const isShort = (kind === 'number' || kind === 'choice') && description.length < 60
  return html`<div class=${isShort ? 'field' : 'field broad'}>
    <label for=${id}>${label}</label>
    ${kind === 'choice' && html`<select ...${common} value=${value} onChange=${typed}>${(field.start === '' ? ['', ...field.options] : field.options).map(one => html`<option key=${one} value=${one} selected=${one === value}>${one === '' ? 'as the model likes' : one}</option>`)}</select>`}
    ${kind === 'seed' && html`<div class="seed"><input ...${common} inputmode="numeric" autocomplete="off" placeholder="by chance" value=${value} onInput=${typed} />
      <button type="button" class="dice" aria-label="Roll a seed" title="Roll a seed" onClick=${() => set(String(Math.floor(Math.random() * SEEDS)))}>${dice}</button></div>`}
    ${kind === 'number' && html`<input ...${common} inputmode="decimal" autocomplete="off" value=${value} onInput=${typed} />`}
    ${(kind === 'json' || (kind === 'text' && field.isLong)) && html`<textarea ...${common} class=${field.place === 'first' ? 'tall' : ''} rows=${field.place === 'first' ? 4 : 2} spellcheck=${kind === 'text'} value=${value} onInput=${typed}></textarea>`}
    ${kind === 'text' && !field.isLong && html`<input ...${common} autocomplete="off" value=${value} onInput=${typed} />`}
    ${note}
  </div>`
}

/** A word for a ratio, drawn. @param {string} word */
function shape (word) {
  const [width, height] = ratioOf(word) ?? [1, 1]
  const scale = 22 / Math.max(width, height)
  const [w, h] = [width * scale, height * scale]
  return html`<svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true"><rect x=${12 - w / 2} y=${12 - h / 2} width=${w} height=${h} rx="1.5" class=${ratioOf(word) === null ? 'open' : ''} /></svg>`
}

const dice = html`<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true"><rect x="3" y="3" width="18" height="18" rx="4" /><circle cx="8" cy="8" r="1.6" /><circle cx="16" cy="8" r="1.6" /><circle cx="12" cy="12" r="1.6" /><circle cx="8" cy="16" r="1.6" /><circle cx="16" cy="16" r="1.6" /></svg>`
