// @ts-check
// The playground: signed in or not, one form, one result, what was made before, and what it cost.

import { html, render, useEffect, useRef, useState } from './preact.js'
import { createApi, hasEnded, Refusal } from './api.js'
import { Form } from './form.js'
import { Gallery } from './gallery.js'
import { Result } from './result.js'
import { fieldsOf, membersOf, valuesOf } from './schema.js'
import { Snippets } from './snippets.js'
import { Usage } from './usage.js'

/** @typedef {import('./api.js').Generation} Generation */
/** @typedef {import('./api.js').Model} Model */
/** @typedef {import('./api.js').ModelLine} ModelLine */
/** @typedef {import('./result.js').Run} Run */

const { demoKey = '', sandbox } = document.documentElement.dataset

/** Log lines that are shown: the gateway keeps as many. */
const LOG_LINES = 200

function App () {
  const [api, setApi] = useState(/** @type {ReturnType<typeof createApi> | null} */ (null))
  const [models, setModels] = useState(/** @type {ModelLine[]} */ ([]))
  const [fault, setFault] = useState(/** @type {string | null} */ (null))

  /** @param {string} key */
  async function signIn (key) {
    const next = createApi(key)
    try {
      setModels(await next.models())
      setFault(null)
      setApi(next)
    } catch (error) {
      setFault(sentenceOf(error))
    }
  }
  useEffect(() => { if (demoKey !== '') signIn(demoKey) }, [])

  return html`
    <header><a class="brand" href="./"><img src="playground/icon.svg" width="28" height="28" alt="" />falgate</a>
      <nav><a href="docs/">API</a>${api !== null && html`<button type="button" class="quiet" onClick=${() => setApi(null)}>Sign out</button>`}</nav></header>
    ${sandbox !== undefined && html`<p class="notice"><strong>This is the sandbox.</strong> Pictures are drawn by falgate itself: they are not the model's, and the dollars are play money.${demoKey !== '' && ' You are signed in with the demo key.'}</p>`}
    <main>${api === null ? html`<${SignIn} fault=${fault} onKey=${signIn} />` : html`<${Studio} api=${api} models=${models} />`}</main>`
}

/** @param {{ fault: string | null, onKey: (key: string) => void }} props */
function SignIn ({ fault, onKey }) {
  const [key, setKey] = useState(demoKey)
  return html`
    <form class="card sign-in" onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault()
      if (key.trim() !== '') onKey(key.trim())
    }}>
      <h1>Make a picture</h1>
      <label for="key">Key or token</label>
      <input id="key" type="password" autocomplete="off" spellcheck="false" placeholder="fg_…" value=${key} aria-describedby="key-about" aria-invalid=${fault !== null} onInput=${(/** @type {{ currentTarget: { value: string } }} */ { currentTarget }) => setKey(currentTarget.value)} />
      <p id="key-about" class="about">It stays in the memory of this page, and is gone when you leave.</p>
      ${fault !== null && html`<p class="problem" role="alert">${fault}</p>`}
      <button type="submit" class="main">Sign in</button>
    </form>`
}

/** @param {{ api: ReturnType<typeof createApi>, models: ModelLine[] }} props */
function Studio ({ api, models }) {
  const [id, setId] = useState(String((models.find(one => one.default) ?? models[0])?.id ?? ''))
  const [model, setModel] = useState(/** @type {Model | null} */ (null))
  const [values, setValues] = useState(/** @type {Record<string, string>} */ ({}))
  const [faults, setFaults] = useState(/** @type {import('./api.js').Fault[]} */ ([]))
  const [run, setRun] = useState(/** @type {Run | null} */ (null))
  const [list, setList] = useState(/** @type {{ generations: Generation[], next: string | null }} */ ({ generations: [], next: null }))
  const [usage, setUsage] = useState(/** @type {import('./api.js').Usage | null} */ (null))
  const [failure, setFailure] = useState(/** @type {string | null} */ (null))
  const [note, setNote] = useState('')
  const following = useRef(/** @type {AbortController | null} */ (null))
  const wanted = useRef(/** @type {Generation | null} */ (null))
  const fields = model === null ? [] : fieldsOf(model.input)
  const members = membersOf(fields, values)

  async function refresh () {
    const [page, money] = await Promise.allSettled([api.generations(null), api.usage()])
    if (page.status === 'fulfilled') setList({ generations: page.value.generations, next: page.value.next_cursor })
    // A token may not see its tenant's.
    setUsage(money.status === 'fulfilled' ? money.value : null)
  }
  useEffect(() => {
    refresh()
    return () => following.current?.abort()
  }, [api])
  useEffect(() => {
    let isCurrent = id !== ''
    if (isCurrent) {
      api.model(id).then(next => {
        if (!isCurrent) return
        const from = wanted.current
        wanted.current = null
        setModel(next)
        setFaults([])
        setFailure(null)
        setValues(from === null ? valuesOf(fieldsOf(next.input), { prompt: next.example.prompt }) : valuesOf(fieldsOf(next.input), from.input ?? {}, from.seed))
      }).catch(error => { if (isCurrent) setFailure(sentenceOf(error)) })
    }
    return () => { isCurrent = false }
  }, [api, id])

  /** @param {Generation} generation @param {Pick<Run, 'cacheStatus' | 'savedUsd'>} outcome */
  async function watch (generation, outcome) {
    following.current?.abort()
    const control = new AbortController()
    following.current = control
    setRun({ generation, log: [], error: null, ...outcome })
    if (hasEnded(generation.status)) return
    try {
      await api.follow(generation.id, control.signal, (name, data) => {
        if (control.signal.aborted) return
        setRun((/** @type {Run | null} */ now) => now === null ? now : name === 'log' ? { ...now, log: [...now.log, String(data.message)].slice(-LOG_LINES) } : { ...now, generation: { ...(now.generation ?? generation), ...data } })
      })
      // An event leaves out what is long.
      const whole = await api.generation(generation.id)
      if (!control.signal.aborted) setRun((/** @type {Run | null} */ now) => now === null ? now : { ...now, generation: whole })
    } catch (error) {
      if (!control.signal.aborted) setRun((/** @type {Run | null} */ now) => now === null ? now : { ...now, error: sentenceOf(error) })
    }
  }

  async function make () {
    following.current?.abort()
    setFaults([])
    setNote('')
    setRun({ generation: null, log: [], cacheStatus: '', savedUsd: null, error: null })
    try {
      const { generation, ...outcome } = await api.make(id, `{${members.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`)
      await watch(generation, outcome)
    } catch (error) {
      if (error instanceof Refusal) setFaults(error.faults)
      setRun({ generation: null, log: [], cacheStatus: '', savedUsd: null, error: sentenceOf(error) })
    }
    await refresh()
  }

  /** @param {Generation} generation */
  async function cancel ({ id }) {
    try {
      await api.cancel(id)
      setNote('')
    } catch (error) {
      setNote(sentenceOf(error))
    }
  }

  /** @param {Generation} generation */
  function reuse (generation) {
    if (generation.model === id) setValues(valuesOf(fields, generation.input ?? {}, generation.seed))
    else {
      wanted.current = generation
      setId(generation.model)
    }
  }

  const isBusy = run !== null && run.error === null && (run.generation === null || !hasEnded(run.generation.status))
  const shown = run?.generation ?? null
  return html`
    <h1 class="hidden">Playground</h1>
    <div class="studio">
      <div class="left">
        <div class="card model">
          <label for="model">Model</label>
          <select id="model" value=${id} onChange=${(/** @type {{ currentTarget: { value: string } }} */ { currentTarget }) => setId(currentTarget.value)}>${models.map(one => html`<option key=${one.id} value=${one.id} selected=${one.id === id}>${one.title}</option>`)}</select>
          <p class="about">${failure ?? model?.description ?? ''}</p>
          <code class="muted">${id}</code>
        </div>
        ${model !== null && html`<${Form} key=${model.id} fields=${fields} values=${values} faults=${faults} isBusy=${isBusy} price=${model.price_usd} set=${(/** @type {string} */ name, /** @type {string} */ value) => setValues((/** @type {Record<string, string>} */ now) => ({ ...now, [name]: value }))} onMake=${make} />`}
      </div>
      <div class="right">
        <${Result} run=${run} note=${note} onCancel=${() => { if (shown !== null) cancel(shown) }} onReuse=${shown?.input === null || shown === null || !models.some(one => one.id === shown.model) ? null : () => reuse(shown)} />
        <${Snippets} model=${id} members=${members} />
        <${Usage} usage=${usage} costs=${list.generations.map(one => one.cost_usd ?? 0).reverse()} />
      </div>
    </div>
    <${Gallery} list=${list.generations} hasMore=${list.next !== null}
      onMore=${async () => {
        const page = await api.generations(list.next).catch(() => null)
        if (page !== null) setList({ generations: [...list.generations, ...page.generations], next: page.next_cursor })
      }}
      onOpen=${(/** @type {Generation} */ one) => {
        watch(one, { cacheStatus: '', savedUsd: null })
        document.querySelector('.result')?.scrollIntoView({ block: 'nearest' })
      }} />`
}

/** @param {unknown} error */
function sentenceOf (error) {
  return error instanceof Refusal ? error.message : error instanceof TypeError ? 'The gateway cannot be reached.' : error instanceof Error ? error.message : String(error)
}

render(html`<${App} />`, document.body)
