// The OpenAPI document of one model: the operations of the gateway's own document that make and collect pictures, with this model's fields in their place.

import { appIdOf } from '../fal-wire/endpoint-id.ts'
import type { Model } from '../models/model.ts'
import { isObject } from '../schema.ts'
import { componentsOf } from './model-schemas.ts'
import { ENDPOINT_ID, nameOf } from './operation-ids.ts'

type Json = Readonly<Record<string, unknown>>

/** Operations that are the same for every model, and are needed to collect what was asked for. */
const shared = ['/generations', '/generations/{id}', '/generations/{id}/cancel', '/generations/{id}/events', '/usage']

/** What is asked about a request of fal's queue, under the app id of a model that the gateway's document describes. */
const POLL = /^\/fal\/queue\/(.+)\/requests\/(.*)$/

/** What stands in the place of any object. */
interface Own { readonly input: Json, readonly falInput: Json, readonly output: Json }

/** The gateway's document as it is below the path that a proxy takes away; empty: there is none. */
export function documentBelow<Document extends object> (prefix: string, document: Document): Document {
  return prefix === '' ? document : { ...document, servers: [{ url: prefix, description: 'This gateway.' }] }
}

/** The document; `gateway` is that of the whole gateway. */
export function modelDocument (model: Model, gateway: object): Json {
  const whole: Json = { ...structuredClone(gateway) }
  const paths = objectIn(whole, 'paths')
  const components = objectIn(whole, 'components')
  const { schemas, input, falInput, output } = componentsOf(model, pointerTo)
  const schemasOf: Own = { input: refTo(input), falInput: refTo(falInput), output: output === null ? { type: 'object', additionalProperties: true } : refTo(output) }
  const own = Object.entries(paths).filter(([path]) => path.includes(`{${ENDPOINT_ID}}`)).map(([path, item]): readonly [string, Json] =>
    [path.replace(`{${ENDPOINT_ID}}`, model.endpointId), ofModel(isObject(item) ? item : {}, model, path.startsWith('/fal/') ? schemasOf.falInput : schemasOf.input, schemasOf.output)])
  const app = appIdOf(model.endpointId)
  const polls = Object.entries(paths).flatMap(([path, item]): readonly (readonly [string, Json])[] => {
    const [, named, rest] = POLL.exec(path) ?? []
    return named === undefined || !isObject(item) ? [] : [[`/fal/queue/${app}/requests/${rest}`, renamed(item, nameOf(named), nameOf(app))]]
  })
  const others = Object.entries(paths).filter(([path]) => shared.includes(path)).map(([path, item]): readonly [string, unknown] =>
    [path, path === '/generations' && isObject(item) ? { ...item, post: asked(objectIn(item, 'post'), model, schemasOf) } : item])
  const ownPaths = Object.fromEntries([...own, ...polls, ...others])
  return {
    ...whole,
    info: { ...objectIn(whole, 'info'), title: `falgate: ${model.title}`, description: model.description },
    paths: ownPaths,
    components: { ...components, schemas: reachable(ownPaths, { ...objectIn(components, 'schemas'), ...schemas }) }
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
      ...(requestBody === undefined ? {} : { requestBody: bodyOf(model, input) }),
      responses: { ...answers, ...(isAnyObject(answers['200']) ? { 200: { ...objectIn(answers, '200'), content: { 'application/json': { schema: output } } } } : {}) }
    }]
  }))
}

/** `POST /generations` for this model alone: the query has to name it. */
function asked (operation: Json, model: Model, { input }: Own): Json {
  const parameters = [operation['parameters'] ?? []].flat().map(parameter =>
    isObject(parameter) && parameter['in'] === 'query' && parameter['name'] === 'model' ? { ...parameter, required: true, schema: { type: 'string', enum: [model.endpointId] } } : parameter)
  return { ...operation, operationId: `${String(operation['operationId'])}_${nameOf(model.endpointId)}`, parameters, requestBody: bodyOf(model, input) }
}

function bodyOf ({ example }: Model, schema: Json): Json {
  return { required: true, content: { 'application/json': { schema, example } } }
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

/** The components that something refers to: those of other models are left out. */
function reachable (paths: Json, schemas: Json): Json {
  const names = new Set(referencesIn(paths))
  for (const name of names) for (const next of referencesIn(schemas[name])) names.add(next)
  return Object.fromEntries(Object.entries(schemas).filter(([name]) => names.has(name)))
}

function referencesIn (value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(referencesIn)
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, part]) => key === '$ref' && typeof part === 'string' ? [part.slice(pointerTo('').length)] : referencesIn(part))
}

function pointerTo (name: string): string {
  return `#/components/schemas/${name}`
}

function refTo (name: string): Json {
  return { $ref: pointerTo(name) }
}

function objectIn (value: Json, key: string): Json {
  const part = value[key]
  return isObject(part) ? part : {}
}
