/** Walks rows block by block: what every block encoder shares. */
import { InternalError } from '../core/errors.js'
import { QUANT_TYPES } from '../core/quant-types.js'
import type { BlockType } from './block-formats.js'

/**
 * Writes whole rows as blocks.
 * @param from        rows x cols, row major
 * @param into        exactly the bytes that the type needs
 * @param cols        elements of a row, whole blocks
 * @param importance  weight of each column; types that have no search ignore it
 */
export type BlockEncoder = (from: Float32Array, into: Uint8Array, cols: number, importance?: Float32Array) => void

/** Writes the block of `x` at byte `at`. */
export type EncodeBlock = (x: Float32Array, into: Uint8Array, at: number, importance?: Float32Array) => void

/** An encoder of blocks that depend on nothing but their own elements and importance. */
export function encoderOfBlocks(type: BlockType, encode: EncodeBlock): BlockEncoder {
  return encoderOfRows(type, () => encode)
}

/** An encoder whose blocks depend on their row too: `start` sees each row first. */
export function encoderOfRows(type: BlockType, start: (row: Float32Array) => EncodeBlock): BlockEncoder {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  return (from, into, cols, importance) => {
    checkSizes(type, from, into, cols, importance)
    let at = 0
    for (let first = 0; first < from.length; first += cols) {
      const encode = start(from.subarray(first, first + cols))
      for (let col = 0; col < cols; col += blockElements, at += blockBytes) {
        encode(from.subarray(first + col, first + col + blockElements), into, at, importance?.subarray(col, col + blockElements))
      }
    }
  }
}

/** The elements of a block as views of its groups. */
export function groupsOf<A extends Float32Array | Uint8Array>(elements: A, size: number): A[] {
  return Array.from({ length: elements.length / size }, (_, g) => elements.subarray(g * size, (g + 1) * size) as A)
}

function checkSizes(type: BlockType, from: Float32Array, into: Uint8Array, cols: number, importance: Float32Array | undefined): void {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  if (!(cols > 0 && cols % blockElements === 0)) throw new InternalError(`${type} wants rows of whole blocks of ${blockElements}, got ${cols} columns`)
  if (from.length % cols !== 0) throw new InternalError(`${type} wants whole rows of ${cols}, got ${from.length} elements`)
  const bytes = (from.length / blockElements) * blockBytes
  if (into.length !== bytes) throw new InternalError(`${type} wants ${bytes} bytes to write into, got ${into.length}`)
  if (importance !== undefined && importance.length !== cols) throw new InternalError(`importance of ${importance.length} columns for rows of ${cols}`)
}
