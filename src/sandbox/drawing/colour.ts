// Colours in Oklab (Björn Ottosson, 2020), where a straight line between two of them looks even.

export interface Colour {
  /** 0 black, 1 white. */
  readonly light: number
  readonly a: number
  readonly b: number
}

/** `chroma` 0 is grey, about 0.2 is vivid; `hue` in turns: 0.08 red, 0.19 orange, 0.3 yellow, 0.4 green, 0.55 cyan, 0.73 blue, 0.9 violet. */
export function colour (light: number, chroma: number, hue: number): Colour {
  return { light, a: chroma * Math.cos(hue * 2 * Math.PI), b: chroma * Math.sin(hue * 2 * Math.PI) }
}

export function mix (from: Colour, to: Colour, share: number): Colour {
  return {
    light: from.light + (to.light - from.light) * share,
    a: from.a + (to.a - from.a) * share,
    b: from.b + (to.b - from.b) * share
  }
}

/** The colour at `share` (0 to 1) of a way through these colours. */
export function along (colours: readonly [Colour, ...Colour[]], share: number): Colour {
  const place = Math.min(Math.max(share, 0), 1) * (colours.length - 1)
  const index = Math.min(Math.floor(place), colours.length - 1)
  const from = colours[index] ?? colours[0]
  return mix(from, colours[index + 1] ?? from, place - index)
}

/** Red, green and blue for a screen (sRGB), clipped to what it can show. */
export function toRgb ({ light, a, b }: Colour): readonly [number, number, number] {
  const l = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
  const m = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
  const s = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
  return [
    toByte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    toByte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    toByte(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)
  ]
}

function toByte (linear: number): number {
  const clipped = Math.min(Math.max(linear, 0), 1)
  return Math.round(255 * (clipped <= 0.0031308 ? clipped * 12.92 : 1.055 * clipped ** (1 / 2.4) - 0.055))
}
