// @ts-check
// The playground: signed in or not.

import { html, render, useEffect, useRef, useState } from './preact.js'
import { createApi, sentenceOf } from './api.js'
import { SignIn } from './sign-in.js'
import { Studio } from './studio.js'

/** @typedef {{ api: import('./api.js').Api, models: import('./api.js').ModelLine[], token: import('./api.js').Token | null, isAsked: boolean }} Session `isAsked`: somebody signed in by hand */

const { demoKey = '', sandbox } = document.documentElement.dataset

function App () {
  const [session, setSession] = useState(/** @type {Session | null} */ (null))
  const [isBusy, setBusy] = useState(demoKey !== '')
  const [fault, setFault] = useState(/** @type {string | null} */ (null))
  // Why the key is not taken any more, while what was made with it is still on the page.
  const [lost, setLost] = useState(/** @type {string | null} */ (null))
  // The form as it was, for who signs in again.
  const draft = useRef(/** @type {import('./studio.js').Draft | null} */ (null))

  /** @param {string} key */
  async function signIn (key, isAsked = true) {
    setBusy(true)
    setFault(null)
    const api = createApi(key)
    try {
      const models = await api.models()
      setSession({ api, models, token: api.isToken ? await api.token() : null, isAsked })
    } catch (error) {
      setFault(sentenceOf(error))
    }
    setBusy(false)
  }
  useEffect(() => { if (demoKey !== '') signIn(demoKey, false) }, [])

  function leave () {
    setSession(null)
    setLost(null)
    setFault(null)
  }

  return html`
    <header><a class="brand" href="./"><img src="playground/icon.svg" width="28" height="28" alt="" />falgate</a>
      <nav><a href="docs/">API</a>${session !== null && html`<button type="button" class="quiet" onClick=${() => {
        draft.current = null
        leave()
      }}>Sign out</button>`}</nav></header>
    ${lost !== null && html`<div class="lost" role="alert"><p>${lost}</p><button type="button" class="quiet" onClick=${leave}>Sign in again</button></div>`}
    ${sandbox !== undefined && html`<p class="notice"><strong>This is the sandbox.</strong> Pictures are drawn by falgate itself: they are not the model's, and the dollars are play money.${demoKey !== '' && ' You are signed in with the demo key.'}</p>`}
    <main>${session !== null
      ? html`<${Studio} session=${session} draft=${draft} onLost=${setLost} />`
      : (isBusy && fault === null && demoKey !== '') || html`<${SignIn} fault=${fault} isBusy=${isBusy} first=${demoKey} onKey=${signIn} />`}</main>`
}

render(html`<${App} />`, document.body)
