// `/openapi.json` and its reader at `/docs`. helmet lives in this scope: on every route it would cost half the speed.

import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import type { ModelBook } from '../../models/models.ts'
import { DryRunSchema } from '../dry-run.ts'
import { FalErrorSchema, FalQueueStatusSchema, FalWebhookKeysSchema } from '../fal/schema.ts'
import type { PrefixOf } from '../forwarded-prefix.ts'
import { GenerationEventSchema, GenerationListSchema, GenerationSchema } from '../generation-view.ts'
import { describedRequestHeaders } from '../headers.ts'
import { OpenAiErrorSchema, OpenAiEditFormSchema, OpenAiEditRequestSchema, OpenAiImageRequestSchema, OpenAiImagesSchema, OpenAiModelListSchema, OpenAiModelSchema } from '../openai/schema.ts'
import { documentBelow } from '../model-document.ts'
import { described, withWideIntegers } from '../model-schemas.ts'
import { ModelListSchema, ModelSchema } from '../models.ts'
import { ENDPOINT_ID, makeDistinct } from '../operation-ids.ts'
import { ProblemSchema } from '../problem-schema.ts'
import { TicketSchema } from '../tickets.ts'
import { TokenWishSchema } from '../token-wish.ts'
import { TokenGivenSchema, TokenListSchema, TokenSchema } from '../tokens.ts'
import { UsageSchema } from '../usage.ts'
import { ICON } from './icon.ts'

/** Collects the schemas of all routes that are registered after it. */
export async function describeRoutes (app: FastifyInstance, { version, models, publicUrl }: { readonly version: string, readonly models: Pick<ModelBook, 'documented'>, readonly publicUrl: string | null }): Promise<void> {
  for (const { components: { schemas } } of described(models)) for (const [$id, schema] of Object.entries(schemas)) app.addSchema({ ...schema, $id })
  for (const [$id, schema] of Object.entries({ Problem: ProblemSchema, Generation: GenerationSchema, GenerationEvent: GenerationEventSchema, GenerationList: GenerationListSchema, Usage: UsageSchema, Token: TokenSchema, TokenGiven: TokenGivenSchema, TokenList: TokenListSchema, TokenWish: TokenWishSchema, Ticket: TicketSchema, DryRun: DryRunSchema, Model: ModelSchema, ModelList: ModelListSchema, FalError: FalErrorSchema, FalQueueStatus: FalQueueStatusSchema, FalWebhookKeys: FalWebhookKeysSchema, OpenAiError: OpenAiErrorSchema, OpenAiImageRequest: OpenAiImageRequestSchema, OpenAiEditRequest: OpenAiEditRequestSchema, OpenAiEditForm: OpenAiEditFormSchema, OpenAiImages: OpenAiImagesSchema, OpenAiModel: OpenAiModelSchema, OpenAiModelList: OpenAiModelListSchema })) app.addSchema({ ...schema, $id })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'falgate',
        version,
        description: 'The gateway between our teams and fal.ai. One call makes a picture; nobody pays twice for the same one.',
        license: { name: 'MIT', identifier: 'MIT' }
      },
      // A path alone: the page works under every name that leads here.
      servers: [{ url: publicUrl === null ? '/' : new URL(publicUrl).pathname, description: 'This gateway.' }],
      tags: [
        { name: 'pictures', description: 'Make pictures.' },
        { name: 'models', description: 'What can be asked for, and what it costs.' },
        { name: 'generations', description: 'Look at, collect and cancel what was asked for.' },
        { name: 'tokens', description: 'Let pages make pictures without a key.' },
        { name: 'money', description: 'What was spent, what is left.' },
        { name: 'fal', description: 'fal\'s own protocol, for its clients: the same key, limits, cache and books. The server proxy is at `/fal/proxy` and `/api/fal/proxy`.' },
        { name: 'openai', description: 'OpenAI\'s image API, for its clients: the same key, limits, cache and books.' }
      ],
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer', description: 'A tenant\'s key, `fg_<id>:<secret>`. With the sandbox and no tenants file: `fg_demo_sandbox`.' },
          ticket: { type: 'apiKey', in: 'query', name: 'ticket', description: 'For `EventSource`: what `POST /generations/{id}/ticket` gave, once.' }
        }
      }
    },
    refResolver: { buildLocalReference: (json, _baseUri, _fragment, index) => typeof json['$id'] === 'string' ? json['$id'] : `def-${index}` },
    transformObject: document => {
      if (!('openapiObject' in document)) return document.swaggerObject
      const whole = document.openapiObject
      for (const [path, item] of Object.entries(whole.paths ?? {})) {
        // Links are used as they are, with what stands in them: nobody puts one together. And `e` is a name that openapi-generator's Java has already.
        if (path === '/media/{name}' && item?.get !== undefined) item.get.parameters = (item.get.parameters ?? []).filter(one => 'in' in one && one.in === 'path')
        if (path.endsWith('/events') && item?.get !== undefined) item.get.parameters = [...item.get.parameters ?? [], ...parametersOf('events')]
        if (item?.post === undefined) continue
        if (path === '/generations') item.post.parameters = [...item.post.parameters ?? [], ...parametersOf('generations')]
        if (/^\/generate(?:\/|$)/.test(path)) item.post.parameters = parametersOf('generate')
      }
      const { components } = whole
      if (components?.schemas !== undefined) components.schemas = Object.fromEntries(Object.entries(components.schemas).map(([name, schema]) => [name, withWideIntegers({ ...schema })]))
      whole.paths = Object.fromEntries(Object.entries(whole.paths ?? {}).map(([path, item]) => {
        if (!path.includes('{*}')) return [path, item]
        const parameter = { name: ENDPOINT_ID, in: 'path' as const, required: true, schema: { type: 'string' as const }, description: 'The endpoint id, its slashes encoded or not.' }
        for (const operation of [item?.get, item?.post]) {
          if (operation !== undefined) operation.parameters = [parameter, ...(operation.parameters ?? []).filter(one => !('name' in one) || one.name !== '*')]
        }
        return [path.replace('{*}', `{${ENDPOINT_ID}}`), item]
      }))
      makeDistinct(whole.paths ?? {})
      return whole
    }
  })
}

function parametersOf (route: Parameters<typeof describedRequestHeaders>[0]) {
  return describedRequestHeaders(route).map(({ name, meaning, values }) => ({ name, description: `${meaning}.`, in: 'header' as const, required: false, schema: { type: 'string' as const, ...values === null ? {} : { enum: [...values] } } }))
}

/**
 * Runs in the page: with `/docs?model=<endpoint id>` it reads that model's document in place of the gateway's. That needs a key, which is the one that was
 * entered last, or is asked for.
 */
function readModelDocument<PageRequest extends object> (request: PageRequest): PageRequest {
  const page: PageWindow = Reflect.get(globalThis, 'window')
  const { location, localStorage } = page
  const model = new URLSearchParams(location.search).get('model')
  if (model === null || Reflect.get(request, 'loadSpec') !== true) return request
  page.document.documentElement.classList.add('one-model')
  const entered: unknown = JSON.parse(localStorage.getItem('authorized') ?? 'null')
  const key: unknown = Reflect.get(Object(Reflect.get(Object(entered), 'key')), 'value') ?? page.prompt('The key to read the document of ' + model + ' with')
  Reflect.set(request, 'url', location.origin + location.pathname.replace(/\/docs\/.*$/, '') + '/models/' + model + '/openapi.json')
  Reflect.set(request, 'headers', Object.assign({}, Reflect.get(request, 'headers'), { Authorization: 'Bearer ' + String(key) }))
  return request
}

/** Runs in the page: a refusal of the document is told in the gateway's words, which the page shows in place of what it would draw. */
function tellRefusal<PageResponse extends object> (response: PageResponse): PageResponse {
  const body: unknown = Reflect.get(response, 'body')
  if (Reflect.get(response, 'ok') === true || typeof Reflect.get(Object(body), 'title') !== 'string') return response
  const { title, detail } = Object(body)
  Reflect.set(response, 'statusText', [title + '.', detail].join(' ').trim())
  return response
}

/** The link below the title names the document of the whole gateway, also where that of one model is shown, which no link can lead to: it takes a key. */
const ONE_MODEL_STYLE = '.one-model .swagger-ui .info .main .link { display: none }'

/** The part of a browser's window that is used there. */
interface PageWindow {
  readonly document: { readonly documentElement: { readonly classList: { readonly add: (name: string) => void } } }
  readonly location: { readonly search: string, readonly origin: string, readonly pathname: string }
  readonly localStorage: { readonly getItem: (name: string) => string | null }
  readonly prompt: (question: string) => string | null
}

/** `GET /openapi.json` and the page that reads it. */
export async function docsPages (app: FastifyInstance, { prefixOf }: { readonly prefixOf: PrefixOf }): Promise<void> {
  app.get('/openapi.json', { schema: { hide: true } }, async request => documentBelow(prefixOf(request), app.swagger()))

  await app.register(async scope => {
    // The page names its parts from where it is. Below the base path of a proxy only the browser knows where that is, so that it is sent there by a relative address.
    scope.addHook('onRequest', (request, reply, done) => {
      const [path = '', query] = request.url.split('?')
      if (path !== '/docs') {
        done()
        return
      }
      reply.redirect(query === undefined ? 'docs/' : `docs/?${query}`, 302)
    })
    await scope.register(helmet, { contentSecurityPolicy: false, strictTransportSecurity: false })
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      // Seen from the page, also with a query, at which the plugin does not see the slash.
      indexPrefix: '..',
      transformSpecificationClone: false,
      transformSpecification: (document, request) => documentBelow(prefixOf(request), document),
      staticCSP: true,
      // Without TLS, anywhere but on loopback, this directive would make browsers ask for styles and scripts in vain.
      transformStaticCSP: policy => policy.replace(/;?\s*upgrade-insecure-requests/, ''),
      // The other layout has the library's logo, a field for addresses of other documents, and a style that the policy forbids.
      uiConfig: { layout: 'BaseLayout', persistAuthorization: true, tryItOutEnabled: true, displayRequestDuration: true, validatorUrl: null, requestInterceptor: readModelDocument, responseInterceptor: tellRefusal },
      theme: { title: 'falgate', favicon: [{ filename: 'icon.svg', rel: 'icon', type: 'image/svg+xml', sizes: 'any', content: ICON }], css: [{ filename: 'one-model.css', content: ONE_MODEL_STYLE }] }
    })
  })
}
