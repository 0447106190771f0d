// What a purchase is to the ledger: each state meets each event.

import t from 'tap'
import { afterAnswer, afterReading, bought, isBeside, isUntoldTo, purchaseOf, withoutAnswer, type Purchase } from '../../src/generation/run/purchase.ts'

type Kind = Purchase['kind']

const kinds = ['none', 'untold', 'presumed', 'own', 'double', 'refused'] as const satisfies readonly Kind[]

function purchase (kind: Kind): Purchase {
  if (kind === 'none') return { kind }
  return kind === 'untold' ? bought('this') : { kind, requestId: 'this' }
}

function row (requestId: string | null): { readonly requestId: string | null } {
  return { requestId }
}

function after (event: (purchase: Purchase) => Purchase): Record<Kind, Kind> {
  const pairs = kinds.map(kind => [kind, event(purchase(kind)).kind] as const)
  return { none: 'none', untold: 'none', presumed: 'none', own: 'none', double: 'none', refused: 'none', ...Object.fromEntries(pairs) }
}

t.test('a row that a process is given has its own purchase, or none', t => {
  t.same(purchaseOf(row(null)), { kind: 'none' })
  t.same(purchaseOf(row('this')), { kind: 'own', requestId: 'this' })
  t.end()
})

t.test('the ledger\'s answer decides, each time, whatever it said before', t => {
  const told = { untold: 'own', presumed: 'own', own: 'own', double: 'own', refused: 'own' } as const
  t.same(after(before => afterAnswer(before, row('this'))), { none: 'own', ...told })
  t.same(after(before => afterAnswer(before, row('other'))), { none: 'own', untold: 'double', presumed: 'double', own: 'double', double: 'double', refused: 'double' })
  t.same(after(before => afterAnswer(before, row(null))), { none: 'none', untold: 'refused', presumed: 'refused', own: 'refused', double: 'refused', refused: 'refused' })
  t.match(afterAnswer(purchase('none'), row('other')), { requestId: 'other' }, 'a process that had none follows the row\'s')
  t.match(afterAnswer(purchase('own'), row('other')), { requestId: 'this' }, 'one that had another follows that one on')
  t.end()
})

t.test('a ledger that cannot answer decides nothing: what it was not told of counts as the row\'s', t => {
  t.same(after(withoutAnswer), { none: 'none', untold: 'presumed', presumed: 'presumed', own: 'own', double: 'double', refused: 'refused' })
  t.end()
})

t.test('a row that is only read decides nothing, but that a process that had no purchase follows the row\'s', t => {
  t.same(after(before => afterReading(before, row('other'))), { none: 'own', untold: 'untold', presumed: 'presumed', own: 'own', double: 'double', refused: 'refused' })
  t.same(afterReading(purchase('none'), row(null)), { kind: 'none' })
  t.end()
})

t.test('the ledger is told of a purchase whose row is read with another one, unless it said that it stands beside', t => {
  const toldOf = (requestId: string | null): Kind[] => kinds.filter(kind => isUntoldTo(row(requestId), purchase(kind)))
  t.same(toldOf('other'), ['untold', 'presumed', 'own'])
  t.same(toldOf('this'), [])
  t.same(toldOf(null), [])
  t.end()
})

t.test('the row is another\'s to go on with only when the ledger said so', t => {
  t.same(kinds.filter(kind => isBeside(purchase(kind))), ['double', 'refused'])
  t.end()
})
