// A process that appends numbers to the log in a folder and makes checkpoints meanwhile until it is killed. It says each number once it is acknowledged.

import { openNumbers } from './numbers.ts'

const numbers = await openNumbers(process.argv[2] ?? '')

async function checkpoints (): Promise<void> {
  for (;;) await numbers.checkpoint()
}

async function appends (): Promise<void> {
  for (;;) process.stdout.write(`${await numbers.append()}\n`)
}

await Promise.all([appends(), checkpoints()])
