// An indexed picture in memory, and the colours it is made of.

export interface Canvas {
  readonly width: number
  readonly height: number
  /** 256 colours, three bytes each. */
  readonly palette: Uint8Array
  /** One index a pixel, rows from the top. */
  readonly pixels: Uint8Array
}
