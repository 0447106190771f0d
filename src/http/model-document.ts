// The OpenAPI document of one model: the operations of the gateway's own document that make and collect pictures, with this model's fields in their place.

import { appIdOf } from '../fal-wire/endpoint-id.ts'
import type { JsonSchema } from '../models/json-schema.ts'
import type { Model } from '../models/model.ts'
import { isObject } from '../schema.ts'
import { ENDPOINT_ID, nameOf } from './operation-ids.ts'

type Json = Readonly<Record<string, unknown>>

/** Operations that are the same for every model, and are needed to collect what was asked for. */
const shared = ['/generations', '/generations/{id}', '/generations/{id}/cancel', '/generations/{id}/events', '/usage']

/** What is asked about a request of fal's queue, under the app id of a model that the gateway's document describes. */
const POLL = /^\/fal\/queue\/(.+)\/requests\/(.*)$/

/** The document; `gateway` is that of the whole gateway. */
export function modelDocument (model: Model, gateway: object): Json {
  const whole: Json = { ...structuredClone(gateway) }
  const paths = objectIn(whole, 'paths')
  const components = objectIn(whole, 'components')
  const prefix = pascalCase(model.endpointId)
  const input = `${prefix}Input`
  const output = `${prefix}Output`
  const schemas = {
    ...objectIn(components, 'schemas'),
    ...standing(model.input, input),
    ...(model.output === null ? {} : standing(model.output, output))
  }
  const outputSchema = model.output === null ? { type: 'object', additionalProperties: true } : refTo(output)
  const own = Object.entries(paths).filter(([path]) => path.includes(`{${ENDPOINT_ID}}`)).map(([path, item]): readonly [string, Json] =>
    [path.replace(`{${ENDPOINT_ID}}`, model.endpointId), ofModel(isObject(item) ? item : {}, model, refTo(input), outputSchema)])
  const app = appIdOf(model.endpointId)
  const polls = Object.entries(paths).flatMap(([path, item]): readonly (readonly [string, Json])[] => {
    const [, named, rest] = POLL.exec(path) ?? []
    return named === undefined || !isObject(item) ? [] : [[`/fal/queue/${app}/requests/${rest}`, renamed(item, nameOf(named), nameOf(app))]]
  })
  return {
    ...whole,
    info: { ...objectIn(whole, 'info'), title: `falgate: ${model.title}`, description: model.description },
    paths: Object.fromEntries([...own, ...polls, ...Object.entries(paths).filter(([path]) => shared.includes(path))]),
    components: { ...components, schemas }
  }
}

/** The operations of one address, with the model's schemas. */
function ofModel (item: Json, model: Model, input: Json, output: Json): Json {
  return Object.fromEntries(Object.entries(item).map(([method, operation]) => {
    if (!isObject(operation)) return [method, operation]
    const { operationId, summary, parameters, requestBody, responses } = operation
    const others = Array.isArray(parameters) ? parameters.filter(parameter => !isObject(parameter) || parameter['name'] !== ENDPOINT_ID) : []
    const answers = isObject(responses) ? responses : {}
    return [method, {
      ...operation,
      summary: String(summary).replace('any model on offer', model.title),
      operationId: `${String(operationId)}_${nameOf(model.endpointId)}`,
      ...(others.length === 0 ? { parameters: undefined } : { parameters: others }),
      ...(requestBody === undefined ? {} : { requestBody: { required: true, content: { 'application/json': { schema: input, example: model.example } } } }),
      responses: { ...answers, ...(isAnyObject(answers['200']) ? { 200: { ...objectIn(answers, '200'), content: { 'application/json': { schema: output } } } } : {}) }
    }]
  }))
}

/** Operations under another app id. */
function renamed (item: Json, from: string, to: string): Json {
  return Object.fromEntries(Object.entries(item).map(([method, operation]) => {
    if (!isObject(operation)) return [method, operation]
    return [method, { ...operation, operationId: String(operation['operationId']).replace(from, to) }]
  }))
}

/** Is it the answer of a model, of which the gateway's document says nothing more? */
function isAnyObject (response: unknown): boolean {
  const schema = objectIn(objectIn(objectIn(isObject(response) ? response : {}, 'content'), 'application/json'), 'schema')
  return schema['type'] === 'object' && schema['additionalProperties'] === true && Object.keys(objectIn(schema, 'properties')).length === 0
}

/** A schema as components: itself under `name`, and what it refers to under names that begin with it. */
function standing (schema: JsonSchema, name: string): Json {
  const { $defs: definitions, ...rest } = schema
  const inner = Object.entries(isObject(definitions) ? definitions : {})
  const names = new Map<string, string>()
  const taken = new Set<string>()
  for (const [key] of inner) {
    let wanted = name + pascalCase(key)
    for (let nth = 2; taken.has(wanted); nth++) wanted = `${name}${pascalCase(key)}${nth}`
    taken.add(wanted)
    names.set(key, wanted)
  }
  return Object.fromEntries([[name, moved(rest, names)], ...inner.map(([key, part]) => [names.get(key) ?? key, moved(part, names)])])
}

/** A copy whose references lead to components. */
function moved (value: unknown, names: ReadonlyMap<string, string>): unknown {
  if (Array.isArray(value)) return value.map(item => moved(item, names))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, part]) => {
    const name = key === '$ref' && typeof part === 'string' ? names.get(part.replace('#/$defs/', '')) : undefined
    return [key, name === undefined ? moved(part, names) : `#/components/schemas/${name}`]
  }))
}

function refTo (name: string): Json {
  return { $ref: `#/components/schemas/${name}` }
}

/** `fal-ai/nano-banana-2` → `FalAiNanoBanana2`: of the whole id, since owners share the rest of theirs. */
function pascalCase (text: string): string {
  return text.split(/[^A-Za-z0-9]+/).map(word => word.slice(0, 1).toUpperCase() + word.slice(1)).join('')
}

function objectIn (value: Json, key: string): Json {
  const part = value[key]
  return isObject(part) ? part : {}
}
