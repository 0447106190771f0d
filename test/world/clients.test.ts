// Clients of fal's as others publish them, led to the gateway as `docs/fal-clients.md` tells. Each gets its pictures, and each picture is bought once.
// Needs npm, Python 3 with venv, Java with Maven, cargo, keytool and openssl, and the way to their registries.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { RunningApp } from '../../src/app.ts'
import { makeCertificate, type Certificate } from '../support/fal/certificate.ts'
import { parseObject, startWithOwnSandbox, tenant } from '../support/gateway.ts'
import { callAt } from '../support/host-call.ts'
import { listenFor } from '../support/listen.ts'
import { projectDir } from '../support/paths.ts'
import { run, workFolder, writeLastRun } from '../support/world.ts'

const MODEL = 'fal-ai/imagen4/preview/ultra'
const HUB_MODEL = 'google/imagen-4-ultra'
const PNG = '89504e470d0a1a0a'
/** The names of fal's hosts, and of the one that Hugging Face's clients ask how a model is called at fal. */
const FAL_HOSTS = ['fal.run', 'queue.fal.run']
const HUB_HOST = 'huggingface.co'

/** Studio's key in the form of fal's own. */
const KEY = 'fg_studio:secret-of-studio'

const programs = join(projectDir, 'test', 'world', 'clients')

type Command = readonly [program: string, args: readonly string[]]

interface Client {
  readonly name: string
  readonly version: string
  /** How it is led to the gateway, for the file of the last runs. */
  readonly led: string
  /** Installs it into its folder, and gives what runs its program; `trust` has the authority's certificate. */
  readonly install: (folder: string, trust: Certificate) => Promise<Command>
  /** What it finds in its environment, beside what all find there. */
  readonly env?: (address: string) => Readonly<Record<string, string>>
  /** How many pictures its program asks for; 2 by default. */
  readonly pictures?: number
  /** The shape that it asks for in its own words. */
  readonly ratio?: string
}

const packages = (...names: readonly string[]) => async (folder: string, program: string): Promise<Command> => {
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', ...names], { cwd: folder })
  cpSync(join(programs, program), join(folder, program))
  return [process.execPath, [join(folder, program)]]
}

const wheels = (...names: readonly string[]) => async (folder: string, program: string): Promise<Command> => {
  await run('python3', ['-m', 'venv', folder])
  const python = join(folder, 'bin', 'python')
  await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...names])
  return [python, [join(programs, program)]]
}

/** Python's clients take hosts without a scheme. */
const pythonHosts = (address: string): Readonly<Record<string, string>> => {
  const { host } = new URL(address)
  return { FAL_RUN_HOST: `${host}/fal`, FAL_QUEUE_RUN_HOST: `${host}/fal/queue` }
}

const clients: readonly Client[] = [
  {
    name: 'AI SDK: `@ai-sdk/fal` with `ai`',
    version: '3.0.41 with 7.0.173',
    led: '`baseURL`',
    install: async folder => await packages('ai@7.0.173', '@ai-sdk/fal@3.0.41')(folder, 'ai-sdk.mjs'),
    ratio: '16:9'
  },
  {
    name: '`@tanstack/ai-fal` with `@tanstack/ai`',
    version: '0.10.1 with 0.58.0',
    led: '`proxyUrl`, always',
    // It names a peer that is not published any more.
    install: async folder => await packages('--legacy-peer-deps', '@tanstack/ai@0.58.0', '@tanstack/ai-fal@0.10.1')(folder, 'tanstack.mjs'),
    ratio: '16:9'
  },
  {
    name: '`@fal-ai/server-proxy` in front, `@fal-ai/client` at it',
    version: '1.2.1, 1.10.1',
    led: '`allowedUrlPatterns`, `requestMiddleware`',
    install: async folder => await packages('@fal-ai/server-proxy@1.2.1', '@fal-ai/client@1.10.1', 'express@4.22.1')(folder, 'server-proxy.mjs')
  },
  {
    name: 'Java `ai.fal.client:fal-client`',
    version: '0.7.1',
    led: '`withProxyUrl`',
    pictures: 8,
    install: async (folder, { caFile }) => {
      const jars = join(folder, 'jars')
      writeFileSync(join(folder, 'pom.xml'), '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>team</groupId><artifactId>pictures</artifactId><version>1</version><dependencies><dependency><groupId>ai.fal.client</groupId><artifactId>fal-client</artifactId><version>0.7.1</version></dependency></dependencies></project>')
      await run('mvn', ['--quiet', '--batch-mode', 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`], { cwd: folder }, 'apt-get install maven')
      await run('javac', ['-cp', `${jars}/*`, '-d', folder, join(programs, 'Pictures.java')])
      const trusted = join(folder, 'trusted.p12')
      await run('keytool', ['-importcert', '-noprompt', '-alias', 'authority', '-file', caFile, '-keystore', trusted, '-storepass', 'changeit'])
      return ['java', [`-Djavax.net.ssl.trustStore=${trusted}`, '-Djavax.net.ssl.trustStorePassword=changeit', '-cp', `${folder}:${jars}/*`, 'Pictures']]
    }
  },
  {
    name: '`litellm`',
    version: '1.110.2',
    led: 'a name of no known family, and the whole address as `api_base`',
    install: async folder => await wheels('litellm==1.110.2')(folder, 'litellm-pictures.py'),
    env: () => ({ LITELLM_LOCAL_MODEL_COST_MAP: 'True' }),
    ratio: '16:9'
  },
  {
    name: '`fal` (Python, serverless) with `FAL_KEY`',
    version: '1.83.0',
    led: '`FAL_RUN_HOST`, `FAL_QUEUE_RUN_HOST`',
    install: async folder => await wheels('fal==1.83.0')(folder, 'fal-serverless.py'),
    env: pythonHosts
  },
  {
    name: '`fal` (Python, serverless) with `FAL_KEY_ID` and `FAL_KEY_SECRET`',
    version: '1.83.0',
    led: '`FAL_RUN_HOST`, `FAL_QUEUE_RUN_HOST`',
    install: async folder => await wheels('fal==1.83.0')(folder, 'fal-serverless.py'),
    env: address => {
      const [id = '', secret = ''] = KEY.split(':')
      return { ...pythonHosts(address), FAL_KEY: '', FAL_KEY_ID: id, FAL_KEY_SECRET: secret }
    }
  },
  {
    name: '`fal-mcp-server`, asked as an agent asks it',
    version: '1.18.0',
    led: '`FAL_RUN_HOST`, `FAL_QUEUE_RUN_HOST`',
    install: async folder => await wheels('fal-mcp-server==1.18.0', 'mcp<2')(folder, 'mcp-pictures.py'),
    env: pythonHosts
  },
  {
    name: '`huggingface_hub`',
    version: '2.4.0',
    led: '`FAL_HOSTS` and a redirected host',
    install: async folder => await wheels('huggingface_hub==2.4.0', 'Pillow')(folder, 'huggingface.py')
  },
  {
    name: '`@huggingface/inference`',
    version: '4.13.30',
    led: '`FAL_HOSTS` and a redirected host',
    install: async folder => await packages('@huggingface/inference@4.13.30', 'undici@7.30.2')(folder, 'huggingface.mjs')
  },
  {
    name: 'Rust `fal`',
    version: '0.3.6',
    led: '`FAL_HOSTS` and a redirected host',
    install: async folder => {
      writeFileSync(join(folder, 'Cargo.toml'), '[package]\nname = "pictures"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\nfal = "=0.3.6"\nserde_json = "1"\ntokio = { version = "1", features = ["macros", "rt-multi-thread", "time"] }\n')
      mkdirSync(join(folder, 'src'))
      cpSync(join(programs, 'pictures.rs.txt'), join(folder, 'src', 'main.rs'))
      await run('cargo', ['build', '--quiet'], { cwd: folder })
      return [join(folder, 'target', 'debug', 'pictures'), []]
    }
  }
]

/** A proxy that leads fal's hosts to the gateway, as a company's DNS would, and gives Hugging Face's word for the model. */
async function startWay (t: Test, gateway: RunningApp, { certFile, keyFile }: Certificate): Promise<string> {
  const sockets = new Set<Socket>()
  const hub = createHttpsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (_request, response) => {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ id: HUB_MODEL, inferenceProviderMapping: { 'fal-ai': { provider: 'fal-ai', providerId: MODEL, status: 'live', task: 'text-to-image' } } }))
  })
  const hubPort = await listenFor(t, hub, sockets)
  const ports = new Map([...FAL_HOSTS.map(host => [`${host}:443`, Number(new URL(gateway.url).port)] as const), [`${HUB_HOST}:443`, hubPort]])
  const proxy = createHttpServer((_request, response) => { response.writeHead(405).end() })
  proxy.on('connect', (request, client: Socket) => {
    const port = ports.get(request.url ?? '')
    sockets.add(client)
    client.on('error', () => {})
    if (port === undefined) {
      client.end('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n')
      return
    }
    const target = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      client.pipe(target).pipe(client)
    })
    sockets.add(target)
    target.on('error', () => { client.destroy() })
    client.on('close', () => { target.destroy() })
  })
  return `http://127.0.0.1:${await listenFor(t, proxy, sockets)}`
}

function texts (value: unknown): readonly string[] {
  return [value ?? []].flat().map(String)
}

t.test('every client gets the pictures that it asks for, and each is bought once', { timeout: 3_600_000 }, async t => {
  const folder = workFolder(t)
  const trust = makeCertificate(t, folder, [...FAL_HOSTS, HUB_HOST])
  const ca = readFileSync(trust.caFile, 'utf8')
  const outcomes: (readonly [string, string, string])[] = []
  for (const [number, client] of clients.entries()) {
    await t.test(client.name, async t => {
      const { pictures = 2 } = client
      const own = join(folder, String(number))
      mkdirSync(own)
      // Behind TLS, and with fal's hosts as its own.
      const gateway = await startWithOwnSandbox(t, { env: { TLS_CERT_FILE: trust.certFile, TLS_KEY_FILE: trust.keyFile, FAL_HOSTS: 'fal.run' }, tenants: { tenants: [tenant('studio')] } })
      const way = await startWay(t, gateway, trust)
      const address = gateway.url.replace('127.0.0.1', 'localhost')
      const [program, args] = await client.install(own, trust)
      const said = await run(program, args, {
        cwd: own,
        env: {
          FALGATE_URL: address,
          FAL_KEY: KEY,
          FAL_API_KEY: KEY,
          MODEL,
          HUB_MODEL,
          HTTPS_PROXY: way,
          NO_PROXY: 'localhost,127.0.0.1',
          SSL_CERT_FILE: trust.caFile,
          NODE_EXTRA_CA_CERTS: trust.caFile,
          ...client.env?.(address)
        }
      })
      const told = parseObject(said.trim().split('\n').at(-1) ?? '')
      const { generations } = (await callAt(gateway.url, { path: '/generations?limit=100', key: KEY, ca })).json()
      const rows = [generations].flat().map(row => Object(row)).toReversed()
      t.same(rows.map(({ input }) => Object(input).prompt), Array.from({ length: pictures }, (_, n) => `picture ${n + 1}`), 'each was bought once')
      if ('seeds' in told) t.same(texts(told['seeds']), rows.map(({ seed }) => String(seed)), 'every seed is the one that was used')
      if (client.ratio !== undefined) t.same(rows.map(({ input }) => Object(input).aspect_ratio), rows.map(() => client.ratio), 'in the shape that was asked for')
      const urls = texts(told['urls'])
      const fetched = await Promise.all(urls.map(async url => {
        const { host, pathname } = new URL(url)
        return (await callAt(gateway.url, { path: pathname, host, ca })).bytes.subarray(0, PNG.length / 2).toString('hex')
      }))
      t.same([...texts(told['files']), ...fetched], rows.map(() => PNG), 'and it is a picture')
      outcomes.push([client.name, client.version, t.passing() ? `${pictures} pictures by ${client.led}` : 'fails'])
    })
  }
  writeLastRun('clients', outcomes)
})
