// The image holds what the gateway needs to run, and nothing in it is missing from the project.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { longestCloseMs } from '../../src/app/drain.ts'
import { parseConfig } from '../../src/config.ts'
import { readCompose } from '../support/compose.ts'
import { layOut, readDockerfile } from '../support/image.ts'
import { projectDir } from '../support/paths.ts'
import { answering, freePort, start } from '../support/processes.ts'

const read = (file: string): string => readFileSync(join(projectDir, file), 'utf8')
const image = readDockerfile(read('Dockerfile'))
const { gateway } = readCompose().services

t.test('everything that the Dockerfile copies exists and is not ignored', async t => {
  const admitted = read('.dockerignore').split('\n').filter(line => line.startsWith('!')).map(line => line.slice(1))
  t.ok(image.sources.length > 0, 'the Dockerfile was understood')
  for (const source of image.sources) {
    const path = source.replace(/^\.\//, '')
    t.ok(existsSync(join(projectDir, path)), `${path} exists`)
    t.ok(admitted.includes(path), `${path} is admitted by .dockerignore`)
  }
})

t.test('the image runs as another user than root, in production, and stops by signals', async t => {
  t.equal(image.user, 'node')
  t.match(image.env, { NODE_ENV: 'production', HOST: '0.0.0.0', OPS_PORT: /^\d+$/ })
  t.equal(image.command[0], 'node', 'no shell stands between the gateway and its signals')
})

t.test('the image and compose give Node the same options, with which it neither grows nor shrinks the young generation', async t => {
  const options = image.command.filter(word => word.startsWith('--'))
  const valueOf = (name: string): string | undefined => options.find(option => option.startsWith(name + '='))?.slice(name.length + 1)
  t.match(valueOf('--max-semi-space-size'), /^\d+$/)
  t.equal(valueOf('--min-semi-space-size'), valueOf('--max-semi-space-size'))
  const served = Object.entries(readCompose().services).flatMap(([name, { command }]) => {
    const serve = command?.find(word => word.includes('cli.js serve'))
    return serve === undefined ? [] : [{ name, serve }]
  })
  t.ok(served.length > 0, 'compose has a command of its own')
  for (const { name, serve } of served) t.ok(serve.endsWith(`exec ${image.command.join(' ')}`), name)
})

t.test('the image\'s own environment is sound once a key is given', async t => {
  t.match(parseConfig({ ...image.env, FAL_KEY: 'sandbox' }), { ok: true })
})

t.test('compose gives a process more time to end than the longest drain takes', async t => {
  const graceSeconds = Number(/^(\d+)s$/.exec(gateway.stop_grace_period ?? '')?.[1])
  const defaults = parseConfig({ ...image.env, FAL_KEY: 'sandbox' })
  t.ok(defaults.ok && graceSeconds * 1000 > longestCloseMs(defaults.config))
})

t.test('the image\'s files and command, and nothing else, serve; its health check sees it; nothing is written beside them', { timeout: 50_000 }, async t => {
  const dir = t.testdir()
  layOut(image, dir)
  const files = readdirSync(dir, { recursive: true }).length
  const [port, opsPort] = [await freePort(), await freePort()]
  const env = { ...image.env, HOST: '127.0.0.1', PORT: String(port), OPS_PORT: String(opsPort), FAL_KEY: 'sandbox' }

  const running = start(t, image.command.slice(1), env, { cwd: dir })
  await answering(running, `http://127.0.0.1:${opsPort}/healthz`)
  t.match(await start(t, image.healthCommand.slice(1), env, { cwd: dir }).ended, { code: 0 })
  running.child.kill('SIGTERM')
  t.match(await running.ended, { code: 0, stderr: '' })
  t.equal(readdirSync(dir, { recursive: true }).length, files)
})
