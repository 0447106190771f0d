// One call of fal's own Python client, in a process of its own.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { STUDIO_KEY } from '../gateway.ts'
import { projectDir } from '../paths.ts'

const run = promisify(execFile)
const program = join(projectDir, 'test', 'support', 'fal', 'one-picture.py')
const CALL_TIMEOUT_MS = 60_000

export interface PythonCall {
  /** An interpreter that has the client. */
  readonly python: string
  /** `submit`, `status` and `result` are parts of a subscription. */
  readonly call: 'run' | 'submit' | 'status' | 'result' | 'subscribe' | 'cancel'
  /** Where the gateway is. */
  readonly base: string
  readonly model: string
  readonly input: Readonly<Record<string, unknown>>
  readonly headers?: Readonly<Record<string, string>>
}

/** The output of the call; `null` when it was cancelled. */
export async function onePicture ({ python, call, base, model, input, headers = {} }: PythonCall): Promise<unknown> {
  const { stdout } = await run(python, [program, call, base, model, JSON.stringify(input), JSON.stringify(headers)], { env: { FAL_KEY: STUDIO_KEY, PATH: '' }, timeout: CALL_TIMEOUT_MS })
  return JSON.parse(stdout)
}
