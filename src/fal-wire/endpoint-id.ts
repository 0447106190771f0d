// How fal names endpoints, and the paths of its queue.

/** Owners that are namespaces: there the app is one segment further on. Source: fal-js `libs/client/src/utils.ts`. */
const NAMESPACES = new Set(['workflows', 'comfy'])

/** `fal-ai/imagen4/preview/ultra` → `fal-ai/imagen4`: the part by which fal's queue names requests after their submit. */
export function appIdOf (endpointId: string): string {
  const segments = endpointId.split('/')
  return segments.slice(0, NAMESPACES.has(segments[0] ?? '') ? 3 : 2).join('/')
}

/** What fal says of an endpoint that is not among `known`: it resolves the application first and leaves the rest of the path to it. */
export function missingEndpoint (endpointId: string, known: readonly string[]): { readonly missing: 'application' | 'path', readonly text: string } {
  const appId = appIdOf(endpointId)
  return known.some(id => appIdOf(id) === appId)
    ? { missing: 'path', text: `Path ${endpointId.slice(appId.length) || '/'} not found` }
    : { missing: 'application', text: `Application "${appId.split('/').at(-1) ?? appId}" not found` }
}

/** Addresses of one request in a queue whose base (no trailing slash) is given. fal answers under the app id. */
export function requestUrls (queueBase: string, endpointId: string, requestId: string): { readonly response: string, readonly status: string, readonly stream: string, readonly cancel: string } {
  const response = `${queueBase}/${appIdOf(endpointId)}/requests/${encodeURIComponent(requestId)}`
  return { response, status: `${response}/status`, stream: `${response}/status/stream`, cancel: `${response}/cancel` }
}
