// The backend of a page that draws. It keeps the tenant's key, and gives each visitor who is signed in a token in its place.

import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { signIn, visitorOf } from './sign-in.js'

const { FALGATE_URL, FALGATE_KEY, PORT = '3000', ORIGIN = `http://127.0.0.1:${PORT}` } = process.env
const files = { '/': ['index.html', 'text/html'], '/draw.js': ['draw.js', 'text/javascript'] }

createServer(async (request, response) => {
  const file = files[request.url]
  if (request.method === 'GET' && file) {
    if (visitorOf(request) === null) response.setHeader('set-cookie', signIn())
    return response.setHeader('content-type', `${file[1]}; charset=utf-8`).end(readFileSync(new URL(file[0], import.meta.url)))
  }
  if (`${request.method} ${request.url}` !== 'POST /token') return response.writeHead(404).end()
  const { status, answer } = await giveToken(request).catch(error => ({ status: 502, answer: { detail: `No token could be had: ${error.message}.` } }))
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(JSON.stringify(answer))
}).listen(Number(PORT), '127.0.0.1', () => { console.log(`Open ${ORIGIN}/`) })

async function giveToken (request) {
  const visitor = visitorOf(request)
  if (visitor === null || request.headers.origin !== ORIGIN) return { status: 401, answer: { detail: `You are not signed in. Open ${ORIGIN}/ again.` } }
  const given = await fetch(`${FALGATE_URL}/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${FALGATE_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ pictures: 3, expires_in: 600, origins: [ORIGIN], subject: visitor })
  })
  const { token, title, code } = await given.json()
  if (!given.ok) throw new Error(`the gateway says ${given.status} ${code}, ${title}`)
  return { status: 200, answer: { token, gateway: FALGATE_URL } }
}
