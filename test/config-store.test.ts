// Where the ledger is: by default, when it is said, and when what is said contradicts itself.

import t from 'tap'
import { parseConfig, storeKindOf } from '../src/config.ts'
import { mountOf, mountsIn, unmountedFault } from '../src/app/data-folder.ts'

type Env = Readonly<Record<string, string>>

const real = { FAL_KEY: 'a:b', TENANTS_FILE: 'f' }

function storeIn (env: Env): unknown {
  const parsed = parseConfig(env)
  return parsed.ok ? [storeKindOf(parsed.config), parsed.config.disk?.folder] : parsed.faults
}

t.test('with a real key and without Redis everything is kept in a folder; with the sandbox only where that is asked for', async t => {
  t.same(storeIn({}), ['memory', undefined])
  t.same(storeIn(real), ['disk', './falgate-data'])
  t.same(storeIn({ ...real, IMAGE_DATA_DIR: '/data' }), ['disk', '/data'])
  t.same(storeIn({ ...real, IMAGE_DATA_DIR: '/data', DATA_DIR: '/other' }), ['disk', '/other'])
  t.same(storeIn({ IMAGE_DATA_DIR: '/data' }), ['memory', undefined])
  t.same(storeIn({ DATA_DIR: '/d' }), ['disk', '/d'])
  t.same(storeIn({ STORE: 'disk' }), ['disk', './falgate-data'])
  t.same(storeIn({ ...real, REDIS_URL: 'redis://a.example', IMAGE_DATA_DIR: '/data' }), ['redis', undefined])
  t.same(storeIn({ ...real, STORE: 'memory' }), ['memory', undefined])
})

t.test('what contradicts itself is a fault that says what to do', async t => {
  t.match(storeIn({ STORE: 'redis' }), ['STORE, REDIS_URL: with STORE=redis set REDIS_URL to where that Redis is'])
  t.match(storeIn({ STORE: 'disk', REDIS_URL: 'redis://a.example' }), [/^STORE, REDIS_URL: with STORE=disk no Redis is used; leave one of them out$/])
  t.match(storeIn({ STORE: 'memory', REDIS_URL: 'redis://a.example' }), [/^STORE, REDIS_URL: with STORE=memory no Redis/])
  t.match(storeIn({ DATA_DIR: '/d', REDIS_URL: 'redis://a.example' }), [/^DATA_DIR, REDIS_URL: the ledger is in one place; leave one of them out$/])
  t.match(storeIn({ STORE: 'memory', DATA_DIR: '/d' }), [/^STORE, DATA_DIR: with STORE=memory nothing is kept in a folder/])
  t.match(storeIn({ STORE: 'file' }), [/^STORE: expected one of memory, disk, redis$/])
})

const mountinfo = [
  '22 1 0:20 / / rw - overlay overlay rw,lowerdir=/x',
  '23 22 8:1 /v/_data /data rw,relatime master:1 - ext4 /dev/sda1 rw',
  '24 22 8:1 /y /with\\040space rw - ext4 /dev/sda1 rw',
  '25 22 0:30 / /tmp rw - tmpfs tmpfs rw'
].join('\n')

t.test('in the image a folder with real money has to be on a mount that outlives the container', async t => {
  const faultOf = async (folder: string, hasToBeMount = true): Promise<string | null> => await unmountedFault({ folder, hasToBeMount }, async () => mountsIn(mountinfo))
  t.equal(mountOf('/with space/a', mountsIn(mountinfo))?.path, '/with space')
  t.equal(mountOf('/database', mountsIn(mountinfo))?.path, '/', 'a name that only begins like that of a mount is not below it')
  t.equal(await unmountedFault({ folder: '/', hasToBeMount: true }, async () => [{ path: '/data', kind: 'ext4' }]), await faultOf('/'))
  t.match(await faultOf('/nowhere-here'), /^DATA_DIR: \/nowhere-here is no mount, .*-v falgate-data:\/nowhere-here/)
  t.match(await faultOf('/tmp/there'), /^DATA_DIR: \/tmp\/there is no mount/, 'what lies in memory ends, too')
  t.equal(await faultOf('/nowhere-here', false), null)
  t.equal(await unmountedFault({ folder: '/', hasToBeMount: true }, async () => [{ path: '/', kind: 'overlay' }]) === null, false)
})
