// The ledger on Redis keeps the contract.

import t from 'tap'
import { redisStore } from '../support/redis-store.ts'
import { contract } from './contract.ts'

t.test('the ledger on Redis', async t => contract(t, redisStore))
