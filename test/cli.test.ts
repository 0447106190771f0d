// What the command line promises: clear faults, chosen exit codes, an orderly end.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { identify } from '../src/tenants/keys.ts'
import { parseTenants } from '../src/tenants.ts'
import { cliFile } from './support/paths.ts'
import { answering, freePort, runCli, start, type Env } from './support/processes.ts'

async function listenEnv (): Promise<Env & { readonly PORT: string }> {
  return { PORT: String(await freePort()), LOG_LEVEL: 'info' }
}

t.test('--version and --help answer on standard output, for each command too', async t => {
  t.match(await runCli(t, ['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/, stderr: '' })
  t.match(await runCli(t, ['-V']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ })
  t.match(await runCli(t, ['--help']), { code: 0, stdout: /^Usage: falgate \[command\][^]*FAL_KEY[^]*NODE_ENV/, stderr: '' })
  for (const command of ['serve', 'check', 'health', 'key', 'sandbox']) {
    t.match(await runCli(t, [command, '-h']), { code: 0, stdout: new RegExp(`^Usage: falgate ${command}`), stderr: '' })
  }
})

t.test('what is not understood ends with 2, one line and a hint', async t => {
  const cases: readonly (readonly [args: readonly string[], message: string])[] = [
    [['frob'], 'there is no command "frob"'],
    [['--frob'], 'Unknown option \'--frob\''],
    [['serve', 'now'], 'serve takes no argument'],
    [['key'], 'key needs the id of a tenant'],
    [['key', 'a', 'b'], 'key takes one tenant at a time'],
    [['key', 'a b'], 'a tenant\'s id has 1 to 64 letters, digits, dots, underscores and hyphens']
  ]
  for (const [args, message] of cases) {
    t.same(await runCli(t, args), { code: 2, stdout: '', stderr: `falgate: ${message} (see falgate --help)\n` }, args.join(' '))
  }
})

t.test('check and serve name every fault on a line of its own, without values and stack, and end with 1', async t => {
  const env = { FAL_KEY: 'the-secret-key', PORT: 'the-secret-port', LOG_LEVEL: 'loud' }
  for (const command of ['check', 'serve']) {
    t.same(await runCli(t, [command], env), {
      code: 1,
      stdout: '',
      stderr: 'falgate: PORT: expected a whole number from 0 to 65535\n' +
        'falgate: LOG_LEVEL: expected one of fatal, error, warn, info, debug, trace, silent\n' +
        'falgate: TENANTS_FILE: not set; it is required with a real fal key\n'
    })
  }
})

t.test('check reads the files that the environment names', async t => {
  const dir = t.testdir({ 'bad.json': '{"tenants":[{"id":"a"}]}', 'good.json': '{"tenants":[{"id":"a","keys":[]}]}', key: 'a:b' })
  const env = { FAL_KEY_FILE: join(dir, 'none'), TENANTS_FILE: join(dir, 'bad.json'), TLS_CERT_FILE: join(dir, 'key'), TLS_KEY_FILE: join(dir, 'none') }
  t.same(await runCli(t, ['check'], env), {
    code: 1,
    stdout: '',
    stderr: 'falgate: TENANTS_FILE: /tenants/0/keys: is missing\n' +
      'falgate: FAL_KEY_FILE: the file cannot be read (ENOENT)\n' +
      'falgate: TLS_KEY_FILE: the file cannot be read (ENOENT)\n'
  })
  t.same(await runCli(t, ['check'], { FAL_KEY_FILE: join(dir, 'key'), TENANTS_FILE: join(dir, 'good.json') }), {
    code: 0,
    stdout: 'warning: tenant a has no budget\nwarning: tenant a has no key\nthe configuration is sound\n',
    stderr: ''
  })
})

t.test('production without a key does not start, and is told what to set', async t => {
  t.match(await runCli(t, [], { NODE_ENV: 'production' }), { code: 1, stdout: '', stderr: /^falgate: FAL_KEY: not set; .*\n$/ })
})

t.test('key prints a key, and the line by which it is recognised', async t => {
  const { code, stdout, stderr } = await runCli(t, ['key', 'studio'])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const [, key = '', line = ''] = /^ {2}(fg_\S+)\n[^]*^ {2}(\{.*\})$/m.exec(stdout) ?? []
  const read = parseTenants(`{"tenants":[{"id":"studio","keys":[${line}]}]}`)
  t.match(read.ok && identify(read.book, `Bearer ${key}`, 0), { tenant: { id: 'studio' } })
})

t.test('health tells a gateway that lives from one that is away, ill or hangs', async t => {
  let status = 200
  const server = createServer((request, response) => {
    if (status !== 0) response.writeHead(request.url === '/healthz' ? status : 404).end()
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const port = await freePort()
  const env = { HOST: '0.0.0.0', PORT: String(port) }
  t.same(await runCli(t, ['health'], env), { code: 1, stdout: '', stderr: 'falgate: no answer (ECONNREFUSED)\n' })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.same(await runCli(t, ['health'], env), { code: 0, stdout: 'the gateway lives\n', stderr: '' })
  t.match(await runCli(t, ['health'], { HOST: '127.0.0.1', PORT: '1', OPS_PORT: String(port) }), { code: 0 }, 'the operators\' port is asked when there is one')
  status = 503
  t.same(await runCli(t, ['health'], env), { code: 1, stdout: '', stderr: 'falgate: /healthz answered 503\n' })
  status = 0
  t.same(await runCli(t, ['health'], env), { code: 1, stdout: '', stderr: 'falgate: no answer within 2 seconds\n' })
  t.match(await runCli(t, ['health'], { PORT: '0' }), { code: 1 })
})

t.test('serve answers, outlives SIGHUP, and ends with 0 on SIGTERM', async t => {
  const env = await listenEnv()
  const running = start(t, [cliFile], env)
  await answering(running, `http://127.0.0.1:${env.PORT}/healthz`)
  t.match(await runCli(t, ['health'], env), { code: 0 })
  running.child.kill('SIGHUP')
  t.match(await runCli(t, ['health'], env), { code: 0 })
  running.child.kill('SIGTERM')
  t.match(await running.ended, { code: 0, stderr: '' })
})

t.test('a port that is taken is one line and exit code 1', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => { server.close() })
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? String(address?.port) : ''
  const { code, stderr } = await runCli(t, ['serve'], { PORT: port })
  t.equal(code, 1)
  t.match(stderr, /^falgate: .*EADDRINUSE.*\n$/)
})

t.test('the sandbox runs alone, whatever the rules for keys and tenants', async t => {
  const env = { ...await listenEnv(), NODE_ENV: 'production', FAL_KEY: 'real:key' }
  const running = start(t, [cliFile, 'sandbox'], env)
  await answering(running, `http://127.0.0.1:${env.PORT}/healthz`)
  running.child.kill('SIGINT')
  t.match(await running.ended, { code: 0 })
})
