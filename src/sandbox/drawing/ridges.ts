// Mountains behind mountains under a sun or moon, some by a lake.

import { addRamp, FIRST_FREE, grainOf, type Canvas, type Ramp } from './canvas.ts'
import { colour, mix, type Colour } from './colour.ts'
import { between, createNoise, layered, type Random } from './random.ts'

const SKY_LEVELS = 96
const RIDGE_LEVELS = 20
const RIDGES = 6
const SLOPES = 1024

interface Light {
  readonly zenith: Colour
  readonly middle: Colour
  readonly horizon: Colour
  readonly disc: Colour
  /** The nearest ridge. */
  readonly ground: Colour
  readonly night: boolean
}

export function drawRidges (canvas: Canvas, mood: Random, layout: Random): void {
  const { width, height, pixels } = canvas
  const light = lightOf(mood)
  const hasLake = mood() < 0.5

  const sky = addRamp(canvas, FIRST_FREE, SKY_LEVELS, [light.zenith, light.middle, light.horizon])
  const disc = addRamp(canvas, FIRST_FREE + SKY_LEVELS, 1, [light.disc]).start
  const ridges = Array.from({ length: RIDGES }, (_, index) => {
    const near = index / (RIDGES - 1)
    const face = mix(mix(light.horizon, light.ground, 0.28), light.ground, near)
    const mist = mix(face, light.horizon, 0.55 - 0.35 * near)
    return addRamp(canvas, disc + 1 + index * RIDGE_LEVELS, RIDGE_LEVELS, [face, mist])
  })

  const waterline = hasLake ? Math.round(height * between(layout, 0.66, 0.74)) : height
  const horizon = waterline * (hasLake ? 0.62 : 0.5)
  const tops = ridges.map((_, index) => topsOf(canvas, layout, index, horizon, waterline))

  drawSky(canvas, sky, disc, light.night, layout, horizon, waterline)
  drawSlopes(canvas, ridges, tops, layout, waterline)
  if (hasLake) mirror(width, height, pixels, waterline, layout)
}

/** Night, sunset or day. Hues keep to what skies have, blue to violet above and warm below, each prompt with its own among them. */
function lightOf (mood: Random): Light {
  const above = between(mood, 0.5, 0.9)
  const below = between(mood, 0.02, 0.22)
  const earth = between(mood, 0.4, 1.05)
  const time = mood()
  if (time < 0.35) {
    return { zenith: colour(0.2, 0.06, above), middle: colour(0.38, 0.1, above + 0.04), horizon: colour(0.7, 0.11, above + 0.1), disc: colour(0.97, 0.02, above), ground: colour(0.12, 0.03, above), night: true }
  }
  if (time < 0.75) {
    return { zenith: colour(0.46, 0.11, above), middle: colour(0.7, 0.13, above + (below + 1 - above) * 0.6), horizon: colour(0.9, 0.09, below), disc: colour(0.98, 0.04, below), ground: colour(0.21, 0.07, above + 0.04), night: false }
  }
  return { zenith: colour(0.64, 0.11, above * 0.5 + 0.35), middle: colour(0.82, 0.07, above * 0.5 + 0.34), horizon: colour(0.95, 0.035, below), disc: colour(1, 0.01, below), ground: colour(0.3, 0.06, earth), night: false }
}

/** For each column the height at which a ridge begins, in pixels from the top. The nearest one carries trees. */
function topsOf ({ width, height }: Canvas, layout: Random, index: number, horizon: number, waterline: number): Float32Array {
  const noise = createNoise(layout)
  const near = index / (RIDGES - 1)
  const base = horizon + (waterline * 0.96 - horizon) * near ** 1.25
  const reach = height * (0.34 - 0.2 * near)
  const frequency = (2.2 + 2 * near) / Math.min(width, height)
  const isNearest = index === RIDGES - 1
  const tops = new Float32Array(width)
  for (let x = 0; x < width; x++) {
    const hills = layered(noise, isNearest ? 3 : 6, x * frequency, index * 31)
    // Folding the noise at its middle makes crests instead of waves.
    const crest = isNearest ? hills : 1 - Math.abs(hills * 2 - 1) * 1.6
    tops[x] = base - (crest - 0.45) * reach
  }
  if (isNearest) plantTrees(tops, layout, Math.min(width, height))
  return tops
}

function plantTrees (tops: Float32Array, layout: Random, size: number): void {
  const ground = tops.slice()
  const count = Math.round(tops.length / size * between(layout, 70, 150))
  for (let tree = 0; tree < count; tree++) {
    const middle = Math.floor(layout() * tops.length)
    const tall = size * between(layout, 0.03, 0.1) * (0.4 + layout() * 0.6)
    const broad = tall * between(layout, 0.16, 0.24)
    for (let x = Math.max(0, Math.ceil(middle - broad)); x < Math.min(tops.length, middle + broad); x++) {
      const out = Math.abs(x - middle) / broad
      // Branches: the outline steps outwards several times on its way down.
      const outline = 1 - out * 0.8 - 0.2 * ((out * 4) % 1)
      tops[x] = Math.min(tops[x] ?? 0, (ground[middle] ?? 0) + tall * 0.1 - tall * outline)
    }
  }
}

function drawSky ({ width, height, pixels }: Canvas, sky: Ramp, disc: number, night: boolean, layout: Random, horizon: number, waterline: number): void {
  const size = Math.min(width, height)
  const radius = size * between(layout, 0.045, 0.1)
  const centreX = width * between(layout, 0.2, 0.8)
  const centreY = horizon * between(layout, 0.3, 0.8)
  const glowReach = size * (night ? 0.35 : 0.55)
  const last = sky.count - 1.01

  // The glow by squared distance, so that no pixel needs a root.
  const glow = Float32Array.from({ length: 1024 }, (_, step) => (1 - Math.sqrt(step / 1024)) ** 2 * sky.count * (night ? 0.35 : 0.5))
  const toStep = 1024 / glowReach ** 2

  for (let y = 0; y < waterline; y++) {
    const grain = grainOf(y)
    const row = y * width
    const level = Math.min(y / (horizon * 1.15), 1) ** 1.3 * last
    const downSquared = (y - centreY) ** 2
    for (let x = 0; x < width; x++) {
      const squared = (x - centreX) ** 2 + downSquared
      const lit = level + (glow[(squared * toStep) | 0] ?? 0) + (grain[x & 7] ?? 0)
      pixels[row + x] = squared < radius * radius ? disc : sky.start + (lit < last ? lit | 0 : last | 0)
    }
  }

  if (!night) return
  const dot = Math.max(1, Math.round(size / 900))
  for (let star = 0; star < 260; star++) {
    const x = Math.floor(layout() * (width - dot))
    const y = Math.floor(layout() ** 1.6 * horizon)
    if (pixels[y * width + x] === disc) continue
    for (let down = 0; down < dot; down++) pixels.fill(layout() < 0.3 ? disc : sky.start + sky.count - 1, (y + down) * width + x, (y + down) * width + x + dot)
  }
}

/** Draws all ridges row by row: in each column the ridge in front only ever changes to a nearer one on the way down. */
function drawSlopes ({ width, height, pixels }: Canvas, ridges: readonly Ramp[], tops: readonly Float32Array[], layout: Random, waterline: number): void {
  const noise = createNoise(layout)
  // One long strip of lit and shaded faces, laid slanting over each ridge.
  const faces = Float32Array.from({ length: SLOPES }, (_, step) => (layered(noise, 4, step / 40, 3) - 0.5) * 16)
  const slantOfRow = SLOPES / height * 1.1
  const mistDepth = height * 0.24
  const farthest = tops[0] ?? new Float32Array(width)
  const firstRow = Math.max(0, Math.floor(tops.reduce((low, line) => Math.min(low, line.reduce((a, b) => Math.min(a, b))), height)))

  const current = new Int8Array(width).fill(-1)
  const nextTop = Float32Array.from(farthest, (_, x) => tops.reduce((low, line) => Math.min(low, line[x] ?? height), height))

  for (let y = firstRow; y < waterline; y++) {
    const grain = grainOf(y)
    const row = y * width
    for (let x = 0; x < width; x++) {
      const dither = grain[x & 7] ?? 0
      if (y + dither >= (nextTop[x] ?? height)) {
        let front = current[x] ?? -1
        let next = height + 2
        for (let index = front + 1; index < tops.length; index++) {
          const top = tops[index]?.[x] ?? height
          if (y + dither >= top) {
            front = index
            next = height + 2
          } else if (top < next) next = top
        }
        current[x] = front
        nextTop[x] = next
      }
      const front = current[x] ?? -1
      if (front < 0) continue
      const ramp = ridges[front]
      if (ramp === undefined) continue
      const depth = y - (tops[front]?.[x] ?? 0)
      const mist = depth / mistDepth
      const shade = (faces[((x + front * 131) * slantOfRow * 0.5 + depth * slantOfRow) & (SLOPES - 1)] ?? 0) * (mist < 1 ? 1 - mist : 0) * (front === RIDGES - 1 ? 0.15 : 1)
      const level = mist * ramp.count + 2 + shade + dither
      pixels[row + x] = ramp.start + (level <= 0 ? 0 : level < ramp.count ? level | 0 : ramp.count - 1)
    }
  }
}

/** A lake below `waterline`: the picture above, upside down, pulled sideways by waves that grow towards the viewer. */
function mirror (width: number, height: number, pixels: Uint8Array, waterline: number, layout: Random): void {
  const phase = layout() * 7
  for (let y = waterline; y < height; y++) {
    const away = (y - waterline) / (height - waterline)
    const source = Math.max(0, Math.floor(waterline - 1 - (y - waterline) * 1.25)) * width
    const wave = Math.sin(phase + 60 * Math.sqrt(away)) + 0.6 * Math.sin(phase * 3 + 171 * Math.sqrt(away))
    const shift = Math.round(wave * width * (0.001 + 0.007 * away))
    const row = y * width
    const line = pixels.subarray(source, source + width)
    if (shift >= 0) {
      pixels.set(line.subarray(0, width - shift), row + shift)
      pixels.fill(line[0] ?? 0, row, row + shift)
    } else {
      pixels.set(line.subarray(-shift), row)
      pixels.fill(line[width - 1] ?? 0, row + width + shift, row + width)
    }
  }
}
