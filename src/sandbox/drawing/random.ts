// Chance that is always the same for the same bytes: numbers and smooth curves.

/** The next number in [0, 1). */
export type Random = () => number

/** Numbers that depend on every byte (sfc32, started from a FNV-1a hash with four offsets). */
export function createRandom (bytes: Uint8Array): Random {
  let [a, b, c, d] = [hash(bytes, 1), hash(bytes, 2), hash(bytes, 3), 1]
  function next (): number {
    const sum = (a + b + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum | 0
    return (sum >>> 0) / 2 ** 32
  }
  for (let round = 0; round < 12; round++) next()
  return next
}

function hash (bytes: Uint8Array, offset: number): number {
  let value = 0x811c9dc5 ^ Math.imul(offset, 0x9e3779b9)
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193)
  return value | 0
}

/** A number between two others. */
export function between (random: Random, low: number, high: number): number {
  return low + (high - low) * random()
}

const LATTICE = 256

/** Noise over a plane in [0, 1): smooth, and the same everywhere for the same `random`. */
export type Noise = (x: number, y: number) => number

export function createNoise (random: Random): Noise {
  const values = Float32Array.from({ length: LATTICE }, random)
  const order = Uint8Array.from({ length: LATTICE }, (_, index) => index)
  for (let index = LATTICE - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1))
    const kept = order[index] ?? 0
    order[index] = order[other] ?? 0
    order[other] = kept
  }
  const at = (column: number, row: number): number => values[((order[row & 255] ?? 0) + column) & 255] ?? 0

  return (x, y) => {
    const column = Math.floor(x)
    const row = Math.floor(y)
    const right = ease(x - column)
    const down = ease(y - row)
    const shuffled = column + Math.imul(column >> 3, 57)
    const shuffledNext = column + 1 + Math.imul((column + 1) >> 3, 57)
    const above = at(shuffled, row) * (1 - right) + at(shuffledNext, row) * right
    const below = at(shuffled, row + 1) * (1 - right) + at(shuffledNext, row + 1) * right
    return above * (1 - down) + below * down
  }
}

/** Several noises on top of each other, each twice as fine and half as strong, in [0, 1). */
export function layered (noise: Noise, octaves: number, x: number, y: number): number {
  let sum = 0
  let weight = 0.5
  let total = 0
  for (let octave = 0; octave < octaves; octave++) {
    sum += noise(x, y) * weight
    total += weight
    weight /= 2
    x = x * 2 + 17.3
    y = y * 2 + 5.7
  }
  return sum / total
}

function ease (t: number): number {
  return t * t * t * (t * (t * 6 - 15) + 10)
}
