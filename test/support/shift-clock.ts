// To be imported by a gateway: node --import shift-clock.js … with CLOCK_SHIFT_MS=<milliseconds>. Its machine's clock is that much ahead, or behind.

import { performance } from 'node:perf_hooks'

const shiftMs = Number(process.env['CLOCK_SHIFT_MS'] ?? '0')
const now = Date.now.bind(Date)
Date.now = () => now() + shiftMs
Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + shiftMs })
