// @ts-check
// Who is signed in has one form, one result, what was made before, and what it cost.

import { html, useEffect, useLayoutEffect, useRef, useState } from './preact.js'
import { hasEnded, Refusal, sentenceOf } from './api.js'
import { Form } from './form.js'
import { Gallery } from './gallery.js'
import { Result } from './result.js'
import { fieldsOf, membersOf, ratioOf, valuesOf } from './schema.js'
import { Snippets } from './snippets.js'
import { Usage } from './usage.js'

/** @typedef {import('./api.js').Generation} Generation */
/** @typedef {import('./api.js').Model} Model */
/** @typedef {import('./result.js').Run} Run */
/** @typedef {{ id: string, values: Record<string, string> }} Draft what was entered for a model */

/** Log lines that are shown: the gateway keeps as many. */
const LOG_LINES = 200

/** Calls that are remembered for the plot of this page. */
const CALLS = 200

/** What is looked at without a call. */
const NO_CALL = { cacheStatus: '', costUsd: null, savedUsd: null }

/** @param {{ session: import('./app.js').Session, draft: { current: Draft | null }, onLost: (sentence: string) => void }} props `draft`: survives a new sign-in; `onLost`: the key is not taken any more */
export function Studio ({ session, draft, onLost }) {
  const { api, models } = session
  const [id, setId] = useState(String((models.find(one => one.id === draft.current?.id) ?? models.find(one => one.default) ?? models[0])?.id ?? ''))
  const [loaded, setLoaded] = useState(/** @type {Model | null} */ (null))
  const [values, setValues] = useState(/** @type {Record<string, string>} */ ({}))
  const [faults, setFaults] = useState(/** @type {import('./api.js').Fault[]} */ ([]))
  const [run, setRun] = useState(/** @type {Run | null} */ (null))
  const [list, setList] = useState(/** @type {{ generations: Generation[], next: string | null }} */ ({ generations: [], next: null }))
  const [usage, setUsage] = useState(/** @type {import('./api.js').Usage | null} */ (null))
  const [token, setToken] = useState(session.token)
  const [cacheMode, setCacheMode] = useState('')
  const [calls, setCalls] = useState(/** @type {import('./usage.js').Call[]} */ ([]))
  const [failure, setFailure] = useState(/** @type {string | null} */ (null))
  const [note, setNote] = useState('')
  const refreshes = useRef(0)
  const following = useRef(/** @type {AbortController | null} */ (null))
  const wanted = useRef(/** @type {Generation | null} */ (null))
  const isFormNext = useRef(session.isAsked)
  const ratio = useRef(/** @type {ReturnType<typeof ratioOf>} */ (null))
  // Until the document of what was chosen is there, there is no form: that of the model before would be sent to this one, and what is typed into it would be lost.
  const model = loaded?.id === id ? loaded : null
  const fields = model === null ? [] : fieldsOf(model.input, session.token?.allow)
  const members = membersOf(fields, values)
  if (model !== null) draft.current = { id: model.id, values }

  /** What went wrong, in a sentence, unless it stands above the page already. @param {unknown} error */
  function said (error) {
    if (!(error instanceof Refusal) || error.status !== 401) return sentenceOf(error)
    onLost(error.message)
    return ''
  }

  async function refresh () {
    const turn = ++refreshes.current
    try {
      const page = await api.generations(null)
      const [left, spent] = api.isToken ? [await api.token(), null] : [null, await api.usage()]
      // What was asked for later knows more.
      if (turn !== refreshes.current) return
      setList({ generations: page.generations, next: page.next_cursor })
      setToken(left)
      setUsage(spent)
    } catch (error) {
      said(error) // what is there stays
    }
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
        const blank = fieldsOf(next.input, session.token?.allow)
        setLoaded(next)
        setFaults([])
        setFailure(null)
        setValues(from !== null ? valuesOf(blank, from.input ?? {}, from.seed) : draft.current?.id === id ? valuesOf(blank, draft.current.values) : valuesOf(blank, { prompt: next.example.prompt }))
      }).catch(error => { if (isCurrent) setFailure(said(error)) })
    }
    return () => { isCurrent = false }
  }, [api, id])
  // The focus moves before what it moves to is painted, so that nothing typed at once is lost.
  useLayoutEffect(() => {
    if (model !== null && isFormNext.current) toForm()
    isFormNext.current = isFormNext.current && model === null
  }, [model])
  useLayoutEffect(() => { if (faults.length > 0) /** @type {HTMLElement | null} */ (document.querySelector('form [aria-invalid=true]'))?.focus() }, [faults])

  /** Shows a generation until its end, and gives it as it was seen last. @param {Generation} first @param {import('./api.js').Outcome} outcome */
  async function watch (first, outcome) {
    following.current?.abort()
    const control = new AbortController()
    let generation = first
    setRun({ generation, log: [], error: null, ...outcome })
    if (hasEnded(generation.status)) return generation
    following.current = control
    // Another one may be on show by now.
    const tell = (/** @type {(now: Run) => Partial<Run>} */ change) => setRun((/** @type {Run | null} */ now) => now?.generation?.id === first.id ? { ...now, ...change(now) } : now)
    try {
      await api.follow(first.id, control.signal, (name, data) => {
        if (name === 'log') return tell(now => ({ log: [...now.log, String(data.message)].slice(-LOG_LINES) }))
        generation = { ...generation, ...data }
        tell(() => ({ generation }))
        // What follows the last state is the end of the stream: nobody has to break it off.
        if (hasEnded(generation.status) && following.current === control) following.current = null
      })
      // An event leaves out what is long.
      if (generation.output === null) generation = await api.generation(first.id)
      tell(() => ({ generation }))
    } catch (error) {
      if (!control.signal.aborted) tell(() => ({ error: said(error) }))
    }
    return generation
  }

  async function make () {
    following.current?.abort()
    ratio.current = ratioOf(fields.filter(({ kind }) => kind === 'ratio').map(({ name }) => values[name] ?? '')[0] ?? '')
    setFaults([])
    setNote('')
    setRun({ generation: null, log: [], error: null, ...NO_CALL })
    document.getElementById('result')?.scrollIntoView({ block: 'nearest' })
    try {
      const { generation, ...outcome } = await api.make(id, `{${members.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`, cacheMode)
      // What is held for it shows.
      if (!hasEnded(generation.status)) refresh()
      const end = await watch(generation, outcome)
      if (hasEnded(end.status)) setCalls((/** @type {import('./usage.js').Call[]} */ now) => [...now, { spentUsd: Number(outcome.costUsd ?? end.cost_usd ?? 0), savedUsd: Number(outcome.savedUsd ?? 0) }].slice(-CALLS))
    } catch (error) {
      if (error instanceof Refusal) setFaults(error.faults)
      setRun({ generation: null, log: [], error: said(error), ...NO_CALL })
    }
    await refresh()
  }

  /** @param {Generation} generation */
  async function cancel ({ id }) {
    try {
      await api.cancel(id)
      setNote('')
    } catch (error) {
      setNote(said(error))
    }
  }

  /** Puts what a generation was asked with into the form. Long inputs are not kept, and models come and go. @param {Generation} generation */
  function fill (generation) {
    if (generation.input === null || !models.some(one => one.id === generation.model)) return
    if (generation.model === model?.id) return setValues(valuesOf(fields, generation.input, generation.seed))
    wanted.current = generation
    setId(generation.model)
  }

  const isBusy = run !== null && run.error === null && (run.generation === null || !hasEnded(run.generation.status))
  const shown = run?.generation ?? null
  return html`
    <h1 class="hidden">Playground</h1>
    <div class="studio">
      <div class="side">
        <div class="card make"><div class="model">
          <label for="model">Model</label>
          <select id="model" value=${id} onChange=${(/** @type {{ currentTarget: { value: string } }} */ { currentTarget }) => setId(currentTarget.value)}>${models.map(one => html`<option key=${one.id} value=${one.id} selected=${one.id === id}>${one.title}</option>`)}</select>
          <p class="about">${failure ?? model?.description ?? ''}</p>
          <code class="muted">${id}</code>
        </div>
        ${model !== null && html`<${Form} key=${model.id} fields=${fields} values=${values} faults=${faults} isBusy=${isBusy} price=${model.price_usd} token=${token} cacheMode=${cacheMode} onCacheMode=${setCacheMode} set=${(/** @type {string} */ name, /** @type {string} */ value) => setValues((/** @type {Record<string, string>} */ now) => ({ ...now, [name]: value }))} onMake=${make} />`}
        </div>
        <${Usage} usage=${usage} token=${token} generations=${list.generations} calls=${calls} titleOf=${(/** @type {string} */ model) => models.find(one => one.id === model)?.title ?? model} />
      </div>
      <div class="stage">
        <${Result} run=${run} note=${note} ratio=${ratio.current} onCancel=${() => {
          if (shown === null) return
          toResult()
          cancel(shown)
        }} onReuse=${() => {
          if (shown === null) return
          isFormNext.current = shown.model !== id
          fill(shown)
          if (shown.model === id) toForm()
        }} canReuse=${shown !== null && shown.input !== null && models.some(one => one.id === shown.model)} />
        <${Snippets} model=${id} members=${members} cacheMode=${cacheMode} />
      </div>
    </div>
    <${Gallery} list=${list.generations} shownId=${shown?.id ?? null} hasMore=${list.next !== null}
      onMore=${async () => {
        try {
          const page = await api.generations(list.next)
          setList({ generations: [...list.generations, ...page.generations], next: page.next_cursor })
        } catch (error) {
          setNote(said(error))
        }
      }}
      onOpen=${(/** @type {Generation} */ one) => {
        ratio.current = null
        setNote('')
        watch(one, NO_CALL)
        fill(one)
        toResult()
      }} />`
}

/** Leads keyboards, and what reads the page out, to the first field of the form. */
function toForm () {
  /** @type {HTMLElement | null} */ (document.querySelector('form :is(textarea, input, select)'))?.focus()
}

/** The same to the result: what was in focus may go away. */
function toResult () {
  document.getElementById('result')?.focus()
}
