// Which targets NO_PROXY means.

import t from 'tap'
import { isExcepted } from '../../src/upstream/way.ts'

for (const [except, meant, others] of [
  ['a.example', ['a.example', 'A.example', 'b.a.example'], ['xa.example', 'example']],
  ['.a.example:8443', ['b.a.example:8443', 'a.example:8443'], ['a.example', 'b.a.example:443']],
  ['a.example:443', ['a.example', 'a.example:443'], ['a.example:8443']],
  ['10.0.0.0/8, 192.168.1.7', ['10.1.2.3', '10.255.0.1:8443', '192.168.1.7'], ['11.0.0.1', '192.168.1.8', '10.example', '10.0.0.1.example']],
  ['192.168.1.7:8443', ['192.168.1.7:8443'], ['192.168.1.7']],
  ['::1', ['[::1]', '[0:0:0:0:0:0:0:1]:8443'], ['[::2]', '[::11]', 'localhost']],
  ['[::1]', ['[::1]', '[::1]:8443'], ['[::2]']],
  ['[::1]:8443', ['[::1]:8443'], ['[::1]']],
  ['fd00::/8', ['[fd12:3456::1]'], ['[fe80::1]', '10.0.0.1']],
  ['*', ['a.example', '10.0.0.1', '[::1]'], []],
  ['', [], ['a.example', '[::1]']]
] as const) {
  t.test(`NO_PROXY=${except}`, async t => {
    const isMeant = (target: string): boolean => {
      const [, hostname = '', port = ''] = /^(.*?)(?::(\d+))?$/.exec(target.endsWith(']') ? `${target}:443` : target) ?? []
      return isExcepted({ hostname, port: port === '443' ? '' : port }, except)
    }
    for (const target of meant) t.ok(isMeant(target), target)
    for (const target of others) t.notOk(isMeant(target), target)
  })
}
