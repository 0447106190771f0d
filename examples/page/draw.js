// Draws what was wished for: asks the backend for a token, the gateway for a picture, and shows meanwhile how far it is.

const RECONNECT_MS = 2000
const RECONNECTS = 10
const [form, progress, refusal, pictures] = ['form', '[role=status]', '[role=alert]', '#pictures'].map(name => document.querySelector(name))

/** Sentences for visitors in place of the gateway's own. */
const sentences = { 'token-exhausted': 'Your pictures are used up.' }

/** What was refused, by its code; the message is a sentence for people. */
class Refusal extends Error {
  constructor ({ code, title, detail = `${title}.`, errors = [] }) {
    super(sentences[code] ?? [detail, ...errors.map(({ path, message }) => `${path.slice(1)} ${message}.`)].join(' '))
    this.code = code
  }
}

/** The token, and where the gateway is; in memory only. */
let access = null

/** The wish that was not answered yet. With its seed it is one picture, however often it is sent. */
let wish = null

form.addEventListener('submit', async event => {
  event.preventDefault()
  const prompt = form.elements.prompt.value
  const button = form.querySelector('button')
  button.disabled = true
  refusal.textContent = ''
  if (wish?.prompt !== prompt) wish = { prompt, seed: Math.floor(Math.random() * 2 ** 31) }
  try {
    const { output } = await draw(wish)
    pictures.replaceChildren(...output.images.map(({ url }) => Object.assign(document.createElement('img'), { src: url, alt: prompt })))
    wish = null
  } catch (error) {
    if (error instanceof Refusal) wish = null
    refusal.textContent = error instanceof Refusal ? error.message : 'The gateway cannot be reached from this page. Try again: what was bought is not bought twice.'
  }
  progress.textContent = ''
  button.disabled = false
})

/** Makes a picture and gives the generation. When the token ends meanwhile, a new one asks for the same: it is given the picture that was bought. */
async function draw (input) {
  for (let tokens = 1; ; tokens++) {
    try {
      const response = await call('/generations', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(input) })
      return await follow(await response.json())
    } catch (error) {
      if (tokens === 2 || !['token-expired', 'token-revoked', 'key-unknown'].includes(error.code)) throw error
      access = null
    }
  }
}

/** Calls the gateway with the token. */
async function call (path, options = {}) {
  access ??= await answerTo(fetch('/token', { method: 'POST' })).then(response => response.json())
  return await answerTo(fetch(access.gateway + path, { ...options, headers: { ...options.headers, authorization: `Bearer ${access.token}` } }))
}

async function answerTo (called) {
  const response = await called
  if (!response.ok) throw new Refusal(await response.json().catch(() => ({ title: `The answer was ${response.status}` })))
  return response
}

/** Shows each state of a generation until its last one, and connects again when the stream breaks. */
async function follow (generation) {
  let [lastId, lastLine] = ['', '']
  for (let tries = 0; !hasEnded(generation); tries++) {
    if (tries > RECONNECTS) throw new Error('nobody answers')
    if (tries > 0) await new Promise(resolve => setTimeout(resolve, RECONNECT_MS))
    try {
      const { body } = await call(`/generations/${generation.id}/events`, { headers: { 'last-event-id': lastId } })
      for await (const { name, id, data } of eventsIn(body)) {
        [tries, lastId] = [0, id]
        if (name === 'generation') generation = data
        if (name === 'log') lastLine = data.message
        progress.textContent = generation.queue_position > 0 ? `${generation.queue_position} before yours` : `${generation.status} ${lastLine}`.trim()
      }
    } catch (error) {
      if (error instanceof Refusal) throw error
    }
  }
  if (generation.error !== null) throw new Refusal(generation.error)
  return generation
}

function hasEnded ({ status }) {
  return ['succeeded', 'failed', 'cancelled', 'unknown'].includes(status)
}

/** The server-sent events of a body. `EventSource` sends no token: it would need a ticket for each stream. */
async function * eventsIn (body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const blocks = (text + piece.value).split('\n\n')
    text = blocks.pop()
    for (const block of blocks) {
      const valuesOf = field => block.split('\n').filter(line => line.startsWith(`${field}: `)).map(line => line.slice(field.length + 2))
      const [name] = valuesOf('event')
      if (name !== undefined) yield { name, id: valuesOf('id')[0], data: JSON.parse(valuesOf('data').join('\n')) }
    }
  }
}
