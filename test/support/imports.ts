// The rules of the house about imports, as a function of source texts.

import ts from 'typescript'
import { posix } from 'node:path'

/** One rule broken: where, and which. */
export interface Violation { readonly file: string, readonly line: number, readonly message: string }

interface Import { readonly specifier: string, readonly line: number }

/** Which packages belong to whom; folders end with a slash. */
const owners: Readonly<Record<string, readonly string[]>> = {
  fastify: ['http/', 'sandbox/'],
  '@fastify/': ['http/', 'sandbox/'],
  ioredis: ['store/redis/'],
  ajv: ['schema.ts'],
  // TypeBox builds schemas; what checks them is Ajv.
  '@sinclair/typebox/': [],
  '@jsquash/': ['sandbox/'],
  undici: ['upstream/', 'catalogue/', 'media/', 'webhooks/'],
  aws4fetch: ['media/'],
  'file-type': ['media/'],
  'ipaddr.js': ['public-address.ts'],
  'close-with-grace': ['cli.ts'],
  'prom-client': ['metric-kinds.ts'],
  '@opentelemetry/': ['tracing.ts'],
  pino: ['logger.ts']
}

/** Packages that anybody may name in a type: an interface is no dependency. */
const typesForAll = new Set(['pino'])

/**
 * The layer of each file, and the layers it may import. What is not listed is a leaf.
 * Side doors stay shut: `http`, `store` and `upstream` never see each other, and what runs a generation and what answers a request meet in the ledger only.
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  leaf: ['leaf'],
  generation: ['leaf', 'generation'],
  'generation/watch': ['leaf', 'generation', 'generation/watch'],
  'generation/run': ['leaf', 'generation', 'generation/watch', 'generation/run'],
  'generation/request': ['leaf', 'generation', 'generation/watch', 'generation/request'],
  http: ['leaf', 'generation', 'generation/watch', 'generation/request', 'http'],
  'store/redis': ['leaf', 'generation', 'store/redis', 'store'],
  'store/memory': ['leaf', 'generation', 'store/memory', 'store'],
  // The ledger on disk is the one in memory, written down.
  'store/disk': ['leaf', 'generation', 'store/disk', 'store/memory', 'store'],
  store: ['leaf', 'generation', 'store'],
  upstream: ['leaf', 'generation', 'upstream'],
  media: ['leaf', 'generation', 'media'],
  webhooks: ['leaf', 'generation', 'webhooks'],
  sandbox: ['leaf', 'sandbox'],
  // fal, too: it shares how one exchange is made.
  catalogue: ['leaf', 'upstream', 'catalogue'],
  app: ['leaf', 'app', 'generation', 'generation/watch', 'generation/run', 'generation/request', 'http', 'store', 'store/redis', 'store/memory', 'store/disk', 'upstream', 'media', 'webhooks', 'sandbox', 'catalogue'],
  cli: ['leaf', 'cli', 'app', 'catalogue']
}

/** The leaves that the sandbox may know: it stands in for fal and knows nothing of tenants. */
const sandboxLeaves = ['models/', 'fal-wire/', 'money.ts', 'errors.ts', 'schema.ts']

/** What anybody may know of `models/`: what a model is and that there are some, prices, how faults and answers are read, how common words for pictures are said to a model, and what one takes. Which models there are is handed down. */
const publicModels = ['model', 'models', 'price-rule', 'price-bound', 'faults', 'output', 'endpoint-id', 'json-schema', 'image-request', 'edit-request', 'takes'].map(name => `models/${name}.ts`)

/** Where models come into being: files are read and written there, and prices are told. */
const modelReaders = ['cli/', 'app/', 'app.ts']

/** Where it is said which models a gateway offers, and the one place that reads it. */
const builtIn = { file: 'models/built-in.ts', reader: 'cli.ts' }

function layerOf (file: string): string {
  const [top = '', second = ''] = file.split('/')
  if (top === 'app.ts' || top === 'cli.ts') return top.slice(0, -3)
  if (top === 'generation' && file.split('/').length === 3) return `generation/${second}`
  if (top === 'store' && (second === 'redis' || second === 'memory' || second === 'disk')) return `store/${second}`
  return Object.hasOwn(mayImport, top) ? top : 'leaf'
}

/** Checks sources, by path under `src/`, against the rules. */
export function violations (sources: ReadonlyMap<string, string>): readonly Violation[] {
  const found: Violation[] = []
  const graph = new Map<string, readonly { readonly file: string, readonly line: number }[]>()

  for (const [file, text] of sources) {
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
    const imports = importsOf(source)
    const inside: { file: string, line: number }[] = []
    for (const { specifier, line, isType } of imports) {
      if (!specifier.startsWith('.')) {
        const message = packageFault(file, specifier, isType)
        if (message !== null) found.push({ file, line, message })
        continue
      }
      const target = posix.join(posix.dirname(file), specifier)
      if (!sources.has(target)) found.push({ file, line, message: `${target} is not a file of src/` })
      else inside.push({ file: target, line })
      if (!layerFits(file, target)) found.push({ file, line, message: `${layerOf(file)} may not import ${target}` })
      else if (!knowsModels(file, target)) found.push({ file, line, message: target === builtIn.file ? `only ${builtIn.reader} may import ${target}` : `${target} may only be imported in models/` })
    }
    graph.set(file, inside)
    found.push(...environmentReads(file, source), ...barrels(file, source))
  }
  return [...found, ...cycles(graph)]
}

function importsOf (source: ts.SourceFile): readonly (Import & { readonly isType: boolean })[] {
  const imports: (Import & { isType: boolean })[] = []
  const add = (node: ts.Node, specifier: ts.Node | undefined, isType: boolean): void => {
    if (specifier !== undefined && ts.isStringLiteralLike(specifier)) imports.push({ specifier: specifier.text, line: lineOf(source, node), isType })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, isTypeOnly(node.importClause))
    if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, node.isTypeOnly)
    if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node, node.argument.literal, true)
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node, node.arguments[0], false)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return imports
}

function isTypeOnly (clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  const named = clause.namedBindings
  return clause.name === undefined && named !== undefined && ts.isNamedImports(named) && named.elements.length > 0 && named.elements.every(element => element.isTypeOnly)
}

function packageFault (file: string, specifier: string, isType: boolean): string | null {
  for (const [name, places] of Object.entries(owners)) {
    const isNamed = name.endsWith('/') ? specifier.startsWith(name) : specifier === name || specifier.startsWith(name + '/')
    if (!isNamed || (isType && typesForAll.has(name))) continue
    if (!places.some(place => isIn(file, place))) return places.length === 0 ? `${specifier} may not be imported` : `${specifier} may only be imported by ${places.join(', ')}`
  }
  return null
}

function layerFits (file: string, target: string): boolean {
  const from = layerOf(file)
  const to = layerOf(target)
  if (!(mayImport[from] ?? []).includes(to)) return false
  return from !== 'sandbox' || to !== 'leaf' || sandboxLeaves.some(place => isIn(target, place))
}

function knowsModels (file: string, target: string): boolean {
  if (target === builtIn.file) return file === builtIn.reader
  return !isIn(target, 'models/') || isIn(file, 'models/') || modelReaders.some(place => isIn(file, place)) || publicModels.includes(target)
}

function isIn (file: string, place: string): boolean {
  return place.endsWith('/') ? file.startsWith(place) : file === place
}

function environmentReads (file: string, source: ts.SourceFile): readonly Violation[] {
  if (file === 'cli.ts') return []
  const found: Violation[] = []
  const visit = (node: ts.Node): void => {
    const isRead = (ts.isPropertyAccessExpression(node) && node.name.text === 'env' && node.expression.getText(source).endsWith('process')) ||
      (ts.isImportSpecifier(node) && (node.propertyName ?? node.name).text === 'env')
    if (isRead) found.push({ file, line: lineOf(source, node), message: 'only cli.ts reads process.env' })
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

/** A file that hands on what others export hides which file uses what. */
function barrels (file: string, source: ts.SourceFile): readonly Violation[] {
  const handedOn = source.statements.find(statement => ts.isExportDeclaration(statement) && statement.moduleSpecifier !== undefined)
  return handedOn === undefined ? [] : [{ file, line: lineOf(source, handedOn), message: 'hands on what another file exports' }]
}

/** Each circle once, told at its first file. Types count: what must be read together belongs together. */
function cycles (graph: ReadonlyMap<string, readonly { readonly file: string, readonly line: number }[]>): readonly Violation[] {
  const found: Violation[] = []
  const done = new Set<string>()
  const visit = (file: string, trail: readonly string[]): void => {
    if (done.has(file)) return
    for (const next of graph.get(file) ?? []) {
      const start = [...trail, file].indexOf(next.file)
      if (start >= 0) found.push({ file, line: next.line, message: `closes a circle: ${[...trail, file].slice(start).join(' → ')} → ${next.file}` })
      else visit(next.file, [...trail, file])
    }
    done.add(file)
  }
  for (const file of graph.keys()) visit(file, [])
  return found
}

function lineOf (source: ts.SourceFile, node: ts.Node): number {
  return source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1
}
