// Texts inside JPEG and WebP files, so that a picture says where it comes from when it has left its address.

/** A JPEG with a comment (COM) right after its start. The comment is Latin-1. */
export function withJpegComment (jpeg: Uint8Array, comment: string): Uint8Array {
  const text = Buffer.from(comment, 'latin1')
  const head = Buffer.from([0xff, 0xd8, 0xff, 0xfe, 0, 0])
  head.writeUInt16BE(text.length + 2, 4)
  return Buffer.concat([head, text, jpeg.subarray(2)])
}

const HEADER = 12
const XMP = 0b0000_0100

/** A WebP of one plain frame (`VP8 `) in the extended form, with the comment as XMP. Any other form is left as it is. */
export function withWebpComment (webp: Uint8Array, comment: string, width: number, height: number): Uint8Array {
  const bytes = Buffer.from(webp)
  const frames = bytes.subarray(HEADER)
  if (frames.toString('latin1', 0, 4) !== 'VP8 ') return webp
  const extended = Buffer.alloc(10)
  extended[0] = XMP
  extended.writeUIntLE(width - 1, 4, 3)
  extended.writeUIntLE(height - 1, 7, 3)
  const xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' +
    `<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description>${comment}</dc:description></rdf:Description></rdf:RDF></x:xmpmeta>`
  const body = Buffer.concat([Buffer.from('WEBP'), chunk('VP8X', extended), frames, chunk('XMP ', Buffer.from(xmp))])
  const head = Buffer.alloc(8)
  head.write('RIFF')
  head.writeUInt32LE(body.length, 4)
  return Buffer.concat([head, body])
}

function chunk (name: string, data: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.write(name)
  head.writeUInt32LE(data.length, 4)
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)])
}
