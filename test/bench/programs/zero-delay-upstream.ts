// An upstream that answers at once: fal's queue, its synchronous door, and a chat completion for gateways that know only those.
// It keeps nothing: a request id holds the seed and when its picture is done. node zero-delay-upstream.js <port>
// `/delay-<ms>` in front of a queue's path lets pictures take so long.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

let requests = 0

/** As often as fal does: a stream that is silent for longer is asked about. */
const PING_MS = 15_000

const chat = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'zero-delay',
  choices: [{ index: 0, message: { role: 'assistant', content: 'x'.repeat(120) }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
})

const server = createServer((request, response) => {
  answer(request, response).catch(() => { response.destroy() })
})
server.keepAliveTimeout = 60_000
server.listen(Number(process.argv[2]), '127.0.0.1')

async function answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0] ?? ''
  const body = request.method === 'POST' ? await textOf(request) : ''
  if (path === '/v1/chat/completions') return send(response, chat)
  if (path.startsWith('/run/')) return send(response, outputOf(seedIn(body)))
  const [, id = null, question = null] = /\/requests\/([\w-]+)(\/[a-z/]+)?$/.exec(path) ?? []
  if (id === null) return submit(path, body, response)
  const [, seed = '0', doneAtMs = '0'] = id.split('-')
  const leftMs = Number(doneAtMs) - Date.now()
  switch (question) {
    case null: return send(response, outputOf(seed), { 'x-fal-billable-units': '1', 'x-fal-request-id': id })
    case '/status': return send(response, statusOf(id, leftMs))
    case '/status/stream': return await stream(response, id, leftMs)
    default: response.writeHead(404, { 'content-type': 'application/json' }).end('{"status":"NOT_FOUND"}')
  }
}

function submit (path: string, body: string, response: ServerResponse): void {
  const delayMs = Number(/^\/delay-(\d+)\//.exec(path)?.[1] ?? 0)
  const id = `${requests++}-${seedIn(body)}-${delayMs === 0 ? 0 : Date.now() + delayMs}`
  send(response, JSON.stringify({ request_id: id, status: 'IN_QUEUE', queue_position: 0 }), { 'x-fal-request-id': id })
}

async function stream (response: ServerResponse, id: string, leftMs: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  if (leftMs > 0) {
    response.write(`data: ${statusOf(id, leftMs)}\n\n`)
    const pings = setInterval(() => { response.write(': ping\n\n') }, PING_MS)
    await pause(leftMs).finally(() => { clearInterval(pings) })
  }
  response.end(`data: ${statusOf(id, 0)}\n\n`)
}

function statusOf (id: string, leftMs: number): string {
  return JSON.stringify({ status: leftMs > 0 ? 'IN_PROGRESS' : 'COMPLETED', request_id: id, logs: [] })
}

function seedIn (body: string): string {
  return /"seed":(\d+)/.exec(body)?.[1] ?? '1234567'
}

function outputOf (seed: string): string {
  return `{"images":[{"url":"https://v3.fal.media/files/rabbit/rmgBxhwGYb2d3pl3x9sKf_output.png","content_type":"image/png","file_name":"output.png","file_size":1048576}],"seed":${seed}}`
}

async function textOf (request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
  return text
}

function send (response: ServerResponse, body: string, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...headers }).end(body)
}
