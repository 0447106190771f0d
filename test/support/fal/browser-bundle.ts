// fal's JavaScript client as one script for a page. The package has CommonJS only, which browsers do not read, and for one package a bundler is too much.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const REQUIRED = /\brequire\("([^"]+)"\)/g

/** A script that defines `fal`, which is what `require('@fal-ai/client')` gives. */
export function falClientScript (): string {
  const sources = new Map<string, { readonly text: string, readonly files: Readonly<Record<string, string>> }>()

  function add (file: string): void {
    if (sources.has(file)) return
    const { resolve } = createRequire(file)
    const text = (file.endsWith('.json') ? 'module.exports = ' : '') + readFileSync(file, 'utf8')
    const files = Object.fromEntries([...text.matchAll(REQUIRED)].map(([, name = '']) => [name, resolve(name)]))
    sources.set(file, { text, files })
    for (const required of Object.values(files)) add(required)
  }

  const entry = createRequire(import.meta.url).resolve('@fal-ai/client')
  add(entry)
  const modules = [...sources].map(([file, { text, files }]) => `${JSON.stringify(file)}: [${JSON.stringify(files)}, function (module, exports, require) {\n${text}\n}]`)
  return `const process = { env: {} }
const loaded = {}
const modules = {${modules.join(',\n')}}
function load (file) {
  if (loaded[file] !== undefined) return loaded[file].exports
  const [files, body] = modules[file]
  const module = loaded[file] = { exports: {} }
  body(module, module.exports, name => load(files[name]))
  return module.exports
}
globalThis.falClient = load(${JSON.stringify(entry)})
`
}
