// Every dependency runs on the oldest Node that falgate runs on, and what is held at a version says why.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { guardOf } from '../src/schema.ts'
import { projectDir } from './support/paths.ts'

const Texts = Type.Record(Type.String(), Type.String())
const isManifest = guardOf(Type.Object({ engines: Type.Object({ node: Type.String() }), '//': Texts, overrides: Texts, dependencies: Texts, devDependencies: Texts }))
const isLock = guardOf(Type.Object({ packages: Type.Record(Type.String(), Type.Object({ version: Type.Optional(Type.String()), engines: Type.Optional(Type.Unknown()) })) }))

function manifest () {
  const read: unknown = JSON.parse(readFileSync(join(projectDir, 'package.json'), 'utf8'))
  if (!isManifest(read)) throw new Error('package.json has another form')
  return read
}

type Version = readonly [major: number, minor: number, patch: number]

function versionIn (text: string): Version {
  const [major = 0, minor = 0, patch = 0] = text.replace(/^\D*/, '').split('.').map(Number)
  return [major, minor || 0, patch || 0]
}

function isBefore (a: Version, b: Version): boolean {
  const at = a.findIndex((part, index) => part !== b[index])
  return at >= 0 && Number(a[at]) < Number(b[at])
}

/** Does a range, as `engines` have it, take this version of Node? */
function takes (range: string, version: Version): boolean {
  return range.split('||').some(alternative => alternative.trim().replaceAll(/([<>=^~]+)\s+/g, '$1').split(/\s+/).every(one => {
    const bound = versionIn(one)
    if (one === '*' || one === '') return true
    if (one.startsWith('<')) return isBefore(version, bound)
    if (one.startsWith('>')) return !isBefore(version, bound)
    return bound[0] === version[0] && !isBefore(version, bound)
  }))
}

t.test('ranges of versions are understood', async t => {
  const node: Version = [20, 19, 0]
  for (const range of ['*', '>=18', '>= 20.19.0', '^20.17.0 || >=22.9.0', '20 || >=22', '20.x', '>=12 <21', '18 || 20']) t.ok(takes(range, node), range)
  for (const range of ['>=22', '>=20.20', '^22.0.0', '18 || 22', '^20.19.1', '>=12 <20', '21.x']) t.notOk(takes(range, node), range)
})

t.test('every package of the lock file runs on the oldest Node that falgate does', async t => {
  const lock: unknown = JSON.parse(readFileSync(join(projectDir, 'package-lock.json'), 'utf8'))
  if (!isLock(lock)) throw new Error('package-lock.json has another form')
  const oldest = versionIn(manifest().engines.node)
  const wanting = Object.entries(lock.packages).flatMap(([name, { version, engines }]) => {
    const node: unknown = typeof engines === 'object' && engines !== null ? Reflect.get(engines, 'node') : undefined
    return typeof node === 'string' && !takes(node, oldest) ? [`${name} ${version}: ${node}`] : []
  })
  t.ok(Object.keys(lock.packages).length > 300, 'they were found')
  t.same(wanting, [])
})

t.test('each version that is overridden, or held more tightly than by a caret, has its reason in package.json', async t => {
  const { '//': reasons, overrides, dependencies, devDependencies } = manifest()
  const all = { ...dependencies, ...devDependencies }
  const held = [...Object.keys(overrides), ...Object.entries(all).filter(([, range]) => !range.startsWith('^')).map(([name]) => name)]
  t.ok(held.length > 0, 'some are')
  t.same(held.filter(name => !Object.hasOwn(reasons, name)), [])
  t.same(Object.keys(reasons).filter(name => !Object.hasOwn(all, name) && !Object.hasOwn(overrides, name)), [], 'no reason outlives what it is for')
})
