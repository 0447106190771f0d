// How long answers take: a whole generation against calling the queue by hand, and callers that join one.

import { randomUUID } from 'node:crypto'
import { requestUrls } from '../../src/fal-wire/endpoint-id.ts'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { parseObject } from '../support/gateway.ts'
import type { Gateway, Ground } from './contestants.ts'
import { hitRequest, missRequest } from './contestants.ts'
import { eachConnection, openLine, quantile, type Line } from './load.ts'
import { fill, freshInput, post } from './requests.ts'

export interface Times { readonly count: number, readonly p50Ms: number, readonly p99Ms: number, readonly p999Ms: number, readonly mostMs: number }

/** The same generation both ways, round by round in turn. */
export interface Added { readonly concurrent: number, readonly byHand: Times, readonly throughFalgate: Times }

export async function addedTime (ground: Ground, gateway: Gateway, concurrent: number, rounds: number, secondsEach: number): Promise<Added> {
  const byHand: number[] = []
  const throughFalgate: number[] = []
  for (let round = 0; round < rounds; round++) {
    byHand.push(...await during(ground.upstreamPort, concurrent, secondsEach, generateByHand))
    const request = missRequest().text
    throughFalgate.push(...await during(gateway.port, concurrent, secondsEach, async (line, count) => {
      const { status, body } = await line.ask(fill(request, count))
      if (status !== 200) throw new Error(`falgate answered ${status} ${body}`)
    }))
  }
  return { concurrent, byHand: timesOf(byHand), throughFalgate: timesOf(throughFalgate) }
}

async function during (port: number, concurrent: number, seconds: number, work: (line: Line, count: number) => Promise<void>): Promise<readonly number[]> {
  const tookMs: number[] = []
  const endMs = performance.now() + seconds * 1000
  let count = 0
  await eachConnection(port, concurrent, async line => {
    while (performance.now() < endMs) {
      const startMs = performance.now()
      await work(line, count++)
      tookMs.push(performance.now() - startMs)
    }
  })
  return tookMs
}

/** Submit, look once, fetch: what a caller does who knows fal's queue and keeps its connection. */
async function generateByHand (line: Line, count: number): Promise<void> {
  const submitted = await line.ask(fill(post(`/${imagen4Ultra.endpointId}`, freshInput(hand)).text, count))
  const urls = requestUrls('', imagen4Ultra.endpointId, String(parseObject(submitted.body)['request_id']))
  const status = await line.ask(get(urls.status))
  if (!status.body.includes('COMPLETED')) throw new Error(`the upstream answered ${status.body}`)
  const result = await line.ask(get(urls.response))
  if (!result.body.includes('"images"')) throw new Error(`the upstream answered ${result.body}`)
}

const hand = randomUUID()

function get (path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`
}

/** Callers that join one generation, as many a second as are answered once it has ended. */
export async function joinsPerSecond (gateway: Gateway, delayMs: number, callers: number, rounds: number): Promise<readonly number[]> {
  const lines = await Promise.all(Array.from({ length: callers }, async () => await openLine(gateway.port)))
  const rates: number[] = []
  for (let round = 0; round < rounds; round++) {
    const request = fill(post('/generate', `{"prompt":"${randomUUID()}","seed":7}`, { authorization: hitAuthorization }).text, 0)
    const startMs = performance.now()
    const replies = await Promise.all(lines.map(async line => await line.ask(request)))
    const tookMs = performance.now() - startMs
    const joined = replies.filter(({ head }) => /; collapsed/.test(head)).length
    const bought = replies.filter(({ head }) => /detail=bought/.test(head)).length
    if (bought !== 1 || replies.some(({ status }) => status !== 200)) throw new Error(`${bought} of ${callers} callers bought`)
    rates.push(joined / Math.max(1, tookMs - delayMs) * 1000)
  }
  for (const { close } of lines) close()
  return rates
}

const hitAuthorization = /authorization: (.*)\r\n/.exec(hitRequest.text)?.[1] ?? ''

export function timesOf (tookMs: readonly number[]): Times {
  return { count: tookMs.length, p50Ms: quantile(tookMs, 0.5), p99Ms: quantile(tookMs, 0.99), p999Ms: quantile(tookMs, 0.999), mostMs: quantile(tookMs, 1) }
}
