// The texts of a form as a JSON body. A form has no numbers, flags, lists or objects: what is meant by a text is told by the model that takes it.

import type { Model } from '../../models/model.ts'
import { takes } from '../../models/takes.ts'
import type { FormText } from './form.ts'

/** What OpenAI's libraries write for a list (`name[]`), for an object (`name[key]`), and inside these. */
type Node = string | Map<string, Node> | Node[]

/** OpenAI's own fields that are no texts. */
const NO_TEXTS = new Set(['n', 'stream', 'partial_images', 'output_compression'])

/** As JSON writes numbers, flags and nothing. */
const LITERAL = /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)$/

/** Names of members further inside than any model has them. */
const MAX_DEPTH = 8

/** JSON text with every text of the form. Digits stay as they are. */
export function bodyOfForm (texts: readonly FormText[], model: Model): string {
  const fields = new Map<string, Node>()
  for (const { name, text } of texts) {
    const [top = name, ...path] = pathOf(name)
    fields.set(top, put(fields.get(top), path, text))
  }
  return `{${[...fields].map(([name, node]) => `${JSON.stringify(name)}:${valueOf(name, node, model)}`).join(',')}}`
}

/** `a[b][]` as `a`, `b` and an empty text; a name that is not written like that is one. */
function pathOf (name: string): readonly string[] {
  const [, top, rest = ''] = /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(name) ?? []
  if (top === undefined) return [name]
  const inner = [...rest.matchAll(/\[([^[\]]*)\]/g)].map(([, key = '']) => key)
  return inner.length > MAX_DEPTH ? [name] : [top, ...inner]
}

/** The node with this text in it. A name that comes again makes a list; inside a list of objects, the next object. */
function put (node: Node | undefined, [key, ...path]: readonly string[], text: string): Node {
  if (key === undefined) return node === undefined ? text : [...Array.isArray(node) ? node : [node], text]
  if (key === '') {
    const list = Array.isArray(node) ? node : node === undefined ? [] : [node]
    const last = list.at(-1)
    const [member] = path
    if (member !== undefined && member !== '' && last instanceof Map && !last.has(member)) return [...list.slice(0, -1), put(last, path, text)]
    return [...list, put(undefined, path, text)]
  }
  const object = new Map(node instanceof Map ? node : [])
  return object.set(key, put(object.get(key), path, text))
}

/** As texts, where the model takes these; else with numbers and flags in their place. */
function valueOf (name: string, node: Node, model: Model): string {
  const asTexts = write(node, false)
  const asLiterals = write(node, true)
  if (asTexts === asLiterals) return asTexts
  return NO_TEXTS.has(name) || (!takes(model, name, JSON.parse(asTexts)) && takes(model, name, JSON.parse(asLiterals))) ? asLiterals : asTexts
}

function write (node: Node, hasLiterals: boolean): string {
  if (typeof node === 'string') return hasLiterals && LITERAL.test(node) ? node : JSON.stringify(node)
  if (Array.isArray(node)) return `[${node.map(item => write(item, hasLiterals)).join(',')}]`
  return `{${[...node].map(([key, inner]) => `${JSON.stringify(key)}:${write(inner, hasLiterals)}`).join(',')}}`
}
