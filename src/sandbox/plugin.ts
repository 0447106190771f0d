// The sandbox: a local stand-in for fal with its queue, synchronous calls and files, and switches for what can go wrong.
// Not fal: pictures are drawn here, nothing is bought, and every picture says so.

import { hash, randomUUID, timingSafeEqual } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { FastifyError, FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import { falHeaders } from '../fal-wire/headers.ts'
import { parseQueuePath } from '../fal-wire/queue-path.ts'
import { wantsLogs } from '../fal-wire/status.ts'
import type { ModelBook } from '../models/models.ts'
import { detail, errorAnswers, notFound, pathNotFound, type Answer, type Outcome } from './answers.ts'
import { createBill, type Bill } from './bill.ts'
import { addControlRoutes } from './control.ts'
import { installedFormats } from './drawing/encoder.ts'
import { playFault } from './fault-play.ts'
import type { Fault, Operation } from './fault-schema.ts'
import { createFaults, type Faults } from './faults.ts'
import { createJobs, type Job } from './jobs.ts'
import { createOperations, withRequestId, type Call } from './operations.ts'
import type { OutputShape } from './output.ts'
import { createPictures } from './pictures.ts'
import type { PictureFormat } from './recipe.ts'
import { writeStatusStream } from './status-stream.ts'
import { createStorage, FILES, PLACES, STORAGE_BOUNDS, type StorageBounds } from './storage.ts'

/** What fal reads at most is not known; this is more than the gateway sends. */
const BODY_LIMIT_BYTES = 16 * 1024 * 1024

export interface SandboxOptions {
  /** How long a job waits before it may start; 300 by default, 0 in tests. */
  readonly queueMs?: number
  /** How long a job runs; 1500 by default. */
  readonly runMs?: number
  /** Jobs in progress at once: 40 by default, as fal gives at most without asking; a new account has 2. With 0 nothing ever starts. */
  readonly concurrency?: number
  /** Keys that are accepted; by default any that is not empty. */
  readonly keys?: readonly string[]
  /** The only key that opens `/control`; by default those that open everything else, and with `null` there is no control. */
  readonly controlKey?: string | null
  /** Jobs that are remembered, and lines on the bill; 10,000 by default. The first to have ended is the first to be forgotten. */
  readonly maxRequests?: number
  /** Bytes of pictures that are kept after drawing; 32 MiB by default. */
  readonly pictureCacheBytes?: number
  /** What of files that callers give is kept at most; by default 20 of 32 MiB each, and 64 MiB in all. */
  readonly storage?: StorageBounds
  /** Base of picture addresses, with the prefix, without a trailing slash; by default as the caller reached the sandbox. */
  readonly publicUrl?: string
  /** Which of the shapes that fal's Imagen 4 has had over time; `B` by default, which echoes the seed. */
  readonly outputShape?: OutputShape
  /** The formats that pictures are written in, PNG among them; by default those whose packages are installed. What is asked for in another is PNG, and says so. */
  readonly formats?: ReadonlySet<PictureFormat>
  /** How often a status stream sends a comment; 15,000 by default, as fal does. */
  readonly pingMs?: number
  /** Told of every job that ends, so that a log shows that these are not the model's. */
  readonly log?: (facts: { readonly fal_request_id: string, readonly model: string, readonly status: number, readonly units: number }, message: string) => void
}

export interface Sandbox {
  /** To be registered with a prefix or without one. It ends its streams and timers when the server closes. */
  readonly plugin: FastifyPluginAsync
  /** Its files alone, for a server where callers fetch them and nothing else of it is; beside the plugin, and on another server. */
  readonly files: FastifyPluginAsync
  readonly bill: Bill
  readonly faults: Faults
}

/** A sandbox with an empty queue that plays these models. Its plugin is registered once. */
export function createSandbox (models: () => ModelBook, options: SandboxOptions = {}): Sandbox {
  const { queueMs = 300, runMs = 1500, concurrency = 40, maxRequests = 10_000, pictureCacheBytes = 32 * 1024 * 1024, outputShape = 'B', pingMs = 15_000, controlKey, log } = options
  const { keys = null } = options
  const bill = createBill(maxRequests)
  const jobs = createJobs({
    queueMs,
    runMs,
    concurrency,
    maxRequests,
    onEnd (job, end) {
      if (end.units > 0) bill.billed(job.id, end.units)
      log?.({ fal_request_id: job.id, model: job.endpointId, status: end.answer.status, units: end.units }, 'sandbox: a job ended, nothing was bought')
    }
  })
  const { faults, take } = createFaults(jobs.hold)
  const pictures = createPictures(pictureCacheBytes)
  const storage = createStorage(options.storage ?? STORAGE_BOUNDS)
  const formats = options.formats ?? installedFormats()
  const operations = createOperations({ models, jobs, bill, concurrency, outputShape, formats, files: pictures, isMissing: storage.isMissing, publicUrl: options.publicUrl })
  const closing = new AbortController()
  // Every call under a fault listens, however many there are.
  setMaxListeners(0, closing.signal)

  /** Counts the call, then plays the fault that it meets, if any, around the call's own work. */
  async function answer (operation: Operation, reply: FastifyReply, work: (fault: Fault | null) => Outcome | Promise<Outcome>): Promise<FastifyReply> {
    if (operation === 'submit' || operation === 'run') bill.submitReceived()
    if (operation === 'cancel') bill.cancelReceived()
    const taken = take(operation)
    const outcome = taken === null ? await work(null) : await playFault(taken, reply.raw, closing.signal, () => work(taken.fault))
    if (outcome !== null && typeof outcome !== 'function') return send(reply, outcome)
    reply.hijack()
    await outcome?.(reply.raw)
    return reply
  }

  function callOf (request: FastifyRequest, base: string, fault: Fault | null): Call {
    const { body } = request
    return { text: typeof body === 'string' ? body : '', headers: request.headers, query: queryOf(request), base, fault }
  }

  function isAuthorized (request: FastifyRequest): boolean {
    const key = keyOf(request)
    return key !== undefined && (keys === null || keys.some(known => isSame(key, known)))
  }

  function mayControl (request: FastifyRequest): boolean {
    return typeof controlKey === 'string' ? isSame(keyOf(request) ?? '', controlKey) : isAuthorized(request)
  }

  function streamOf (call: Call, job: Job): Outcome {
    return raw => writeStatusStream({
      jobs,
      job,
      raw,
      headers: { [falHeaders.requestId]: job.id },
      logs: wantsLogs(call.query.get('logs')),
      pingMs,
      statusObject: logsFrom => operations.statusObject(call, job, logsFrom),
      truncate: call.fault?.kind === 'truncate' ? (call.fault.cleanly === true ? 'cleanly' : 'broken') : undefined
    })
  }

  function fileRoute (app: FastifyInstance): void {
    app.get<{ Params: { name: string } }>(`${FILES}/:name`, { schema: hidden }, async (request, reply) => {
      return answer('file', reply, () => storage.answer(request.params.name) ?? detail(404, 'No such file'))
    })
    app.get<{ Params: { animal: string, name: string } }>('/files/:animal/:name', { schema: hidden }, async (request, reply) => {
      return answer('file', reply, async () => {
        return pictures.answer(request.params.name, request.headers['if-none-match']) ?? detail(404, 'No such file')
      })
    })
  }

  /** Where files are sent: who has the address needs no key, as at fal. */
  async function placesForFiles (app: FastifyInstance): Promise<void> {
    const { fileBytes } = options.storage ?? STORAGE_BOUNDS
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: fileBytes }, (_request, body, done) => { done(null, body) })
    app.put<{ Params: { id: string } }>(`${PLACES}/:id`, {
      onRequest: async (request, reply) => {
        const length = request.headers['content-length']
        const room = storage.expect(request.params.id, length === undefined ? null : Number(length))
        if (typeof room === 'function') reply.raw.once('close', room)
        else await send(reply, room)
      }
    }, async (request, reply) => {
      return answer('upload', reply, () => storage.take(request.params.id, Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)))
    })
  }

  async function plugin (app: FastifyInstance): Promise<void> {
    app.addHook('onRoute', route => { route.schema = hidden })

    // Bodies stay text: what is wrong with an input shows up at the result, and seeds keep their digits.
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: BODY_LIMIT_BYTES }, (_request, body, done) => { done(null, body) })

    app.setErrorHandler<FastifyError>(async (error, _request, reply) => {
      const status = error.statusCode ?? 500
      return send(reply, detail(status, status < 500 ? error.message : 'Internal Server Error'))
    })

    const baseOf = (request: FastifyRequest): string => `${request.protocol}://${request.host}${app.prefix.replace(/\/$/, '')}`

    app.get('/', async (request, reply) => reply.type('text/plain; charset=utf-8').send(aboutText(baseOf(request), { hasControl: controlKey !== null, takesAnyKey: keys === null })))

    fileRoute(app)
    await app.register(placesForFiles)

    if (controlKey !== null) {
      await app.register(async controlled => {
        controlled.addHook('onRequest', async (request, reply) => {
          if (!mayControl(request)) await send(reply, errorAnswers.unauthorized)
        })
        addControlRoutes(controlled, { bill: bill.bill, faults })
      })
    }

    await app.register(async guarded => {
      guarded.addHook('onRequest', async (request, reply) => {
        if (!isAuthorized(request)) await send(reply, errorAnswers.unauthorized)
      })

      guarded.all<{ Params: { '*': string } }>('/run/*', async (request, reply) => {
        if (request.method !== 'POST') return send(reply, methodNotAllowed)
        return answer('run', reply, fault => operations.run(callOf(request, baseOf(request), fault), withoutSlash(request.params['*'])))
      })

      guarded.post(`${PLACES}/initiate`, async (request, reply) => {
        const { text, base } = callOf(request, options.publicUrl ?? baseOf(request), null)
        return answer('initiate', reply, () => storage.initiate(text, base))
      })

      guarded.all<{ Params: { '*': string } }>('/queue/*', async (request, reply) => {
        const base = baseOf(request)
        const path = parseQueuePath(request.params['*'])
        if (request.method !== path.method) return send(reply, methodNotAllowed)
        return answer(path.operation, reply, fault => {
          const call = callOf(request, base, fault)
          if (path.operation === 'submit') return operations.submit(call, path.endpointId)
          const job = operations.find(path.id, path.endpointId)
          if (job === undefined) return notFound()
          switch (path.operation) {
            case 'status': return operations.status(call, job)
            case 'stream': return streamOf(call, job)
            case 'result': return operations.result(job)
            case 'cancel': return operations.cancel(job)
          }
        })
      })
    })

    app.all('/*', async (request, reply) => send(reply, pathNotFound(`Path ${request.url.split('?')[0]} not found`)))

    // Before the server waits for open connections: those that only the sandbox keeps open have to end first.
    app.addHook('preClose', async () => {
      closing.abort()
      faults.clear()
      jobs.close()
      pictures.close()
    })
  }

  return { plugin, files: async app => { fileRoute(app) }, bill: bill.bill, faults }
}

/** The gateway's OpenAPI document is not the place to describe fal's protocol. */
const hidden: FastifySchema & { readonly hide: true } = { hide: true }

// That the body of fal's 405 is FastAPI's is a guess; the protocol's notes have none.
const methodNotAllowed = detail(405, 'Method Not Allowed')

function send (reply: FastifyReply, answer: Answer): FastifyReply {
  const named = answer.fromIngress === true || falHeaders.requestId in answer.headers
  const { status, headers, body } = named ? answer : withRequestId(answer, randomUUID())
  return reply.code(status).headers(headers).send(body)
}

function queryOf (request: FastifyRequest): URLSearchParams {
  return new URL(request.url, 'http://sandbox').searchParams
}

function withoutSlash (path: string): string {
  return path.replace(/\/$/, '')
}

function keyOf ({ headers }: FastifyRequest): string | undefined {
  return /^Key (\S+)$/i.exec(headers.authorization ?? '')?.[1]
}

function isSame (said: string, key: string): boolean {
  return timingSafeEqual(hash('sha256', said, 'buffer'), hash('sha256', key, 'buffer'))
}

function aboutText (base: string, { hasControl, takesAnyKey }: { readonly hasControl: boolean, readonly takesAnyKey: boolean }): string {
  const control = `
  ${base}/control/faults         what shall go wrong: GET, PUT, DELETE
  ${base}/control/hold           keeps jobs in progress: GET, PUT, DELETE
  ${base}/control/bill           what was accepted and billed: GET, DELETE`
  const closed = `
Queue, synchronous calls and storage take only the key that this sandbox was given; \`falgate sandbox\` serves one that takes any.
`
  return `This is falgate's sandbox: it speaks fal's protocol, draws its pictures itself and costs nothing.
Nothing here comes from the model, and every picture says so.

  ${base}/queue/{endpoint id}    fal's queue (queue.fal.run)
  ${base}/run/{endpoint id}      synchronous calls (fal.run)
  ${base}/storage/upload/...     files for inputs to name (rest.fal.ai)
  ${base}/files/...              pictures, sounds and videos${hasControl ? control : ''}
${takesAnyKey ? '' : closed}`
}
