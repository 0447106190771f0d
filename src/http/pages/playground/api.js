// @ts-check
// Calls of the gateway. Addresses are relative to the page, so that it works below a base path. The key is kept in memory, and goes nowhere but into a header.

/** @typedef {{ path: string, message: string }} Fault */
/** @typedef {{ id: string, status: string, model: string, input: Record<string, unknown> | null, seed: string | null, queue_position: number | null, created_at: string, cost_usd: number | null, output: unknown, error: { title: string, detail?: string, code?: string } | null }} Generation */

/** @typedef {{ id: string, title: string, default: boolean }} ModelLine one of the list */
/** @typedef {ModelLine & { description: string, price_usd: number | null, input: import('./schema.js').Schema, example: Record<string, unknown> }} Model */
/** @typedef {{ period: string, spent_usd: number, reserved_usd: number }} Period */
/** @typedef {{ tenant: string, month: Period, budget: (Period & { usd: number, per: string, left_usd: number }) | null, saved: Record<string, unknown> }} Usage */
/** @typedef {{ pictures: number, pictures_left: number, usd: number | null, usd_left: number | null, expires_at: string, allow: import('./schema.js').Allowed, cache: string[] }} Token what is left in a browser token, and what it may */
/** @typedef {ReturnType<typeof createApi>} Api */
/** @typedef {{ cacheStatus: string, costUsd: string | null, savedUsd: string | null }} Outcome what the headers of a call say: empty and `null` where nothing was asked for */
/** @typedef {Partial<Generation> & { message?: string }} Told the data of an event */

/** The gateway said no: `message` is its sentence, `faults` what is wrong with which field. */
export class Refusal extends Error {
  /** @param {number} status @param {{ title?: string, detail?: string, code?: string, errors?: Fault[] }} problem */
  constructor (status, { title = `The gateway answered ${status}`, detail = '', code = '', errors = [] }) {
    // `detail` sends programs to `errors`; here each stands at its field.
    super(errors.length > 0 ? `${title}. What is wrong stands at its field.` : sentenceIn({ title, detail }))
    this.status = status
    this.code = code
    this.faults = errors
  }
}

/** Pauses between attempts to follow a generation, in milliseconds. */
const RETRY_MS = 2000

/** An event stream that broke this often in a row is given up. */
const RETRIES = 10

/** @param {string} key a tenant's key, or a token */
export function createApi (key) {
  /** @param {string} path @param {RequestInit} [options] */
  async function call (path, options = {}) {
    const response = await fetch(new URL(path, document.baseURI), { ...options, cache: 'no-store', credentials: 'omit', headers: { ...options.headers, authorization: `Bearer ${key}` } })
    if (response.ok) return response
    const text = await response.text()
    throw new Refusal(response.status, problemIn(text))
  }

  /** @param {string} path */
  const get = async path => await (await call(path)).json()

  return {
    /** A browser token may less than a key: it sees what is its own, and not its tenant's usage. */
    isToken: key.startsWith('fgt_'),
    /** @returns {Promise<ModelLine[]>} */
    models: async () => (await get('models')).models,
    /** @param {string} id @returns {Promise<Model>} */
    model: async id => await get(`models/${id}`),
    /** @returns {Promise<Usage>} */
    usage: async () => await get('usage'),
    /** @returns {Promise<Token>} */
    token: async () => await get('tokens/self'),
    /** @param {string | null} cursor @returns {Promise<{ generations: Generation[], next_cursor: string | null }>} */
    generations: async cursor => await get(`generations?limit=24${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`),
    /** @param {string} id @returns {Promise<Generation>} */
    generation: async id => await get(`generations/${id}`),
    /** @param {string} id */
    cancel: async id => { await call(`generations/${id}/cancel`, { method: 'POST' }) },
    /**
     * Asks for a generation; also a stored one is answered as one that has ended.
     * @param {string} model @param {string} body JSON text @param {string} cacheMode empty: the usual one
     */
    async make (model, body, cacheMode) {
      const headers = { 'content-type': 'application/json', ...(cacheMode === '' ? {} : { 'falgate-cache': cacheMode }) }
      const response = await call(`generations?model=${encodeURIComponent(model)}`, { method: 'POST', body, headers })
      return {
        /** @type {Generation} */
        generation: await response.json(),
        cacheStatus: response.headers.get('cache-status') ?? '',
        costUsd: response.headers.get('falgate-cost-usd'),
        savedUsd: response.headers.get('falgate-saved-usd')
      }
    },
    /**
     * Tells every state and log line until the stream ends behind the last state, and connects again when it breaks before.
     * @param {string} id @param {AbortSignal} signal @param {(name: string, data: Told) => void} tell
     */
    async follow (id, signal, tell) {
      let lastId = ''
      let isOver = false
      for (let failures = 0; failures < RETRIES; failures++) {
        try {
          const response = await call(`generations/${id}/events`, { signal, headers: lastId === '' ? {} : { 'last-event-id': lastId } })
          if (response.status === 204 || response.body === null) return
          for await (const event of eventsIn(response.body)) {
            failures = 0
            lastId = event.id
            const data = JSON.parse(event.data)
            tell(event.name, data)
            isOver ||= event.name === 'generation' && hasEnded(data.status)
          }
        } catch (error) {
          if (signal.aborted || error instanceof Refusal) throw error
        }
        if (isOver) return
        await new Promise(resolve => setTimeout(resolve, RETRY_MS))
      }
      throw new Error('The gateway cannot be reached. The picture is in the gallery once it is made.')
    }
  }
}

/** What the gateway says was wrong: programs read Markdown, people do not. @param {{ title: string, detail?: string }} problem */
export function sentenceIn ({ title, detail = '' }) {
  return (detail === '' ? title : detail.startsWith(title) ? detail : `${title}. ${detail}`).replaceAll('`', '')
}

/** What went wrong, in a sentence. @param {unknown} error */
export function sentenceOf (error) {
  return error instanceof Refusal ? error.message : error instanceof TypeError ? 'The gateway cannot be reached.' : error instanceof Error ? error.message : String(error)
}

/** @param {string} status */
export function hasEnded (status) {
  return ['succeeded', 'failed', 'cancelled', 'unknown'].includes(status)
}

/** @param {string} text */
function problemIn (text) {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}

/** @param {ReadableStream<Uint8Array>} body */
async function * eventsIn (body) {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      text += decoder.decode(value, { stream: true })
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const event = { name: '', id: '', data: '' }
        for (const line of block.split('\n')) {
          if (line.startsWith('event: ')) event.name = line.slice(7)
          else if (line.startsWith('id: ')) event.id = line.slice(4)
          else if (line.startsWith('data: ')) event.data += (event.data === '' ? '' : '\n') + line.slice(6)
        }
        if (event.data !== '') yield event
      }
    }
  } finally {
    reader.cancel().catch(() => {}) // it may have broken, which is told where it is read
  }
}
