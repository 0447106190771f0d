// Runs the tests with one Redis for all of their processes: node with-redis.js <command> [argument …], with that command's exit code.
// With REDIS_URL given they share that one.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { SHARED_URL, startSharedRedis } from './redis.ts'

const [command = '', ...args] = process.argv.slice(2)
const given = process.env['REDIS_URL'] ?? ''
const server = given === '' ? await startSharedRedis() : null
const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...(server === null ? {} : { [SHARED_URL]: server.url }) } })
// The terminal tells all of its processes: the tests end by themselves, and then this one.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => { if (signal !== 'SIGINT') child.kill(signal) })
const [code] = await once(child, 'close')
await server?.stop()
process.exit(typeof code === 'number' ? code : 1)
