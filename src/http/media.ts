// Stored files: `GET /media/<sha256>.<ending>` with a signature in place of a key, since pages and image tags send none.

import { Type, type Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../errors.ts'
import type { ByteRange, StoredFiles } from '../generation/media.ts'
import type { OnTrouble } from '../trouble.ts'
import { responsesOf } from './problem-schema.ts'

export interface MediaDeps {
  /** `null`: none are kept here. */
  readonly storedFiles: StoredFiles | null
  readonly onTrouble: OnTrouble
}

/** As stored files are named: `<SHA-256>.<ending>`. No other name has a signature that fits. */
const Name = Type.Object({ name: Type.String() })
const Link = Type.Object({ e: Type.Optional(Type.String()), s: Type.Optional(Type.String()) })

/** A file is somebody else's: nothing in it may run, load anything, or reach the page's own origin, whatever a browser takes it for. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self'; sandbox"

interface Asked { Params: Static<typeof Name>, Querystring: Static<typeof Link> }

type MediaRequest = FastifyRequest<Asked>

export function mediaRoute (scope: FastifyInstance, { storedFiles, onTrouble }: MediaDeps): void {
  /** Throws a `Problem` for who has no link that is in force, whether there is such a file or not. */
  function admit (request: MediaRequest, reply: FastifyReply, { links, kindOf }: StoredFiles): void {
    const { params: { name }, query: { e, s } } = request
    const verdict = links.judge(name, e, s)
    if (verdict.kind === 'forged') throw new Problem('link-refused', { detail: 'The signature of this link does not fit it. Use links as answers have them.' })
    if (verdict.kind === 'expired') throw new Problem('link-refused', { detail: 'This link has expired. `GET /generations/{id}`, or the same request once more, gives a fresh one.' })
    const { type, isShown } = kindOf(name)
    reply
      .header('content-type', type)
      .header('content-disposition', `${isShown ? 'inline' : 'attachment'}; filename="${name}"`)
      .header('content-security-policy', POLICY)
      .header('cross-origin-resource-policy', 'cross-origin')
      .header('access-control-allow-origin', '*')
      .header('accept-ranges', 'bytes')
      .header('etag', etagOf(name))
      // The bytes never change; the right to read them ends with the link.
      .header('cache-control', `public, max-age=${Math.floor(verdict.forMs / 1000)}, immutable`)
  }

  async function read<Result> (work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      onTrouble('read-media', error)
      throw new Problem('media-unavailable', { cause: error, retryAfterSeconds: 5 })
    }
  }

  async function send (request: MediaRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { name } = request.params
    if (storedFiles === null) throw new Problem('no-such-route', { detail: 'Files are not kept here.' })
    admit(request, reply, storedFiles)
    if (isKnown(request, name)) return reply.code(304).send()
    if (request.method === 'HEAD') {
      const bytes = await read(async () => await storedFiles.bytesOf(name))
      if (bytes === null) throw missing(reply)
      return reply.header('content-length', bytes).send()
    }
    const range = rangeIn(request, name)
    const file = await read(async () => await storedFiles.open(name, range))
    if (file.kind === 'missing') throw missing(reply)
    if (file.kind === 'out-of-range') {
      reply.removeHeader('content-disposition').removeHeader('etag').header('cache-control', 'no-store')
      throw new Problem('range-not-satisfiable', { headers: { 'content-range': `bytes */${file.bytes}` } })
    }
    const { bytes, first, last, content } = file
    if (range !== null) reply.code(206).header('content-range', `bytes ${first}-${last}/${bytes}`)
    return reply.header('content-length', last - first + 1).send(content)
  }

  const route = { url: '/media/:name', exposeHeadRoute: false, handler: send }
  const asked = { params: Name, querystring: Link }
  // One operation has both methods, and a document cannot say so.
  scope.route<Asked>({ ...route, method: 'HEAD', schema: { ...asked, hide: true } })
  scope.route<Asked>({
    ...route,
    method: 'GET',
    schema: {
      operationId: 'get_file',
      tags: ['files'],
      security: [],
      summary: 'Fetch a file of a result',
      description: 'The links in outputs lead here, where the gateway keeps files. They are used as they are, with their query, need no key, and work for as long as the gateway says; the generation has fresh ones each time. `Range`, `If-None-Match` and `HEAD` work as usual.',
      ...asked,
      response: {
        200: Type.Unsafe<unknown>({ description: 'The file.', content: { '*/*': { schema: { type: 'string', format: 'binary' } } } }),
        206: Type.Unsafe<unknown>({ description: 'The part of it that was asked for.', content: { '*/*': { schema: { type: 'string', format: 'binary' } } } }),
        ...responsesOf(['link-refused', 'no-such-file', 'range-not-satisfiable', 'media-unavailable'])
      }
    }
  })
}

function etagOf (name: string): string {
  return `"${name.slice(0, 64)}"`
}

/** Has the caller these bytes (RFC 9110, section 13.1.2)? */
function isKnown ({ headers }: FastifyRequest, name: string): boolean {
  const listed = headers['if-none-match']
  return listed !== undefined && listed.split(',').map(tag => tag.trim().replace(/^W\//, '')).some(tag => tag === '*' || tag === etagOf(name))
}

/** The one range that is asked for; `null`: none, several, or one that is not in this form, which may all be answered with the whole file (RFC 9110, section 14.2). */
function rangeIn ({ headers }: FastifyRequest, name: string): ByteRange | null {
  const condition = headers['if-range']
  // Other bytes than those that the caller has a part of, as far as can be told here.
  if (condition !== undefined && condition !== etagOf(name)) return null
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(headers.range ?? '') ?? []
  if (first !== '') return last !== '' && Number(last) < Number(first) ? null : { kind: 'from', first: Number(first), last: last === '' ? null : Number(last) }
  return last === '' ? null : { kind: 'last', bytes: Number(last) }
}

/** It was there when the link was made. */
function missing (reply: FastifyReply): Problem {
  reply.removeHeader('content-disposition').removeHeader('etag').header('cache-control', 'no-store')
  return new Problem('no-such-file')
}
