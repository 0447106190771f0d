// The paths of fal's queue, in all the forms that its clients and documents use.

export type QueuePath =
  | { readonly operation: 'submit', readonly method: 'POST', readonly endpointId: string }
  | { readonly operation: 'status' | 'stream' | 'result', readonly method: 'GET', readonly endpointId: string, readonly id: string }
  | { readonly operation: 'cancel', readonly method: 'PUT', readonly endpointId: string, readonly id: string }

const REQUEST = /^(.+)\/requests\/([^/]+)(?:\/(status|status\/stream|response|cancel))?$/

/** A path below the queue's base. App id or full endpoint id, `/response` or nothing, trailing slash or none: all mean the same. */
export function parseQueuePath (path: string): QueuePath {
  const plain = path.replace(/\/$/, '')
  const [, endpointId, id, tail] = REQUEST.exec(plain) ?? []
  if (endpointId === undefined || id === undefined) return { operation: 'submit', method: 'POST', endpointId: plain }
  switch (tail) {
    case 'status': return { operation: 'status', method: 'GET', endpointId, id }
    case 'status/stream': return { operation: 'stream', method: 'GET', endpointId, id }
    case 'cancel': return { operation: 'cancel', method: 'PUT', endpointId, id }
    default: return { operation: 'result', method: 'GET', endpointId, id }
  }
}
