// The input of a model that came as a document: a body in; faults, or exactly what is sent, out.
//
// Each field is a schema of its own, compiled when a body first has it, or before that in the background: one takes about a millisecond, the whole of a
// model several, which would be a pause for everybody.

import type { FieldFault } from '../errors.ts'
import { createForeignCompiler, isObject, pointerTo, type ForeignCheck, type ValidatorError } from '../schema.ts'
import { checkableInput, UnusableInput, type Checkable } from './checkable.ts'
import { faultsOf, MAX_FAULTS } from './faults.ts'
import { objectOf, type JsonSchema } from './json-schema.ts'
import { hintOf } from '../nearest.ts'

/** Bounds of a body. */
const MAX_DEPTH = 64
const MAX_VALUES = 10_000
/** Values times what there is to check at each: it bounds the time of a check, and the errors that it can find. */
const MAX_STEPS = 200_000
/** Characters times how often they may be measured. */
const MAX_MEASURED = 50_000_000
/** Names are compared with as many as a document of fal has many times over. */
const MAX_COMPARED_NAMES = 500

/** What becomes of a body. `given`: what the caller gave of the model's own fields; `sent`: the same with the defaults that are sent; `leftOut`: names of other fields, the first ones. */
export type ReadInput =
  | { readonly ok: true, readonly given: Readonly<Record<string, unknown>>, readonly sent: Readonly<Record<string, unknown>>, readonly leftOut: readonly string[] }
  | { readonly ok: false, readonly faults: readonly FieldFault[] }

/** Reads the bodies of one model. What it compiles may turn out not to be usable after all: everything here throws `UnusableInput` then. */
export interface InputReader {
  /** `sentDefaults`: fields whose valid default is sent where the body leaves them out. */
  readonly read: (body: Readonly<Record<string, unknown>>, options: { readonly unknownFields: 'refuse' | 'leave-out', readonly sentDefaults: readonly string[] }) => ReadInput
  /** The default of a field, where it has one that the schema itself allows. */
  readonly defaultOf: (name: string) => unknown
  /** The defaults of all fields that have such a one. */
  readonly defaults: ReadonlyMap<string, unknown>
  /** Compiles one part that is not compiled yet. False: there was none. */
  readonly compileNext: () => boolean
}

/** Makes the reader of a model's input; it compiles nothing yet. Throws `UnusableInput` where the schema cannot be used. */
export function createInputReader ({ input }: { readonly input: JsonSchema }): InputReader {
  const { fields: checkables, required, whole: checkableWhole, definitions } = checkableInput(input)
  const compiler = createForeignCompiler(definitions)
  const properties = objectOf(input['properties'])
  const requiredNames = new Set(required)
  const fields = new Map([...checkables].map(([name, checkable]) => [name, new Part(checkable, `/${pointerTo(name)}`, requiredNames.has(name))]))
  const whole = checkableWhole === null ? null : new Part(checkableWhole, '', true)
  const parts = [...fields.values(), ...whole === null ? [] : [whole]]
  const names = [...fields.keys()].slice(0, MAX_COMPARED_NAMES)
  const defaults = new Map<string, unknown>()

  function checkOf (part: Part): ForeignCheck {
    part.check ??= compiled(part)
    return part.check
  }

  function compiled ({ schema }: Part): ForeignCheck {
    try {
      return compiler.compile(schema)
    } catch (error) {
      throw new UnusableInput('The input schema cannot be compiled.', { cause: error })
    }
  }

  /** Reads the value of one field: what is sent of it, or `undefined`: nothing. Faults are added to the list. */
  function take (part: Part, value: unknown, isSeed: boolean, seen: Seen, faults: FieldFault[]): unknown {
    if (value === undefined) return undefined
    if (value === null) {
      part.takesNull ??= checkOf(part)(null) === null
      // The document has lost that it may be null: it means that nothing is given.
      if (!part.takesNull && !part.isRequired) return undefined
    }
    const { values, characters } = seen
    look(value, 1, seen)
    const isHeavy = (seen.values - values) * part.weight > MAX_STEPS || (seen.characters - characters) * part.measures > MAX_MEASURED
    if (isHeavy) seen.isTooLarge = true
    if (seen.isTooLarge) return undefined
    if (seen.isOdd) {
      seen.isOdd = false
      // The top-level seed has its digits beside it.
      if (!isSeed || typeof value !== 'number') {
        faults.push(...oddities(value, part.path))
        return undefined
      }
    }
    const check = checkOf(part)
    const errors = check(value)
    if (errors === null) return value
    if (compiler.isExhausted()) return undefined
    const better = typeof value === 'object' && value !== null && seen.hasNull ? withoutLostNulls(value, errors, check) : { value, errors }
    if (better.errors === null) return better.value
    faults.push(...faultsOf(better.errors, part.path))
    return undefined
  }

  function defaultOf (name: string): unknown {
    if (defaults.has(name)) return defaults.get(name)
    const part = fields.get(name)
    const schema = part === undefined ? undefined : properties[name]
    if (part === undefined || !isObject(schema) || !Object.hasOwn(schema, 'default')) return undefined
    const seen = new Seen()
    compiler.begin()
    // A default is a value of the document, which sends it to everybody: it is taken exactly as it is.
    look(schema['default'], 1, seen)
    const isValid = !seen.isTooLarge && !seen.isOdd && seen.values * part.weight <= MAX_STEPS && checkOf(part)(schema['default']) === null && !compiler.isExhausted()
    const value = isValid ? frozen(schema['default']) : undefined
    defaults.set(name, value)
    return value
  }

  let last: { readonly names: readonly string[], readonly values: Readonly<Record<string, unknown>> } | null = null

  /** The defaults of these fields: of the same as the last time in most cases. */
  function defaultsOf (wanted: readonly string[]): Readonly<Record<string, unknown>> {
    if (last === null || last.names.length !== wanted.length || !wanted.every((name, index) => name === last?.names[index])) {
      // A default of null leaves open what it says nothing about, and is no other than nothing.
      const values = wanted.map(name => [name, defaultOf(name)] as const).filter(([, value]) => (value ?? null) !== null)
      last = { names: [...wanted], values: Object.fromEntries(values) }
    }
    return last.values
  }

  function changed (body: Readonly<Record<string, unknown>>, changes: ReadonlyMap<string, unknown>): Readonly<Record<string, unknown>> {
    const kept = Object.entries(body).filter(([name]) => fields.has(name)).map(([name, value]) => [name, changes.has(name) ? changes.get(name) : value] as const)
    return Object.fromEntries(kept.filter(([, value]) => value !== undefined))
  }

  return {
    defaultOf,
    get defaults () {
      return new Map([...fields.keys()].map(name => [name, defaultOf(name)] as const).filter(([, value]) => value !== undefined))
    },
    compileNext () {
      const next = parts.find(part => part.check === null)
      if (next === undefined) return false
      checkOf(next)
      return true
    },
    read (body, { unknownFields, sentDefaults }) {
      const seen = new Seen()
      const faults: FieldFault[] = []
      const leftOut: string[] = []
      // What is sent of a field in place of what was given; `undefined`: nothing. Most bodies need none of it.
      let changes: Map<string, unknown> | null = null
      compiler.begin()
      for (const name of Object.keys(body)) {
        const raw = body[name]
        const part = fields.get(name)
        if (part === undefined) {
          if (unknownFields === 'leave-out') {
            // What is null was not meant.
            if (raw !== null && leftOut.length < MAX_FAULTS) leftOut.push(name)
            changes ??= new Map()
          } else faults.push(unknownField(name, names))
        } else {
          const value = take(part, raw, name === 'seed', seen, faults)
          if (value !== raw) (changes ??= new Map()).set(name, value)
          if (seen.isTooLarge || compiler.isExhausted()) return tooLarge
        }
        if (faults.length >= MAX_FAULTS) break
      }
      for (const name of required) {
        if ((!Object.hasOwn(body, name) || body[name] === undefined) && faults.length < MAX_FAULTS) faults.push(...faultsOf([missing(name)]))
      }
      if (faults.length > 0) return { ok: false, faults: faults.slice(0, MAX_FAULTS) }
      const given = changes === null ? body : changed(body, changes)
      const sent = withDefaults(given, defaultsOf(sentDefaults))
      if (whole !== null) {
        if (seen.values * whole.weight > MAX_STEPS || seen.characters * whole.measures > MAX_MEASURED) return tooLarge
        const errors = checkOf(whole)(sent)
        if (compiler.isExhausted()) return tooLarge
        if (errors !== null) return { ok: false, faults: faultsOf(errors) }
      }
      return { ok: true, given, sent, leftOut }
    }
  }
}

/** What is sent: what the caller gave, over the defaults. Most callers leave nothing to them, and then it is the same object. */
function withDefaults (given: Readonly<Record<string, unknown>>, defaults: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  for (const name in defaults) {
    // Members that are set on a copy, one by one, would take ten times as long.
    if (!Object.hasOwn(given, name)) return Object.assign({}, defaults, given)
  }
  return given
}

/** One field of an input, or the input as a whole. */
class Part {
  readonly schema: JsonSchema
  readonly weight: number
  readonly measures: number
  readonly path: string
  readonly isRequired: boolean
  check: ForeignCheck | null = null
  takesNull: boolean | null = null

  constructor ({ schema, weight, measures }: Checkable, path: string, isRequired: boolean) {
    this.schema = schema
    this.weight = weight
    this.measures = measures
    this.path = path.slice(0, 101)
    this.isRequired = isRequired
  }
}

/** What was seen of a body so far. */
class Seen {
  values = 0
  characters = 0
  hasNull = false
  isTooLarge = false
  /** It has a value that no schema may be asked about: its digits are lost, or it cannot be written as UTF-8. */
  isOdd = false
}

/** Looks at a value and at all that is in it, once. */
function look (value: unknown, depth: number, seen: Seen): void {
  if (++seen.values > MAX_VALUES) seen.isTooLarge = true
  if (typeof value === 'string') {
    seen.characters += value.length
    if (!value.isWellFormed()) seen.isOdd = true
  } else if (typeof value === 'number') {
    if (!isExact(value)) seen.isOdd = true
  } else if (value === null) seen.hasNull = true
  else if (typeof value === 'object') {
    if (depth > MAX_DEPTH) seen.isTooLarge = true
    if (Array.isArray(value)) {
      for (const item of value) {
        if (seen.isTooLarge) return
        look(item, depth + 1, seen)
      }
    } else {
      for (const [name, member] of Object.entries(value)) {
        if (seen.isTooLarge) return
        seen.characters += name.length
        if (!name.isWellFormed()) seen.isOdd = true
        look(member, depth + 1, seen)
      }
    }
  }
}

/** Does a number say what was written? Beyond 2^53 integers are rounded when they are parsed; all digits of other numbers stand beside the body. */
function isExact (value: number): boolean {
  return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))
}

/** Where exactly a value has numbers and texts that cannot be sent as they were written. */
function oddities (value: unknown, path: string): readonly FieldFault[] {
  const faults: FieldFault[] = []
  const visit = (value: unknown, path: string): void => {
    if (faults.length >= MAX_FAULTS) return
    if (typeof value === 'number' && !isExact(value)) faults.push({ path, message: 'must not be beyond 2^53: its digits would be lost', code: 'not_exact' })
    else if (typeof value === 'string' && !value.isWellFormed()) faults.push({ path, message: 'must be well-formed Unicode, without lone surrogates', code: 'not_well_formed' })
    else if (Array.isArray(value)) value.forEach((item, index) => { visit(item, `${path}/${index}`) })
    else if (isObject(value)) {
      for (const [name, member] of Object.entries(value)) {
        const place = `${path}/${pointerTo(name).slice(0, 100)}`
        if (!name.isWellFormed()) faults.push({ path: place, message: 'must have a name in well-formed Unicode, without lone surrogates', code: 'not_well_formed' })
        visit(member, place)
      }
    }
  }
  visit(value, path)
  return faults
}

const tooLarge: ReadInput = { ok: false, faults: [{ path: '', message: 'is too deep, or holds more than can be checked', code: 'too_large' }] }

/**
 * A value without the nulls that stand against it: where a document has lost that a member may be null, null means that it is not given, at every depth.
 * A null that some form of the value allows is never touched, because then nothing stands against it. An item of a list has no other way to be absent.
 */
function withoutLostNulls (value: object, errors: readonly ValidatorError[], check: ForeignCheck): { readonly value: object, readonly errors: readonly ValidatorError[] | null } {
  const copy = structuredClone(value)
  const lost = new Map<string, ValidatorError>()
  for (const error of errors) {
    if (lost.has(error.instancePath) || !removeNull(copy, error.instancePath)) continue
    lost.set(error.instancePath, error)
  }
  if (lost.size === 0) return { value, errors }
  const others = check(copy)
  if (others === null) return { value: copy, errors: null }
  // What is required was given after all, as something that it cannot be.
  const told = others.map(error => error.keyword === 'required' ? lost.get(`${error.instancePath}/${String(error.params['missingProperty']).replaceAll('~', '~0').replaceAll('/', '~1')}`) ?? error : error)
  return { value: copy, errors: told }
}

/** Removes what a JSON pointer leads to if it is the null of an object's member. */
function removeNull (root: object, path: string): boolean {
  const steps = path.split('/').slice(1).map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  const name = steps.pop()
  let holder: unknown = root
  for (const step of steps) holder = typeof holder === 'object' && holder !== null && Object.hasOwn(holder, step) ? Reflect.get(holder, step) : undefined
  if (name === undefined || !isObject(holder) || !Object.hasOwn(holder, name) || holder[name] !== null) return false
  return Reflect.deleteProperty(holder, name)
}

function unknownField (name: string, names: readonly string[]): FieldFault {
  return { path: `/${pointerTo(name).slice(0, 100)}`, message: `is not a field of this model${hintOf(name, names)}`, code: 'unknown_field' }
}

function missing (name: string): ValidatorError {
  return { keyword: 'required', instancePath: '', schemaPath: '', params: { missingProperty: name } }
}

/** A value of the document that goes into many inputs. */
function frozen (value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.values(value).forEach(frozen)
  return Object.freeze(value)
}
