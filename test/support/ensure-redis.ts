// Runs once before the tests, which run side by side: a Redis has to be there, and two of them must not install it at the same time.

import { findServer } from './redis.ts'

const given = process.env['REDIS_URL']
if (given === undefined || given === '') findServer()
