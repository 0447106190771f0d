// The command line inside this process: what a command says, and the exit code that it ends with.

import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { main } from '../../src/cli/main.ts'
import { builtInModels } from '../../src/models/built-in.ts'

export interface Said { readonly code: number, readonly stdout: string, readonly stderr: string }

/** Runs a command that ends by itself, with this environment and no other. */
export async function runHere (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Said> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const said = Promise.all([text(stdout), text(stderr)])
  const keep = (): void => { throw new Error('a command that goes on needs a process') }
  const code = await main(args, { env, stdin: () => new PassThrough(), stdout, stderr, models: builtInModels, keep, onSignal: () => () => {}, abandon: () => {} })
  stdout.end()
  stderr.end()
  const [out, err] = await said
  return { code, stdout: out, stderr: err }
}
