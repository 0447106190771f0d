// Clients that are generated from the gateway's document: each generator reads it, what it writes compiles, and eight pictures are made with it, without a seed,
// each with the seed that was used; so is a generation at `POST /generations`. Needs Java 17 with Maven (`apt-get install maven`), Go, Python 3 with `venv`, and
// the ways to their registries.

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openapiFile } from '../support/openapi.ts'
import { parseObject, startGateway, STUDIO_KEY, type Gateway } from '../support/gateway.ts'
import { projectDir } from '../support/paths.ts'
import { run, workFolder, writeLastRun, type ProgramOptions } from '../support/world.ts'

const OPENAPI_GENERATOR = '7.25.0'
const OAPI_CODEGEN = 'v2.8.2'

const PICTURES = 8

const INT32_HIGHEST = 2 ** 31 - 1

/** How one client comes to be: `make` writes and compiles it, and gives what starts the program that uses it. */
interface Client {
  /** What its prompts begin with. */
  readonly word: string
  readonly generator: string
  readonly make: (folder: string, jar: string) => Promise<readonly [program: string, args: readonly string[], options?: ProgramOptions]>
}

const programs = join(projectDir, 'test', 'world', 'generators')

async function generate (jar: string, folder: string, args: readonly string[]): Promise<void> {
  await run('java', ['-jar', jar, 'generate', '-i', openapiFile, '-o', folder, ...args])
}

const clients: readonly Client[] = [
  {
    word: 'java',
    generator: `openapi-generator ${OPENAPI_GENERATOR} java (native)`,
    make: async (folder, jar) => {
      await generate(jar, folder, ['-g', 'java', '--library', 'native'])
      copyFileSync(join(programs, 'Main.java'), join(folder, 'src', 'main', 'java', 'Main.java'))
      await run('mvn', ['--quiet', '--batch-mode', '-DskipTests', 'compile', 'dependency:build-classpath', '-Dmdep.outputFile=classpath', '-Dmdep.pathSeparator=:'], { cwd: folder })
      return ['sh', ['-c', 'exec java -cp "target/classes:$(cat classpath)" Main'], { cwd: folder }]
    }
  },
  {
    word: 'go',
    generator: `openapi-generator ${OPENAPI_GENERATOR} go`,
    make: async (folder, jar) => {
      await generate(jar, folder, ['-g', 'go', '--git-host', 'falgate.example', '--git-user-id', 'team', '--git-repo-id', 'client'])
      mkdirSync(join(folder, 'pictures'))
      copyFileSync(join(programs, 'openapi-generator.go.txt'), join(folder, 'pictures', 'main.go'))
      // Its own tests need more than the client does.
      await run('go', ['build', '-o', 'made', './pictures'], { cwd: folder })
      return [join(folder, 'made'), []]
    }
  },
  {
    word: 'python',
    generator: `openapi-generator ${OPENAPI_GENERATOR} python`,
    make: async (folder, jar) => {
      await generate(jar, join(folder, 'client'), ['-g', 'python'])
      await run('python3', ['-m', 'venv', join(folder, 'venv')])
      const python = join(folder, 'venv', 'bin', 'python')
      await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', join(folder, 'client')])
      return [python, [join(programs, 'main.py')]]
    }
  },
  {
    word: 'typescript',
    generator: `openapi-generator ${OPENAPI_GENERATOR} typescript-fetch`,
    make: async (folder, jar) => {
      await generate(jar, join(folder, 'client'), ['-g', 'typescript-fetch', '--additional-properties', 'importFileExtension=.js'])
      copyFileSync(join(programs, 'typescript-fetch.ts.txt'), join(folder, 'main.ts'))
      writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { strict: true, target: 'es2022', module: 'nodenext', lib: ['es2022', 'dom', 'dom.iterable'], types: [], outDir: 'made' }, include: ['main.ts', 'client/**/*.ts'] }))
      await run(process.execPath, [join(projectDir, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder])
      return [process.execPath, [join(folder, 'made', 'main.js')]]
    }
  },
  {
    word: 'oapi',
    generator: `oapi-codegen ${OAPI_CODEGEN}`,
    make: async folder => {
      await run('go', ['install', `github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@${OAPI_CODEGEN}`], { env: { GOBIN: folder } })
      const client = join(folder, 'client')
      mkdirSync(client)
      await run(join(folder, 'oapi-codegen'), ['-package', 'main', '-generate', 'types,client', '-o', join(client, 'client.gen.go'), openapiFile])
      copyFileSync(join(programs, 'oapi-codegen.go.txt'), join(client, 'main.go'))
      await run('go', ['mod', 'init', 'falgate.example/team/client'], { cwd: client })
      await run('go', ['mod', 'tidy'], { cwd: client })
      await run('go', ['build', '-o', 'made', '.'], { cwd: client })
      return [join(client, 'made'), []]
    }
  }
]

/** The seeds that the gateway knows of the pictures of one client, in the order in which they were asked for. */
async function seedsOf (gateway: Gateway, word: string): Promise<readonly string[]> {
  const { generations } = (await gateway.get('/generations?limit=100')).json()
  const rows = [generations].flat().map(row => Object(row))
  return Array.from({ length: PICTURES }, (_, n) => String(rows.find(({ input }) => Object(input).prompt === `${word} ${n + 1}`)?.seed))
}

t.test('every client that is generated from the document gets all that it pays for', { timeout: 3_600_000 }, async (t: Test) => {
  const folder = workFolder(t)
  const jar = join(folder, `openapi-generator-cli-${OPENAPI_GENERATOR}.jar`)
  await run('mvn', ['--quiet', '--batch-mode', 'dependency:copy', `-Dartifact=org.openapitools:openapi-generator-cli:${OPENAPI_GENERATOR}`, `-DoutputDirectory=${folder}`], { cwd: folder }, 'apt-get install maven')
  const outcomes: (readonly [string, string, string])[] = []
  const all: string[] = []
  for (const { word, generator, make } of clients) {
    await t.test(generator, async t => {
      const own = join(folder, word)
      mkdirSync(own)
      const gateway = await startGateway(t)
      const [program, args, options = {}] = await make(own, jar)
      const said = parseObject(await run(program, args, { ...options, env: { FALGATE_URL: gateway.url, FALGATE_KEY: STUDIO_KEY } }))
      const known = await seedsOf(gateway, word)
      t.same(said['seeds'], known, 'every seed is the one that was used')
      t.match(said, { status: 'succeeded', listed: PICTURES + 1, model: 'fal-ai/imagen4/preview/ultra' })
      t.ok([400, 422].includes(Number(said['refused'])), 'a refusal is one')
      t.match((await gateway.get(`/generations/${String(said['created'])}`)).json(), { status: 'succeeded' })
      t.equal(gateway.sandbox.bill.accepted, PICTURES + 1, 'each was bought once')
      all.push(...known)
      outcomes.push([generator, await versionOf(word), t.passing() ? `compiles; ${PICTURES} pictures without a seed, ${known.filter(seed => Number(seed) > INT32_HIGHEST).length} of their seeds too large for a signed 32-bit integer; \`POST /generations\`` : 'fails'])
    })
  }
  t.ok(all.some(seed => Number(seed) > INT32_HIGHEST), 'seeds above 32 bits were among them')
  writeLastRun('generators', outcomes)
})

/** The language that the client was compiled with. */
async function versionOf (word: string): Promise<string> {
  switch (word) {
    case 'java': return `Java ${firstLine(await run('java', ['--version']))}`
    case 'python': return firstLine(await run('python3', ['--version']))
    case 'typescript': return `TypeScript ${firstLine(await run(process.execPath, [join(projectDir, 'node_modules', 'typescript', 'bin', 'tsc'), '--version'])).replace('Version ', '')}`
    default: return firstLine(await run('go', ['version'])).replace('go version go', 'Go ')
  }
}

function firstLine (text: string): string {
  return text.split('\n')[0]?.trim() ?? ''
}
