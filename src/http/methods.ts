// 405 instead of 404: which methods does an address take? Fastify answers 404 for both.

import type { FastifyInstance } from 'fastify'
import { Problem } from '../errors.ts'
import { answerHeaders } from './headers.ts'

/** Collects the routes as they are registered; has to be called before the first of them. Gives the `Problem` for a method and an address that no route answered; `hintOf`: what was probably meant there. */
export function rememberMethods (app: FastifyInstance, hintOf: (path: string) => string | null): (method: string, path: string) => Problem {
  const methodsOf = new Map<string, { readonly pattern: RegExp, readonly methods: Set<string> }>()

  app.addHook('onRoute', ({ url, method }) => {
    if (url === '*') return // preflights are answered everywhere, also where there is nothing
    const route = methodsOf.get(url) ?? { pattern: patternOf(url), methods: new Set<string>() }
    for (const one of [method].flat()) route.methods.add(one)
    methodsOf.set(url, route)
  })

  return (method, asked) => {
    const path = asked.length > 1 && asked.endsWith('/') ? asked.slice(0, -1) : asked
    const allowed = new Set<string>()
    for (const { pattern, methods } of methodsOf.values()) {
      if (pattern.test(path)) for (const method of methods) allowed.add(method)
    }
    // A route that takes the method and still answers nothing has no such thing.
    if (allowed.size === 0 || allowed.has(method)) {
      const hint = hintOf(path)
      return new Problem('no-such-route', hint === null ? {} : { detail: hint })
    }
    return new Problem('method-not-allowed', { headers: { [answerHeaders.allow]: [...allowed].sort().join(', ') } })
  }
}

/** `:name` stands for one segment, `*` for the rest. */
function patternOf (url: string): RegExp {
  const source = url.split(/(:\w+|\*)/).map(part => part === '*' ? '.*' : part.startsWith(':') ? '[^/]+' : part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('')
  return new RegExp(`^${source}$`)
}
