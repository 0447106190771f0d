// The playground: a page at `/` for browsers, and its parts below `/playground/`. It is no more than a caller: what it shows, it asks for with a key.

import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { ICON } from './icon.ts'

export interface PlaygroundDeps {
  /** The published key, where the gateway takes it: the page is signed in with it. `null`: the page asks for one. */
  readonly demoKey: string | null
  /** Are pictures drawn by the stand-in for fal in this process? */
  readonly isSandbox: boolean
  /** Where the gateway says that its own pictures are, and files that it keeps; `null`: as the page was asked for. */
  readonly publicUrl: string | null
}

/** What is at the root for whatever is no browser. Addresses are relative: there may be a base path. */
const WAY = 'This is falgate, a gateway to fal.ai. POST /generate makes a picture; docs describes the API, openapi.json is for machines.\n'

/** Pages and scripts are no TypeScript, so that they are read from `src/`. */
const folder = new URL('../../../../src/http/pages/playground/', import.meta.url)

const types = new Map([['.css', 'text/css; charset=utf-8'], ['.js', 'text/javascript; charset=utf-8'], ['.svg', 'image/svg+xml']])

/** The parts of the page. Relative addresses lead from one to the other, also below the base path of a proxy. */
const parts = readdirSync(folder).filter(name => ['.css', '.js'].includes(extname(name)))

/** Preact and htm in one file, which needs no build and no `eval`. */
const LIBRARY = 'preact.js'

/** Nothing from another host but pictures and films: these are at fal, or at `origin`. */
function policyWith (origin: string): string {
  const files = `'self' data: https:${origin}`
  return `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src ${files}; media-src ${files}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
}

/** `GET /` and what its page loads. */
export function playgroundPages (app: FastifyInstance, { demoKey, isSandbox, publicUrl }: PlaygroundDeps): void {
  const policy = policyWith(publicUrl === null ? '' : ` ${new URL(publicUrl).origin}`)
  const page = textOf('index.html').replace('<html lang="en">', `<html lang="en"${isSandbox ? ' data-sandbox' : ''}${demoKey === null ? '' : ` data-demo-key="${demoKey}"`}>`)
  const hidden = { schema: { hide: true } }

  app.get('/', hidden, async (request, reply) => {
    reply.header('vary', 'accept')
    if (request.headers.accept?.includes('text/html') !== true) return reply.type('text/plain').send(WAY)
    return reply.type('text/html; charset=utf-8').header('content-security-policy', policy).header('referrer-policy', 'no-referrer').send(page)
  })

  for (const part of parts) serve(part, textOf(part))
  serve('icon.svg', ICON)
  serve(LIBRARY, readFileSync(fileURLToPath(import.meta.resolve('htm/preact/standalone')), 'utf8'))

  function serve (name: string, text: string): void {
    app.get(`/playground/${name}`, hidden, async (_request, reply) => reply.type(types.get(extname(name)) ?? 'text/plain').send(text))
  }
}

function textOf (name: string): string {
  return readFileSync(new URL(name, folder), 'utf8')
}
