// What an input asks for in pictures, read from its fields and the defaults of its document.

import t from 'tap'
import { pictureSizes, type PictureHints } from '../../src/models/picture-size.ts'

interface Row { readonly title: string, readonly input?: object, readonly properties?: object, readonly hints?: PictureHints, readonly defs?: object, readonly expected: readonly string[] }

const sizeObject = { type: 'object', properties: { width: { type: 'integer', default: 512 }, height: { type: 'integer', default: 512 } } }

const rows: readonly Row[] = [
  { title: 'nothing said is one square picture', expected: ['1024x1024'] },
  { title: 'num_images', input: { num_images: 3 }, expected: ['1024x1024', '1024x1024', '1024x1024'] },
  { title: 'num_images × max_images', input: { num_images: 2, max_images: 2 }, expected: Array.from({ length: 4 }, () => '1024x1024') },
  { title: 'the default of num_images', properties: { num_images: { type: 'integer', default: 2 } }, expected: ['1024x1024', '1024x1024'] },
  { title: 'a null counts as not given', input: { num_images: null }, properties: { num_images: { type: 'integer', default: 2 } }, expected: ['1024x1024', '1024x1024'] },
  { title: 'numbers as texts', input: { num_images: '2' }, expected: ['1024x1024', '1024x1024'] },
  { title: 'a further field that counts', input: { n: 2 }, hints: { counts: ['n'] }, expected: ['1024x1024', '1024x1024'] },
  { title: 'a word of image_size', input: { image_size: 'landscape_16_9' }, expected: ['1024x576'] },
  { title: 'a word that means other pixels here', input: { image_size: 'square_hd' }, hints: { sizes: new Map([['square_hd', [1536, 1536]]]) }, expected: ['1536x1536'] },
  { title: 'an object of sides', input: { image_size: { width: 1000, height: 333 } }, expected: ['1000x333'] },
  { title: 'an object with one side', input: { image_size: { width: 640 } }, expected: ['640x640'] },
  { title: 'a size as text', input: { image_size: '1536x1024' }, expected: ['1536x1024'] },
  { title: 'a size with an asterisk', input: { size: '768*1152' }, expected: ['768x1152'] },
  { title: 'the default of image_size, which may stand outside a choice', properties: { image_size: { anyOf: [sizeObject, { enum: ['square', 'portrait_4_3'] }], default: 'portrait_4_3' } }, expected: ['768x1024'] },
  { title: 'a default behind a reference', properties: { image_size: { $ref: '#/$defs/Size' } }, defs: { Size: { ...sizeObject, default: { width: 256, height: 128 } } }, expected: ['256x128'] },
  { title: 'a reference in a circle is no default', properties: { image_size: { $ref: '#/$defs/Size' } }, defs: { Size: { $ref: '#/$defs/Size' } }, expected: ['1024x1024'] },
  { title: 'width and height', input: { width: 640, height: 480 }, expected: ['640x480'] },
  { title: 'a ratio keeps about a million pixels', input: { aspect_ratio: '16:9' }, expected: ['1360x768'] },
  { title: 'an upright ratio', input: { aspect_ratio: '9:16' }, expected: ['768x1360'] },
  { title: 'a ratio as a word', input: { aspect_ratio: 'portrait_4_3' }, expected: ['880x1184'] },
  { title: 'auto leaves the ratio open', input: { aspect_ratio: 'auto', resolution: '2K' }, expected: ['2048x2048'] },
  { title: 'a ratio beyond reason', input: { aspect_ratio: '9999:1' }, expected: ['4096x256'] },
  { title: 'half a K', input: { resolution: '0.5K' }, expected: ['512x512'] },
  { title: '4K in a ratio', input: { resolution: '4K', aspect_ratio: '3:2' }, expected: ['5024x3344'] },
  { title: 'small letters', input: { resolution: '4k' }, expected: ['4096x4096'] },
  { title: 'a side of a square', input: { resolution: '512sq' }, expected: ['512x512'] },
  { title: 'lines', input: { resolution: '720p', aspect_ratio: '16:9' }, expected: ['1280x720'] },
  { title: 'megapixels', input: { resolution: '4 MP' }, expected: ['2000x2000'] },
  { title: 'image_size that leaves the shape open', input: { image_size: 'auto_2K' }, expected: ['2048x2048'] },
  { title: 'words that say nothing of a size', input: { image_size: 'auto', resolution: 'standard' }, expected: ['1024x1024'] },
  { title: 'an absurd size', input: { image_size: { width: 1e9, height: 0.1 } }, expected: ['14142x1'] }
]

for (const { title, input = {}, properties = {}, defs = {}, hints, expected } of rows) {
  t.test(title, async t => {
    t.same(pictureSizes({ ...input }, { type: 'object', properties, $defs: defs }, hints).map(({ width, height }) => `${width}x${height}`), expected)
  })
}

t.test('no input asks for more pictures than a call can make', async t => {
  t.equal(pictureSizes({ num_images: 1e9, max_images: 1e300 }, {}).length, 100)
})
