// @ts-check
// Where a key or a token is entered.

import { html, useLayoutEffect, useRef, useState } from './preact.js'

/** @param {{ fault: string | null, isBusy: boolean, first: string, onKey: (key: string) => void }} props `first`: what stands in the field at first */
export function SignIn ({ fault, isBusy, first, onKey }) {
  const [key, setKey] = useState(first)
  const field = useRef(/** @type {HTMLInputElement | null} */ (null))
  // Before it is painted: nobody sees the field without the focus, and nothing typed at once is lost.
  useLayoutEffect(() => { field.current?.focus() }, [fault])
  return html`
    <form class="card sign-in" onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault()
      if (key.trim() !== '' && !isBusy) onKey(key.trim())
    }}>
      <h1>Make a picture</h1>
      <label for="key">Key or token</label>
      <input id="key" ref=${field} type="password" autocomplete="off" spellcheck="false" placeholder="fg_… or fgt_…" value=${key} aria-describedby="key-about" aria-invalid=${fault !== null} onInput=${(/** @type {{ currentTarget: { value: string } }} */ { currentTarget }) => setKey(currentTarget.value)} />
      <p id="key-about" class="about">It stays in the memory of this page, and is gone when you leave.</p>
      ${fault !== null && html`<p class="problem" role="alert">${fault}</p>`}
      <button type="submit" class="main" aria-disabled=${isBusy}>${isBusy ? 'Signing in…' : 'Sign in'}</button>
    </form>`
}
