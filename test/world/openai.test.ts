// OpenAI's own libraries, one that plays one of them, and a program that people talk to, at the gateway's `/v1`: pictures, refusals and retries, and each picture is bought once.
// Needs npm, Python 3 with venv, Go and Java with Maven, and the way to their registries.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { imagen4Ultra } from '../../src/models/imagen4-ultra.ts'
import { createModels } from '../../src/models/models.ts'
import { isObject } from '../../src/schema.ts'
import { parseObject, startGateway, STUDIO_KEY, tenant, type Gateway, type GatewayOptions } from '../support/gateway.ts'
import { modelWith } from '../support/image-models.ts'
import { listenFor } from '../support/listen.ts'
import { codeBlocksOf } from '../support/pages.ts'
import { projectDir } from '../support/paths.ts'
import { dataOf, pixel } from '../support/pixel.ts'
import { until } from '../support/until.ts'
import { run, workFolder, writeLastRun } from '../support/world.ts'

const MODEL = 'fal-ai/imagen4/preview/ultra'
/** A model that changes pictures. */
const editor = modelWith({ image_urls: { type: 'array', items: { type: 'string' } }, seed: { type: 'integer' } }, `${MODEL}/edit`)
const models = createModels([imagen4Ultra, editor])
const PNG = '89504e470d0a1a0a'
const IMAGES = /^\/v1\/images\/(generations|edits)$/
const LONG_SEED = '196619188014358660'

const programs = join(projectDir, 'test', 'world', 'openai')

type Command = readonly [program: string, args: readonly string[]]

interface Library {
  readonly name: string
  readonly version: string
  /** Installs it, and gives what runs its program. */
  readonly install: (folder: string) => Promise<Command>
  /** It tells codes and fields of errors, streams, and shows members that it does not know. */
  readonly isWhole: boolean
  /** It waits for as long as it is told to, up to a minute. */
  readonly isPatient: boolean
}

const npmLibrary = (version: string): Library => ({
  name: '`openai` for Node',
  version,
  isWhole: true,
  isPatient: true,
  install: async folder => {
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', `openai@${version}`], { cwd: folder })
    cpSync(join(programs, 'main.mjs'), join(folder, 'main.mjs'))
    return [process.execPath, [join(folder, 'main.mjs')]]
  }
})

/** Python of its own, with what each list of options installs. */
const pythonWith = async (folder: string, ...lists: readonly (readonly string[])[]): Promise<string> => {
  await run('python3', ['-m', 'venv', folder])
  const python = join(folder, 'bin', 'python')
  for (const list of lists) await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...list])
  return python
}

const wheel = async (folder: string, name: string, program: string): Promise<Command> => {
  const python = await pythonWith(folder, [name])
  cpSync(join(programs, program), join(folder, 'pictures.py'))
  return [python, [join(folder, 'pictures.py')]]
}

const libraries: readonly Library[] = [
  { name: '`openai` for Python', version: '3.57.0', isWhole: true, isPatient: true, install: async folder => await wheel(folder, 'openai==3.57.0', 'main.py') },
  npmLibrary('7.59.0'),
  npmLibrary('6.49.0'),
  {
    name: '`openai-go`',
    version: '3.99.0',
    isWhole: true,
    isPatient: true,
    install: async folder => {
      cpSync(join(programs, 'main.go.txt'), join(folder, 'main.go'))
      await run('go', ['mod', 'init', 'pictures'], { cwd: folder })
      await run('go', ['get', 'github.com/openai/openai-go/v3@v3.99.0'], { cwd: folder })
      await run('go', ['build', '-o', 'pictures', '.'], { cwd: folder })
      return [join(folder, 'pictures'), []]
    }
  },
  {
    name: '`openai-java`',
    version: '4.101.0',
    isWhole: true,
    isPatient: false,
    install: async folder => {
      const jars = join(folder, 'jars')
      writeFileSync(join(folder, 'pom.xml'), '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>team</groupId><artifactId>pictures</artifactId><version>1</version><dependencies><dependency><groupId>com.openai</groupId><artifactId>openai-java</artifactId><version>4.101.0</version></dependency></dependencies></project>')
      await run('mvn', ['--quiet', '--batch-mode', 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`], { cwd: folder }, 'apt-get install maven')
      await run('javac', ['-cp', `${jars}/*`, '-d', folder, join(programs, 'Images.java')])
      return ['java', ['-cp', `${folder}:${jars}/*`, 'Images']]
    }
  },
  { name: '`litellm` as a client of OpenAI', version: '1.110.2', isWhole: false, isPatient: true, install: async folder => await wheel(folder, 'litellm==1.110.2', 'litellm.py.txt') }
]

type Json = Readonly<Record<string, unknown>>

/** What one call came to. */
interface Outcome { readonly created: unknown, readonly urls: readonly string[], readonly files: readonly string[], readonly seeds: readonly string[], readonly error: Json | null }

/** A gateway, and in front of it what counts its calls and loses connections. */
interface Door {
  readonly gateway: Gateway
  readonly base: string
  readonly sent: () => number
  /** The next call loses its connection once something was bought for it. */
  readonly cutNext: () => void
}

async function openDoor (t: Test, options: GatewayOptions = {}): Promise<Door> {
  const gateway = await startGateway(t, { models, tenants: { aliases: { 'gpt-image-1': MODEL }, tenants: [tenant('studio')] }, ...options })
  let sent = 0
  let isCutNext = false
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => { chunks.push(chunk) })
    request.on('end', () => {
      const isImages = IMAGES.test(request.url ?? '')
      if (isImages) sent += 1
      const isCut = isImages && isCutNext
      if (isCut) isCutNext = false
      const release = isCut ? gateway.sandbox.faults.holdJobs() : () => {}
      const left = new AbortController()
      response.on('close', () => { left.abort() })
      const { host: _host, connection: _connection, 'content-length': _length, 'transfer-encoding': _encoding, ...headers } = request.headers
      const sentOn = Object.entries(headers).flatMap(([name, value]): [string, string][] => typeof value === 'string' ? [[name, value]] : [])
      fetch(gateway.url + request.url, { method: request.method ?? 'GET', headers: sentOn, ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }), signal: left.signal }).then(async answer => {
        const body = Buffer.from(await answer.arrayBuffer())
        response.writeHead(answer.status, Object.fromEntries([...answer.headers].filter(([name]) => !['content-encoding', 'transfer-encoding', 'connection', 'keep-alive'].includes(name)))).end(body)
      }).catch(() => { request.socket.destroy() })
      if (!isCut) return
      until(() => gateway.sandbox.bill.accepted > 0).then(() => {
        left.abort()
        release()
      })
    })
  })
  const base = `http://127.0.0.1:${await listenFor(t, server, new Set<Socket>())}/v1`
  return { gateway, base, sent: () => sent, cutNext: () => { isCutNext = true } }
}

async function outcomesOf ([program, args]: Command, { base }: Door, calls: string, env: Readonly<Record<string, string>> = {}): Promise<{ readonly models: unknown, readonly outcomes: readonly Outcome[] }> {
  const said = await run(program, args, { env: { OPENAI_BASE_URL: base, OPENAI_API_KEY: STUDIO_KEY, CALLS: calls, MODEL, PICTURE: Buffer.from(pixel()).toString('base64'), LITELLM_LOCAL_MODEL_COST_MAP: 'True', ...env } })
  const { models, outcomes } = parseObject(said.trim().split('\n').at(-1) ?? '')
  return { models, outcomes: [outcomes ?? []].flat().filter(isObject).map(({ created, urls, files, seeds, error }) => ({ created, urls: texts(urls), files: texts(files), seeds: texts(seeds), error: isObject(error) ? error : null })) }
}

function texts (value: unknown): readonly string[] {
  return [value ?? []].flat().map(String)
}

function billed ({ gateway }: Door): number {
  return gateway.sandbox.bill.billedUnits
}

const outcomes: (readonly [string, string, string])[] = []
// A run of some of them says nothing of the others.
t.teardown(() => { if (outcomes.length === libraries.length + 1) writeLastRun('openai', outcomes) })

t.test('every library gets what it asks for, is refused in words, and buys nothing twice', { timeout: 3_600_000 }, async t => {
  const folder = workFolder(t)
  for (const [number, { name, version, isWhole, isPatient, install }] of libraries.entries()) {
    await t.test(`${name} ${version}`, async t => {
      const own = join(folder, String(number))
      mkdirSync(own)
      const command = await install(own)

      const door = await openDoor(t)
      const calls = [
        `{"prompt":"one","seed":${LONG_SEED}}`,
        '{"prompt":"two","n":4,"size":"1024x1536"}',
        // litellm refuses the field itself for a model that it does not know.
        isWhole ? '{"prompt":"three","response_format":"b64_json"}' : '{"prompt":"three","model":"gpt-image-1"}',
        '{"prompt":"four","model":"gpt-image-1"}',
        '{"prompt":"five","size":"1x1x1"}',
        '{"prompt":"six","model":"dall-e-9"}',
        ...isWhole ? ['{"prompt":"seven","stream":true}'] : []
      ]
      const said = await outcomesOf(command, door, `[${calls.join(',')}]`)
      const [one, two, three, four, five, six, seven] = said.outcomes
      t.equal(one?.urls.length, 1)
      t.ok(Number.isInteger(one?.created), 'a whole number')
      if (isWhole) t.same(one?.seeds.map(digits), [LONG_SEED].map(digits), 'the seed that was used')
      t.equal(new Set(two?.urls).size, 4, 'four pictures, each another one')
      t.same([three?.files, four?.files], [[PNG], [PNG]])
      t.match(five?.error, { status: 400, message: /size/ })
      t.match(six?.error, { status: 404 })
      if (isWhole) {
        t.match(five?.error, { code: 'invalid_input', param: 'size' })
        t.match(six?.error, { code: 'model_not_found', param: 'model' })
        t.same(seven?.files, [PNG])
        t.same(said.models, ['gpt-image-1', MODEL, editor.endpointId])
      }
      t.equal(billed(door), isWhole ? 8 : 7)
      t.equal(door.sent(), calls.length, 'each was sent once')

      if (isWhole) {
        const edits = [
          `{"prompt":"eight","edit":1,"seed":${LONG_SEED}}`,
          `{"prompt":"eight","edit":1,"seed":${LONG_SEED}}`,
          '{"prompt":"nine","edit":2,"n":2,"model":"gpt-image-1"}',
          `{"prompt":"ten","edit":1,"model":"${MODEL}/edit","size":"1x1x1"}`
        ]
        const [eight, again, nine, ten] = (await outcomesOf(command, door, `[${edits.join(',')}]`)).outcomes
        t.equal(eight?.urls.length, 1, 'a picture of a picture')
        t.same(again?.urls, eight?.urls, 'bought once')
        t.same(nine?.files, [PNG, PNG], 'two pictures of two')
        t.match(ten?.error, { status: 400, code: 'invalid_input', param: 'size' })
        t.equal(billed(door), 11)
        t.equal(door.sent(), calls.length + edits.length)
        const lossy = await openDoor(t)
        lossy.cutNext()
        const [lost] = (await outcomesOf(command, lossy, '[{"prompt":"one","edit":1}]')).outcomes
        t.equal(lost?.urls.length, 1, 'a lost connection of an edit')
        t.equal(lossy.sent(), 2)
        t.equal(billed(lossy), 1, 'is bought once')
      }

      const poor = await openDoor(t, { tenants: { tenants: [tenant('studio', { budget: { usd: 0.1, per: 'day' } })] } })
      const spent = await outcomesOf(command, poor, '[{"prompt":"one"},{"prompt":"two"},{"prompt":"three","n":3}]')
      t.match(spent.outcomes.map(({ error }) => error), [null, { status: 402, message: /budget/ }, { status: 402 }])
      t.equal(poor.sent(), 3, 'a budget that is used up is asked once')
      t.equal(billed(poor), 1)

      for (const n of [1, 3]) {
        const lossy = await openDoor(t)
        lossy.cutNext()
        const [lost] = (await outcomesOf(command, lossy, `[{"prompt":"one","n":${n}}]`)).outcomes
        t.equal(new Set(lost?.urls).size, n, `a lost connection with n = ${n}`)
        t.equal(lossy.sent(), 2)
        t.equal(billed(lossy), n, 'is bought once')
      }

      const limited = await openDoor(t, { tenants: { tenants: [tenant('studio', { rateLimit: { max: 1, windowSeconds: 61 } })] } })
      const [, second] = (await outcomesOf(command, limited, '[{"prompt":"one"},{"prompt":"two"}]')).outcomes
      if (isPatient) t.equal(second?.urls.length, 1, 'a pause of a minute is waited for')
      else t.match(second?.error, { status: 429 }, 'who does not wait is told')
      t.ok(limited.sent() >= 3 && limited.sent() <= 4, `${limited.sent()} calls`)
      t.equal(billed(limited), isPatient ? 2 : 1)
      outcomes.push([name, version, t.passing() ? 'url, base64, n = 4, sizes, ' + (isWhole ? 'edits of one and two files, ' : '') + 'refusals, a used up budget, a lost connection with one and with three' + (isPatient ? ', a pause of a minute' : ', a pause of which it waits for eight seconds') : 'fails'])
    })
  }
})

/** What is left of a seed where numbers are doubles. */
function digits (seed: string): number {
  return Number(seed)
}

const OPEN_WEBUI = '0.12.4'

/** Open WebUI with nothing of its own but pictures: no models to talk to are fetched, and what it says of a vector database is never looked at. */
function openWebUi (folder: string, { base }: Door): Readonly<Record<string, string>> {
  const address = { OPENAI_API_BASE_URL: base, IMAGES_OPENAI_API_BASE_URL: base, IMAGES_EDIT_OPENAI_API_BASE_URL: base }
  const keys = { OPENAI_API_KEY: STUDIO_KEY, IMAGES_OPENAI_API_KEY: STUDIO_KEY, IMAGES_EDIT_OPENAI_API_KEY: STUDIO_KEY }
  const alone = { OFFLINE_MODE: 'true', HF_HUB_OFFLINE: '1', ENABLE_OLLAMA_API: 'false', RAG_EMBEDDING_ENGINE: 'openai', VECTOR_DB: 'opensearch', OPENSEARCH_USERNAME: 'none', OPENSEARCH_PASSWORD: 'none' }
  return { ...address, ...keys, ...alone, FROM_INIT_PY: 'true', DATA_DIR: mkdtempSync(join(folder, 'data-')), WEBUI_SECRET_KEY: 'none', ENABLE_IMAGE_GENERATION: 'true', IMAGE_GENERATION_ENGINE: 'openai', ENABLE_IMAGE_EDIT: 'true', IMAGE_EDIT_ENGINE: 'openai' }
}

t.test(`Open WebUI ${OPEN_WEBUI} makes and changes pictures with the settings that it has by itself`, { timeout: 3_600_000 }, async t => {
  const folder = workFolder(t)
  const program = join(folder, 'pictures.py')
  cpSync(join(programs, 'openwebui.py.txt'), program)
  // All that it names would be gigabytes.
  const python = await pythonWith(join(folder, 'python'), ['--no-deps', `open-webui==${OPEN_WEBUI}`], ['--requirement', join(programs, 'openwebui.txt')])
  const tenants = (studio: Readonly<Record<string, unknown>> = {}): GatewayOptions => ({ tenants: { aliases: { 'dall-e-2': MODEL, 'gpt-image-1': MODEL }, tenants: [tenant('studio', studio)] } })
  const image = dataOf(pixel())
  const ask = async (door: Door, calls: readonly object[], env: Readonly<Record<string, string>> = {}) => await outcomesOf([python, [program]], door, JSON.stringify(calls), { ...openWebUi(folder, door), ...env })

  const door = await openDoor(t, tenants())
  const usual = await ask(door, [{ prompt: 'one' }, { prompt: 'two', image }, { prompt: 'three', image: [image, image], n: 2 }])
  t.same(usual.outcomes.map(({ files, error }) => error ?? files), [[PNG], [PNG], [PNG, PNG]])
  t.same(usual.models, ['dall-e-2', 'gpt-image-1', MODEL, editor.endpointId])

  const named = await ask(door, [{ prompt: 'four' }, { prompt: 'five', image }], { IMAGE_GENERATION_MODEL: 'gpt-image-1', IMAGE_EDIT_MODEL: 'gpt-image-1' })
  t.same(named.outcomes.map(({ files, error }) => error ?? files), [[PNG], [PNG]], 'base64 without asking for it, by the name of the model')
  t.equal(door.sent(), 5)
  t.equal(billed(door), 6)

  const poor = await openDoor(t, tenants({ budget: { usd: 0.1, per: 'day' } }))
  const spent = await ask(poor, [{ prompt: 'six' }, { prompt: 'seven' }], { IMAGES_OPENAI_API_PARAMS: '{"response_format":"url"}', ENABLE_LOCAL_WEB_FETCH: 'true' })
  t.same(spent.outcomes[0]?.files, [PNG], 'it fetches what it is given as an address')
  t.match(spent.outcomes[1]?.error, { status: 400, message: /Payment Required/ })
  t.equal(poor.sent(), 2, 'nothing is repeated')
  t.equal(billed(poor), 1)
  outcomes.push(['Open WebUI', OPEN_WEBUI, t.passing() ? 'pictures and changed pictures without a setting for either, base64 by name, addresses, a used up budget in its reason phrase' : 'fails'])
})

t.test('the examples of the page work as they are printed', { timeout: 600_000 }, async t => {
  const folder = workFolder(t)
  const door = await openDoor(t)
  const page = readFileSync(join(projectDir, 'docs', 'openai-clients.md'), 'utf8')
  const example = (language: string, ordinal = 0): string => {
    const block = codeBlocksOf(page).filter(one => one.language === language)[ordinal]
    if (block === undefined) throw new Error(`no example in ${language}`)
    return block.code.replaceAll('https://falgate.example/v1', door.base).replaceAll('fal-ai/nano-banana-2/edit', editor.endpointId)
  }
  t.match(parseObject(await run('sh', ['-c', example('sh')], { env: { FALGATE_KEY: STUDIO_KEY } })), { data: [{ url: String }] })
  const python = await wheel(folder, 'openai==3.57.0', 'main.py')
  writeFileSync(join(folder, 'example.py'), `key = "${STUDIO_KEY}"\n${example('python')}`)
  t.match(await run(python[0], [join(folder, 'example.py')]), /^http/)
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', 'openai@7.59.0'], { cwd: folder })
  writeFileSync(join(folder, 'example.js'), `const key = '${STUDIO_KEY}'\n${example('js')}`)
  t.match(await run(process.execPath, [join(folder, 'example.js')]), /^http/)
  t.equal(billed(door), 2, 'the same picture, but for its seed')
  writeFileSync(join(folder, 'bicycle.png'), pixel())
  t.match(parseObject(await run('sh', ['-c', example('sh', 1)], { cwd: folder, env: { FALGATE_KEY: STUDIO_KEY } })), { data: [{ url: String }] })
  writeFileSync(join(folder, 'edit.py'), `key = "${STUDIO_KEY}"\n${example('python', 1)}`)
  t.match(await run(python[0], [join(folder, 'edit.py')], { cwd: folder }), /^http/)
  t.equal(billed(door), 4)
})
