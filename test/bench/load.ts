// Load: wrk for as many requests as a server takes, and a small client of our own where each answer's time and content count.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { cores, cpuUsOf, inPath, pinned } from './machine.ts'
import type { Round } from './report.ts'
import { fill, type RawRequest } from './requests.ts'

/** An HTTP answer. */
export interface Reply { readonly status: number, readonly head: string, readonly body: string }

export interface Throughput { readonly requests: number, readonly seconds: number, readonly failed: number, readonly p50Ms: number, readonly p99Ms: number }

const script = fileURLToPath(new URL('../../../test/bench/wrk.lua', import.meta.url))

/** wrk spends a few microseconds of one core on a request, far less than any client in JavaScript: a fast server is not held back by it. */
export const hasWrk = inPath('wrk') !== null

/** Numbers that requests of this run have used. */
let used = 0

/** Far more than a round takes. */
const NUMBERS_PER_ROUND = 1_000_000

/** This many connections, each with one request under way, for so long. */
export async function flood (port: number, request: RawRequest, connections: number, seconds: number): Promise<Throughput> {
  const from = used
  used += NUMBERS_PER_ROUND
  return hasWrk ? await floodByWrk(port, request, connections, seconds, from) : await floodByHand(port, request, connections, seconds, from)
}

async function floodByWrk (port: number, { text }: RawRequest, connections: number, seconds: number, from: number): Promise<Throughput> {
  const [program = '', ...args] = pinned(cores.load, ['wrk', '--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`, '--timeout', '30s', '--script', script, `http://127.0.0.1:${port}`])
  const child = spawn(program, args, { env: { ...process.env, BENCH_REQUEST: text, BENCH_FROM: String(from) }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => { said += chunk })
  await once(child, 'close')
  const told = /\{"requests":(\d+),"microseconds":(\d+),"failed":(\d+),"p50Us":(\d+),"p99Us":(\d+)\}/.exec(said)
  if (told === null) throw new Error(`wrk said: ${said.slice(-500)}`)
  const [requests = 0, microseconds = 1, failed = 0, p50Us = 0, p99Us = 0] = told.slice(1).map(Number)
  return { requests, seconds: microseconds / 1e6, failed, p50Ms: p50Us / 1000, p99Ms: p99Us / 1000 }
}

async function floodByHand (port: number, request: RawRequest, connections: number, seconds: number, from: number): Promise<Throughput> {
  const startMs = performance.now()
  const tookMs: number[] = []
  let failed = 0
  let count = from
  await eachConnection(port, connections, async line => {
    while (performance.now() < startMs + seconds * 1000) {
      const sentMs = performance.now()
      const { status } = await line.ask(fill(request.text, count++))
      tookMs.push(performance.now() - sentMs)
      if (status >= 300) failed++
    }
  })
  return { requests: tookMs.length, seconds: (performance.now() - startMs) / 1000, failed, p50Ms: quantile(tookMs, 0.5), p99Ms: quantile(tookMs, 0.99) }
}

/** A server that is asked one thing. */
export interface Target { readonly name: string, readonly port: number, readonly pid: number, readonly request: RawRequest }

/** One round: what it answers, and what each answer costs its process. Throws when a request fails. */
export async function measure ({ name, port, pid, request }: Target, connections: number, seconds: number): Promise<Round> {
  const beforeUs = cpuUsOf(pid)
  const { requests, seconds: took, failed, p50Ms, p99Ms } = await flood(port, request, connections, seconds)
  if (failed > 0) throw new Error(`${name}: ${failed} of ${requests} requests failed`)
  return { perSecond: requests / took, cpuUs: (cpuUsOf(pid) - beforeUs) / requests, p50Ms, p99Ms }
}

/** A connection that is kept: one request at a time. */
export interface Line {
  readonly ask: (request: string) => Promise<Reply>
  readonly close: () => void
}

export async function openLine (port: number): Promise<Line> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  let arrived = Buffer.alloc(0)
  let settle: { readonly resolve: (reply: Reply) => void, readonly reject: (error: Error) => void } | null = null
  socket.on('data', chunk => {
    arrived = arrived.length === 0 ? chunk : Buffer.concat([arrived, chunk])
    const reply = replyIn(arrived)
    if (reply === null) return
    arrived = Buffer.alloc(0)
    settle?.resolve(reply)
    settle = null
  })
  socket.on('error', () => {})
  socket.on('close', () => { settle?.reject(new Error('the connection was closed before an answer came')) })
  return {
    ask: async request => await new Promise((resolve, reject) => {
      settle = { resolve, reject }
      if (socket.destroyed) reject(new Error('the connection is closed'))
      else socket.write(request)
    }),
    close: () => { socket.destroy() }
  }
}

/** An answer with a length or in chunks, once it is whole. */
function replyIn (bytes: Buffer): Reply | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return null
  const head = bytes.toString('latin1', 0, end)
  const status = Number(head.slice(9, 12))
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return bytes.length >= end + 4 + Number(length) ? { status, head, body: bytes.toString('utf8', end + 4) } : null
  return bytes.subarray(-5).toString('latin1') === '0\r\n\r\n' ? { status, head, body: chunksIn(bytes.toString('utf8', end + 4)) } : null
}

function chunksIn (text: string): string {
  return text.replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n(?:\r\n$)?/gi, '')
}

export async function eachConnection (port: number, connections: number, work: (line: Line, index: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: connections }, async (_, index) => {
    const line = await openLine(port)
    try {
      await work(line, index)
    } finally {
      line.close()
    }
  }))
}

/** Connections that send one request each, at this rate, and wait; their answers come later, or never. */
export async function openWaiting (port: number, requests: readonly string[], perSecond: number): Promise<readonly Socket[]> {
  const sockets: Socket[] = []
  const startMs = performance.now()
  for (const request of requests) {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(request)
    sockets.push(socket)
    await pause(Math.max(0, startMs + sockets.length / perSecond * 1000 - performance.now()))
  }
  return sockets
}

/**
 * Requests at a fixed rate, whatever the answers do. Times count from when a request was due, so that a server that stops for a moment cannot hide it
 * by keeping the client from asking. The clock starts when all connections are open and each has been answered once: opening them takes as long as a thousand
 * requests. Milliseconds, unsorted.
 */
export async function atRate (port: number, request: string, perSecond: number, seconds: number, connections: number): Promise<readonly number[]> {
  const lines = await Promise.all(Array.from({ length: connections }, async () => await openLine(port)))
  for (const line of lines) await line.ask(request)
  const total = Math.round(perSecond * seconds)
  const tookMs: number[] = []
  const idle: (() => void)[] = []
  const startMs = performance.now()
  /** How many were due by now, and how many of them were sent. */
  let [due, sent] = [0, 0]
  const ticker = setInterval(() => {
    due = Math.min(total, Math.ceil((performance.now() - startMs) / 1000 * perSecond))
    for (const wake of idle.splice(0, due === total ? Infinity : due - sent)) wake()
  }, 1)
  await Promise.all(lines.map(async line => {
    while (sent < total) {
      if (sent < due) {
        const dueMs = startMs + sent++ * 1000 / perSecond
        const { status } = await line.ask(request)
        if (status !== 200) throw new Error(`answered ${status}`)
        tookMs.push(performance.now() - dueMs)
      } else await new Promise<void>(resolve => { idle.push(resolve) })
    }
    line.close()
  }))
  clearInterval(ticker)
  return tookMs
}

export function quantile (values: readonly number[], share: number): number {
  return values.toSorted((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN
}
