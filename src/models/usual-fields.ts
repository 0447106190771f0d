// Fields and words that many of fal's models have in common. Source: their documents, and fal's own toolkit for the sizes.

/** Width and height in pixels. */
export type PresetSize = readonly [width: number, height: number]

/** The fields that say how many pictures a call makes: their product. */
export const pictureCounts: readonly string[] = ['num_images', 'max_images']

/** fal's own table of sizes. A model for which a word means other pixels says so in its price rule. */
export const sizeWords: ReadonlyMap<string, PresetSize> = new Map<string, PresetSize>([
  ['square_hd', [1024, 1024]],
  ['square', [512, 512]],
  ['portrait_4_3', [768, 1024]],
  ['portrait_16_9', [576, 1024]],
  ['landscape_4_3', [1024, 768]],
  ['landscape_16_9', [1024, 576]]
])
