// The door: hooks, scopes and routes, in the order in which a request meets them.

import { randomUUID } from 'node:crypto'
import { ServerResponse, STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import Fastify, { LogController, type FastifyBaseLogger, type FastifyError, type FastifyInstance, type FastifyPluginAsync, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { Problem } from '../errors.ts'
import type { StoredFiles } from '../generation/media.ts'
import type { Follow } from '../generation/watch/follow.ts'
import type { LineLog } from '../logger.ts'
import type { TenantBook } from '../tenants/book.ts'
import type { Tracing } from '../tracing.ts'
import { missed } from './answer.ts'
import { isStillCaller, protect } from './authenticate.ts'
import { BodyOverdue, createLongBodies } from './body-bytes.ts'
import { watchConnection } from './connection.ts'
import { answerPreflights, letPageRead } from './cross-origin.ts'
import { createEventStreams } from './event-stream.ts'
import { eventRoute } from './events.ts'
import { hintAtRoot, isFalAddress, routedUrl } from './fal/address.ts'
import { falDoor, type FalDeps } from './fal/door.ts'
import type { RawRequest, Trust } from './fal/hosts.ts'
import { jwksRoute } from './fal/jwks.ts'
import { createFalProblems } from './fal/render.ts'
import type { HostRefuser } from './foreign-host.ts'
import { dropOddForwarded } from './forwarded-address.ts'
import type { PrefixOf } from './forwarded-prefix.ts'
import { generateRoutes, type GenerateDeps } from './generate.ts'
import { generationRoutes } from './generations.ts'
import { answerHeaders, requestHeaders } from './headers.ts'
import { takeJsonOnly } from './json-body.ts'
import { mediaRoute } from './media.ts'
import { rememberMethods } from './methods.ts'
import { modelRoutes } from './models.ts'
import type { EditsDeps } from './openai/edits.ts'
import { openAiDoor } from './openai/door.ts'
import { isOpenAiAddress, sendOpenAiProblem } from './openai/render.ts'
import { opsRoutes, type Readiness } from './ops.ts'
import { describeRoutes, docsPages } from './pages/docs.ts'
import { playgroundPages } from './pages/playground.ts'
import { bodyOf, sendProblem } from './problem.ts'
import { acceptableRequestId, freshFacts } from './request-facts.ts'
import { logRequest } from './request-log.ts'
import { ticketRoute } from './tickets.ts'
import { createTokenCallers } from './token-callers.ts'
import { tokenRoutes } from './tokens.ts'
import { usageRoute } from './usage.ts'
import { validatorCompiler } from './validation.ts'

export interface ServerDeps extends GenerateDeps, Omit<FalDeps, 'eventStreams'>, Omit<EditsDeps, 'eventStreams' | 'longBodies'> {
  readonly log: Logger
  /** What writes the line of each request. */
  readonly requestLog: LineLog
  readonly tracing: Tracing
  readonly follow: Follow
  /** How often event streams beat, and after how long an unread one is dropped. */
  readonly events: { readonly heartbeatMs: number, readonly idleTimeoutMs: number }
  readonly tenants: () => TenantBook
  readonly version: string
  readonly publicUrl: string | null
  readonly readiness: () => Readiness
  /** Will the listener close soon? */
  readonly isDraining: () => boolean
  /** Serve the operators' routes here; false when they have a port of their own. */
  readonly opsHere: boolean
  /** What a proxy that is believed takes away from the front of addresses. */
  readonly prefixOf: PrefixOf
  /** Whose `X-Forwarded-*` headers are believed. */
  readonly trust: Trust | false
  /** Refuses requests for host names that are none of the gateway's; `null`: it answers to every name. */
  readonly refuseHost: HostRefuser | null
  readonly tls: { readonly cert: Buffer, readonly key: Buffer } | null
  /** How long a connection on which nothing is asked is kept; clients are told so. */
  readonly keepAliveMs: number
  /** Whatever of the local stand-in for fal is mounted at `/sandbox`. */
  readonly sandbox: FastifyPluginAsync | null
  /** The files of results, where they are kept. */
  readonly storedFiles: StoredFiles | null
  /** The published key, where it is taken; `null` where it is not. */
  readonly demoKey: string | null
}

/** There is one line a request, and `request-log.ts` writes it. */
const oneLineOurselves = new LogController({ disableRequestLogging: true })

/** A request has to arrive whole in this time. */
const REQUEST_TIMEOUT_MS = 30_000

/**
 * How often Node looks for requests that took longer, and how long a head may take. When a head may take longer than the whole request, Node exchanges the two, and
 * its default for heads is a minute: bodies would have that.
 */
const CLOCK = { connectionsCheckingInterval: 1000, headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS }

export async function buildServer (deps: ServerDeps): Promise<FastifyInstance> {
  const begin = beginner(deps)
  const app = bareServer(deps, begin)
  app.decorateRequest('facts')
  // Node's own answer is empty.
  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const { head, body } = earlyAnswer(new Problem('expectation-failed'), deps.log)
    response.writeHead(417, head).end(body)
  })
  const { refuseHost } = deps
  if (refuseHost !== null) {
    const sendFalProblem = createFalProblems(deps.models)
    // In front of everything, the sandbox and the operators' routes too.
    app.addHook('onRequest', (request, reply, done) => {
      const problem = refuseHost(request.headers.host)
      if (problem === null) return done()
      begin(request, reply)
      senderAt(request.url, sendFalProblem)(problem, request, reply)
    })
  }
  // Beside the gateway, not inside: its requests are the gateway's own, and are neither logged nor counted as callers'.
  if (deps.sandbox !== null) await app.register(deps.sandbox, { prefix: '/sandbox' })
  await app.register(async gateway => { await openGateway(gateway, deps, begin) })
  return app
}

async function openGateway (gateway: FastifyInstance, deps: ServerDeps, begin: Begin): Promise<void> {
  const { metrics } = deps
  const refuseAddress = rememberMethods(gateway, path => hintAtRoot(path, deps.models()))

  // Hooks that wait for nothing use callbacks: for each promise every request would wait a turn.
  gateway.addHook('onRequest', (request, reply, done) => {
    begin(request, reply)
    // Which of two hosts is meant, everything between a client and here may answer in its own way.
    if (hasTwoHosts(request.raw)) done(new Problem('bad-request', { detail: 'The request has more than one Host.' }))
    // A stranger's body is not read for an address that does not exist.
    else if (request.is404) {
      letPageRead(request, reply, deps.tenants())
      done(refuseAddress(request.method, pathOf(request.url)))
    } else done()
  })
  gateway.addHook('onSend', (_request, reply, payload, done) => {
    reply.header(answerHeaders.serverTiming, `total;dur=${reply.elapsedTime.toFixed(1)}`)
    done(null, payload)
  })
  gateway.setErrorHandler(sendProblem)
  gateway.setNotFoundHandler(request => { throw refuseAddress(request.method, pathOf(request.url)) })
  gateway.setValidatorCompiler(validatorCompiler)
  // Answers are written by us, most of them as text: serializers made of the schemas would never be called, and take a tenth of the start to make.
  gateway.setSerializerCompiler(() => data => JSON.stringify(data))
  const longBodies = createLongBodies()
  takeJsonOnly(gateway, deps.knownBodies, longBodies)

  await describeRoutes(gateway, { version: deps.version, models: deps.models(), publicUrl: deps.publicUrl })
  if (deps.opsHere) opsRoutes(gateway, { metrics, readiness: deps.readiness, details: false })
  await docsPages(gateway, deps)
  playgroundPages(gateway, { demoKey: deps.demoKey, isSandbox: deps.sandbox !== null, publicUrl: deps.publicUrl })

  mediaRoute(gateway, deps)
  jwksRoute(gateway, deps)

  await gateway.register(async scope => {
    await answerPreflights(scope, deps.tenants)
    const tokens = createTokenCallers(deps.ledger)
    await protect(scope, { ...deps, tokens })
    generateRoutes(scope, deps)
    generationRoutes(scope, deps)
    const eventStreams = createEventStreams({ ...deps, ...deps.events, isAllowed: request => isStillCaller(deps.tenants(), tokens, request) })
    eventRoute(scope, { ...deps, eventStreams })
    ticketRoute(scope, deps)
    usageRoute(scope, deps)
    tokenRoutes(scope, deps)
    modelRoutes(scope, deps)
    await falDoor(scope, { ...deps, eventStreams })
    await openAiDoor(scope, { ...deps, eventStreams, longBodies })
  })
}

/** What every request starts with, also one whose address cannot be read. */
type Begin = (request: FastifyRequest, reply: FastifyReply) => void

function beginner ({ requestLog, metrics, tracing, isDraining }: Pick<ServerDeps, 'requestLog' | 'metrics' | 'tracing' | 'isDraining'>): Begin {
  const whenOver = (isDelivered: boolean, request: FastifyRequest, reply: FastifyReply): void => { logRequest(request, reply, isDelivered, requestLog, metrics) }
  return (request, reply) => {
    // Fastify's own hook for the end does not run when the caller leaves.
    const { routeOptions } = request
    const { url: route = 'none', config: { saysCacheStatus = false, isPoll = false, operationOf } } = routeOptions
    const operation = operationOf === undefined ? { route, isPoll } : operationOf(pathOf(request.url))
    request.facts = freshFacts(watchConnection(request, reply, whenOver), routeOptions, operation, tracing.ofRequest(request.headers))
    if (saysCacheStatus) reply.header(answerHeaders.cacheStatus, missed('normal'))
    reply.header(answerHeaders.requestId, request.id)
    reply.header('x-content-type-options', 'nosniff')
    reply.header('cache-control', 'no-store')
    // A client that is told so now is not cut off later, when the listener closes.
    if (isDraining()) reply.header('connection', 'close')
  }
}

/** The operators' own listener. */
export async function buildOpsServer (deps: Pick<ServerDeps, 'log' | 'metrics' | 'readiness' | 'keepAliveMs'>): Promise<FastifyInstance> {
  const loggerInstance: FastifyBaseLogger = deps.log
  const app = Fastify({ loggerInstance, logController: oneLineOurselves, keepAliveTimeout: deps.keepAliveMs, forceCloseConnections: 'idle' })
  opsRoutes(app, { ...deps, details: true })
  return app
}

function bareServer ({ log, models, trust, falHosts, tls, keepAliveMs }: ServerDeps, begin: Begin): FastifyInstance {
  const sendFalProblem = createFalProblems(models)
  const loggerInstance: FastifyBaseLogger = log
  const options = {
    loggerInstance,
    logController: oneLineOurselves,
    trustProxy: trust,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: keepAliveMs,
    http: CLOCK,
    // Draining is answered by the core, which still serves what is stored and what can be collected.
    return503OnClosing: false,
    forceCloseConnections: 'idle' as const,
    requestIdHeader: false as const,
    routerOptions: { ignoreTrailingSlash: true },
    rewriteUrl: (raw: RawRequest) => {
      // The first that is called for a request.
      if (trust !== false) dropOddForwarded(raw.headers)
      return routedUrl(raw, models(), falHosts)
    },
    genReqId: (raw: { headers: Record<string, string | string[] | undefined> }) => acceptableRequestId(raw.headers[requestHeaders.requestId]) ?? freshRequestId(),
    // Nothing is logged by way of requests but in `request-log.ts`, which names the request itself.
    childLoggerFactory: (logger: FastifyBaseLogger, _bindings: object, { level }: { readonly level?: string }) => level === undefined || !log.isLevelEnabled(level) ? logger : logger.child({}, { level }),
    // An address that cannot be read fails before the first hook.
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      begin(request, reply)
      senderAt(request.url, sendFalProblem)(error, request, reply)
    },
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => { refuseUnreadable(error, socket, log) }
  }
  return tls === null ? Fastify(options) : Fastify({ ...options, https: { ...tls, ...CLOCK } })
}

/** What sends problems at an address: each door in its own form. */
function senderAt (url: string, sendFalProblem: typeof sendProblem): typeof sendProblem {
  return isFalAddress(url) ? sendFalProblem : isOpenAiAddress(url) ? sendOpenAiProblem : sendProblem
}

/** A fresh one. Node puts a UUID together of twenty pieces, which take eight times the room until somebody reads it, and of a caller that waits nobody reads it: so it is joined here. */
function freshRequestId (): string {
  return randomUUID().toLowerCase()
}

function pathOf (url: string): string {
  const [path = '/'] = url.split('?', 1)
  return path
}

/** Answers what is not HTTP, or came too slowly: there is no request yet, only a socket. */
function refuseUnreadable (error: Error & { code?: string }, socket: Socket, log: Logger): void {
  // Behind a request that is still being answered nothing can be said: it would be taken for that answer. Node's own handler looks at this, too.
  const answering: unknown = Reflect.get(socket, '_httpMessage')
  const isAnswering = answering instanceof ServerResponse
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && isAnswering && !answering.req.complete && answering.req.listenerCount('error') > 0) {
    // What reads the body can still say so, in an answer like every other.
    answering.req.emit('error', new BodyOverdue())
    return
  }
  if (error.code === 'ECONNRESET' || isAnswering || !socket.writable) {
    socket.destroy()
    return
  }
  const problem = new Problem(error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'request-timeout' : error.code === 'HPE_HEADER_OVERFLOW' ? 'headers-too-large' : 'bad-request')
  const { head, body } = earlyAnswer(problem, log)
  const lines = [`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`, ...Object.entries(head).map(([name, value]) => `${name}: ${value}`)]
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`, () => { socket.destroy() })
}

/** The answer to what Fastify never sees, and its line in the log. */
function earlyAnswer (problem: Problem, log: Logger): { readonly head: Readonly<Record<string, string>>, readonly body: string } {
  const requestId = randomUUID()
  const body = JSON.stringify(bodyOf(problem, requestId))
  log.info({ request_id: requestId, status: problem.status, code: problem.code }, 'request')
  return { head: { 'content-type': 'application/problem+json', 'content-length': String(Buffer.byteLength(body)), [answerHeaders.requestId]: requestId, connection: 'close' }, body }
}

/** Node takes the first one and drops the others. */
function hasTwoHosts ({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts > 1
}
