// A gateway with its ledger in a folder, as a process that may be killed and started again.

import type { Test } from 'tap'
import { cliFile } from './paths.ts'
import { answering, freePort, start, type Env, type Running } from './processes.ts'

/** Of the demo tenant. */
export const authorization = 'Bearer fg_demo_sandbox'

export interface Serving { readonly running: Running, readonly url: string, readonly ops: string }

/** Starts it, with this environment beside ports of its own. */
export async function serve (t: Test, env: Env): Promise<Serving> {
  const [port, opsPort] = [await freePort(), await freePort()]
  const running = start(t, [cliFile], { PORT: String(port), OPS_PORT: String(opsPort), LOG_LEVEL: 'warn', ...env })
  const [url, ops] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${opsPort}`]
  await answering(running, `${ops}/readyz`)
  return { running, url, ops }
}

export async function generate (url: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<{ status: number, json: unknown }> {
  const response = await fetch(`${url}/generate`, { method: 'POST', headers: { authorization, 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
  return { status: response.status, json: await response.json() }
}
