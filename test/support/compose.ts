// docker-compose.yml as Compose reads it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type, type Static } from '@sinclair/typebox'
import type { Test } from 'tap'
import { parseDocument } from 'yaml'
import { guardOf, misfitsOf } from '../../src/schema.ts'
import { projectDir } from './paths.ts'
import { startProgram } from './processes.ts'

const Service = Type.Object({
  profiles: Type.Optional(Type.Array(Type.String())),
  image: Type.Optional(Type.String()),
  build: Type.Optional(Type.String()),
  command: Type.Optional(Type.Array(Type.String())),
  environment: Type.Optional(Type.Record(Type.String(), Type.String())),
  secrets: Type.Optional(Type.Array(Type.String())),
  volumes: Type.Optional(Type.Array(Type.String())),
  ports: Type.Optional(Type.Array(Type.String())),
  depends_on: Type.Optional(Type.Record(Type.String(), Type.Object({ condition: Type.String() }, { additionalProperties: false }))),
  healthcheck: Type.Optional(Type.Object({
    disable: Type.Optional(Type.Literal(true)),
    test: Type.Optional(Type.Array(Type.String())),
    interval: Type.Optional(Type.String()),
    timeout: Type.Optional(Type.String()),
    retries: Type.Optional(Type.Integer())
  }, { additionalProperties: false })),
  user: Type.Optional(Type.String()),
  read_only: Type.Optional(Type.Boolean()),
  tmpfs: Type.Optional(Type.Array(Type.String())),
  cap_drop: Type.Optional(Type.Array(Type.String())),
  cap_add: Type.Optional(Type.Array(Type.String())),
  security_opt: Type.Optional(Type.Array(Type.String())),
  stop_grace_period: Type.Optional(Type.String()),
  restart: Type.Optional(Type.String())
}, { additionalProperties: false })

/** The services that come with the profile `ops`. */
export const opsServices = ['gateway-one', 'gateway-two', 'tracing', 'sandbox', 'certificate', 'haproxy', 'prometheus', 'grafana', 'otel-collector'] as const

/** What our file uses of Compose's own schema. Text that YAML reads as a number or as yes and no is no text here. */
const ComposeFile = Type.Object({
  services: Type.Object({
    gateway: Service,
    redis: Service,
    'gateway-one': Service,
    'gateway-two': Service,
    tracing: Service,
    sandbox: Service,
    certificate: Service,
    haproxy: Service,
    prometheus: Service,
    grafana: Service,
    'otel-collector': Service
  }, { additionalProperties: false }),
  volumes: Type.Record(Type.String(), Type.Null()),
  secrets: Type.Record(Type.String(), Type.Object({ file: Type.String() }, { additionalProperties: false }))
}, { additionalProperties: false })

/** Reads the file of the project. Throws when it is no sound YAML, or says what Compose would not take. */
export function readCompose (): Static<typeof ComposeFile> {
  return composeOf(readFileSync(join(projectDir, 'docker-compose.yml'), 'utf8'))
}

/** The same, of a text. */
export function composeOf (text: string): Static<typeof ComposeFile> {
  const document = parseDocument(text, { merge: true })
  const [fault] = [...document.errors, ...document.warnings]
  if (fault !== undefined) throw fault
  const content: unknown = document.toJS()
  if (guardOf(ComposeFile)(content)) return content
  throw new Error(misfitsOf(ComposeFile, content).map(({ path, message }) => `${path} ${message}`).join(', '))
}

/** The setting that a text of the file takes from the environment, and what it is when that is not set; `null` for a text that is the same everywhere. */
export function variableIn (text: string): { readonly name: string, readonly otherwise: string | null } | null {
  const [, name, , otherwise] = /\$\{([A-Z_]+)(?:(:?-)([^}]*)|:\+[^}]*)?\}/.exec(text) ?? []
  return name === undefined ? null : { name, otherwise: otherwise ?? null }
}

/**
 * What the command of a gateway behind HAProxy prints when this folder is its volume `/tracing`. A `node` in front of the others in PATH may tell with what it was started.
 */
export async function nodeOptions (t: Test, name: 'gateway-one' | 'gateway-two', tracing: string, env: Readonly<Record<string, string>>): Promise<string> {
  const [shell = '', ...args] = readCompose().services[name].command ?? []
  return (await startProgram(t, '/usr/bin/env', ['-u', 'NODE_OPTIONS', shell, ...args.map(arg => arg.replaceAll('$$', '$').replaceAll('/tracing/', `${tracing}/`))], { FAL_KEY: 'sandbox', ...env }).ended).stdout
}
